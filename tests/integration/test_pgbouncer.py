"""The product through PgBouncer's transaction pooling: many clients, few connections, none of them kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import requests

from tests.support import tools
from tests.support.plant import Plant, standing_plant
from tests.support.product import wait_for
from tests.support.servers import PgBouncer, Redis, pgbouncer
from tests.support.sinks import HttpSink

PROGRAM = tools.program("pgbouncer")
# Fewer than there are processes: transactions of different processes share a connection.
CONNECTIONS = 3

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")


@pytest.fixture(scope="module")
def database(migrated_database: Callable[[str], str]) -> str:
    """A migrated database, whose address has not the pooler's port; its role has the time limits."""
    url = migrated_database("pooled")
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        for limit, seconds in (
            ("statement_timeout", 15),
            ("lock_timeout", 5),
            ("idle_in_transaction_session_timeout", 15),
        ):
            connection.execute(f"ALTER DATABASE \"{name}\" SET {limit} = '{seconds}s'")  # type: ignore[call-overload]
    return url


@pytest.fixture(scope="module")
def pooler(database: str) -> Iterator[PgBouncer]:
    assert PROGRAM is not None
    with pgbouncer(PROGRAM, database, connections=CONNECTIONS) as made:
        yield made


@pytest.fixture(scope="module")
def plant(database: str, pooler: PgBouncer, own_redis: Redis) -> Iterator[Plant]:
    """The whole product: `prepare` ran on a connection of its own, all else runs through the pooler."""
    with standing_plant(database, own_redis.url) as made:
        made.environment |= {
            "DATABASE_URL": pooler.url(database.rpartition("/")[2]),
            "TIANJI_DB_PREPARE": "true" if pooler.prepares else "false",
            "TIANJI_PUSH_RATE": "0",
        }
        for role in ("web", "worker", "beat"):
            made.start(role)
        made.wait_until_ready()
        yield made


def output(plant: Plant) -> str:
    return "\n".join(process.output for started in plant.processes.values() for process in started)


def test_pushes_at_once_are_all_recorded_and_pages_show_them(plant: Plant, pooler: PgBouncer):
    push_urls = [plant.monitor(f"pooled {number}") for number in range(3)]

    def push(number: int) -> int:
        return requests.post(push_urls[number % 3], data={"msg": f"n{number}"}, timeout=20).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(push, range(120))) == {200}
    (recorded,) = plant.query("SELECT count(*) AS n FROM monitors_heartbeat WHERE message LIKE 'n%%'")
    assert recorded["n"] == 120
    with plant.person() as person:
        for _ in range(4):
            for page in ("/", "/?sort=name&q=pooled", "/incidents/", "/channels/"):
                assert person.session.get(f"{plant.url}{page}", timeout=20).status_code == 200
        assert "pooled 2" in person.session.get(f"{plant.url}/", timeout=20).text
    servers = servers_of(pooler)
    assert 1 <= len(servers) <= CONNECTIONS
    # Versions that don't count them yet have none, or are trusted.
    assert all(server.get("prepared_statements", 1) for server in servers) or not pooler.prepares


def test_silence_is_noticed_and_notified(plant: Plant):
    with HttpSink() as sink:
        plant.add_channels(sink.url)
        push_url = plant.monitor("falls silent")
        plant.query("UPDATE monitors_monitor SET timeout = 2, grace = 0 WHERE name = 'falls silent'")
        assert requests.post(push_url, timeout=20).status_code == 200
        wait_for(lambda: sink.requests, seconds=60, describe=lambda: output(plant))
    wait_for(lambda: health(plant) == {}, seconds=60, describe=lambda: str(health(plant)))


def test_the_limits_of_time_come_from_the_database(plant: Plant, pooler: PgBouncer):
    with psycopg.connect(plant.environment["DATABASE_URL"], autocommit=True) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone()  # type: ignore[call-overload]
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        ]
    assert shown == [("15s",), ("5s",), ("15s",)]


def test_no_statement_failed_for_a_connection_that_was_another(plant: Plant):
    """Such as a prepared statement or a cursor that is not there, or is there already."""
    for fault in ("prepared statement", "cursor", "InvalidSqlStatementName", "Traceback"):
        assert fault not in output(plant)


def servers_of(pooler: PgBouncer) -> list[dict[str, Any]]:
    return [row for row in pooler.show("SERVERS") if row["database"].startswith("pooled")]


def health(plant: Plant) -> dict[str, str]:
    shown = requests.get(f"{plant.url}/healthz", headers={"Accept": "application/json"}, timeout=20).json()
    return {name: state for name, state in shown.items() if state != "ok"}
