"""What status follows from which facts: the table, row by row."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.domain.state_machine import (
    Cause,
    Change,
    Decision,
    Facts,
    HeartbeatArrived,
    Opening,
    PauseRequested,
    Reason,
    ResumeRequested,
    Shown,
    Status,
    ThresholdsChanged,
    TimePassed,
    decide,
    shown,
)
from monitors.domain.thresholds import Threshold, Thresholds, last_failed

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AGO = NOW - timedelta(minutes=5)
SOON = NOW + timedelta(minutes=5)
TICK = timedelta(microseconds=1)
NEW, UP, DOWN, PAUSED = Status.NEW, Status.UP, Status.DOWN, Status.PAUSED

UP_PUSH = HeartbeatArrived(NOW, up=True)
DOWN_PUSH = HeartbeatArrived(NOW, up=False)
BAD_PUSH = HeartbeatArrived(NOW, up=True, value_is_good=False)
LOOK = TimePassed(NOW)
PAUSE, RESUME = PauseRequested(NOW), ResumeRequested(NOW)


def facts(status, *deadlines, outcomes=None, confirmed=None, missed=(1, 1), reported=(1, 1), recovery=1):
    """What is known; a monitor that is down failed last, and its incident is confirmed, unless given."""
    is_down = status is DOWN
    thresholds = Thresholds(Threshold(*missed), Threshold(*reported), recovery)
    return Facts(
        status,
        lambda: [deadline for deadline in deadlines if deadline is not None],
        outcomes=int(is_down) if outcomes is None else outcomes,
        confirmed=is_down if confirmed is None else confirmed,
        thresholds=lambda: thresholds,
    )


def never_asked():
    raise AssertionError("the deadline was asked for though nothing depends on it")


def went_down(*changes, opens, outcomes=0b1):
    """What follows when an incident is opened and confirmed at once."""
    return Decision(DOWN, changes, outcomes, opens=opens, confirmed=True, confirms=True)


def missed_once(*changes, outcomes=0b1):
    """The same, for the first deadline that passed."""
    return replace(went_down(*changes, opens=Opening(Cause.MISSED, AGO), outcomes=outcomes), missed=1)


def change(source, target, reason, at=NOW):
    return Change(source, target, at, reason)


MISSED = change(UP, DOWN, Reason.MISSED, at=AGO)

TABLE = [
    # from, deadline, event, what follows
    (NEW, None, UP_PUSH, Decision(UP, (change(NEW, UP, Reason.HEARTBEAT),))),
    (
        NEW,
        None,
        DOWN_PUSH,
        went_down(change(NEW, DOWN, Reason.REPORTED), opens=Opening(Cause.REPORTED, NOW)),
    ),
    (
        NEW,
        None,
        BAD_PUSH,
        went_down(change(NEW, DOWN, Reason.VALUE), opens=Opening(Cause.VALUE, NOW)),
    ),
    (NEW, None, LOOK, Decision(NEW)),
    (NEW, None, PAUSE, Decision(PAUSED, (change(NEW, PAUSED, Reason.PAUSED),), notifies=False)),
    (NEW, None, RESUME, Decision(NEW)),
    (UP, SOON, UP_PUSH, Decision(UP)),
    (
        UP,
        SOON,
        DOWN_PUSH,
        went_down(change(UP, DOWN, Reason.REPORTED), opens=Opening(Cause.REPORTED, NOW)),
    ),
    (
        UP,
        SOON,
        BAD_PUSH,
        went_down(change(UP, DOWN, Reason.VALUE), opens=Opening(Cause.VALUE, NOW)),
    ),
    (UP, SOON, LOOK, Decision(UP)),
    (UP, AGO, LOOK, missed_once(MISSED)),
    (UP, SOON, PAUSE, Decision(PAUSED, (change(UP, PAUSED, Reason.PAUSED),), notifies=False)),
    (UP, SOON, RESUME, Decision(UP)),
    (
        DOWN,
        None,
        UP_PUSH,
        Decision(UP, (change(DOWN, UP, Reason.HEARTBEAT),), 0b10, confirmed=True, resolves=True),
    ),
    (DOWN, None, DOWN_PUSH, Decision(DOWN, (), 0b11, confirmed=True)),
    (DOWN, None, BAD_PUSH, Decision(DOWN, (), 0b11, confirmed=True)),
    (DOWN, None, LOOK, Decision(DOWN, (), 0b1, confirmed=True)),
    (
        DOWN,
        None,
        PAUSE,
        Decision(
            PAUSED,
            (change(DOWN, PAUSED, Reason.PAUSED),),
            0b1,
            confirmed=True,
            resolves=True,
            notifies=False,
        ),
    ),
    (DOWN, None, RESUME, Decision(DOWN, (), 0b1, confirmed=True)),
    (PAUSED, None, UP_PUSH, Decision(PAUSED)),
    (PAUSED, None, DOWN_PUSH, Decision(PAUSED)),
    (PAUSED, None, BAD_PUSH, Decision(PAUSED)),
    (PAUSED, None, LOOK, Decision(PAUSED)),
    (PAUSED, None, PAUSE, Decision(PAUSED)),
    (PAUSED, None, RESUME, Decision(NEW, (change(PAUSED, NEW, Reason.RESUMED),))),
]


@pytest.mark.parametrize(("status", "deadline", "event", "expected"), TABLE)
def test_the_table_holds_row_by_row(status, deadline, event, expected):
    assert decide(facts(status, deadline), event) == expected


def test_the_table_has_a_row_for_each_status_and_kind_of_event():
    kinds = {(status, type(event), getattr(event, "fault", None)) for status, _, event, _ in TABLE}
    assert len(kinds) == len(Status) * 6


def test_an_up_push_after_an_unseen_deadline_leaves_a_pair_and_an_incident_that_is_over():
    back = change(DOWN, UP, Reason.HEARTBEAT)
    passed = missed_once(MISSED, back, outcomes=0b10)
    assert decide(facts(UP, AGO), UP_PUSH) == replace(passed, status=UP, resolves=True)


@pytest.mark.parametrize("event", [DOWN_PUSH, BAD_PUSH])
def test_a_failure_after_an_unseen_deadline_opens_the_incident_at_the_deadline(event):
    assert decide(facts(UP, AGO), event) == missed_once(MISSED, outcomes=0b11)


def test_a_down_report_is_reported_whatever_its_value():
    assert HeartbeatArrived(NOW, up=False, value_is_good=False).fault is Cause.REPORTED


@pytest.mark.parametrize("event", [UP_PUSH, LOOK])
def test_a_deadline_is_kept_at_its_very_instant_and_missed_after_it(event):
    assert decide(facts(UP, NOW), event).opens is None
    assert decide(facts(UP, NOW - TICK), event).opens == Opening(Cause.MISSED, NOW - TICK)


@pytest.mark.parametrize("event", [UP_PUSH, LOOK])
def test_a_monitor_that_is_up_without_a_deadline_is_left_alone(event):
    assert decide(facts(UP, None), event) == Decision(UP)


@pytest.mark.parametrize("status", [NEW, DOWN, PAUSED])
@pytest.mark.parametrize("event", [UP_PUSH, DOWN_PUSH, BAD_PUSH, LOOK, PAUSE, RESUME])
def test_the_deadline_is_not_calculated_where_it_does_not_matter(status, event):
    decide(Facts(status, never_asked, outcomes=0b1, confirmed=True), event)


def test_pausing_needs_no_deadline():
    decide(Facts(UP, never_asked), PAUSE)


times = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
events = st.one_of(
    st.builds(HeartbeatArrived, times, st.booleans(), st.booleans()),
    st.builds(TimePassed, times),
    st.builds(PauseRequested, times),
    st.builds(ResumeRequested, times),
    st.builds(ThresholdsChanged, times, st.booleans()),
)
outcomes = st.integers(-(2**63), 2**63 - 1)
threshold = st.tuples(st.integers(1, 4), st.integers(4, 50))
all_facts = st.builds(
    lambda status, deadlines, **known: facts(status, *sorted(deadlines), **known),
    st.sampled_from(Status),
    st.lists(times, max_size=6),
    outcomes=outcomes,
    confirmed=st.booleans(),
    missed=threshold,
    reported=threshold,
    recovery=st.integers(1, 20),
)


@given(all_facts, events)
def test_changes_lead_from_the_status_before_to_the_status_after_without_a_gap(before, event):
    decision = decide(before, event)
    status = before.status
    for step in decision.changes:
        assert step.source is status
        assert step.target is not status
        status = step.target
    assert status is decision.status


@given(all_facts, events)
def test_an_incident_opens_exactly_where_a_change_goes_down(before, event):
    decision = decide(before, event)
    falls = [step for step in decision.changes if step.target is DOWN]
    assert len(falls) == (decision.opens is not None)
    if decision.opens:
        assert decision.opens.started_at == falls[0].at


@given(all_facts, events)
def test_an_incident_is_resolved_exactly_where_a_change_leaves_down(before, event):
    decision = decide(before, event)
    assert decision.resolves == any(step.source is DOWN for step in decision.changes)


@given(all_facts, events)
def test_only_pausing_closes_an_incident_without_a_notification(before, event):
    decision = decide(before, event)
    if decision.opens or decision.resolves:
        assert decision.notifies is not isinstance(event, PauseRequested)


@given(all_facts, events)
def test_no_change_lies_after_its_event_and_each_is_at_or_after_the_one_before(before, event):
    ats = [step.at for step in decide(before, event).changes]
    assert ats == sorted(ats)
    assert all(at <= event.at for at in ats)


@given(all_facts, events)
def test_a_failure_is_never_taken_for_a_good_heartbeat(before, event):
    decision = decide(before, event)
    if isinstance(event, HeartbeatArrived) and event.fault is not None:
        assert decision.status is not UP
        assert not decision.resolves


@given(all_facts, events)
def test_the_same_question_has_the_same_answer(before, event):
    assert decide(before, event) == decide(before, event)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (AGO - TICK, Shown.UP),
        (AGO, Shown.UP),
        (AGO + TICK, Shown.LATE),
        (SOON, Shown.LATE),
        (SOON + TICK, Shown.DOWN),
    ],
)
def test_up_is_shown_as_late_inside_the_grace_and_as_down_after_it(now, expected):
    assert shown(UP, now=now, expected_by=AGO, deadline=SOON) is expected


def test_without_a_grace_nothing_is_late():
    assert shown(UP, now=NOW, expected_by=NOW, deadline=NOW) is Shown.UP
    assert shown(UP, now=NOW + TICK, expected_by=NOW, deadline=NOW) is Shown.DOWN


@pytest.mark.parametrize("status", [NEW, DOWN, PAUSED])
def test_time_does_not_change_what_is_shown_of_a_monitor_that_is_not_up(status):
    assert shown(status, now=NOW, expected_by=AGO, deadline=AGO) == status.value


def test_up_without_a_deadline_is_shown_as_up():
    assert shown(UP, now=NOW, expected_by=None, deadline=None) is Shown.UP


# --- Thresholds ------------------------------------------------------------------------------------

LATER = [AGO, AGO + timedelta(minutes=1), AGO + timedelta(minutes=2), SOON]


def test_an_incident_below_the_failure_threshold_is_open_and_not_confirmed():
    decision = decide(facts(UP, SOON, reported=(2, 3)), DOWN_PUSH)
    assert (decision.status, decision.opens) == (DOWN, Opening(Cause.REPORTED, NOW))
    assert not decision.confirmed
    assert decision.awaits


def test_the_failure_that_reaches_the_threshold_confirms_the_incident():
    decision = decide(facts(DOWN, SOON, outcomes=0b10, confirmed=False, reported=(2, 3)), DOWN_PUSH)
    assert decision == Decision(DOWN, (), 0b101, confirmed=True, confirms=True)
    assert not decision.awaits


def test_the_kind_of_the_last_failure_says_which_threshold_applies():
    known = facts(DOWN, AGO, outcomes=0b1, confirmed=False, missed=(2, 2), reported=(5, 5))
    assert decide(known, LOOK).confirms
    assert not decide(replace(known, deadlines=list), DOWN_PUSH).confirms


def test_all_deadlines_that_passed_count_until_the_incident_is_confirmed():
    below = decide(facts(UP, *LATER, missed=(4, 4)), LOOK)
    assert (below.missed, below.outcomes, below.confirmed) == (3, 0b111, False)
    reached = decide(facts(UP, *LATER, missed=(2, 2)), LOOK)
    assert (reached.missed, reached.outcomes, reached.confirms) == (2, 0b11, True)
    assert reached.opens == Opening(Cause.MISSED, AGO)


def test_a_good_heartbeat_below_the_recovery_threshold_leaves_the_incident_open():
    decision = decide(facts(DOWN, recovery=2), UP_PUSH)
    assert decision == Decision(DOWN, (), 0b10, confirmed=True)
    assert decision.awaits


def test_the_heartbeat_that_reaches_the_recovery_threshold_resolves_the_incident():
    decision = decide(facts(DOWN, SOON, outcomes=0b10, recovery=2), UP_PUSH)
    assert decision.resolves
    assert decision.status is UP


def test_silence_while_it_recovers_is_a_failure():
    decision = decide(facts(DOWN, *LATER, outcomes=0b10, recovery=3), LOOK)
    assert (decision.status, decision.outcomes, decision.missed) == (DOWN, 0b101, 1)
    assert not decision.awaits


def test_a_late_push_below_the_recovery_threshold_leaves_its_incident_open():
    decision = decide(facts(UP, AGO, recovery=2), UP_PUSH)
    assert (decision.status, decision.outcomes, decision.resolves) == (DOWN, 0b10, False)
    assert decision.confirms
    assert decision.opens == Opening(Cause.MISSED, AGO)


def test_a_late_push_below_the_failure_threshold_leaves_an_incident_that_was_never_confirmed():
    decision = decide(facts(UP, AGO, missed=(2, 2)), UP_PUSH)
    assert decision.resolves
    assert not decision.confirmed


def test_a_resumed_monitor_forgets_its_outcomes():
    assert decide(facts(PAUSED, outcomes=0b111), RESUME).outcomes == 0


@pytest.mark.parametrize(("missed", "confirms"), [(True, False), (False, True)])
def test_changed_thresholds_confirm_what_reaches_them(missed, confirms):
    known = facts(DOWN, outcomes=0b11, confirmed=False, missed=(3, 3), reported=(2, 2))
    assert decide(known, ThresholdsChanged(NOW, missed)).confirms is confirms


def test_changed_thresholds_resolve_what_has_recovered_by_them():
    known = facts(DOWN, outcomes=0b100, recovery=2)
    assert decide(known, ThresholdsChanged(NOW, missed=True)).resolves
    assert decide(facts(DOWN, outcomes=0b10, recovery=2), ThresholdsChanged(NOW, missed=True)).changes == ()


@given(all_facts, events)
def test_an_incident_stays_confirmed_and_is_confirmed_by_a_failure_only(before, event):
    decision = decide(before, event)
    if before.status is DOWN and before.confirmed:
        assert decision.confirmed
        assert not decision.confirms
    if decision.confirms and not decision.resolves:
        # Or by a deadline that passed before a good heartbeat arrived.
        assert last_failed(decision.outcomes) or decision.missed


@pytest.mark.parametrize(
    ("now", "expected"), [(AGO, Shown.RECOVERING), (SOON, Shown.RECOVERING), (SOON + TICK, Shown.DOWN)]
)
def test_a_recovering_monitor_is_shown_as_down_after_its_deadline(now, expected):
    assert shown(DOWN, now=now, expected_by=AGO, deadline=SOON, recovering=True) is expected
