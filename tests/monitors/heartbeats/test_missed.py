"""From silence to an incident."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from core.clock import database_now
from monitors import tasks
from monitors.domain.state_machine import Cause
from monitors.heartbeats import missed
from monitors.heartbeats.missed import Swept
from monitors.models import Incident, Monitor, MonitorState, Transition
from notifications.models import Belief
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.heartbeats import Queries, let_look, let_pass, push, state_of, transitions_of

pytestmark = pytest.mark.django_db


def silent(*, minutes=10, **fields):
    """A monitor that was up, and then silent for as long."""
    monitor = make_monitor(**{"timeout": 60, "grace": 0, **fields})
    push(monitor, message="last words", value=7.0)
    let_pass(monitor, minutes=minutes)
    return monitor


def test_with_nothing_due_there_is_nothing_to_do():
    push(make_monitor())
    assert missed.declare_missed() == Swept(missed=0, rearmed=0)


def test_a_passed_deadline_opens_an_incident_that_starts_at_the_deadline():
    monitor = silent(timeout=60, grace=30)
    heard_at = state_of(monitor).last_heartbeat_at
    assert missed.declare_missed() == Swept(missed=1)
    incident, state = Incident.objects.get(), state_of(monitor)
    assert incident.cause == Cause.MISSED
    assert incident.started_at == state.status_changed_at == heard_at + timedelta(seconds=90)
    assert incident.detected_at > incident.started_at
    assert incident.last_heartbeat_at == heard_at
    assert (incident.opening_message, incident.opening_value) == ("last words", 7.0)
    assert (state.status, state.due_at, state.last_message) == ("down", None, "last words")
    assert transitions_of(monitor) == [("new", "up", "heartbeat"), ("up", "down", "missed")]


def test_a_missed_deadline_is_notified_once_however_often_the_sweep_runs(announced):
    silent()
    for _ in range(3):
        missed.declare_missed()
    assert announced.events() == ["opened"]
    assert Incident.objects.count() == 1


def test_a_monitor_inside_its_grace_is_left_alone():
    monitor = make_monitor(timeout=60, grace=60)
    push(monitor)
    let_pass(monitor, seconds=90)
    assert missed.declare_missed() == Swept()
    assert state_of(monitor).status == "up"


def test_a_state_that_is_due_early_is_only_armed_again():
    monitor = make_monitor(timeout=600, grace=60)
    push(monitor)
    let_look(monitor)
    assert missed.declare_missed() == Swept(rearmed=1)
    state = state_of(monitor)
    assert state.status == "up"
    assert state.due_at == state.last_heartbeat_at + timedelta(seconds=660)
    assert Transition.objects.count() == 1
    assert missed.declare_missed() == Swept()


def test_heartbeats_that_left_the_due_time_alone_keep_the_monitor_up():
    monitor = make_monitor(timeout=600, grace=0)
    push(monitor)
    let_pass(monitor, seconds=500)
    push(monitor)
    let_pass(monitor, seconds=500)
    assert missed.declare_missed() == Swept(rearmed=1)
    assert state_of(monitor).status == "up"


@pytest.mark.parametrize("status", ["new", "down", "paused"])
def test_a_monitor_that_is_not_up_is_never_due(status):
    monitor = silent()
    MonitorState.objects.update(status=status, due_at=None)
    let_pass(monitor, days=100)
    assert missed.declare_missed() == Swept()


def test_the_next_heartbeat_after_a_missed_deadline_resolves_the_incident(announced):
    monitor = silent()
    missed.declare_missed()
    push(monitor, message="back")
    incident = Incident.objects.get()
    assert incident.closing_message == "back"
    assert incident.resolved_at == state_of(monitor).last_heartbeat_at
    assert announced.events() == ["opened", "resolved"]


def test_a_cron_monitor_is_missed_at_its_time_plus_grace():
    monitor = make_monitor(kind="cron", cron="* * * * *", grace=30)
    push(monitor)
    let_pass(monitor, minutes=10)
    # Not a moment before the next minute, for which it would count.
    heard_at = state_of(monitor).last_heartbeat_at.replace(second=20, microsecond=0)
    MonitorState.objects.filter(monitor=monitor).update(last_heartbeat_at=heard_at)
    missed.declare_missed()
    assert Incident.objects.get().started_at == heard_at + timedelta(seconds=70)


@pytest.mark.parametrize(
    ("calendar", "distance"), [("minutely", 60), ("*:*:0/30", 30), ("hourly\n*:*:00", 60)]
)
def test_an_oncalendar_monitor_is_missed_at_its_time_plus_grace(calendar, distance, announced):
    monitor = make_monitor(kind="oncalendar", calendar=calendar, grace=30, early=0)
    push(monitor)
    let_pass(monitor, minutes=10)
    heard_at = state_of(monitor).last_heartbeat_at.replace(second=0, microsecond=1000)
    MonitorState.objects.filter(monitor=monitor).update(last_heartbeat_at=heard_at)
    missed.declare_missed()
    time = heard_at.replace(microsecond=0) + timedelta(seconds=distance)
    assert Incident.objects.get().started_at == time + timedelta(seconds=30)
    assert announced.events() == ["opened"]


@pytest.mark.parametrize("kind", ["cron", "oncalendar"])
@pytest.mark.parametrize(("early", "counts"), [(30, True), (10, False)])
def test_a_push_20_s_before_its_time_counts_if_it_may_be_so_early(kind, early, counts):
    time = database_now().replace(second=0, microsecond=0) - timedelta(minutes=2)
    daily = {"cron": f"{time:%M %H} * * *"} if kind == "cron" else {"calendar": f"{time:%H:%M}"}
    monitor = make_monitor(kind=kind, **daily, grace=60, early=early)
    push(monitor)
    heard_at = time - timedelta(seconds=20)
    MonitorState.objects.filter(monitor=monitor).update(last_heartbeat_at=heard_at, due_at=heard_at)
    assert missed.declare_missed() == (Swept(rearmed=1) if counts else Swept(missed=1))
    if counts:
        assert state_of(monitor).due_at == time + timedelta(days=1, seconds=60)
    else:
        assert Incident.objects.get().started_at == time + timedelta(seconds=60)


def test_an_oncalendar_that_has_run_out_is_a_fault_and_not_silence():
    monitor = silent()
    Monitor.objects.filter(pk=monitor.pk).update(kind="oncalendar", calendar="2020-01-01")
    assert missed.declare_missed() == Swept(rearmed=1)
    assert "no date in the future" in state_of(monitor).fault
    assert not Incident.objects.exists()


def test_all_that_is_due_is_looked_at_in_batches():
    workspace = make_workspace()
    for _ in range(7):
        silent(workspace=workspace)
    for _ in range(4):
        let_look(silent(workspace=workspace, timeout=86_400))
    assert missed.declare_missed(batch=3) == Swept(missed=7, rearmed=4)
    assert Incident.objects.count() == 7


def test_a_batch_that_is_exactly_full_ends():
    for _ in range(4):
        silent()
    assert missed.declare_missed(batch=2) == Swept(missed=4)


def test_the_longest_overdue_come_first():
    recent, long_ago = silent(minutes=5), silent(minutes=50)
    missed.declare_missed(batch=1)
    first, second = Incident.objects.order_by("id")
    assert (first.monitor, second.monitor) == (long_ago, recent)


# --- schedules that cannot be evaluated


def broken(monitor):
    Monitor.objects.filter(pk=monitor.pk).update(kind="cron", cron="0 0 31 2 *")
    return monitor


def test_a_schedule_that_cannot_be_evaluated_is_put_aside_for_an_hour_and_its_fault_is_kept():
    monitor = broken(silent())
    before = database_now()
    assert missed.declare_missed() == Swept(rearmed=1)
    state = state_of(monitor)
    assert state.status == "up"
    assert "day of month" in state.fault
    assert before + timedelta(minutes=59) < state.due_at < database_now() + timedelta(minutes=61)
    assert not Incident.objects.exists()
    assert missed.declare_missed() == Swept()


def test_a_broken_schedule_does_not_hold_up_the_others():
    broken(silent(minutes=60))
    others = [silent() for _ in range(3)]
    assert missed.declare_missed(batch=2).missed == 3
    assert {incident.monitor for incident in Incident.objects.all()} == set(others)


def test_a_state_that_cannot_be_evaluated_for_any_reason_stops_nobody_elses_sweep():
    odd, other = silent(), silent()
    # Beyond the last day there is.
    Monitor.objects.filter(pk=odd.pk).update(timeout=365 * 86_400, grace=30 * 86_400)
    MonitorState.objects.filter(monitor=odd).update(
        last_heartbeat_at=datetime(9999, 12, 1, tzinfo=UTC), due_at=database_now()
    )
    assert missed.declare_missed().missed == 1
    assert state_of(other).status == "down"
    assert (state_of(odd).status, state_of(odd).fault) == ("up", "date value out of range")


def test_a_time_zone_that_is_gone_is_a_fault_too():
    monitor = silent()
    Monitor.objects.filter(pk=monitor.pk).update(kind="cron", cron="0 2 * * *", timezone="Mars/Olympus")
    missed.declare_missed()
    assert "Mars/Olympus" in state_of(monitor).fault


def test_a_schedule_that_can_be_evaluated_again_is_judged_by_its_deadline():
    monitor = broken(silent())
    missed.declare_missed()
    Monitor.objects.filter(pk=monitor.pk).update(kind="interval")
    let_pass(monitor, hours=2)
    assert missed.declare_missed() == Swept(missed=1)
    assert state_of(monitor).fault == ""


# --- what it costs


def test_an_idle_sweep_takes_no_write_lock():
    push(make_monitor())
    with Queries() as queries:
        missed.declare_missed()
    assert not [sql for sql in queries.statements if not sql.startswith("SELECT")]
    if not connection.features.has_select_for_update:
        # There a transaction is the write lock.
        assert not [query for query in queries.captured_queries if query["sql"].startswith(("BEGIN", "SAVE"))]


@pytest.mark.slow
def test_fifty_missed_deadlines_cost_as_many_statements_as_one():
    workspace = make_workspace()
    make_channel(workspace=workspace)
    counts = []
    for number in (1, 50):
        for _ in range(number):
            silent(workspace=workspace)
        with Queries() as queries:
            assert missed.declare_missed() == Swept(missed=number)
        counts.append(len(queries.statements))
    assert counts[0] == counts[1] <= 16
    assert Belief.objects.count() == 51


def test_the_task_sweeps():
    monitor = silent()
    tasks.sweep()
    assert state_of(monitor).status == "down"


def test_a_deadline_a_few_seconds_ahead_is_not_missed_yet():
    monitor = make_monitor(timeout=3600, grace=0)
    push(monitor)
    let_pass(monitor, seconds=3590)
    let_look(monitor)
    assert missed.declare_missed() == Swept(rearmed=1)
    assert state_of(monitor).status == "up"
