"""Heartbeat bars, as the database knows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from core.clock import database_now
from monitors.domain.state_machine import Status
from monitors.history import rollups
from monitors.history.rollups import HALF_HOUR
from monitors.history.status_bars import bars_of
from monitors.models import Gap, Heartbeat, Monitor, MonitorState, RolledUp, Rollup, Transition
from monitors.services import monitors as monitor_service
from tests.support.factories import make_monitor, make_workspace
from tests.support.heartbeats import push

pytestmark = pytest.mark.django_db

UP, DOWN, PAUSED, NEW = Status.UP, Status.DOWN, Status.PAUSED, Status.NEW


@pytest.fixture
def now():
    """A moment in the middle of a half hour, in the afternoon."""
    return datetime(2026, 1, 15, 14, 15, tzinfo=UTC)


def beat(monitor, at, *, up=True, message="OK"):
    Heartbeat.objects.create(monitor=monitor, received_at=at, status="up" if up else "down", message=message)


def has_been(monitor, now, *changes, timeout=10_000_000):
    """Give `monitor` a history of (hours ago, from, to)."""
    for hours, source, target in changes:
        at = now - timedelta(hours=hours)
        Transition.objects.create(monitor=monitor, at=at, source=source, target=target, reason="heartbeat")
    hours, _source, status = changes[-1]
    Monitor.objects.filter(pk=monitor.pk).update(
        created_at=now - timedelta(hours=changes[0][0] + 1), timeout=timeout
    )
    MonitorState.objects.filter(monitor=monitor).update(
        status=status, status_changed_at=now - timedelta(hours=hours), last_heartbeat_at=now
    )


def loaded(*monitors):
    return list(Monitor.objects.filter(pk__in=[m.pk for m in monitors]).select_related("state"))


def bar_of(monitor, now, **shape):
    return bars_of(loaded(monitor), now=now, **shape)[monitor.pk]


def statuses(bar):
    return [slot.worst for slot in bar]


def counts(bar):
    """The slots in which anything came, from the newest (0) back: ups, downs and message."""
    return {
        number: (slot.ups, slot.downs, slot.last_message)
        for number, slot in enumerate(reversed(bar))
        if slot.ups or slot.downs
    }


def test_a_bar_is_the_last_24_hours_in_48_half_hours(now):
    bar = bar_of(make_monitor(), now)
    assert len(bar) == 48
    assert bar[-1].start <= now < bar[-1].end
    assert {slot.end - slot.start for slot in bar} == {HALF_HOUR}
    assert all(one.end == following.start for one, following in pairwise(bar))


def test_slots_stay_where_they_are_while_time_goes_on(now):
    monitor = make_monitor()
    one, two = bar_of(monitor, now), bar_of(monitor, now + timedelta(minutes=14))
    assert [slot.start for slot in one] == [slot.start for slot in two]


def test_heartbeats_that_are_not_rolled_up_are_counted(now):
    monitor = make_monitor()
    beat(monitor, now)
    beat(monitor, now - timedelta(minutes=1), message="before")
    beat(monitor, now - timedelta(hours=3), up=False, message="disk full")
    assert counts(bar_of(monitor, now)) == {0: (2, 0, "OK"), 6: (0, 1, "disk full")}


def test_rolling_up_changes_nothing_of_a_bar(now):
    monitor = make_monitor()
    for minutes in reversed(range(0, 26 * 60, 7)):
        beat(monitor, now - timedelta(minutes=minutes), up=bool(minutes % 5), message=f"m{minutes}")
    before = bar_of(monitor, now)
    rollups.roll_up(now=now, at_most=5)
    assert bar_of(monitor, now) == before
    while rollups.roll_up(now=now):
        assert bar_of(monitor, now) == before


def test_rolling_up_changes_nothing_of_slots_that_are_several_half_hours_wide(now):
    monitor = make_monitor()
    for minutes in reversed(range(0, 26 * 60, 7)):
        beat(monitor, now - timedelta(minutes=minutes), up=bool(minutes % 5), message=f"m{minutes}")
    shape = {"span": timedelta(days=2), "slots": 12}
    before = bar_of(monitor, now, **shape)
    rollups.roll_up(now=now, at_most=6)
    assert bar_of(monitor, now, **shape) == before


def test_with_gaps_in_what_is_rolled_up_nothing_is_lost_or_counted_twice(now):
    monitor = make_monitor()
    for minutes in reversed(range(0, 24 * 60, 10)):
        beat(monitor, now - timedelta(minutes=minutes))
    before = bar_of(monitor, now, span=timedelta(days=1), slots=8)
    rollups.roll_up(now=now)
    some = list(RolledUp.objects.order_by("start").values_list("pk", flat=True))[::3]
    RolledUp.objects.filter(pk__in=some).delete()
    assert bar_of(monitor, now, span=timedelta(days=1), slots=8) == before


def test_rollups_cover_deleted_heartbeats(now):
    monitor = make_monitor()
    beat(monitor, now - timedelta(hours=5), up=False, message="disk full")
    beat(monitor, now - timedelta(hours=2))
    rollups.roll_up(now=now)
    Heartbeat.objects.all().delete()
    assert counts(bar_of(monitor, now)) == {10: (0, 1, "disk full"), 4: (1, 0, "OK")}


def test_narrow_slots_are_counted_from_heartbeats_alone(now):
    monitor = make_monitor()
    beat(monitor, now)
    beat(monitor, now - timedelta(minutes=7), up=False, message="disk full")
    rollups.roll_up(now=now + timedelta(hours=1))
    bar = bar_of(monitor, now, span=timedelta(hours=1), slots=60)
    assert counts(bar) == {0: (1, 0, "OK"), 7: (0, 1, "disk full")}


def test_the_message_of_a_slot_is_the_last_downs_wherever_it_is_kept(now):
    monitor = make_monitor()
    beat(monitor, now - timedelta(hours=2), up=False, message="disk full")
    beat(monitor, now, message="fine again")
    rollups.roll_up(now=now)
    # One slot for both: a day, of which only a part is rolled up.
    *_, today = bar_of(monitor, now, span=timedelta(days=2), slots=2)
    assert (today.ups, today.downs, today.last_message) == (1, 1, "disk full")


def test_before_a_monitor_existed_nothing_is_known(now):
    monitor = make_monitor()
    has_been(monitor, now, (2, "new", "up"))
    assert statuses(bar_of(monitor, now)) == [None] * 41 + [NEW] * 2 + [UP] * 5


def test_a_silent_monitor_is_down_without_any_heartbeat(now):
    monitor = make_monitor()
    has_been(monitor, now, (30, "new", "up"), (5, "up", "down"), (4, "down", "up"))
    bar = bar_of(monitor, now)
    assert statuses(bar) == [UP] * 37 + [DOWN] * 3 + [UP] * 8
    assert counts(bar) == {}


def test_an_incident_that_goes_on_reaches_until_now(now):
    monitor = make_monitor()
    has_been(monitor, now, (30, "new", "up"), (1, "up", "down"))
    assert statuses(bar_of(monitor, now))[-4:] == [UP, DOWN, DOWN, DOWN]


def test_a_deadline_that_no_sweep_has_seen_is_red(now):
    monitor = make_monitor()
    has_been(monitor, now, (30, "new", "up"), timeout=600)
    MonitorState.objects.filter(monitor=monitor).update(
        last_heartbeat_at=now - timedelta(hours=1, minutes=10)
    )
    assert statuses(bar_of(monitor, now))[-4:] == [UP, DOWN, DOWN, DOWN]


def test_a_pause_is_neither_good_nor_bad(now):
    monitor = make_monitor()
    has_been(monitor, now, (30, "new", "up"), (3, "up", "paused"))
    assert statuses(bar_of(monitor, now))[-8:] == [UP, UP] + [PAUSED] * 6


def test_what_really_happened_is_seen():
    monitor = make_monitor()
    push(monitor)
    push(monitor, up=False, message="disk full")
    push(monitor)
    monitor_service.pause(monitor=monitor)
    now = database_now()
    bar = bar_of(monitor, now + timedelta(milliseconds=1))
    assert sum(slot.ups for slot in bar) == 2
    assert DOWN in statuses(bar[-2:])
    assert "disk full" in [slot.last_message for slot in bar[-2:]]


def test_many_monitors_cost_six_queries(now, django_assert_num_queries):
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace) for _ in range(12)]
    for monitor in monitors:
        beat(monitor, now - timedelta(hours=2))
        beat(monitor, now)
    rollups.roll_up(now=now)
    rows = loaded(*monitors)
    with django_assert_num_queries(6):
        bars = bars_of(rows, now=now)
    assert all(sum(slot.ups for slot in bar) == 2 for bar in bars.values())
    assert Rollup.objects.count() == 12


def test_no_monitor_costs_nothing(now, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert bars_of([], now=now) == {}


def test_a_monitors_bar_has_only_its_own_heartbeats(now):
    one, other = make_monitor(), make_monitor()
    beat(one, now)
    beat(other, now - timedelta(hours=1))
    bars = bars_of(loaded(one, other), now=now)
    assert counts(bars[one.pk]) == {0: (1, 0, "OK")}
    assert counts(bars[other.pk]) == {2: (1, 0, "OK")}


# --- Gaps ----------------------------------------------------------------------------------------


def slots_in_gaps(bar):
    return [number for number, slot in enumerate(reversed(bar)) if slot.in_gap]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (timedelta(minutes=90), timedelta(minutes=60), [2]),
        (timedelta(minutes=90), timedelta(minutes=75), [2]),
        (timedelta(minutes=90), timedelta(minutes=76), []),
        (timedelta(hours=30), timedelta(hours=23), [46, 47]),
    ],
    ids=["a whole slot", "half of one", "less than half", "from before the bar"],
)
def test_a_slot_that_is_mostly_in_a_gap_is_hatched(now, start, end, expected):
    monitor = make_monitor()
    has_been(monitor, now, (60, "new", "up"))
    zero = bar_of(monitor, now)[-1].start
    Gap.objects.create(
        started_at=zero - start + timedelta(minutes=30), ended_at=zero - end + timedelta(minutes=30)
    )
    assert slots_in_gaps(bar_of(monitor, now)) == expected


def test_two_gaps_in_one_slot_add_up(now):
    monitor = make_monitor()
    has_been(monitor, now, (60, "new", "up"))
    zero = bar_of(monitor, now)[-3].start
    for begin, end in ((2, 10), (20, 28)):
        Gap.objects.create(started_at=zero + timedelta(minutes=begin), ended_at=zero + timedelta(minutes=end))
    assert slots_in_gaps(bar_of(monitor, now)) == [2]


def test_before_a_monitor_existed_it_missed_nothing(now):
    monitor = make_monitor()
    has_been(monitor, now, (2, "new", "up"))
    Gap.objects.create(started_at=now - timedelta(hours=20), ended_at=now - timedelta(hours=10))
    assert slots_in_gaps(bar_of(monitor, now)) == []
