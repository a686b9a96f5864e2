"""The upgrade to heartbeats in partitions: no row is copied, lost or given a new id, and none is refused."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from core.clock import database_now
from monitors.services import partitions
from monitors.services.partitions import DAY, DEFAULT, TABLE
from tests.support.servers import postgres_binaries
from tests.support.upgrades import empty_database, in_place_of_ours
from tianji.runtime import patience

__all__ = ["empty_database"]

pytestmark = pytest.mark.slow
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite keeps its table as it is"
)
BEFORE, AFTER = ("monitors", "0007_urgency"), ("monitors", "0008_partitions")
ALIAS = "upgrade"


def migrate(to):
    return MigrationExecutor(connections[ALIAS]).migrate([to]).apps.get_model("monitors", "Heartbeat")


def ask(statement, *values):
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else None


def fill(model, *times):
    """Store a heartbeat at each of `times`; return all rows."""
    for number, at in enumerate(times):
        model.objects.using(ALIAS).create(
            monitor_id=number % 2 + 1, received_at=at, status="up", message=f"m{number}", value=number
        )
    return rows_of(model)


def rows_of(model):
    return list(model.objects.using(ALIAS).order_by("pk").values())


def now_there():
    with in_place_of_ours(ALIAS):
        return database_now()


@pytest.mark.usefixtures("empty_database")
def test_all_heartbeats_are_as_they_were_on_both_ways():
    before = migrate(BEFORE)
    now = now_there()
    stored = fill(before, now - 400 * DAY, now - DAY, now, now + timedelta(seconds=5))
    after = migrate(AFTER)
    assert rows_of(after) == stored
    # Ids go on where they were; those of no row are not used again.
    new = after.objects.using(ALIAS).create(monitor_id=1, received_at=now, status="down")
    assert new.pk > stored[-1]["id"]
    before = migrate(BEFORE)
    assert rows_of(before)[:-1] == stored
    assert before.objects.using(ALIAS).create(monitor_id=1, received_at=now, status="up").pk > new.pk
    assert len(rows_of(migrate(AFTER))) == len(stored) + 2


@on_postgresql
@pytest.mark.usefixtures("empty_database")
def test_the_table_becomes_a_partition_without_being_copied():
    now = now_there()
    fill(migrate(BEFORE), now - 400 * DAY, now)
    ((file,),) = ask("SELECT pg_relation_filenode(%s)", TABLE)
    migrate(AFTER)
    assert ask("SELECT pg_relation_filenode(%s)", f"{TABLE}_before") == [(file,)]
    with in_place_of_ours(ALIAS):
        first, *days, default = partitions.partitions()
        assert partitions.fault() == ""
    assert (first.name, first.start, default.name) == (f"{TABLE}_before", None, DEFAULT)
    # Until the end of tomorrow, so that midnight may come while the migration runs.
    assert first.end > now + DAY
    assert [each.start for each in days] == [first.end + n * DAY for n in range(len(days))]
    assert days[-1].end > now + 7 * DAY


@on_postgresql
@pytest.mark.usefixtures("empty_database")
def test_every_partition_has_the_keys_and_indexes_and_no_check_is_left():
    migrate(BEFORE)
    migrate(AFTER)
    with in_place_of_ours(ALIAS):
        names = [each.name for each in partitions.partitions()]
    for name in [TABLE, *names]:
        indexes = ask("SELECT indexdef FROM pg_indexes WHERE tablename = %s ORDER BY 1", name)
        assert sorted(definition.split(" USING ")[1] for (definition,) in indexes) == [
            "btree (id, received_at)",
            "btree (monitor_id, received_at DESC)",
        ]
    attached = ask(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = ANY(%s::regclass[])",
        [f"{TABLE}_pkey", "heartbeat_monitor_received"],
    )
    assert attached == [(2 * len(names),)]
    assert ask("SELECT conname FROM pg_constraint WHERE contype = 'c' AND conname LIKE %s", f"{TABLE}%") == []


@on_postgresql
@pytest.mark.usefixtures("empty_database")
def test_a_clock_that_was_wrong_once_does_not_stop_the_upgrade():
    now = now_there()
    stored = fill(migrate(BEFORE), now, now + 100 * DAY)
    assert rows_of(migrate(AFTER)) == stored
    with in_place_of_ours(ALIAS):
        first, default = partitions.partitions()
        partitions.make_ahead()
    assert first.end > now + 100 * DAY
    assert default.name == DEFAULT


@on_postgresql
@pytest.mark.usefixtures("empty_database")
def test_an_upgrade_that_was_interrupted_goes_on():
    stored = fill(migrate(BEFORE), now_there())
    ask(f"CREATE UNIQUE INDEX {TABLE}_before_pkey ON {TABLE} (id, received_at)")
    ask(
        f"ALTER TABLE {TABLE} ADD CONSTRAINT {TABLE}_before_time CHECK (received_at < '2000-01-01') NOT VALID"
    )
    assert rows_of(migrate(AFTER)) == stored


@on_postgresql
@pytest.mark.usefixtures("empty_database")
def test_pushes_of_the_version_before_go_on_during_the_upgrade():
    model = migrate(BEFORE)
    fill(model, now_there())
    other, written, stop, raised = connections[ALIAS].copy(), [], threading.Event(), []

    def insert():
        try:
            with other.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute(
                        f"INSERT INTO {TABLE} (monitor_id, received_at, status, message)"
                        " VALUES (1, clock_timestamp(), 'up', '') RETURNING id"
                    )
                    written.append(cursor.fetchone()[0])
        except Exception as error:
            raised.append(error)
        finally:
            other.close()

    other.inc_thread_sharing()
    thread = threading.Thread(target=insert)
    thread.start()
    try:
        _wait_for_more(written)
        migrate(AFTER)
        _wait_for_more(written)
    finally:
        stop.set()
        thread.join(60)
    assert raised == []
    assert {row["id"] for row in rows_of(model)} >= set(written)
    assert len(written) == len(set(written))


def _wait_for_more(written):
    number, until = len(written) + 20, time.monotonic() + 30
    while len(written) < number:
        assert time.monotonic() < until
        time.sleep(0.01)


@on_postgresql
@pytest.mark.usefixtures("empty_database")
def test_a_backup_is_restored_with_its_partitions(tmp_path):
    model = migrate(AFTER)
    now = now_there()
    stored = fill(model, now - 3 * DAY, now, now + 3 * DAY)
    dump = str(tmp_path / "tianji.dump")
    _run("pg_dump", "-Fc", "-f", dump)
    # What has happened since: another day, and another heartbeat.
    with in_place_of_ours(ALIAS):
        partitions.make_ahead(now=now + 2 * DAY)
        model.objects.using(ALIAS).create(monitor_id=1, received_at=now, status="down")
    connections[ALIAS].close()
    connections[ALIAS].close_pool()
    # As docs/operations.md says.
    name = str(connections[ALIAS].settings_dict["NAME"])
    _run("dropdb", "--if-exists", "--force", name)
    _run("createdb", name)
    _run("pg_restore", "-d", name, "--exit-on-error", dump)
    assert rows_of(model) == stored
    with in_place_of_ours(ALIAS):
        partitions.make_ahead(now=now + 2 * DAY)
        assert partitions.fault() == ""
        assert any(each.end > now + 9 * DAY for each in partitions.partitions() if each.end)
    new = model.objects.using(ALIAS).create(monitor_id=1, received_at=now, status="up")
    assert new.pk > stored[-1]["id"]


def _run(program, *arguments):
    settings = connections[ALIAS].settings_dict
    where = {"PGHOST": settings["HOST"], "PGPORT": str(settings["PORT"]), "PGUSER": settings["USER"]}
    where |= {"PGPASSWORD": settings["PASSWORD"], "PGDATABASE": settings["NAME"]}
    subprocess.run([postgres_binaries() / program, *arguments], env={**os.environ, **where}, check=True)


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_second_container_that_waits_for_its_turn_to_prepare_holds_up_no_index_of_the_first():
    began, done = threading.Event(), []

    def second():
        began.set()
        with patience.one_at_a_time():
            done.append("second")
        connection.close()

    thread = threading.Thread(target=second)
    try:
        with patience.one_at_a_time():
            thread.start()
            began.wait(30)
            # Long enough for it to ask for the lock.
            time.sleep(0.5)
            with connection.cursor() as cursor:
                cursor.execute("CREATE INDEX CONCURRENTLY of_this_test ON monitors_gap (started_at)")
                cursor.execute("DROP INDEX of_this_test")
            done.append("first")
        thread.join(30)
    finally:
        # It has no time limits any more.
        connection.close()
    assert done == ["first", "second"]


@on_postgresql
@pytest.mark.usefixtures("empty_database")
def test_the_tables_that_pushes_update_are_stored_with_room():
    migrate(AFTER)
    stored = dict(
        ask(
            "SELECT relname, reloptions FROM pg_class WHERE relname = ANY(%s)",
            [
                "monitors_monitorstate",
                "monitors_pushtoken",
            ],
        )
    )
    assert {"fillfactor=70", "autovacuum_vacuum_scale_factor=0.01"} <= set(stored["monitors_monitorstate"])
    assert {"fillfactor=85", "autovacuum_vacuum_scale_factor=0.01"} <= set(stored["monitors_pushtoken"])
