"""Heartbeats are added up, half hour by half hour."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from core.clock import database_now
from monitors import tasks
from monitors.history import rollups
from monitors.history.rollups import HALF_HOUR
from monitors.models import Heartbeat, Monitor, RolledUp, Rollup
from monitors.services import retention
from tests.support.factories import make_monitor
from tests.support.heartbeats import Queries

pytestmark = pytest.mark.django_db

# A minute after a half hour has closed.
NOW = datetime(2026, 11, 22, 12, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def beat(monitor, *, minutes, now=NOON, up=True, message="OK", value=None):
    """A heartbeat that came `minutes` before noon."""
    Heartbeat.objects.create(
        monitor=monitor,
        received_at=now - timedelta(minutes=minutes),
        status="up" if up else "down",
        message=message,
        value=value,
    )


def rolled(monitor):
    """The rollups of `monitor` as (minutes from their start to noon, ups, downs, message), oldest first."""
    rows = Rollup.objects.filter(monitor=monitor).order_by("start")
    return [((NOON - row.start).total_seconds() / 60, row.ups, row.downs, row.last_message) for row in rows]


def test_a_closed_half_hour_becomes_one_row_a_monitor():
    one, two, silent = make_monitor(), make_monitor(), make_monitor()
    for minutes in (29, 20, 10):
        beat(one, minutes=minutes)
    beat(two, minutes=5, up=False, message="disk full")
    rollups.roll_up(now=NOW)
    assert rolled(one) == [(30, 3, 0, "OK")]
    assert rolled(two) == [(30, 0, 1, "disk full")]
    assert rolled(silent) == []


def test_a_half_hour_is_left_alone_until_a_minute_after_its_end():
    monitor = make_monitor()
    beat(monitor, minutes=5)
    rollups.roll_up(now=NOW - timedelta(seconds=1))
    assert rolled(monitor) == []
    rollups.roll_up(now=NOW)
    assert rolled(monitor) == [(30, 1, 0, "OK")]


def test_the_half_hour_that_goes_on_is_left_alone():
    monitor = make_monitor()
    beat(monitor, minutes=-0.5)
    rollups.roll_up(now=NOW)
    assert rolled(monitor) == []


def test_a_half_hour_has_its_first_moment_and_not_its_last():
    monitor = make_monitor()
    beat(monitor, minutes=60)
    beat(monitor, minutes=30)
    beat(monitor, minutes=0)
    rollups.roll_up(now=NOW)
    assert rolled(monitor) == [(60, 1, 0, "OK"), (30, 1, 0, "OK")]


def test_the_message_is_the_last_downs_where_one_came():
    monitor = make_monitor()
    beat(monitor, minutes=20, up=False, message="first fault")
    beat(monitor, minutes=15, up=False, message="second fault")
    beat(monitor, minutes=5, message="fine again")
    rollups.roll_up(now=NOW)
    assert rolled(monitor) == [(30, 1, 2, "second fault")]


def test_of_ups_alone_the_message_is_the_last():
    monitor = make_monitor()
    beat(monitor, minutes=20, message="batch 1")
    beat(monitor, minutes=10, message="batch 2")
    rollups.roll_up(now=NOW)
    assert rolled(monitor) == [(30, 2, 0, "batch 2")]


def test_values_are_counted_bounded_and_summed():
    monitor = make_monitor()
    for minutes, value in ((20, 4.0), (15, None), (10, -1.5), (5, 2.0)):
        beat(monitor, minutes=minutes, value=value)
    rollups.roll_up(now=NOW)
    row = Rollup.objects.get()
    assert (row.value_count, row.value_min, row.value_max, row.value_sum) == (3, -1.5, 4.0, 4.5)


def test_without_a_value_there_is_nothing_to_sum():
    monitor = make_monitor()
    beat(monitor, minutes=5)
    rollups.roll_up(now=NOW)
    row = Rollup.objects.get()
    assert (row.value_count, row.value_min, row.value_max, row.value_sum) == (0, None, None, None)


def test_the_largest_numbers_there_are_stop_nothing():
    monitor = make_monitor()
    beat(monitor, minutes=6, value=1.7e308)
    beat(monitor, minutes=5, value=1.7e308)
    rollups.roll_up(now=NOW)
    row = Rollup.objects.get()
    assert row.value_max == 1.7e308
    assert row.value_sum == pytest.approx(2e300)


def test_a_second_time_nothing_is_done():
    monitor = make_monitor()
    beat(monitor, minutes=5)
    assert rollups.roll_up(now=NOW) > 0
    before = list(Rollup.objects.values())
    assert rollups.roll_up(now=NOW) == 0
    assert list(Rollup.objects.values()) == before


def test_without_heartbeats_there_is_nothing_to_do():
    make_monitor()
    assert rollups.roll_up(now=NOW) == 0
    assert not RolledUp.objects.exists()


def test_an_outage_is_caught_up_with():
    monitor = make_monitor()
    beat(monitor, minutes=5 * 60)
    rollups.roll_up(now=NOW - timedelta(hours=4))
    beat(monitor, minutes=100)
    beat(monitor, minutes=5)
    rollups.roll_up(now=NOW)
    assert [minutes for minutes, *_ in rolled(monitor)] == [300, 120, 30]


def test_what_is_there_at_the_first_run_is_added_up_newest_first_some_at_a_time():
    monitor = make_monitor()
    for minutes in reversed(range(15, 6 * 60, 30)):
        beat(monitor, minutes=minutes)
    assert rollups.roll_up(now=NOW, at_most=4) == 4
    assert [minutes for minutes, *_ in rolled(monitor)] == [120, 90, 60, 30]
    assert rollups.roll_up(now=NOW, at_most=4) == 4
    assert len(rolled(monitor)) == 8
    while rollups.roll_up(now=NOW, at_most=4):
        pass
    assert len(rolled(monitor)) == 12


def test_one_that_was_cut_short_is_done_again_and_counts_nothing_twice():
    one, two = make_monitor(), make_monitor()
    for monitor in (one, two):
        beat(monitor, minutes=5)
    rollups.roll_up(now=NOW)
    # As if it had stopped after the first of two batches.
    Rollup.objects.filter(monitor=two).delete()
    RolledUp.objects.all().delete()
    rollups.roll_up(now=NOW)
    assert rolled(one) == rolled(two) == [(30, 1, 0, "OK")]


def test_monitors_are_taken_in_batches():
    monitors = [make_monitor() for _ in range(5)]
    for monitor in monitors:
        beat(monitor, minutes=5)
    rollups.roll_up(now=NOW, batch=2)
    assert set(Rollup.objects.values_list("monitor", flat=True)) == {monitor.pk for monitor in monitors}


def test_a_tick_with_nothing_to_do_is_two_queries(django_assert_num_queries):
    beat(make_monitor(), minutes=5)
    rollups.roll_up(now=NOW)
    with django_assert_num_queries(2):
        rollups.roll_up(now=NOW)


def test_no_monitor_and_no_state_is_locked_or_written():
    beat(make_monitor(), minutes=5)
    with Queries() as queries:
        rollups.roll_up(now=NOW)
    assert not [sql for sql in queries.statements if "FOR UPDATE" in sql or sql.startswith("UPDATE")]
    writes = {sql.split('"')[1] for sql in queries.statements if sql.startswith("INSERT")}
    assert writes == {"monitors_rollup", "monitors_rolledup"}


@pytest.mark.django_db(transaction=True)
def test_two_at_once_are_harmless():
    monitors = [make_monitor() for _ in range(3)]
    for monitor in monitors:
        for minutes in reversed(range(1, 180, 10)):
            beat(monitor, minutes=minutes)
    failed = []

    def run():
        try:
            rollups.roll_up(now=NOW, batch=1)
        except Exception as error:  # of any kind: it is shown below
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for monitor in monitors:
        assert sum(ups for _, ups, *_ in rolled(monitor)) == 18
        assert len(rolled(monitor)) == 6


@pytest.mark.slow
def test_each_range_is_read_by_the_index():
    monitors = [make_monitor() for _ in range(20)]
    Heartbeat.objects.bulk_create(
        Heartbeat(monitor=monitor, received_at=NOON - timedelta(minutes=minutes), status="up", message="OK")
        for minutes in reversed(range(1, 500))
        for monitor in monitors
    )
    with Queries() as queries:
        rollups.sums(rollups.with_workspaces(monitors[:1]), [(NOON - HALF_HOUR, NOON)])
    explain = "EXPLAIN " if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN "
    with connection.cursor() as cursor:
        # What the planner knows must be what is there: it has its own view of a table it takes to be empty.
        cursor.execute(f"ANALYZE {Heartbeat._meta.db_table}")
        cursor.execute(explain + queries.statements[0])
        plan = "\n".join(str(row) for row in cursor.fetchall())
    # On PostgreSQL, the index of the partition that has rows.
    assert "monitor_received" in plan


def test_the_newest_are_there_even_when_all_of_a_month_is_missing():
    monitor = make_monitor()
    beat(monitor, minutes=30 * 24 * 60)
    beat(monitor, minutes=5)
    rollups.roll_up(now=NOW, at_most=1)
    assert rolled(monitor) == [(30, 1, 0, "OK")]


def test_heartbeats_of_a_monitor_that_is_gone_are_not_added_up():
    monitor = make_monitor()
    beat(monitor, minutes=5)
    Monitor.objects.filter(pk=monitor.pk).delete()
    rollups.roll_up(now=NOW)
    assert not Rollup.objects.exists()


def make_rollups(monitor, *, count=1, **age):
    first = rollups.half_hour_of(database_now() - timedelta(**age))
    Rollup.objects.bulk_create(
        Rollup(monitor=monitor, start=first - number * HALF_HOUR, ups=1, downs=0, value_count=0)
        for number in range(count)
    )
    RolledUp.objects.bulk_create(
        (RolledUp(start=first - number * HALF_HOUR) for number in range(count)), ignore_conflicts=True
    )


def test_rollups_older_than_400_days_go_and_younger_ones_stay():
    monitor = make_monitor()
    make_rollups(monitor, count=3, days=401)
    make_rollups(monitor, days=399)
    assert retention.delete_old_rollups(batch=2) == 3
    assert Rollup.objects.count() == RolledUp.objects.count() == 1


def test_what_would_go_at_once_is_not_added_up():
    beat(make_monitor(), minutes=401 * 24 * 60)
    assert next(reversed(list(rollups.missing_half_hours(NOW)))) > NOW - timedelta(days=400)


def test_the_hourly_task_deletes_old_rollups():
    make_rollups(make_monitor(), days=401)
    tasks.retention()
    assert not Rollup.objects.exists()


def test_what_a_deleted_monitor_left_goes_however_young():
    monitor, other = make_monitor(), make_monitor()
    make_rollups(monitor, count=5, days=0)
    make_rollups(other, days=0)
    assert retention.delete_rollups_of(monitor_id=monitor.pk, batch=2) == 5
    make_rollups(monitor, days=1)
    tasks.purge(monitor.pk)
    assert Rollup.objects.get().monitor == other


def test_the_task_rolls_up_by_the_databases_clock():
    monitor = make_monitor()
    beat(monitor, minutes=0, now=database_now() - timedelta(hours=2))
    tasks.roll_up()
    assert Rollup.objects.get().monitor == monitor
