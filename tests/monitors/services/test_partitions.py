"""Heartbeats are in partitions by day on PostgreSQL: made ahead, dropped whole, and in nobody's way."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from structlog.testing import capture_logs

from core.clock import database_now
from monitors import tasks
from monitors.history import uptimes
from monitors.models import Heartbeat
from monitors.services import partitions, retention
from monitors.services.partitions import DAY, DEFAULT, TABLE, make_ahead
from tests.support.factories import make_monitor
from tests.support.heartbeats import Queries, push

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no partitions"),
]
# So far ahead that no partition is there yet. What these tests make is rolled back.
NOON = datetime(2100, 1, 10, 12, tzinfo=UTC)
MIDNIGHT = NOON - timedelta(hours=12)


def make_heartbeat(monitor, at, **fields):
    return Heartbeat.objects.create(monitor=monitor, received_at=at, status="up", **fields)


def table_of(heartbeat):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text FROM {TABLE} WHERE id = %s", [heartbeat.pk])
        return cursor.fetchone()[0]


def names():
    return [each.name for each in partitions.partitions()]


def name_of(day):
    return f"{TABLE}_{day:%Y%m%d}"


# --- made ahead ------------------------------------------------------------------------------------


def test_today_and_the_next_seven_days_have_a_partition():
    make_ahead(now=NOON)
    made = [each for each in partitions.partitions() if each.start and each.start >= MIDNIGHT]
    assert [(each.start, each.end) for each in made] == [
        (MIDNIGHT + n * DAY, MIDNIGHT + (n + 1) * DAY) for n in range(8)
    ]
    assert all(each.is_of_one_day for each in made)


def test_what_is_there_is_not_made_again():
    make_ahead(now=NOON)
    before = names()
    make_ahead(now=NOON)
    assert names() == before
    make_ahead(now=NOON + DAY)
    assert set(names()) - set(before) == {name_of(NOON + 8 * DAY)}


def test_a_day_that_is_missing_among_others_is_made():
    make_ahead(now=NOON)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name_of(NOON + 3 * DAY)}")
    make_ahead(now=NOON)
    assert name_of(NOON + 3 * DAY) in names()


def test_days_begin_at_midnight_in_utc():
    make_ahead(now=NOON)
    monitor = make_monitor()
    assert table_of(make_heartbeat(monitor, MIDNIGHT)) == name_of(NOON)
    assert table_of(make_heartbeat(monitor, MIDNIGHT - timedelta(microseconds=1))) == DEFAULT
    assert table_of(make_heartbeat(monitor, MIDNIGHT + DAY)) == name_of(NOON + DAY)


def test_a_push_goes_to_a_partition_that_is_not_the_default_one():
    make_ahead()
    monitor = make_monitor()
    push(monitor)
    assert table_of(monitor.heartbeats.get()) != DEFAULT
    assert partitions.fault() == ""


def test_the_task_and_prepare_make_partitions(settings):
    missing = _drop_newest()
    tasks.make_partitions()
    assert missing in names()
    missing = _drop_newest()
    settings.TIANJI_ADMIN_EMAIL = "owner@example.com"
    settings.TIANJI_ADMIN_PASSWORD = "correct horse battery"
    call_command("prepare")
    assert missing in names()


def _drop_newest():
    make_ahead()
    newest = [each for each in partitions.partitions() if each.is_of_one_day][-1]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {newest.name}")
    return newest.name


def test_without_a_partition_for_tomorrow_something_is_wrong():
    tomorrow = database_now() + DAY
    for each in partitions.partitions():
        if each.end and each.end > tomorrow.replace(hour=0, minute=0, second=0, microsecond=0):
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE {each.name}")
    assert partitions.fault() == "There is no partition for tomorrow's heartbeats."
    make_ahead()
    assert partitions.fault() == ""


# --- the default partition -------------------------------------------------------------------------


def test_what_has_no_partition_goes_to_the_default_one_and_that_is_a_fault():
    heartbeat = make_heartbeat(make_monitor(), NOON)
    assert table_of(heartbeat) == DEFAULT
    assert partitions.fault() == "Heartbeats arrive that no partition was made for."


def test_when_the_day_is_made_its_rows_leave_the_default_partition_as_they_are():
    monitor = make_monitor()
    stored = [make_heartbeat(monitor, NOON + n * timedelta(hours=1), value=n, message="kept") for n in (0, 5)]
    before = list(Heartbeat.objects.order_by("pk").values())
    with capture_logs() as logs:
        make_ahead(now=NOON + timedelta(hours=6))
    assert list(Heartbeat.objects.order_by("pk").values()) == before
    assert {table_of(each) for each in stored} == {f"{name_of(NOON)}_to_{NOON + DAY:%Y%m%d}"}
    assert partitions.fault() == ""
    error = next(each for each in logs if each["log_level"] == "error")
    assert error["oldest"] == NOON.isoformat()
    # A heartbeat that arrives next, and one after midnight, go on in the same partition, then come days.
    assert table_of(make_heartbeat(monitor, NOON + DAY)) == table_of(stored[0])
    assert table_of(make_heartbeat(monitor, NOON + 2 * DAY)) == name_of(NOON + 2 * DAY)
    assert table_of(make_heartbeat(monitor, NOON + 30 * DAY)) == DEFAULT


def test_rows_of_days_that_are_over_leave_it_too():
    monitor = make_monitor()
    stored = [make_heartbeat(monitor, NOON + n * DAY) for n in range(3)]
    make_ahead(now=NOON + 5 * DAY)
    assert {table_of(each) for each in stored} == {f"{name_of(NOON)}_to_{NOON + 2 * DAY:%Y%m%d}"}
    assert name_of(NOON + 5 * DAY) in names()
    assert partitions.fault() == ""


def test_its_rows_are_not_read_under_a_lock():
    make_heartbeat(make_monitor(), NOON)
    said = []
    connection.connection.add_notice_handler(lambda notice: said.append(notice.message_primary))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL client_min_messages = debug1")
        make_ahead(now=NOON)
        cursor.execute("SET LOCAL client_min_messages = notice")
    name = f"{name_of(NOON)}_to_{NOON + DAY:%Y%m%d}"
    assert f'partition constraint for table "{name}" is implied by existing constraints' in said


def test_it_can_be_emptied_again_and_again():
    monitor = make_monitor()
    for number in range(3):
        stored = make_heartbeat(monitor, NOON + number * 20 * DAY)
        make_ahead(now=NOON + number * 20 * DAY)
        assert table_of(stored) != DEFAULT
    assert Heartbeat.objects.count() == 3
    assert names().count(DEFAULT) == 1


def test_the_new_default_partition_has_the_same_indexes():
    make_heartbeat(make_monitor(), NOON)
    make_ahead(now=NOON)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexdef FROM pg_indexes WHERE tablename = ANY(%s)", [[DEFAULT, name_of(NOON + 4 * DAY)]]
        )
        kinds = sorted(definition.split(" USING ")[1] for (definition,) in cursor.fetchall())
    assert kinds == [
        "btree (id, received_at)",
        "btree (id, received_at)",
        "btree (monitor_id, received_at DESC)",
        "btree (monitor_id, received_at DESC)",
    ]


def test_emptying_that_was_interrupted_is_done_the_next_time():
    make_heartbeat(make_monitor(), NOON)
    with connection.cursor() as cursor:
        cursor.execute(
            f"ALTER TABLE {DEFAULT} ADD CONSTRAINT {DEFAULT}_time"
            " CHECK (received_at < '2200-01-01') NOT VALID"
        )
        cursor.execute(f"CREATE TABLE {TABLE}_next (LIKE {TABLE})")
    make_ahead(now=NOON)
    assert partitions.fault() == ""
    assert Heartbeat.objects.count() == 1


def test_rows_on_both_sides_of_a_partition_stay_where_they_are_and_are_read():
    make_ahead(now=NOON + 3 * DAY)
    monitor = make_monitor()
    make_heartbeat(monitor, NOON)
    make_heartbeat(monitor, NOON + 30 * DAY)
    with capture_logs() as logs:
        make_ahead(now=NOON + 4 * DAY)
    (error,) = [each for each in logs if each["log_level"] == "error"]
    assert name_of(NOON + 3 * DAY) in error["partitions_between"]
    assert monitor.heartbeats.count() == 2
    assert partitions.fault()
    # Other days are made nevertheless.
    assert name_of(NOON + 11 * DAY) in names()


# --- retention -------------------------------------------------------------------------------------


def test_a_day_goes_whole_once_all_of_it_is_old_enough():
    make_ahead(now=NOON)
    monitor = make_monitor()
    make_heartbeat(monitor, NOON)
    make_heartbeat(monitor, NOON + DAY)
    # A part of the second day is old enough, too.
    with Queries() as queries:
        dropped = partitions.drop_old(before=NOON + DAY)
    assert dropped[-1] == name_of(NOON)
    assert name_of(NOON + DAY) in names()
    assert [each.received_at for each in monitor.heartbeats.all()] == [NOON + DAY]
    assert not [sql for sql in queries.statements if sql.startswith("DELETE")]


def test_the_number_of_statements_does_not_depend_on_that_of_rows():
    make_ahead(now=NOON)
    monitor = make_monitor()
    counted = []
    for day, rows in ((NOON, 1), (NOON + DAY, 500)):
        partitions.drop_old(before=day - timedelta(hours=12))
        Heartbeat.objects.bulk_create(
            Heartbeat(monitor=monitor, received_at=day, status="up") for _ in range(rows)
        )
        with Queries() as queries:
            assert partitions.drop_old(before=day + timedelta(hours=12)) == [name_of(day)]
        counted.append(len(queries.statements))
    assert counted[0] == counted[1]


def test_retention_drops_the_days_and_deletes_row_by_row_where_there_are_none(settings):
    settings.TIANJI_RETENTION_DAYS = 30
    now = database_now()
    old = now - 40 * DAY
    monitor = make_monitor()
    rows = [make_heartbeat(monitor, old), make_heartbeat(monitor, now)]
    with Queries() as queries:
        assert retention.delete_old_heartbeats() == 1
    assert [each.pk for each in monitor.heartbeats.all()] == [rows[1].pk]
    deleted_from = {sql.split()[2] for sql in queries.statements if sql.startswith("DELETE")}
    assert deleted_from == {f"{TABLE}_before", DEFAULT}


def test_a_deleted_monitor_leaves_only_the_partitions_of_its_heartbeats_to_be_searched():
    make_ahead(now=NOON)
    monitor, other = make_monitor(), make_monitor()
    for number in range(3):
        make_heartbeat(monitor, NOON + number * DAY)
        make_heartbeat(other, NOON + number * DAY)
    with Queries() as queries:
        assert retention.delete_heartbeats_of(monitor_id=monitor.pk, batch=2) == 3
    assert other.heartbeats.count() == 3
    first, *_rest = [sql for sql in queries.statements if sql.startswith("DELETE")]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {first}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert name_of(NOON) in plan
    assert name_of(NOON + 2 * DAY) not in plan
    assert DEFAULT not in plan


def test_pages_of_heartbeats_go_on_from_one_partition_to_the_next():
    make_ahead(now=NOON)
    monitor = make_monitor()
    stored = [make_heartbeat(monitor, NOON + n * timedelta(hours=8), message=f"m{n}") for n in range(9)]
    pages = list(
        uptimes.in_chunks(monitor.heartbeats.values("pk", "received_at"), time="received_at", size=2)
    )
    assert [len(page) for page in pages] == [2, 2, 2, 2, 1]
    assert [row["pk"] for page in pages for row in page] == [each.pk for each in reversed(stored)]


# --- states ---------------------------------------------------------------------------------------


def test_pushes_update_states_in_place():
    monitors = [make_monitor(timeout=3600) for _ in range(5)]
    for monitor in monitors:
        push(monitor)
    counted = []
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_stat_get_xact_tuples_updated(oid), pg_stat_get_xact_tuples_hot_updated(oid)"
                " FROM pg_class WHERE oid = 'monitors_monitorstate'::regclass"
            )
            counted.append(cursor.fetchone())
        for monitor in monitors * 4:
            push(monitor)
    updated, in_place = (after - before for before, after in zip(*counted, strict=True))
    assert updated == 20
    assert in_place == 20


# --- with pushes going on --------------------------------------------------------------------------


@pytest.fixture
def far_days(transactional_db):
    """Remove the partitions of the far future that a test commits."""
    yield
    Heartbeat.objects.filter(received_at__gte=MIDNIGHT).delete()
    for each in partitions.partitions():
        if each.start and each.start >= MIDNIGHT - 10 * DAY:
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE {each.name}")


@contextmanager
def repeated(*acts):
    """Do each of `acts` in a thread of its own, again and again; yield how often each was done.

    What they raise is raised at the end.
    """
    done, stop, raised = [0] * len(acts), threading.Event(), []

    def run(number, act):
        try:
            while not stop.is_set():
                act()
                done[number] += 1
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    if raised:
        raise raised[0]


def wait_until(what, seconds=30):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def locks():
    """The locks of this connection's transaction: by table, the strongest kinds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relation::regclass::text, mode FROM pg_locks"
            " WHERE pid = pg_backend_pid() AND locktype = 'relation' AND mode LIKE '%%Exclusive%%'",
            [],
        )
        found = {}
        for table, mode in cursor.fetchall():
            found.setdefault(table, set()).add(mode)
        return found


@pytest.mark.usefixtures("far_days")
def test_making_a_day_locks_only_the_new_table_and_the_default_partition():
    with transaction.atomic():
        make_ahead(now=NOON, days=0)
        held = locks()
    assert held[TABLE] == {"ShareUpdateExclusiveLock"}
    exclusively = {table for table, modes in held.items() if "AccessExclusiveLock" in modes}
    assert exclusively & {each.name for each in partitions.partitions()} == {name_of(NOON), DEFAULT}


@pytest.mark.usefixtures("far_days")
def test_pushes_are_recorded_while_a_day_is_being_made():
    monitor = make_monitor()
    with transaction.atomic():
        make_ahead(now=NOON)
        # As long as this is not committed, pushes of others would wait for its locks, and fail after 5 s.
        with repeated(lambda: push(monitor)) as done:
            wait_until(lambda: done[0] >= 5)
    assert monitor.heartbeats.count() >= 5


def impatiently(act):
    """Do it on a connection that fails if it ever waits for a lock for 50 ms."""

    def never_waits(execute, *statement):
        try:
            return execute(*statement)
        except OperationalError as error:
            raise AssertionError("waited for 50 ms") from error

    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 50")
    try:
        with connection.execute_wrapper(never_waits):
            act()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")


@pytest.mark.usefixtures("far_days")
def test_no_push_waits_for_50_ms_while_days_are_made_and_dropped():
    monitors = [make_monitor() for _ in range(2)]
    pushes = [lambda monitor=monitor: impatiently(lambda: push(monitor)) for monitor in monitors]
    with repeated(*pushes) as done:
        for number in range(3):
            make_ahead(now=NOON + number * DAY)
            _drop_all_days_ahead()
        wait_until(lambda: min(done) >= 3)
    for monitor, number in zip(monitors, done, strict=True):
        assert monitor.heartbeats.count() == number


def _drop_all_days_ahead():
    """Drop them as retention drops the oldest."""
    for each in partitions.partitions():
        if each.start and each.start >= MIDNIGHT:
            partitions._drop(each.name)


@pytest.mark.usefixtures("far_days")
@pytest.mark.parametrize("reads_the_day", [True, False])
def test_a_reader_that_takes_long_delays_the_dropping_and_no_push(reads_the_day):
    make_ahead(now=NOON, days=0)
    monitor = make_monitor()
    dropped = threading.Event()

    def drop():
        partitions._drop(name_of(NOON))
        connection.close()
        dropped.set()

    with transaction.atomic():
        # It holds the locks on what it read until the end of the transaction.
        now = database_now()
        among = (
            Heartbeat.objects.all()
            if reads_the_day
            else Heartbeat.objects.filter(received_at__range=(now - DAY, now))
        )
        assert among.count() == 0
        thread = threading.Thread(target=drop)
        thread.start()
        with repeated(lambda: impatiently(lambda: push(monitor))) as done:
            wait_until(lambda: done[0] >= 20)
        assert not dropped.is_set()
        assert name_of(NOON) in names()
    thread.join(60)
    assert dropped.is_set()
    assert name_of(NOON) not in names()
    assert monitor.heartbeats.count() == done[0]


@pytest.mark.usefixtures("far_days")
def test_nothing_is_lost_of_what_arrives_while_the_default_partition_is_emptied():
    monitors = [make_monitor() for _ in range(2)]

    def arrives(monitor):
        impatiently(lambda: make_heartbeat(monitor, NOON))

    with repeated(*(lambda monitor=monitor: arrives(monitor) for monitor in monitors)) as done:
        wait_until(lambda: min(done) >= 10)
        assert partitions.fault()
        make_ahead(now=NOON)
        after = list(done)
        wait_until(lambda: min(done) >= max(after) + 5)
    for monitor, number in zip(monitors, done, strict=True):
        assert monitor.heartbeats.count() == number
    assert partitions.fault() == ""


@pytest.mark.usefixtures("transactional_db")
def test_prepare_goes_on_where_a_lock_is_not_available(monkeypatch, settings, capsys):
    settings.TIANJI_ADMIN_EMAIL = "owner@example.com"
    settings.TIANJI_ADMIN_PASSWORD = "correct horse battery"
    monkeypatch.setattr(partitions, "_TRIES", 2)
    missing = _drop_newest()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(f"BEGIN; LOCK TABLE {DEFAULT} IN ACCESS SHARE MODE")
        call_command("prepare")
    finally:
        other.close()
    assert "Warning: the partitions for heartbeats could not be made" in capsys.readouterr().out
    assert missing not in names()
    call_command("prepare")
    assert missing in names()


@pytest.mark.usefixtures("far_days")
def test_two_processes_make_days_at_once():
    failed = []

    def make():
        try:
            make_ahead(now=NOON)
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert {name_of(NOON + n * DAY) for n in range(8)} <= set(names())
