"""When maintenance is, whom it holds, and what it leaves out of uptimes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import AuditEntry
from core.clock import database_now
from monitors import signals
from monitors.domain.recurrence import (
    FOLLOWED,
    Once,
    Weekly,
    current,
    occurrences,
    over_at,
    taken_together,
    together,
)
from monitors.history import uptimes
from monitors.models import MaintenanceWindow, Monitor, Transition
from monitors.services import maintenance, maintenance_windows
from monitors.services import monitors as monitor_service
from tests.support.factories import make_monitor, make_workspace
from tests.support.heartbeats import Queries, push

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def at(text, zone=UTC):
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


def weekly(days, begins_at, hours, zone="UTC", **limits):
    return Weekly(frozenset(days), time.fromisoformat(begins_at), hours * HOUR, zone, **limits)


def first(plan, now, number=3):
    return [
        (f"{start:%m-%d %H:%M}", f"{end:%m-%d %H:%M}")
        for start, end in islice(occurrences(plan, now), number)
    ]


# --- When it is ----------------------------------------------------------------------------------


def test_once_is_from_its_begin_until_before_its_end():
    plan = Once(MONDAY, MONDAY + HOUR)
    assert current(plan, MONDAY) == (MONDAY, MONDAY + HOUR)
    assert current(plan, MONDAY - timedelta.resolution) is None
    assert current(plan, MONDAY + HOUR) is None
    assert list(occurrences(plan, MONDAY + HOUR)) == []


def test_a_weekly_one_comes_on_each_of_its_days():
    plan = weekly({0, 5}, "22:00", 1)
    assert first(plan, MONDAY) == [
        ("11-23 22:00", "11-23 23:00"),
        ("11-28 22:00", "11-28 23:00"),
        ("11-30 22:00", "11-30 23:00"),
    ]


def test_what_reaches_over_midnight_belongs_to_the_day_on_which_it_began():
    plan = weekly({6}, "22:00", 4)
    assert current(plan, MONDAY + HOUR) == (MONDAY - 2 * HOUR, MONDAY + 2 * HOUR)
    assert current(plan, MONDAY + 2 * HOUR) is None


def test_its_days_and_times_are_those_of_its_zone():
    # Monday 01:00 in Jakarta is Sunday 18:00 in UTC.
    assert first(weekly({0}, "01:00", 1, "Asia/Jakarta"), MONDAY - DAY, 1) == [("11-22 18:00", "11-22 19:00")]


@pytest.mark.parametrize(
    ("day", "begins_at", "expected"),
    [
        # In spring 02:30 does not exist: it is as much later as the clocks skip.
        ("2026-03-29", "02:30", ("03-29 01:30", "03-29 04:30")),
        # Real time passes: three hours from 01:00 end at 05:00 on the clock.
        ("2026-03-29", "01:00", ("03-29 00:00", "03-29 03:00")),
        # In autumn 02:30 comes twice: the first time counts.
        ("2026-10-25", "02:30", ("10-25 00:30", "10-25 03:30")),
        ("2026-10-25", "04:00", ("10-25 03:00", "10-25 06:00")),
    ],
)
def test_nights_in_which_the_clocks_change(day, begins_at, expected):
    plan = weekly({6}, begins_at, 3, "Europe/Berlin")
    assert first(plan, at(f"{day}T00:00", BERLIN), 1) == [expected]


def test_it_keeps_its_time_on_the_clock_when_the_clocks_change():
    plan = weekly({6}, "12:00", 1, "Europe/Berlin")
    begins = [
        start.astimezone(BERLIN) for start, _end in islice(occurrences(plan, at("2026-03-20T00:00")), 3)
    ]
    assert [f"{each:%H:%M %z}" for each in begins] == ["12:00 +0100", "12:00 +0200", "12:00 +0200"]


def test_it_is_cut_off_where_it_begins_and_ends():
    plan = weekly({0}, "10:00", 4, begins=MONDAY + 11 * HOUR, until=MONDAY + 7 * DAY + 12 * HOUR)
    assert first(plan, MONDAY - 30 * DAY) == [("11-23 11:00", "11-23 14:00"), ("11-30 10:00", "11-30 12:00")]


def test_what_adjoins_and_overlaps_is_followed_on():
    plans = [
        Once(MONDAY, MONDAY + HOUR),
        Once(MONDAY + HOUR, MONDAY + 3 * HOUR),
        Once(MONDAY + 2 * HOUR, MONDAY + 4 * HOUR),
        Once(MONDAY + 5 * HOUR, MONDAY + 6 * HOUR),
    ]
    assert over_at(plans, MONDAY) == MONDAY + 4 * HOUR
    assert over_at(plans, MONDAY + 4 * HOUR) is None
    assert over_at([], MONDAY) is None


def test_what_never_ends_is_followed_for_a_year():
    assert over_at([weekly(range(7), "00:00", 24)], MONDAY) == MONDAY + FOLLOWED


moments = st.integers(0, 60 * 24 * 40).map(lambda minutes: MONDAY + timedelta(minutes=minutes))
plans = st.one_of(
    st.builds(
        lambda start, minutes: Once(start, start + timedelta(minutes=minutes)), moments, st.integers(1, 9999)
    ),
    st.builds(
        Weekly,
        weekdays=st.frozensets(st.integers(0, 6), min_size=1),
        at=st.times().map(lambda each: each.replace(second=0, microsecond=0)),
        length=st.integers(1, 7 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes)),
        zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Jakarta", "America/St_Johns", "Pacific/Apia"]),
        begins=st.none() | moments,
        until=st.none() | moments,
    ),
)


@given(plans, moments, moments)
def test_what_lies_between_two_times_is_what_goes_on_at_some_time_between_them(plan, one, other):
    start, end = min(one, other), max(one, other)
    found = list(plan.between(start, end))
    assert all(begin < end and stop > start and begin < stop for begin, stop in found)
    assert found == sorted(found)
    for begin, stop in found:
        assert (current(plan, max(begin, start)) or (start, start))[1] >= min(stop, end)


@given(st.lists(plans, max_size=3), moments)
def test_one_is_held_exactly_while_something_goes_on_and_free_at_the_end(several, now):
    end = over_at(several, now)
    assert (end is not None) == any(current(plan, now) for plan in several)
    if end is not None:
        assert end > now
        assert end == now + FOLLOWED or not any(current(plan, end) for plan in several)


@given(st.lists(plans, max_size=3), moments, moments)
def test_times_taken_together_are_apart_in_order_and_within(several, one, other):
    start, end = min(one, other), max(one, other)
    found = taken_together(several, start, end)
    assert all(start <= begin < stop <= end for begin, stop in found)
    assert all(before[1] < after[0] for before, after in pairwise(found))
    assert found == together(found)


# --- Whom it holds -------------------------------------------------------------------------------


def make_window(workspace, *, monitors=(), minutes=60, starts=-10, **fields):
    now = database_now()
    fields.setdefault("all_monitors", not monitors and not fields.get("tags"))
    fields.setdefault("starts_at", now + timedelta(minutes=starts))
    fields.setdefault("ends_at", now + timedelta(minutes=minutes))
    return maintenance_windows.plan(workspace=workspace, name="Work", monitors=monitors, **fields)


def held(*monitors, now=None):
    return maintenance.held_until([monitor.pk for monitor in monitors], now or database_now())


@pytest.mark.django_db
class TestHeld:
    def test_all_monitors_of_the_workspace_and_no_other(self):
        mine, other = make_monitor(), make_monitor()
        window = make_window(mine.workspace)
        assert held(mine, other) == {mine.pk: window.ends_at}

    def test_those_chosen_and_those_with_a_tag(self):
        workspace = make_workspace()
        chosen, tagged, neither = (
            make_monitor(workspace=workspace, tags=tags) for tags in ([], ["db", "x"], ["web"])
        )
        window = make_window(workspace, monitors=[chosen], tags=["db"])
        assert held(chosen, tagged, neither) == {chosen.pk: window.ends_at, tagged.pk: window.ends_at}

    def test_only_the_selected_monitors_are_in_maintenance(self):
        monitor = make_monitor()
        make_monitor(workspace=monitor.workspace)
        make_window(monitor.workspace)
        assert set(held(monitor)) == {monitor.pk}
        assert held() == {}

    def test_no_monitor_is_in_maintenance_before_the_start_or_from_the_end_on(self):
        monitor = make_monitor()
        window = make_window(monitor.workspace)
        assert held(monitor, now=window.starts_at - timedelta(seconds=1)) == {}
        assert held(monitor, now=window.ends_at) == {}

    def test_until_the_end_of_what_follows_without_a_gap(self):
        monitor = make_monitor()
        first = make_window(monitor.workspace)
        second = make_window(monitor.workspace, starts_at=first.ends_at, ends_at=first.ends_at + HOUR)
        assert held(monitor) == {monitor.pk: second.ends_at}

    def test_what_follows_holds_only_those_that_it_is_about(self):
        one = make_monitor()
        other = make_monitor(workspace=one.workspace)
        first = make_window(one.workspace)
        second = make_window(
            one.workspace, monitors=[one], starts_at=first.ends_at, ends_at=first.ends_at + HOUR
        )
        assert held(one, other) == {one.pk: second.ends_at, other.pk: first.ends_at}

    def test_a_weekly_one(self):
        monitor = make_monitor()
        maintenance_windows.plan(
            workspace=monitor.workspace,
            name="Nights",
            kind="weekly",
            weekdays=[0],
            start_time=time(22),
            duration=4 * 3600,
            timezone="Asia/Jakarta",
            all_monitors=True,
        )
        assert held(monitor, now=at("2026-11-23T15:00")) == {monitor.pk: at("2026-11-23T19:00")}
        assert held(monitor, now=at("2026-11-23T19:00")) == {}

    def test_a_zone_that_this_system_does_not_know_is_taken_for_utc(self):
        monitor = make_monitor()
        maintenance_windows.plan(
            workspace=monitor.workspace,
            name="Nights",
            kind="weekly",
            weekdays=[0],
            start_time=time(22),
            duration=3600,
            timezone="Mars/Olympus",
            all_monitors=True,
        )
        assert held(monitor, now=at("2026-11-23T22:30")) == {monitor.pk: at("2026-11-23T23:00")}

    def test_it_costs_one_query_where_nothing_goes_on_and_three_for_any_number(self):
        workspace = make_workspace()
        monitors = [make_monitor(workspace=workspace, tags=["db"]) for _ in range(5)]
        with Queries() as queries:
            maintenance.held_until([monitor.pk for monitor in monitors], MONDAY)
        assert len(queries.statements) == 1
        for _ in range(3):
            make_window(workspace, monitors=monitors[:2], tags=["db"])
        now = database_now()
        with Queries() as queries:
            assert len(maintenance.held_until([monitor.pk for monitor in monitors], now)) == 5
        assert len(queries.statements) == 3


# --- Uptimes -------------------------------------------------------------------------------------


def stood(monitor, *changes):
    """Write the changes of status of `monitor`: (minutes ago, from, to)."""
    now = database_now()
    for minutes, source, target in changes:
        Transition.objects.create(
            monitor=monitor,
            at=now - timedelta(minutes=minutes),
            source=source,
            target=target,
            reason="heartbeat",
        )
    Monitor.objects.filter(pk=monitor.pk).update(created_at=now - DAY)


def uptime_of(monitor, minutes=100):
    monitor = Monitor.objects.select_related("state").get(pk=monitor.pk)
    now = database_now()
    return uptimes.uptimes([monitor], start=now - timedelta(minutes=minutes), end=now, now=now)[monitor.pk]


@pytest.mark.django_db
class TestUptime:
    def test_what_is_left_out_is_neither_watched_nor_down(self):
        monitor = make_monitor()
        stood(monitor, (200, "new", "up"), (80, "up", "down"), (60, "down", "up"))
        assert uptime_of(monitor).share == pytest.approx(0.8, abs=1e-3)
        make_window(monitor.workspace, starts=-90, minutes=-50)
        assert uptime_of(monitor).share == 1
        assert uptime_of(monitor).watched.total_seconds() == pytest.approx(60 * 60, abs=1)

    def test_what_counts_for_uptimes_changes_nothing(self):
        monitor = make_monitor()
        stood(monitor, (200, "new", "up"), (80, "up", "down"), (60, "down", "up"))
        make_window(monitor.workspace, starts=-90, minutes=-50, excluded_from_uptime=False)
        assert uptime_of(monitor).share == pytest.approx(0.8, abs=1e-3)

    def test_windows_that_overlap_are_left_out_once(self):
        monitor = make_monitor()
        stood(monitor, (200, "new", "up"))
        make_window(monitor.workspace, starts=-90, minutes=-50)
        make_window(monitor.workspace, starts=-60, minutes=-40)
        assert uptime_of(monitor).watched.total_seconds() == pytest.approx(50 * 60, abs=1)


# --- Planning ------------------------------------------------------------------------------------


@pytest.fixture
def freed():
    """The monitors whose maintenance ends at another time, by their row ids, for each signal."""
    released = []

    def receive(sender, monitors, **arguments):
        released.append(monitors)

    signals.maintenance_moved.connect(receive)
    yield released
    signals.maintenance_moved.disconnect(receive)


def actions():
    return list(
        AuditEntry.objects.filter(action__startswith="maintenance")
        .order_by("pk")
        .values_list("action", flat=True)
    )


@pytest.mark.django_db
class TestPlanning:
    def test_each_step_is_in_the_audit_and_what_changes_nothing_is_not(self):
        window = make_window(make_workspace())
        maintenance_windows.change(window=window, name="More work")
        maintenance_windows.change(window=window, name="More work")
        maintenance_windows.delete(window=window)
        assert actions() == ["maintenance.planned", "maintenance.changed", "maintenance.deleted"]

    def test_ending_a_one_time_window_sends_the_released_monitors(self, freed):
        monitor = make_monitor()
        window = make_window(monitor.workspace)
        assert maintenance_windows.end_now(window=window)
        assert held(monitor) == {}
        assert freed == [[monitor.pk]]
        assert not maintenance_windows.end_now(window=window)

    def test_a_monitor_in_another_window_is_not_released(self, freed):
        monitor = make_monitor()
        window = make_window(monitor.workspace)
        longer = make_window(monitor.workspace, minutes=90)
        maintenance_windows.end_now(window=window)
        assert held(monitor) == {monitor.pk: longer.ends_at}
        assert freed == [[monitor.pk]]

    def test_what_repeats_ends_now_and_comes_again(self):
        monitor = make_monitor()
        window = maintenance_windows.plan(
            workspace=monitor.workspace,
            name="Always",
            kind="weekly",
            weekdays=[0, 1, 2, 3, 4, 5, 6],
            start_time=(database_now() - timedelta(minutes=10)).time().replace(microsecond=0),
            duration=3600,
            monitors=[monitor],
        )
        until = held(monitor)[monitor.pk]
        assert maintenance_windows.end_now(window=window)
        assert held(monitor) == {}
        assert held(monitor, now=until + 23 * HOUR) == {monitor.pk: until + DAY}
        before = database_now() - DAY
        assert held(monitor, now=before) == {monitor.pk: until - DAY}
        past = MaintenanceWindow.objects.exclude(pk=window.pk).get()
        coming = MaintenanceWindow.objects.get(pk=window.pk)
        assert past.ends_at is not None
        assert coming.starts_at == until

    def test_a_deleted_one_frees_those_that_it_held(self, freed):
        monitor = make_monitor()
        maintenance_windows.delete(window=make_window(monitor.workspace))
        assert freed == [[monitor.pk]]

    def test_a_window_that_has_not_begun_releases_no_monitor(self, freed):
        maintenance_windows.delete(window=make_window(make_monitor().workspace, starts=10))
        assert freed == []

    def test_a_deleted_monitor_leaves_its_window(self):
        monitor = make_monitor()
        window = make_window(monitor.workspace, monitors=[monitor])
        monitor_service.delete(monitor=monitor)
        assert list(MaintenanceWindow.objects.get(pk=window.pk).monitors.all()) == []

    def test_heartbeats_are_recorded_as_ever(self):
        monitor = make_monitor()
        make_window(monitor.workspace)
        push(monitor, up=False)
        assert monitor.heartbeats.count() == 1
        assert monitor.incidents.count() == 1
