"""When the database goes away: pushes are answered 503, none is lost, and all recovers by itself."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import requests

from tests.support.plant import standing_plant
from tests.support.product import (
    EMAIL,
    PASSWORD,
    START_WITHIN,
    Person,
    Process,
    environment_of,
    is_ready,
    manage,
    wait_for,
)
from tests.support.servers import Postgres, Redis, free_port, unique_name
from tests.support.sinks import HttpSink
from tests.support.tcp_proxy import TcpProxy

_BACK_WITHIN_SECONDS = 15
# A push that the database doesn't answer is given up after 10 s.
_ANSWERED_WITHIN_SECONDS = 13


def settings_of(database: str) -> dict[str, str]:
    """Return the settings of a product with an owner."""
    return {
        "DATABASE_URL": database,
        "SECRET_KEY": "faults-" + "k" * 50,
        "TIANJI_ADMIN_EMAIL": EMAIL,
        "TIANJI_ADMIN_PASSWORD": PASSWORD,
    }


@pytest.fixture(scope="module")
def owned(own_postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database that is prepared, to be copied."""
    name = unique_name("owned")
    settings = settings_of(own_postgres.create_database(name))
    done = Process(
        manage("prepare"), environment_of(tmp_path_factory.mktemp("owned"), 1, **settings), fork=True
    )
    assert done.wait(START_WITHIN) == 0, done.output
    return name


@pytest.fixture(scope="module")
def standing(own_postgres: Postgres, owned: str) -> Iterator[tuple[str, str]]:
    """A web process on a database of its own; yields the site's address and the database's."""
    database = own_postgres.create_database(unique_name("faults"), template=owned)
    with tempfile.TemporaryDirectory() as data:
        port = free_port()
        process = Process(
            manage("run", "web"), environment_of(Path(data), port, **settings_of(database)), fork=True
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: is_ready(url), seconds=START_WITHIN, describe=process.output)
            yield url, database
        finally:
            process.stop()


@pytest.fixture
def web(standing: tuple[str, str]) -> tuple[str, str]:
    """The web process, ready and without monitors, whatever was done to its database before."""
    url, database = standing
    with psycopg.connect(database) as connection:
        connection.execute("TRUNCATE monitors_monitor, monitors_heartbeat CASCADE")
    wait_for(lambda: is_ready(url), seconds=_BACK_WITHIN_SECONDS)
    return standing


def heartbeats(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM monitors_heartbeat").fetchone()
    assert row is not None
    return int(row[0])


def test_a_push_while_the_database_is_away_is_503_with_retry_after_and_the_next_ones_are_kept(
    web: tuple[str, str], own_postgres: Postgres
):
    url, database = web
    with Person(url) as person:
        push_url = person.create_monitor("through a restart").push_url
    assert requests.post(push_url, timeout=10).status_code == 200
    own_postgres.stop()
    try:
        refused = requests.post(push_url, timeout=20)
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["ok"] is False
        assert requests.get(f"{url}/livez", timeout=10).status_code == 200
        assert requests.get(f"{url}/readyz", timeout=20).status_code == 503
    finally:
        own_postgres.start()
    acknowledged = 1
    # Connections are tried again after a while; from the first that is there, all is well.
    statuses = [requests.post(push_url, timeout=20).status_code]
    until = time.monotonic() + _BACK_WITHIN_SECONDS
    # Each web process finds out for itself.
    while statuses[-5:] != [200] * 5 and time.monotonic() < until:
        time.sleep(0.2)
        statuses.append(requests.post(push_url, timeout=20).status_code)
    assert set(statuses) <= {200, 503}
    assert statuses[-5:] == [200] * 5
    acknowledged += statuses.count(200)
    assert heartbeats(database) == acknowledged


def test_a_database_that_restarted_while_nothing_was_pushed_costs_no_push(
    web: tuple[str, str], own_postgres: Postgres
):
    url, database = web
    with Person(url) as person:
        push_url = person.create_monitor("over a quiet restart").push_url
    assert requests.post(push_url, timeout=10).status_code == 200
    own_postgres.stop()
    own_postgres.start()
    # Longer than a connection is trusted without asking.
    time.sleep(1.5)
    assert [requests.post(push_url, timeout=20).status_code for _ in range(4)] == [200] * 4
    assert heartbeats(database) == 5


def test_a_push_that_waits_for_a_lock_too_long_is_503_and_not_recorded(web: tuple[str, str]):
    url, database = web
    with Person(url) as person:
        push_url = person.create_monitor("locked").push_url
    assert requests.post(push_url, timeout=10).status_code == 200
    with psycopg.connect(database) as holder:
        holder.execute("SELECT * FROM monitors_monitorstate FOR UPDATE")
        refused = requests.post(push_url, timeout=20)
        assert refused.status_code == 503
        holder.rollback()
    assert requests.post(push_url, timeout=10).status_code == 200
    assert heartbeats(database) == 2


# --- The way to the database -----------------------------------------------------------------------


def test_a_state_that_someone_holds_after_an_outage_delays_no_push_to_another(
    proxied: tuple[TcpProxy, str], own_postgres: Postgres
):
    """All states are locked at the end of a gap, and so that waits; pushes don't."""
    proxy, database = proxied
    direct = database.replace(f":{proxy.port}/", f":{own_postgres.port}/")
    with tempfile.TemporaryDirectory() as data:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        settings = {**settings_of(database), "TIANJI_WEB_WORKERS": "1"}
        process = Process(manage("run", "web"), environment_of(Path(data), port, **settings), fork=True)
        try:
            wait_for(lambda: is_ready(url), seconds=START_WITHIN, describe=lambda: process.output)
            with Person(url) as person:
                free, held = (person.create_monitor(name).push_url for name in ("free", "held"))
            assert [requests.post(one, timeout=10).status_code for one in (free, held)] == [200, 200]
            with psycopg.connect(direct) as holder:
                holder.execute(
                    "SELECT * FROM monitors_monitorstate WHERE monitor_id ="
                    " (SELECT id FROM monitors_monitor WHERE name = 'held') FOR UPDATE"
                )
                proxy.refuse()
                # Longer than what counts as a gap.
                time.sleep(8)
                assert requests.post(free, timeout=10).status_code == 503
                proxy.admit()
                wait_for(lambda: requests.post(free, timeout=10).status_code == 200, seconds=5)
                # However often the end of the gap is tried meanwhile.
                assert {status_soon(free) for _ in range(20)} == {200}
                assert gaps(direct) == 0
                holder.rollback()
            wait_for(lambda: gaps(direct) == 1, seconds=10)
        finally:
            process.stop()


def status_soon(push_url: str) -> int:
    """Push a little later; the answer takes at most two seconds."""
    time.sleep(0.2)
    return requests.post(push_url, timeout=2).status_code


def gaps(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM monitors_gap WHERE clock_step IS NULL").fetchone()
    assert row is not None
    return int(row[0])


# --- Connections that hang -------------------------------------------------------------------------


@pytest.fixture
def proxied(own_postgres: Postgres, owned: str) -> Iterator[tuple[TcpProxy, str]]:
    """A proxy in front of the database, and the address of a database of its own through it."""
    direct = own_postgres.create_database(unique_name("hangs"), template=owned)
    with TcpProxy(own_postgres.port) as proxy:
        yield proxy, direct.replace(f":{own_postgres.port}/", f":{proxy.port}/")


def test_pushes_are_answered_again_soon_though_their_connection_hangs(proxied: tuple[TcpProxy, str]):
    proxy, database = proxied
    with tempfile.TemporaryDirectory() as data:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        settings = {**settings_of(database), "TIANJI_WEB_WORKERS": "1"}
        process = Process(manage("run", "web"), environment_of(Path(data), port, **settings), fork=True)
        try:
            wait_for(lambda: is_ready(url), seconds=START_WITHIN, describe=lambda: process.output)
            with Person(url) as person:
                push_url = person.create_monitor("behind a proxy").push_url
            assert requests.post(push_url, timeout=10).status_code == 200
            assert proxy.swallow() > 0
            began = time.monotonic()
            with ThreadPoolExecutor(5) as senders:
                hanging = [senders.submit(requests.post, push_url, timeout=30) for _ in range(5)]
                time.sleep(1)
                alive = time.monotonic()
                assert requests.get(f"{url}/livez", timeout=10).status_code == 200
                assert time.monotonic() - alive < 1
                statuses = [one.result().status_code for one in hanging]
            assert time.monotonic() - began < _ANSWERED_WITHIN_SECONDS
            # What was being recorded is 503; what waited behind it may be recorded on a new connection.
            assert set(statuses) in ({503}, {200, 503})
            # The old connections still hang.
            assert [requests.post(push_url, timeout=10).status_code for _ in range(5)] == [200] * 5
            wait_for(lambda: is_ready(url), seconds=60, describe=lambda: process.output)
            assert heartbeats(database) == 6 + statuses.count(200)
        finally:
            process.stop()


def test_a_worker_whose_connections_hang_goes_on_with_new_ones(
    proxied: tuple[TcpProxy, str], own_postgres: Postgres, own_redis: Redis
):
    proxy, through = proxied
    direct = through.replace(f":{proxy.port}/", f":{own_postgres.port}/")
    with standing_plant(direct, own_redis.url) as plant, HttpSink() as sink:
        plant.start("web")
        plant.start("beat", DATABASE_URL=through)
        plant.start("worker", DATABASE_URL=through)
        plant.wait_until_ready()
        plant.add_channels(sink.url)
        requests.post(f"{plant.monitor('before')}?status=down", timeout=10)
        sink.wait_for(1, seconds=90)
        assert proxy.swallow() > 0
        silent = plant.monitor("silent")
        plant.query("UPDATE monitors_monitor SET timeout = 2, grace = 0 WHERE name = 'silent'")
        requests.post(silent, timeout=10)
        sink.wait_for(2, seconds=60)
