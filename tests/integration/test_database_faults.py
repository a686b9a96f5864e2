"""When the database goes away: pushes are answered 503, none is lost, and all recovers by itself."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import requests

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
from tests.support.servers import Postgres, free_port, unique_name

_BACK_WITHIN_SECONDS = 15


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
    done = Process(manage("prepare"), environment_of(tmp_path_factory.mktemp("owned"), 1, **settings))
    assert done.wait(START_WITHIN) == 0, done.output
    return name


@pytest.fixture
def web(own_postgres: Postgres, owned: str) -> Iterator[tuple[str, str]]:
    """A web process on a database of its own; yields the site's address and the database's."""
    database = own_postgres.create_database(unique_name("faults"), template=owned)
    with tempfile.TemporaryDirectory() as data:
        port = free_port()
        process = Process(manage("run", "web"), environment_of(Path(data), port, **settings_of(database)))
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(lambda: is_ready(url), seconds=START_WITHIN, describe=process.output)
            yield url, database
        finally:
            process.stop()


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
