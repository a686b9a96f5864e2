"""A turn rolls up half hours, then days: what is new, what came late, once each, one process at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from core.clock import database_now
from monitors import tasks
from monitors.domain import intervals
from monitors.history import daily_rollups, rollup_turn, rollups
from monitors.models import DailyRollup, Heartbeat, Monitor, OutdatedDays, RolledUp, Rollup, RollupProgress
from monitors.services import monitors as monitor_service
from monitors.services import retention
from tests.support.factories import make_monitor
from tests.support.heartbeats import Queries

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
TODAY = datetime(2026, 11, 20, tzinfo=UTC)
NOW = TODAY + timedelta(hours=14, minutes=10)


@pytest.fixture(autouse=True)
def _kept_long(settings):
    # The days here are further back every day.
    settings.TIANJI_RETENTION_DAYS = 3650


def old_monitor(**fields):
    monitor = make_monitor(**fields)
    Monitor.objects.filter(pk=monitor.pk).update(created_at=TODAY - 10 * DAY)
    return monitor


def beat(monitor, at, *, up=True, message="OK", value=None):
    return Heartbeat.objects.create(
        monitor=monitor, received_at=at, status="up" if up else "down", message=message, value=value
    )


def turns(now=NOW, number=12):
    for _ in range(number):
        rollup_turn.take_turn(now=now)


def heartbeats(monitor, days_ago):
    """What the row of a day says of heartbeats."""
    return DailyRollup.objects.values_list(
        *("ups", "downs", "last_message", "value_count", "value_min", "value_max", "value_sum")
    ).get(monitor=monitor, day=(TODAY - days_ago * DAY).date())


def test_a_day_adds_up_its_half_hours_from_its_first_moment_to_its_last():
    monitor = old_monitor()
    yesterday = TODAY - DAY
    beat(monitor, yesterday - timedelta(milliseconds=1), value=100)
    beat(monitor, yesterday, value=4)
    beat(monitor, yesterday + timedelta(hours=5), up=False, message="disk full", value=-1)
    beat(monitor, yesterday + timedelta(hours=6), message="batch 7")
    beat(monitor, TODAY - timedelta(milliseconds=1), value=3)
    beat(monitor, TODAY, value=100)
    turns()
    assert heartbeats(monitor, 1) == (3, 1, "disk full", 3, -1, 4, 6)
    assert heartbeats(monitor, 2) == (1, 0, "OK", 1, 100, 100, 100)


def test_the_message_of_good_days_is_the_last_and_a_silent_day_has_none():
    monitor = old_monitor()
    beat(monitor, TODAY - DAY, message="batch 1")
    beat(monitor, TODAY - timedelta(hours=2), message="batch 2")
    turns()
    assert heartbeats(monitor, 1) == (2, 0, "batch 2", 0, None, None, None)
    assert heartbeats(monitor, 2) == (0, 0, "", 0, None, None, None)


def test_a_day_is_calculated_when_its_last_half_hour_is_over():
    monitor = old_monitor()
    beat(monitor, TODAY - timedelta(minutes=5))
    turns(TODAY + timedelta(seconds=59))
    assert not DailyRollup.objects.filter(day=(TODAY - DAY).date()).exists()
    turns(TODAY + timedelta(seconds=60))
    assert heartbeats(monitor, 1)[0] == 1


def test_intervals_are_counted_where_they_end():
    monitor = old_monitor()
    for minutes in (-50, -20, -10, 0, 60):
        beat(monitor, TODAY - DAY + timedelta(minutes=minutes))
    turns()
    kept = DailyRollup.objects.filter(monitor=monitor).order_by("-day").values_list("intervals", flat=True)
    seconds = [600, 3600], [1800, 600]
    for text, each in zip(kept, seconds, strict=False):
        assert text == intervals.write({intervals.bucket_of(one): 1 for one in each})
    assert set(kept[2:]) == {""}


def test_half_hours_of_the_version_before_have_no_intervals_but_all_else():
    monitor = old_monitor()
    beat(monitor, TODAY - DAY, value=2)
    beat(monitor, TODAY - timedelta(hours=20), value=3)
    rollups.roll_up(now=NOW, at_most=1000)
    Rollup.objects.update(intervals=None)
    turns()
    assert heartbeats(monitor, 1) == (2, 0, "OK", 2, 2, 3, 5)
    assert DailyRollup.objects.get(day=(TODAY - DAY).date()).intervals == ""


def test_a_second_time_nothing_is_read_or_written():
    monitor = old_monitor()
    beat(monitor, TODAY - DAY)
    turns()
    before = list(DailyRollup.objects.order_by("pk").values())
    assert len(before) == 10
    with Queries() as queries:
        rollup_turn.take_turn(now=NOW)
    assert len(queries.statements) == 1
    assert list(DailyRollup.objects.order_by("pk").values()) == before


def test_days_that_are_noted_but_have_not_changed_are_not_written():
    monitor = old_monitor()
    turns()
    loaded = Monitor.objects.select_related("state").get(pk=monitor.pk)
    assert daily_rollups.changed([loaded], *a_week()) == []


def a_week():
    return (TODAY - 7 * DAY).date(), (TODAY - DAY).date()


def test_the_days_of_an_existing_installation_are_calculated_in_steps(monkeypatch):
    monitors = [old_monitor() for _ in range(5)]
    for monitor in monitors:
        beat(monitor, TODAY - 9 * DAY)
    monkeypatch.setattr(daily_rollups, "CELLS", 2)
    rollups.roll_up(now=NOW, at_most=1000)
    steps = []
    rollup_turn.take_turn(now=NOW, seconds=0)
    assert OutdatedDays.objects.count() == 1
    while daily_rollups.calculate_some(until=TODAY.date() - DAY, check=lambda: None):
        steps.append(DailyRollup.objects.count())
    assert steps[:4] == [2, 4, 5, 7]
    assert steps[-1] == 50


# --- What comes late -----------------------------------------------------------------------------


def test_a_heartbeat_that_is_stored_late_is_in_its_half_hour_and_its_day():
    monitor = old_monitor()
    at = TODAY - 3 * DAY + timedelta(hours=7)
    beat(monitor, at, value=1)
    beat(monitor, at + timedelta(hours=1), value=1)
    turns()
    beat(monitor, at + timedelta(minutes=20), up=False, message="late", value=9)
    turns()
    assert heartbeats(monitor, 3) == (2, 1, "late", 3, 1, 9, 11)
    row = DailyRollup.objects.get(monitor=monitor, day=(TODAY - 3 * DAY).date())
    expected = {intervals.bucket_of(1200): 1, intervals.bucket_of(2400): 1}
    assert row.intervals == intervals.write(expected)


def test_a_late_heartbeat_shortens_the_interval_of_the_next_day():
    monitor = old_monitor()
    beat(monitor, TODAY - 2 * DAY)
    beat(monitor, TODAY - DAY + timedelta(hours=1))
    turns()
    beat(monitor, TODAY - DAY - timedelta(hours=1))
    turns()
    row = DailyRollup.objects.get(monitor=monitor, day=(TODAY - DAY).date())
    assert row.intervals == intervals.write({intervals.bucket_of(7200): 1})


def test_a_late_heartbeat_before_those_that_are_kept_changes_nothing(settings):
    monitor = old_monitor()
    beat(monitor, TODAY - 8 * DAY)
    beat(monitor, TODAY - 8 * DAY + timedelta(minutes=1))
    turns()
    Heartbeat.objects.all().delete()
    settings.TIANJI_RETENTION_DAYS = 3
    beat(monitor, TODAY - 8 * DAY + timedelta(minutes=2))
    turns()
    assert heartbeats(monitor, 8)[0] == 2


def test_heartbeats_that_came_while_nothing_was_rolled_up_are_not_late():
    monitor = old_monitor()
    beat(monitor, TODAY - 6 * DAY)
    turns(TODAY - 5 * DAY)
    for hours in range(24):
        beat(monitor, TODAY - 5 * DAY + timedelta(hours=hours))
    with Queries() as queries:
        turns()
    written = [sql for sql in queries.statements if 'INTO "monitors_rollup"' in sql]
    assert written
    assert not [sql for sql in written if "DO UPDATE" in sql]
    assert heartbeats(monitor, 5)[0] == 24


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one writer at a time")
def test_a_half_hour_stays_open_while_a_transaction_from_it_writes(other_connection):
    monitor = old_monitor()
    beat(monitor, TODAY - DAY)
    with other_connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT pg_current_xact_id()")
        cursor.execute("SELECT now()")
        began = cursor.fetchone()[0]
        later = began + timedelta(hours=1)
        closed = rollups.half_hour_of(began)
        rollups.roll_up(now=later, at_most=10)
        assert not RolledUp.objects.filter(start__gte=closed).exists()
        assert RolledUp.objects.filter(start=closed - rollups.HALF_HOUR).exists()
        cursor.execute("COMMIT")
    rollups.roll_up(now=later, at_most=10)
    assert RolledUp.objects.filter(start=closed).exists()


@pytest.fixture
def other_connection():
    other = connection.copy()
    yield other
    other.close()


# --- One at a time -------------------------------------------------------------------------------


def test_while_it_is_anothers_turn_nothing_is_done():
    monitor = old_monitor()
    turns()
    beat(monitor, TODAY - DAY)
    RollupProgress.objects.update(turn=1, turn_until=datetime(2100, 1, 1, tzinfo=UTC))
    turns()
    assert heartbeats(monitor, 1)[0] == 0
    RollupProgress.objects.update(turn_until=NOW)
    turns()
    assert heartbeats(monitor, 1)[0] == 1


def test_whoever_has_lost_its_turn_writes_nothing(monkeypatch):
    monitor = old_monitor()
    turns()
    beat(monitor, TODAY - DAY)
    changed = daily_rollups.changed

    def slow(*args):
        rows = changed(*args)
        RollupProgress.objects.update(turn=1)
        return rows

    monkeypatch.setattr(daily_rollups, "changed", slow)
    turns()
    assert heartbeats(monitor, 1)[0] == 0
    assert OutdatedDays.objects.exists()


# --- What is kept --------------------------------------------------------------------------------


def test_days_are_kept_for_years_and_then_deleted(settings):
    old_monitor()
    turns()
    assert retention.delete_old_daily_rollups(batch=3) == 0
    settings.TIANJI_DAILY_ROLLUP_DAYS = (database_now() - (TODAY - 4 * DAY)).days
    assert retention.delete_old_daily_rollups(batch=3) == 6
    assert DailyRollup.objects.count() == 4


def test_what_a_deleted_monitor_has_left_is_deleted():
    monitor, other = old_monitor(), old_monitor()
    turns()
    gone = monitor.pk
    monitor_service.delete(monitor=monitor)
    tasks.purge(gone)
    assert set(DailyRollup.objects.values_list("monitor", flat=True)) == {other.pk}


def test_days_of_a_monitor_that_is_gone_are_forgotten():
    monitor = old_monitor()
    turns()
    OutdatedDays.objects.create(monitor=monitor, first=a_week()[0], last=a_week()[1])
    monitor_service.delete(monitor=monitor)
    turns()
    assert not OutdatedDays.objects.exists()
