"""Uptime from days is that from status changes, gaps and maintenance windows, whatever comes late."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.clock import database_now
from monitors.history import rollup_turn
from monitors.history.days import days_of, uptime_of
from monitors.history.uptimes import uptimes
from monitors.models import DailyRollup, Gap, Monitor, MonitorState, OutdatedDays, Transition
from monitors.services import maintenance_windows
from monitors.services import monitors as monitor_service
from tests.support.examples import examples
from tests.support.factories import make_monitor

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
# How long the history is, and since when it is searched.
LENGTH = 45


def old_monitor(**fields):
    monitor = make_monitor(**fields)
    created = database_now() - LENGTH * DAY
    Monitor.objects.filter(pk=monitor.pk).update(created_at=created)
    MonitorState.objects.filter(monitor=monitor).update(status_changed_at=created)
    return load(monitor)


def load(monitor):
    return Monitor.objects.select_related("state").get(pk=monitor.pk)


def change(monitor, at, target):
    """Store a change of status as the recorder and the sweep do, possibly long after `at`."""
    earlier = monitor.transitions.filter(at__lte=at).order_by("-at", "-pk").first()
    source = earlier.target if earlier else "new"
    Transition.objects.create(monitor=monitor, at=at, source=source, target=target, reason="heartbeat")
    newest = monitor.transitions.order_by("-at", "-pk").first()
    MonitorState.objects.filter(monitor=monitor).update(status=newest.target, status_changed_at=newest.at)


def roll_up():
    """Take turns until there is nothing to do."""
    for _ in range(20):
        rollup_turn.take_turn()
    assert not OutdatedDays.objects.exists()


def midnight(days_ago):
    return datetime.combine(database_now().date() - days_ago * DAY, time(0), tzinfo=UTC)


def both(monitor, start, end):
    now = database_now()
    monitor = load(monitor)
    raw = uptimes([monitor], start=start, end=end, now=now)[monitor.pk]
    return raw, uptime_of(monitor, start=start, end=end, now=now)


# --- Whatever happens ----------------------------------------------------------------------------

# Whole and half days, so that much of it coincides, and any time.
AGES = st.one_of(
    st.integers(2, 2 * LENGTH).map(lambda half: half * DAY / 2),
    st.integers(43_200, LENGTH * 86_400).map(lambda seconds: timedelta(seconds=seconds)),
)
STRETCHES = st.tuples(AGES, AGES).map(sorted)
CHANGES = st.tuples(st.just("change"), AGES, st.sampled_from(["down", "up", "down", "paused", "new"]))
STEPS = st.one_of(
    CHANGES,
    st.tuples(st.just("gap"), STRETCHES),
    st.tuples(st.just("gap"), STRETCHES),
    st.tuples(st.just("once"), STRETCHES, st.booleans()),
    st.tuples(st.just("weekly"), st.sets(st.integers(0, 6), min_size=1), st.integers(1, 3 * 86_400)),
    st.tuples(st.just("shift"), st.integers(-30, 30)),
    st.tuples(
        st.just("include"),
    ),
    st.tuples(
        st.just("delete"),
    ),
    st.tuples(st.just("tags"), st.booleans()),
    st.tuples(
        st.just("roll up"),
    ),
)


def do(monitor, step, base):
    """Take one of STEPS; `base` is the next midnight, which ages are before."""
    what, *given_ = step
    now = database_now()
    window = monitor.workspace.maintenance_windows.first()
    match what:
        case "change":
            at = max(min(base - given_[0], now), monitor.created_at)
            change(monitor, at, given_[1])
        case "gap":
            (longer, shorter) = given_[0][1], given_[0][0]
            Gap.objects.create(started_at=min(base - longer, now), ended_at=min(base - shorter, now))
        case "once" if given_[0][0] < given_[0][1]:
            maintenance_windows.plan(
                workspace=monitor.workspace,
                name="Once",
                kind="once",
                starts_at=base - given_[0][1],
                ends_at=base - given_[0][0],
                all_monitors=given_[1],
                tags=["planned"],
            )
        case "weekly":
            maintenance_windows.plan(
                workspace=monitor.workspace,
                name="Weekly",
                kind="weekly",
                weekdays=sorted(given_[0]),
                start_time=time(22, 30),
                duration=given_[1],
                timezone="Asia/Jakarta",
                all_monitors=True,
            )
        case "shift" if window and window.kind == "once":
            by = timedelta(hours=7 * given_[0])
            maintenance_windows.change(
                window=window, starts_at=window.starts_at + by, ends_at=window.ends_at + by
            )
        case "include" if window:
            included = not window.excluded_from_uptime
            maintenance_windows.change(window=window, excluded_from_uptime=included)
        case "delete" if window:
            maintenance_windows.delete(window=window)
        case "tags":
            monitor_service.edit(monitor=monitor, tags=["planned"] if given_[0] else [])
        case "roll up":
            rollup_turn.take_turn()


@pytest.mark.slow
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    changes=st.lists(CHANGES, min_size=3, max_size=12),
    others=st.lists(STEPS, max_size=4),
    late=st.lists(STEPS, min_size=1, max_size=5),
    ranges=st.lists(st.tuples(AGES, AGES).map(sorted), min_size=1, max_size=4),
)
def test_uptime_from_days_is_uptime_from_status_changes(changes, others, late, ranges):
    with transaction.atomic():
        monitor = old_monitor()
        base = midnight(0) + DAY
        for step in [*changes, *others]:
            do(monitor, step, base)
        roll_up()
        for step in late:
            do(monitor, step, base)
        roll_up()
        days = days_of([load(monitor)], first=monitor.created_at.date(), now=database_now())
        assert days.until == database_now().date()
        # A monitor's whole life, and some other ranges.
        for shorter, longer in [(timedelta(0), LENGTH * DAY + DAY), *ranges]:
            if base - longer < min(base - shorter, database_now()):
                raw, from_days = both(monitor, base - longer, base - shorter)
                assert from_days == raw
        transaction.set_rollback(True)


# --- One by one ----------------------------------------------------------------------------------


@pytest.fixture
def monitor():
    """A monitor that has been up for 40 days."""
    monitor = old_monitor()
    change(monitor, midnight(40), "up")
    return load(monitor)


def row(monitor, days_ago):
    return DailyRollup.objects.get(monitor=monitor, day=midnight(days_ago).date())


def hours(microseconds):
    return microseconds / 3_600_000_000


def test_a_day_has_a_row_whether_or_not_there_were_heartbeats(monitor):
    roll_up()
    days = list(DailyRollup.objects.filter(monitor=monitor).order_by("day").values_list("day", flat=True))
    assert len(days) == LENGTH
    assert days[-1] == midnight(1).date()
    assert (hours(row(monitor, 3).watched), row(monitor, 3).down) == (24, 0)
    assert row(monitor, 44).watched == 0


def test_down_gap_maintenance_and_pause_are_told_apart(monitor):
    change(monitor, midnight(5) + timedelta(hours=2), "down")
    change(monitor, midnight(5) + timedelta(hours=12), "paused")
    Gap.objects.create(started_at=midnight(5) + timedelta(hours=3), ended_at=midnight(5) + timedelta(hours=5))
    maintenance_windows.plan(
        workspace=monitor.workspace,
        name="Upgrade",
        kind="once",
        starts_at=midnight(5) + timedelta(hours=4),
        ends_at=midnight(5) + timedelta(hours=8),
        all_monitors=True,
    )
    roll_up()
    found = row(monitor, 5)
    lengths = (found.watched, found.down, found.gap, found.maintenance, found.paused)
    assert [hours(each) for each in lengths] == [7, 5, 2, 3, 12]
    assert (found.incidents, found.began_down) == (1, False)


def test_an_incident_over_several_days_is_one(monitor):
    change(monitor, midnight(35) - timedelta(hours=1), "down")
    change(monitor, midnight(33) + timedelta(hours=1), "up")
    roll_up()
    assert [(row(monitor, ago).incidents, row(monitor, ago).began_down) for ago in (36, 35, 34, 33, 32)] == [
        *((1, False), (1, True), (1, True), (1, True), (0, False))
    ]
    _raw, from_days = both(monitor, midnight(40), database_now())
    assert (from_days.incidents, from_days.down) == (1, timedelta(hours=50))


def test_a_change_that_is_stored_late_changes_its_days(monitor):
    roll_up()
    change(monitor, midnight(36), "down")
    change(monitor, midnight(34), "up")
    roll_up()
    assert [hours(row(monitor, ago).down) for ago in (37, 36, 35, 34)] == [0, 24, 24, 0]


def test_a_gap_that_is_found_late_changes_its_days_of_all(monitor):
    other = old_monitor()
    change(other, midnight(40), "down")
    roll_up()
    Gap.objects.create(started_at=midnight(3), ended_at=midnight(2) + timedelta(hours=6))
    roll_up()
    for each in (monitor, other):
        assert [hours(row(each, ago).gap) for ago in (4, 3, 2, 1)] == [0, 24, 6, 0]
    assert hours(row(other, 2).down) == 18


def test_until_it_is_calculated_again_a_day_is_read_from_what_it_is_made_of(monitor):
    change(monitor, midnight(36), "down")
    roll_up()
    window = maintenance_windows.plan(
        workspace=monitor.workspace,
        name="Late",
        kind="once",
        starts_at=midnight(36),
        ends_at=midnight(35),
        all_monitors=True,
    )
    assert OutdatedDays.objects.exists()
    raw, from_days = both(monitor, midnight(40), database_now())
    assert from_days == raw
    roll_up()
    assert hours(row(monitor, 36).maintenance) == 24
    maintenance_windows.delete(window=window)
    roll_up()
    assert hours(row(monitor, 36).maintenance) == 0


def test_a_window_for_other_days_makes_only_them_outdated(monitor):
    roll_up()
    maintenance_windows.plan(
        workspace=monitor.workspace,
        name="Past",
        kind="once",
        starts_at=midnight(9) + timedelta(hours=1),
        ends_at=midnight(8) + timedelta(hours=1),
        all_monitors=True,
    )
    assert list(OutdatedDays.objects.values_list("workspace", "first", "last")) == [
        (monitor.workspace_id, midnight(9).date(), midnight(8).date())
    ]


def test_a_window_that_excludes_nothing_or_is_still_to_come_makes_nothing_outdated(monitor):
    roll_up()
    plan = {"workspace": monitor.workspace, "kind": "once", "all_monitors": True}
    maintenance_windows.plan(
        **plan, name="Included", starts_at=midnight(9), ends_at=midnight(8), excluded_from_uptime=False
    )
    maintenance_windows.plan(**plan, name="Tomorrow", starts_at=midnight(-1), ends_at=midnight(-2))
    assert not OutdatedDays.objects.exists()


def test_tags_that_no_window_has_make_nothing_outdated(monitor):
    roll_up()
    monitor_service.edit(monitor=monitor, tags=["a"])
    assert not OutdatedDays.objects.exists()


def test_a_deadline_that_nobody_swept_counts_at_once(monitor):
    roll_up()
    MonitorState.objects.filter(monitor=monitor).update(
        last_heartbeat_at=midnight(4), due_at=midnight(4), status="up"
    )
    raw, from_days = both(monitor, midnight(40), database_now())
    assert from_days == raw
    assert raw.down > 3 * DAY


def test_a_long_range_reads_days_and_only_the_rest_from_status_changes(monitor, django_assert_num_queries):
    change(monitor, midnight(38), "down")
    roll_up()
    Transition.objects.filter(at__lt=midnight(1)).delete()
    monitor, now = load(monitor), database_now()
    # The first of them asks for the time.
    with django_assert_num_queries(7):
        found = uptime_of(monitor, start=midnight(40), end=now, now=now)
    assert found.down >= 38 * DAY


def test_days_that_nothing_is_left_of_count_as_a_whole(monitor):
    day = midnight(0) - 500 * DAY
    Monitor.objects.filter(pk=monitor.pk).update(created_at=day)
    DailyRollup.objects.bulk_create(
        DailyRollup(
            monitor=monitor, day=(day + number * DAY).date(), ups=0, downs=0, value_count=0,
            watched=86_400_000_000, down=3_600_000_000, gap=0, maintenance=0, paused=0,
            incidents=1, began_down=False,
        )
        for number in range(500)
    )  # fmt: skip
    now = database_now()
    found = uptime_of(load(monitor), start=day + timedelta(hours=5), end=day + 3 * DAY, now=now)
    assert (found.watched, found.down, found.incidents) == (3 * DAY, timedelta(hours=3), 3)


def test_days_before_the_first_that_is_kept_stay_as_they_are(monitor):
    Monitor.objects.filter(pk=monitor.pk).update(created_at=midnight(600))
    Gap.objects.create(started_at=midnight(500), ended_at=midnight(498))
    roll_up()
    oldest = DailyRollup.objects.order_by("day").first().day
    assert oldest >= midnight(400).date()
