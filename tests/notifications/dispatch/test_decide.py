"""Whether a due delivery is sent now: the table, row by row, and what holds for every situation."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.dispatch.decide import (
    RECHECK_AFTER,
    Hold,
    Notified,
    Send,
    Situation,
    Skip,
    SkipReason,
    judge,
)
from notifications.messages.events import Event

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)
AGO, SOON, LATER = (NOW + timedelta(minutes=minutes) for minutes in (-5, 5, 10))
JUDGED = (Event.OPENED, Event.RESOLVED, Event.PASSED, Event.REMINDER, Event.LATE)
OPENED, RESOLVED, PASSED, REMINDER, LATE = JUDGED
EVERY = timedelta(hours=2)


def no(why):
    return Skip(why)


TABLE = [
    # event, what is out of the ordinary, what follows
    (OPENED, {}, Send()),
    (OPENED, {"wanted": False}, no(SkipReason.UNSUBSCRIBED)),
    # What was over when the rules let people be told is not told; what ended after that is.
    (OPENED, {"resolved_at": AGO - TICK}, no(SkipReason.RECOVERED)),
    (OPENED, {"resolved_at": AGO}, no(SkipReason.RECOVERED)),
    (OPENED, {"resolved_at": AGO + TICK}, Send()),
    # An escalation is stopped by who sees to it; whoever hears at once hears all the same.
    (OPENED, {"delayed": True, "acknowledged_at": AGO - TICK}, no(SkipReason.ACKNOWLEDGED)),
    (OPENED, {"delayed": True, "acknowledged_at": AGO + TICK}, no(SkipReason.ACKNOWLEDGED)),
    (OPENED, {"delayed": True, "acknowledged_at": AGO + TICK, "under_way": True}, Send()),
    (OPENED, {"acknowledged_at": AGO - TICK}, Send()),
    (OPENED, {"delayed": True}, Send()),
    (OPENED, {"maintenance_until": SOON}, Hold(SOON, replan=True)),
    (OPENED, {"snoozed_until": SOON}, Hold(SOON, replan=True)),
    (OPENED, {"maintenance_until": SOON, "snoozed_until": LATER}, Hold(LATER, replan=True)),
    (OPENED, {"maintenance_until": LATER, "snoozed_until": SOON}, Hold(LATER, replan=True)),
    (OPENED, {"snoozed_until": SOON, "resolved_at": NOW}, no(SkipReason.RECOVERED)),
    (OPENED, {"maintenance_until": SOON, "resolved_at": NOW}, no(SkipReason.RECOVERED)),
    (OPENED, {"recovery_pending": True}, no(SkipReason.CONTINUES)),
    (OPENED, {"recovery_pending": True, "snoozed_until": SOON}, Hold(SOON, replan=True)),
    (OPENED, {"recovery_pending": True, "resolved_at": AGO}, no(SkipReason.RECOVERED)),
    (OPENED, {"recovery_pending": True, "under_way": True}, Send()),
    # What happened first is decided first.
    (OPENED, {"earlier_undecided": True}, Hold(NOW + RECHECK_AFTER)),
    (OPENED, {"earlier_undecided": True, "recovery_pending": True}, Hold(NOW + RECHECK_AFTER)),
    (OPENED, {"earlier_undecided": True, "under_way": True}, Send()),
    (PASSED, {}, Send()),
    (PASSED, {"earlier_undecided": True}, Hold(NOW + RECHECK_AFTER)),
    (PASSED, {"wanted": False}, no(SkipReason.UNSUBSCRIBED)),
    (PASSED, {"maintenance_until": SOON}, no(SkipReason.RECOVERED)),
    (PASSED, {"snoozed_until": SOON}, no(SkipReason.RECOVERED)),
    (PASSED, {"recovery_pending": True}, no(SkipReason.CONTINUES)),
    (RESOLVED, {}, Send()),
    # The last word that somebody heard must not be a wrong one, whatever they want by now.
    (RESOLVED, {"wanted": False}, Send()),
    (RESOLVED, {"notified": Notified.NO}, no(SkipReason.NOT_NOTIFIED)),
    (RESOLVED, {"notified": Notified.SOON}, Hold(NOW + RECHECK_AFTER)),
    (RESOLVED, {"maintenance_until": SOON}, Hold(SOON)),
    (RESOLVED, {"snoozed_until": SOON}, Send()),
    (RESOLVED, {"down_again": True}, Hold(NOW + RECHECK_AFTER)),
    (RESOLVED, {"notified": Notified.NO, "down_again": True}, no(SkipReason.NOT_NOTIFIED)),
    (REMINDER, {"every": EVERY}, Send()),
    (REMINDER, {"wanted": False}, no(SkipReason.UNSUBSCRIBED)),
    (REMINDER, {"resolved_at": NOW}, no(SkipReason.RECOVERED)),
    (REMINDER, {"acknowledged_at": NOW}, no(SkipReason.ACKNOWLEDGED)),
    (REMINDER, {"notified": Notified.NO}, no(SkipReason.NOT_NOTIFIED)),
    (REMINDER, {"notified": Notified.SOON, "every": EVERY}, Hold(NOW + EVERY)),
    (REMINDER, {"snoozed_until": SOON}, Hold(SOON)),
    (REMINDER, {"maintenance_until": LATER, "snoozed_until": SOON}, Hold(LATER)),
    # A reminder that failed is not worth repeating once it is not true any more.
    (REMINDER, {"under_way": True, "resolved_at": NOW}, no(SkipReason.RECOVERED)),
    (REMINDER, {"under_way": True, "acknowledged_at": NOW}, no(SkipReason.ACKNOWLEDGED)),
    (REMINDER, {"under_way": True, "snoozed_until": SOON}, Send()),
    (LATE, {}, Send()),
    (LATE, {"wanted": False}, no(SkipReason.UNSUBSCRIBED)),
    (LATE, {"still_late": False}, no(SkipReason.NOT_LATE)),
    (LATE, {"snoozed_until": SOON}, Hold(SOON)),
    (LATE, {"maintenance_until": SOON}, Hold(SOON)),
    (LATE, {"under_way": True, "snoozed_until": SOON}, Send()),
    (LATE, {"under_way": True, "still_late": False}, no(SkipReason.NOT_LATE)),
]


@pytest.mark.parametrize(("event", "unusual", "verdict"), TABLE)
def test_a_delivery_that_is_due_becomes_what_the_table_says(event, unusual, verdict):
    assert judge(Situation(event, NOW, planned_at=AGO, **unusual)) == verdict


def _around(low: int, high: int) -> st.SearchStrategy[datetime]:
    return st.integers(low, high).map(lambda seconds: NOW + timedelta(seconds=seconds))


past, future = _around(-900, 0), _around(1, 900)
SITUATIONS = st.builds(
    Situation,
    event=st.sampled_from(JUDGED),
    now=st.just(NOW),
    planned_at=past,
    under_way=st.booleans(),
    wanted=st.booleans(),
    delayed=st.booleans(),
    resolved_at=st.none() | past,
    acknowledged_at=st.none() | past,
    maintenance_until=st.none() | future,
    snoozed_until=st.none() | future,
    notified=st.sampled_from(Notified),
    recovery_pending=st.booleans(),
    earlier_undecided=st.booleans(),
    down_again=st.booleans(),
    every=st.integers(60, 86_400).map(lambda seconds: timedelta(seconds=seconds)),
    still_late=st.booleans(),
)


@given(SITUATIONS)
def test_what_is_held_is_looked_at_again_in_the_future(facts):
    verdict = judge(facts)
    if isinstance(verdict, Hold):
        assert verdict.until > NOW


@given(SITUATIONS)
def test_a_notification_that_may_have_arrived_gets_its_recovery(facts):
    if facts.event in (OPENED, RESOLVED, PASSED):
        assert judge(replace(facts, under_way=True)) == Send()


@given(SITUATIONS)
def test_a_continuing_outage_is_only_skipped_where_not_needed(facts):
    verdict = judge(replace(facts, event=OPENED, resolved_at=None))
    if isinstance(verdict, Skip):
        assert verdict.why in (SkipReason.UNSUBSCRIBED, SkipReason.ACKNOWLEDGED, SkipReason.CONTINUES)
        assert verdict.why != SkipReason.UNSUBSCRIBED or not facts.wanted
        assert verdict.why != SkipReason.ACKNOWLEDGED or (facts.delayed and facts.acknowledged_at is not None)
        assert verdict.why != SkipReason.CONTINUES or facts.recovery_pending


@given(SITUATIONS)
def test_an_outage_without_a_reason_to_skip_is_sent(facts):
    ended = facts.resolved_at if facts.resolved_at and facts.resolved_at > facts.planned_at else None
    quiet = {"maintenance_until": None, "snoozed_until": None}
    plain = {"wanted": True, "delayed": False, "recovery_pending": False, "earlier_undecided": False}
    assert judge(replace(facts, event=OPENED, resolved_at=ended, **plain, **quiet)) == Send()


@given(SITUATIONS)
def test_nothing_is_sent_during_a_snooze_or_maintenance(facts):
    facts = replace(facts, under_way=False)
    if facts.maintenance_until or (facts.snoozed_until and facts.event is not RESOLVED):
        assert judge(facts) != Send()


@given(SITUATIONS)
def test_no_recovery_is_sent_for_an_outage_that_was_not_notified(facts):
    not_notified = replace(facts, event=RESOLVED, notified=Notified.NO, under_way=False)
    assert judge(not_notified) == Skip(SkipReason.NOT_NOTIFIED)


@given(SITUATIONS)
def test_a_notified_outage_eventually_gets_its_recovery(facts):
    verdict = judge(replace(facts, event=RESOLVED, notified=Notified.YES))
    assert not isinstance(verdict, Skip)
    calm = replace(facts, event=RESOLVED, notified=Notified.YES, maintenance_until=None, down_again=False)
    assert judge(calm) == Send()


@given(SITUATIONS)
def test_a_reminder_needs_a_sent_notification_and_no_acknowledgement(facts):
    verdict = judge(replace(facts, event=REMINDER))
    if verdict == Send():
        assert facts.acknowledged_at is None
        assert facts.resolved_at is None
        assert facts.under_way or facts.notified is Notified.YES


@given(SITUATIONS)
def test_only_the_beginning_of_an_outage_is_planned_anew(facts):
    verdict = judge(facts)
    if isinstance(verdict, Hold) and verdict.replan:
        assert facts.event is OPENED
        assert facts.resolved_at is None


@given(SITUATIONS)
def test_an_outage_held_repeatedly_is_sent_once_nothing_holds_it(facts):
    """Follow a beginning through its holds, each of which ends when it said that it would."""
    facts = replace(facts, event=OPENED, wanted=True, delayed=False, resolved_at=None)
    facts = replace(facts, recovery_pending=False, earlier_undecided=False)
    for _ in range(10):
        verdict = judge(facts)
        if not isinstance(verdict, Hold):
            break
        facts = replace(
            facts,
            now=verdict.until,
            planned_at=verdict.until if verdict.replan else facts.planned_at,
            maintenance_until=_still(facts.maintenance_until, verdict.until),
            snoozed_until=_still(facts.snoozed_until, verdict.until),
        )
    assert verdict == Send()


def _still(until, now):
    return until if until is not None and until > now else None
