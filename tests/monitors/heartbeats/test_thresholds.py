"""Incidents that take several failures to be confirmed, and several good heartbeats to be resolved."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from core.clock import database_now
from monitors.domain.state_machine import Shown
from monitors.domain.thresholds import Threshold, shifted
from monitors.heartbeats import missed, recorder
from monitors.history import current
from monitors.models import Gap, Monitor, MonitorState, Watermark
from monitors.services import monitors as monitor_service
from monitors.services import thresholds
from monitors.services.thresholds import OwnThresholds
from tests.support.announced import Names
from tests.support.factories import make_monitor, make_workspace
from tests.support.heartbeats import arrival, let_pass, push, state_of, transitions_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sent():
    """What is sent about incidents, with their row ids."""
    with Names() as names:
        yield names.all


def names(sent):
    return [name for name, _incident in sent]


def judged(*, missed=(1, 1), reported=(1, 1), recovery=1, **fields):
    """A monitor with thresholds, which every 300 s a heartbeat is expected of, with 30 s of grace."""
    own = OwnThresholds(Threshold(*missed), Threshold(*reported), recovery)
    monitor = make_monitor(**{"timeout": 300, "grace": 30, **fields})
    thresholds.change(monitor=monitor, own=own)
    return Monitor.objects.get(pk=monitor.pk)


def sweep_after(monitor, **length):
    let_pass(monitor, **length)
    return missed.declare_missed()


def shown(monitor):
    read = Monitor.objects.select_related("state").get(pk=monitor.pk)
    return current.read(read, database_now()).shown


def outcomes(monitor, number):
    """The last outcomes, oldest first: "F" for a failure."""
    bits = state_of(monitor).recent_outcomes
    return "".join("F" if bits >> at & 1 else "." for at in reversed(range(number)))


# --- Outcomes ---------------------------------------------------------------------------------------


def test_every_heartbeat_and_every_deadline_that_counts_is_an_outcome():
    monitor = judged(missed=(3, 3), value_max=10.0)
    for up, value in ((True, 1.0), (False, 1.0), (True, 11.0), (True, 1.0), (True, 1.0)):
        push(monitor, up=up, value=value)
    sweep_after(monitor, seconds=340)
    assert outcomes(monitor, 6) == ".FF..F"


@pytest.mark.parametrize("number", [1, 2, 63, 64, 65, 130])
def test_a_quiet_batch_shifts_the_outcomes_like_single_heartbeats(number):
    monitor = make_monitor()
    push(monitor)
    before = -(2**63) + 5
    MonitorState.objects.filter(monitor=monitor).update(recent_outcomes=before)
    recorder.record([arrival(monitor)] * number)
    for _ in range(number):
        before = shifted(before, failed=False)
    assert state_of(monitor).recent_outcomes == before


def test_a_batch_that_changes_something_keeps_all_64_outcomes():
    monitor = judged(reported=(20, 50))
    recorder.record([arrival(monitor, up=False)] * 15 + [arrival(monitor)] * 60)
    bits = 0
    for failed in [True] * 15 + [False] * 60:
        bits = shifted(bits, failed=failed)
    assert state_of(monitor).recent_outcomes == bits


def test_a_paused_monitor_has_no_outcomes_and_a_resumed_one_forgets_them():
    monitor = judged(reported=(2, 2))
    push(monitor, up=False)
    monitor_service.pause(monitor=monitor)
    push(monitor, up=False)
    assert outcomes(monitor, 2) == ".F"
    monitor_service.resume(monitor=monitor)
    push(monitor, up=False)
    assert outcomes(monitor, 2) == ".F"
    assert monitor.incidents.get(resolved_at=None).confirmed_at is None


# --- Failures ---------------------------------------------------------------------------------------


def test_the_first_failure_opens_an_incident_that_a_later_one_confirms(sent):
    monitor = judged(reported=(2, 3))
    push(monitor, up=False)
    incident = monitor.incidents.get()
    assert incident.confirmed_at is None
    assert shown(monitor) is Shown.DOWN
    assert sent == []
    push(monitor, up=False)
    incident.refresh_from_db()
    assert incident.confirmed_at is not None
    assert sent == [("opened", incident.pk)]


def test_by_default_the_first_failure_confirms_and_nothing_is_due_any_more(sent):
    monitor = make_monitor()
    push(monitor, up=False)
    incident = monitor.incidents.get()
    assert incident.confirmed_at == incident.detected_at
    assert state_of(monitor).due_at is None
    assert sent == [("opened", incident.pk)]


def test_an_incident_that_ends_unconfirmed_is_nobodys_business(sent):
    monitor = judged(reported=(2, 2))
    push(monitor, up=False)
    push(monitor)
    assert monitor.incidents.get().resolved_at is not None
    push(monitor, up=False)
    monitor_service.pause(monitor=monitor)
    assert monitor.incidents.filter(confirmed_at=None, resolved_at__isnull=False).count() == 2
    assert sent == []


def test_the_kind_of_the_failure_says_which_threshold_applies(sent):
    monitor = judged(missed=(2, 2), reported=(3, 3))
    push(monitor)
    sweep_after(monitor, seconds=340)
    push(monitor, up=False)
    assert sent == []
    push(monitor, up=False)
    assert names(sent) == ["opened"]


def test_a_report_below_its_threshold_followed_by_silence_is_judged_as_silence(sent):
    monitor = judged(missed=(1, 1), reported=(3, 3))
    push(monitor, up=False)
    sweep_after(monitor, seconds=329)
    assert sent == []
    sweep_after(monitor, seconds=2)
    assert names(sent) == ["opened"]
    assert monitor.incidents.count() == 1


def test_each_further_timeout_is_a_missed_heartbeat(sent):
    monitor = judged(missed=(3, 3))
    push(monitor)
    began = state_of(monitor).last_heartbeat_at
    sweep_after(monitor, seconds=340)
    assert state_of(monitor).due_at == began - timedelta(seconds=340) + timedelta(seconds=630)
    sweep_after(monitor, seconds=280)
    assert outcomes(monitor, 3) == "..F"
    sweep_after(monitor, seconds=20)
    assert outcomes(monitor, 3) == ".FF"
    assert sent == []
    sweep_after(monitor, seconds=300)
    assert names(sent) == ["opened"]
    assert state_of(monitor).due_at is None


def test_all_that_passed_until_now_is_counted_in_one_sweep(sent):
    monitor = judged(missed=(3, 3))
    push(monitor)
    sweep_after(monitor, seconds=331 + 600)
    assert names(sent) == ["opened"]
    incident = monitor.incidents.get()
    assert incident.confirmed_at == incident.detected_at
    assert incident.detected_at - incident.started_at > timedelta(seconds=590)


def test_set_times_are_missed_at_the_deadline_of_each(sent):
    monitor = judged(missed=(3, 3), kind="cron", cron="* * * * *", grace=20)
    push(monitor)
    # One or two of them have passed, by the second of the minute.
    let_pass(monitor, seconds=130)
    missed.declare_missed()
    state = state_of(monitor)
    counted = outcomes(monitor, 3).count("F")
    assert 1 <= counted <= 2
    assert state.due_at is not None
    assert (state.due_at.second, state.due_at > database_now()) == (20, True)
    sweep_after(monitor, seconds=60 * (3 - counted))
    assert names(sent) == ["opened"]


# --- Recovery ---------------------------------------------------------------------------------------


def test_a_monitor_recovers_after_so_many_good_heartbeats_in_a_row(sent):
    monitor = judged(recovery=3)
    push(monitor, up=False)
    for _ in range(2):
        push(monitor, message="almost")
        assert shown(monitor) is Shown.RECOVERING
    assert state_of(monitor).status == "down"
    push(monitor, message="fine again")
    incident = monitor.incidents.get()
    assert (incident.closing_message, shown(monitor)) == ("fine again", Shown.UP)
    assert names(sent) == ["opened", "resolved"]
    assert transitions_of(monitor)[1:] == [("down", "up", "heartbeat")]


def test_a_failure_while_it_recovers_is_the_same_incident(sent):
    monitor = judged(recovery=2)
    push(monitor, up=False, message="no disk")
    push(monitor)
    push(monitor, up=False, message="no network")
    assert shown(monitor) is Shown.DOWN
    push(monitor)
    push(monitor)
    incident = monitor.incidents.get()
    assert incident.latest_message == "no network"
    assert sent == [("opened", incident.pk), ("resolved", incident.pk)]


def test_silence_while_it_recovers_begins_the_row_anew():
    monitor = judged(recovery=2)
    push(monitor, up=False)
    push(monitor)
    let_pass(monitor, seconds=340)
    # Even before a sweep has seen it.
    assert shown(monitor) is Shown.DOWN
    missed.declare_missed()
    assert outcomes(monitor, 3) == "F.F"
    assert state_of(monitor).due_at is None
    push(monitor)
    assert shown(monitor) is Shown.RECOVERING


def test_a_late_heartbeat_of_a_recovering_monitor_is_only_the_first_of_a_row():
    monitor = judged(recovery=2)
    push(monitor, up=False)
    push(monitor)
    let_pass(monitor, seconds=340)
    push(monitor)
    assert outcomes(monitor, 4) == "F.F."
    assert shown(monitor) is Shown.RECOVERING


def test_a_late_heartbeat_may_leave_an_incident_that_recovers(sent):
    monitor = judged(recovery=2)
    push(monitor)
    let_pass(monitor, seconds=340)
    push(monitor)
    assert (shown(monitor), names(sent)) == (Shown.RECOVERING, ["opened"])
    push(monitor)
    assert (shown(monitor), names(sent)) == (Shown.UP, ["opened", "resolved"])


def test_a_late_heartbeat_that_also_confirms_an_open_incident_passes(sent):
    monitor = judged(missed=(2, 2))
    push(monitor)
    sweep_after(monitor, seconds=340)
    let_pass(monitor, seconds=300)
    push(monitor)
    assert names(sent) == ["passed"]
    assert monitor.incidents.get().confirmed_at is not None


def test_a_late_heartbeat_below_the_failure_threshold_passes_unconfirmed(sent):
    monitor = judged(missed=(2, 2))
    push(monitor)
    let_pass(monitor, seconds=340)
    push(monitor)
    incident = monitor.incidents.get()
    assert incident.resolved_at is not None
    assert incident.confirmed_at is None
    assert sent == []


# --- Pausing ----------------------------------------------------------------------------------------


def test_pausing_closes_a_confirmed_incident_with_a_signal_of_its_own(sent):
    monitor = judged(recovery=2)
    push(monitor, up=False)
    push(monitor)
    monitor_service.pause(monitor=monitor)
    assert names(sent) == ["opened", "closed"]
    assert state_of(monitor).due_at is None


def test_pausing_says_nothing_of_what_it_confirms_itself(sent):
    monitor = judged(missed=(2, 2))
    push(monitor)
    sweep_after(monitor, seconds=340)
    let_pass(monitor, seconds=300)
    monitor_service.pause(monitor=monitor)
    assert monitor.incidents.get().confirmed_at is not None
    assert sent == []


def test_pausing_uses_the_thresholds_of_now(sent):
    monitor = make_monitor(timeout=300, grace=30)
    loaded = Monitor.objects.get(pk=monitor.pk)
    change(monitor, missed=Threshold(2, 2))
    push(monitor)
    let_pass(monitor, seconds=340)
    monitor_service.pause(monitor=loaded)
    assert monitor.incidents.get().confirmed_at is None


# --- Changed thresholds -----------------------------------------------------------------------------


def change(monitor, **own):
    thresholds.change(monitor=monitor, own=OwnThresholds(**own))


def test_a_lower_failure_threshold_confirms_what_is_open(sent):
    monitor = judged(reported=(3, 3))
    for _ in range(2):
        push(monitor, up=False)
    change(monitor, reported=Threshold(2, 2), missed=Threshold(5, 5))
    assert names(sent) == ["opened"]
    assert state_of(monitor).due_at is None


@pytest.mark.parametrize("own", [{"missed": Threshold(1, 1), "reported": Threshold(3, 3)}, {}])
def test_a_threshold_of_another_kind_confirms_nothing(sent, own):
    monitor = judged(missed=(5, 5), reported=(3, 3))
    push(monitor, up=False)
    change(monitor, **{"reported": Threshold(2, 2), **own})
    assert sent == []


def test_a_missed_heartbeat_after_a_report_is_judged_as_missed(sent):
    monitor = judged(missed=(3, 3), reported=(5, 5))
    push(monitor, up=False)
    sweep_after(monitor, seconds=340)
    change(monitor, missed=Threshold(2, 2), reported=Threshold(5, 5))
    assert names(sent) == ["opened"]


def test_a_lower_recovery_threshold_resolves_what_has_recovered(sent):
    monitor = judged(recovery=3)
    push(monitor, up=False)
    for message in ("one", "two"):
        push(monitor, message=message)
    change(monitor, recovery=2)
    incident = monitor.incidents.get()
    assert (incident.closing_message, shown(monitor)) == ("two", Shown.UP)
    assert names(sent) == ["opened", "resolved"]
    assert state_of(monitor).due_at is not None


def test_a_monitor_that_fell_silent_again_does_not_recover_by_a_lower_threshold(sent):
    monitor = judged(recovery=3)
    push(monitor, up=False)
    push(monitor)
    let_pass(monitor, seconds=340)
    change(monitor, recovery=1)
    assert (shown(monitor), names(sent)) == (Shown.DOWN, ["opened"])


def test_higher_thresholds_take_nothing_back(sent):
    monitor = make_monitor()
    push(monitor, up=False)
    change(monitor, reported=Threshold(3, 3), missed=Threshold(3, 3))
    assert monitor.incidents.get().confirmed_at is not None
    push(monitor)
    assert names(sent) == ["opened", "resolved"]


def test_the_defaults_of_a_workspace_apply_to_all_that_is_open_in_it(sent):
    workspace = make_workspace()
    default = OwnThresholds(reported=Threshold(2, 2), recovery=3)
    thresholds.change_defaults(workspace=workspace, own=default)
    unconfirmed, recovering, fine = (make_monitor(workspace=workspace) for _ in range(3))
    other = judged(reported=(2, 2), workspace=workspace)
    for monitor in (unconfirmed, recovering, recovering, other):
        push(monitor, up=False)
    for monitor in (recovering, recovering, fine):
        push(monitor)
    sent.clear()
    thresholds.change_defaults(workspace=workspace, own=OwnThresholds())
    assert sent == [("opened", unconfirmed.incidents.get().pk), ("resolved", recovering.incidents.get().pk)]
    assert other.incidents.get().confirmed_at is None


def test_changing_the_defaults_costs_as_much_for_many_monitors_as_for_few():
    workspace, counts = make_workspace(), []
    for number in (2, 10):
        strict = OwnThresholds(reported=Threshold(2, 2), missed=Threshold(2, 2))
        thresholds.change_defaults(workspace=workspace, own=strict)
        recorder.record([arrival(make_monitor(workspace=workspace), up=False) for _ in range(number)])
        with CaptureQueriesContext(connection) as queries:
            thresholds.change_defaults(workspace=workspace, own=OwnThresholds())
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Schedules and gaps -----------------------------------------------------------------------------


def test_another_schedule_counts_nothing_twice():
    monitor = judged(missed=(5, 5))
    push(monitor)
    sweep_after(monitor, seconds=331 + 300)
    assert outcomes(monitor, 3) == ".FF"
    monitor_service.edit(monitor=monitor, timeout=100)
    due_at = state_of(monitor).due_at
    assert due_at is not None
    assert due_at > database_now()
    missed.declare_missed()
    assert outcomes(monitor, 3) == ".FF"


def test_a_deadline_that_gets_earlier_counts_for_a_recovering_monitor_too():
    monitor = judged(recovery=3)
    push(monitor, up=False)
    push(monitor)
    let_pass(monitor, seconds=200)
    monitor_service.edit(monitor=monitor, timeout=100)
    missed.declare_missed()
    assert outcomes(monitor, 3) == "F.F"


def test_an_edit_of_something_else_keeps_the_next_deadline():
    monitor = judged(missed=(5, 5))
    push(monitor)
    sweep_after(monitor, seconds=340)
    before = state_of(monitor).due_at
    monitor_service.edit(monitor=monitor, name="Another name")
    assert state_of(monitor).due_at == before


@pytest.mark.parametrize("went", [{"missed": (5, 5)}, {"recovery": 3}])
def test_a_gap_is_no_silence_for_a_monitor_that_is_down_either(went):
    monitor = judged(**went)
    push(monitor, up="missed" in went)
    if "missed" in went:
        sweep_after(monitor, seconds=340)
    else:
        push(monitor)
    before, now = state_of(monitor).recent_outcomes, database_now()
    # A gap that has just ended, and in which a deadline passed.
    let_pass(monitor, seconds=400)
    MonitorState.objects.awaited().update(excused_until=now)
    Gap.objects.create(started_at=now - timedelta(seconds=399), ended_at=now)
    missed.declare_missed()
    state = state_of(monitor)
    assert state.recent_outcomes == before
    assert state.due_at == now + timedelta(seconds=330)


def test_a_deadline_after_the_watermark_does_not_count_yet():
    monitor = judged(missed=(3, 3))
    push(monitor)
    let_pass(monitor, seconds=640)
    Watermark.objects.create(pk=Watermark.ROW, until=database_now() - timedelta(seconds=100))
    missed.declare_missed()
    assert outcomes(monitor, 3) == "..F"
    Watermark.objects.update(until=database_now())
    missed.declare_missed()
    assert outcomes(monitor, 3) == ".FF"


def test_a_schedule_that_cannot_be_evaluated_misses_nothing():
    monitor = judged(recovery=3, kind="cron", cron="* * * * *")
    push(monitor, up=False)
    Monitor.objects.filter(pk=monitor.pk).update(cron="not a cron")
    push(monitor)
    assert state_of(monitor).fault
    sweep_after(monitor, hours=2)
    assert outcomes(monitor, 3) == ".F."
    Monitor.objects.filter(pk=monitor.pk).update(cron="* * * * *")
    sweep_after(monitor, hours=2)
    state = state_of(monitor)
    assert (outcomes(monitor, 3), state.fault) == (".F.", "")
    assert state.due_at is not None
    assert state.due_at > database_now()
