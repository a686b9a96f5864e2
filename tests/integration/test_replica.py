"""A read replica: exports and charts of days are read there, while it is there and not behind."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
import requests

from tests.support.plant import Plant, standing_plant
from tests.support.product import Person, wait_for
from tests.support.servers import Postgres, Redis, replica_of, unique_name

ROWS = 3000


@pytest.fixture(scope="module")
def database(own_postgres: Postgres) -> str:
    return own_postgres.create_database(unique_name("replicated"))


@pytest.fixture(scope="module")
def replica(own_postgres: Postgres, database: str) -> Iterator[Postgres]:
    with replica_of(own_postgres) as made:
        yield made


@pytest.fixture(scope="module")
def plant(database: str, replica: Postgres, own_redis: Redis) -> Iterator[Plant]:
    with standing_plant(database, own_redis.url) as made:
        made.environment["DATABASE_REPLICA_URL"] = replica.url(database.rpartition("/")[2])
        made.start("web")
        made.wait_until_ready()
        yield made


@pytest.fixture(scope="module")
def page(plant: Plant) -> str:
    """The path of a monitor with a heartbeat a minute for the last two days, the newest an hour ago."""
    push_url = plant.monitor("long known")
    assert requests.post(push_url, timeout=20).status_code == 200
    plant.query(
        "INSERT INTO monitors_heartbeat (workspace_id, monitor_id, received_at, status, message, value)"
        " SELECT workspace_id, id, now() - interval '1 hour' - n * interval '1 minute', 'up', 'n' || n, n"
        f" FROM monitors_monitor, generate_series(1, {ROWS}) AS n"
    )
    # What is written now under an old time is what it can't know of.
    with psycopg.connect(plant.environment["DATABASE_REPLICA_URL"], autocommit=True) as connection:
        count = "SELECT count(*) > %s FROM monitors_heartbeat"
        wait_for(lambda: connection.execute(count, [ROWS]).fetchone() == (True,), seconds=60)
    (row,) = plant.query("SELECT public_id FROM monitors_monitor")
    return f"/monitors/{row['public_id']}/"


def read_on(server: str) -> int:
    """How many heartbeats were read there so far."""
    with psycopg.connect(server) as connection:
        found = connection.execute(
            # They are in partitions.
            "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))"
            " FROM pg_stat_user_tables WHERE relname LIKE 'monitors\\_heartbeat\\_%'"
        ).fetchone()
    return 0 if found is None else int(found[0])


def exported(person: Person, page: str, letter: str = "n") -> list[str]:
    response = person.session.get(f"{person.url}{page}log/?kind=heartbeats&format=csv", timeout=60)
    assert response.status_code == 200
    return re.findall(rf",({letter}\d+),", response.text)


def test_an_export_is_whole_and_mostly_read_from_the_replica(plant: Plant, page: str):
    replica = plant.environment["DATABASE_REPLICA_URL"]
    before = read_on(replica)
    with plant.person() as person:
        assert exported(person, page) == [f"n{number}" for number in range(1, ROWS + 1)]
    # The first chunk is not.
    wait_for(lambda: 0 < read_on(replica) - before < ROWS, seconds=20)


def test_charts_of_days_are_read_from_the_replica(plant: Plant, page: str):
    with plant.person() as person:
        replica = plant.environment["DATABASE_REPLICA_URL"]
        before = read_on(replica)
        shown = person.session.get(f"{plant.url}{page}charts/?range=7d", timeout=60)
        assert shown.status_code == 200
        wait_for(lambda: read_on(replica) > before, seconds=20)


def test_what_the_replica_may_lack_is_read_from_the_primary(plant: Plant, page: str, replica: Postgres):
    with psycopg.connect(plant.environment["DATABASE_REPLICA_URL"], autocommit=True) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
        plant.query(
            "INSERT INTO monitors_heartbeat (workspace_id, monitor_id, received_at, status, message)"
            " SELECT workspace_id, id, now() - n * interval '5 milliseconds', 'up', 'm' || n"
            f" FROM monitors_monitor, generate_series(1, {ROWS}) AS n"
        )
        with plant.person() as person:
            assert exported(person, page, "m") == [f"m{number}" for number in range(1, ROWS + 1)]
        connection.execute("SELECT pg_wal_replay_resume()")


def test_without_the_replica_everything_is_read_from_the_primary(plant: Plant, page: str, replica: Postgres):
    replica.stop()
    with plant.person() as person:
        wait_for(lambda: len(exported(person, page)) == ROWS, seconds=30, every=5)
        shown = person.session.get(f"{plant.url}{page}charts/?range=7d", timeout=60)
        assert shown.status_code == 200
    assert "the replica is not read" in plant.processes["web"][0].output
