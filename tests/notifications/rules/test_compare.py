"""What a channel is sent: what it believes against what is true, case by case, and what always holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.messages.events import ENDS, Event, Reason
from notifications.rules.compare import (
    FLAP_WINDOW,
    STEADY_DOWN,
    STEADY_UP,
    Believed,
    Covered,
    Outage,
    Rest,
    Send,
    State,
    Truth,
    Wait,
    Why,
    compare,
)

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TICK = timedelta(microseconds=1)
ALL = frozenset({"down", "recovery", "late", "reminder"})
HOUR = timedelta(hours=1)
OPENED, RESOLVED, PASSED, ENDED = Event.OPENED, Event.RESOLVED, Event.PASSED, Event.ENDED
REMINDER, LATE, FLAPPING = Event.REMINDER, Event.LATE, Event.FLAPPING


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def down(number: int = 1, minutes: float = 5, **fields) -> Outage:
    """An outage that goes on."""
    return Outage(number, ago(minutes), ago(minutes), **fields)


def over(number: int = 1, minutes: float = 5, until: float = 1, **fields) -> Outage:
    return Outage(number, ago(minutes), ago(minutes), ago(until), **fields)


def flaps(count: int, *, last: float = 0.5, apart: float = 0.1) -> tuple[Outage, ...]:
    """Outages with `count` changes in all, the last one `last` minutes ago; it is down if that is odd."""
    times = [ago(last + apart * n) for n in reversed(range(count))]
    pairs = [(times[n], times[n + 1] if n + 1 < count else None) for n in range(0, count, 2)]
    return tuple(Outage(n, began, began, ended) for n, (began, ended) in enumerate(pairs, 1))


NEW = Believed()
KNOWS_UP = Believed(State.UP, after=0)
KNOWS_DOWN = Believed(State.DOWN, opened=True, outage=1, after=1, sent_at=ago(4))
# Tried, and perhaps arrived.
TRIED = Believed(State.UP, opened=True)
KNOWS_FLAPPING = Believed(State.FLAPPING, opened=True, outage=1, after=1, sent_at=ago(4))
KNOWS_LATE = Believed(State.LATE, late_after=ago(9))
# At a receiver that keeps a record of it.
RECORDED_LATE = replace(KNOWS_LATE, opened=True)
ONLY_DOWN, ONLY_RECOVERY = Covered(frozenset({"down"})), Covered(frozenset({"recovery"}))
DELAYED = Covered(ALL, delay=timedelta(minutes=10), unless_acknowledged=True)
REMINDED = Covered(ALL, remind_every=HOUR, remind_most=2)
REMINDED_DUE = replace(KNOWS_DOWN, sent_at=ago(60))

CASES = {
    # --- Down ---
    "nothing happened": (NEW, {}, Rest()),
    "it went down": (KNOWS_UP, {"outages": [down()]}, Send(OPENED, 1)),
    "it went down, and nothing was ever sent": (NEW, {"outages": [down()]}, Send(OPENED, 1)),
    "it is known to be down": (KNOWS_DOWN, {"outages": [down()]}, Rest()),
    "down was tried and is still true": (TRIED, {"outages": [down()]}, Send(OPENED, 1)),
    "it recovered and went down again before that was sent": (
        KNOWS_DOWN,
        {"outages": [over(), down(2, 0.5)]},
        Send(OPENED, 2),
    ),
    "it is acknowledged, but the channel is notified at once": (
        KNOWS_UP,
        {"outages": [down(acknowledged=True)]},
        Send(OPENED, 1),
    ),
    # --- A delay ---
    "the delay is not over": (
        KNOWS_UP,
        {"outages": [down(minutes=4)], "covered": DELAYED},
        Wait(later(6), Send(OPENED, 1)),
    ),
    "the delay is over now": (KNOWS_UP, {"outages": [down(minutes=10)], "covered": DELAYED}, Send(OPENED, 1)),
    "it was acknowledged during the delay": (
        KNOWS_UP,
        {"outages": [down(acknowledged=True)], "covered": DELAYED},
        Rest(((1, Why.ACKNOWLEDGED),)),
    ),
    "it is acknowledged, but a delayed channel knows an earlier outage": (
        KNOWS_DOWN,
        {"outages": [over(), down(2, 0.5, acknowledged=True)], "covered": DELAYED},
        Send(OPENED, 2),
    ),
    "it recovered within the delay": (
        KNOWS_UP,
        {"outages": [over(1, 5, 1)], "covered": DELAYED},
        Rest(((1, Why.RECOVERED),)),
    ),
    "it lasted as long as the delay, and nobody looked": (
        KNOWS_UP,
        {"outages": [over(1, 12, 2)], "covered": DELAYED},
        Send(PASSED, 1),
    ),
    "of two outages that nobody looked at, the first lasted": (
        KNOWS_UP,
        {"outages": [over(1, 30, 15), over(2, 5, 4)], "covered": DELAYED},
        Send(PASSED, 2),
    ),
    # --- What holds back bad news ---
    "maintenance": (
        KNOWS_UP,
        {"outages": [down()], "maintenance_until": later(5)},
        Wait(later(5), Send(OPENED, 1)),
    ),
    "a snooze": (KNOWS_UP, {"outages": [down()], "snoozed_until": later(5)}, Wait(later(5), Send(OPENED, 1))),
    "quiet hours": (
        KNOWS_UP,
        {"outages": [down()], "quiet_until": later(5)},
        Wait(later(5), Send(OPENED, 1)),
    ),
    "all of them: the last one decides": (
        KNOWS_UP,
        {
            "outages": [down()],
            "maintenance_until": later(5),
            "snoozed_until": later(7),
            "quiet_until": later(6),
        },
        Wait(later(7), Send(OPENED, 1)),
    ),
    "a snooze that is shorter than the delay": (
        KNOWS_UP,
        {"outages": [down(minutes=4)], "snoozed_until": later(2), "covered": DELAYED},
        Wait(later(6), Send(OPENED, 1)),
    ),
    "it came and went during a snooze": (
        KNOWS_UP,
        {"outages": [over()], "snoozed_until": later(5)},
        Rest(((1, Why.RECOVERED),)),
    ),
    # --- Reminders ---
    "the interval is not over": (
        KNOWS_DOWN,
        {"outages": [down()], "covered": REMINDED},
        Wait(later(56), Send(REMINDER, 1)),
    ),
    "the interval is over": (
        REMINDED_DUE,
        {"outages": [down(minutes=60)], "covered": REMINDED},
        Send(REMINDER, 1),
    ),
    "there were as many reminders as allowed": (
        replace(REMINDED_DUE, reminders=2),
        {"outages": [down(minutes=60)], "covered": REMINDED},
        Rest(),
    ),
    "somebody acknowledged it": (
        REMINDED_DUE,
        {"outages": [down(minutes=60, acknowledged=True)], "covered": REMINDED},
        Rest(),
    ),
    "the channel gets no reminders": (
        REMINDED_DUE,
        {"outages": [down(minutes=60)], "covered": replace(REMINDED, events=frozenset({"down"}))},
        Rest(),
    ),
    "a reminder is held back by a snooze": (
        REMINDED_DUE,
        {"outages": [down(minutes=60)], "covered": REMINDED, "snoozed_until": later(5)},
        Wait(later(5), Send(REMINDER, 1)),
    ),
    # --- Up ---
    "it recovered": (KNOWS_DOWN, {"outages": [over()]}, Send(RESOLVED, 1)),
    "it recovered for the second time": (
        KNOWS_DOWN,
        {"outages": [over(1, 5, 4), over(2, 3, 1)]},
        Send(RESOLVED, 2),
    ),
    "it recovered before down arrived, but it was tried": (TRIED, {"outages": [over()]}, Send(PASSED, 1)),
    "it recovered before down was tried": (KNOWS_UP, {"outages": [over()]}, Send(PASSED, 1)),
    "what was tried is ended, however short it was": (
        TRIED,
        {"outages": [over()], "covered": DELAYED},
        Send(PASSED, 1),
    ),
    "it recovered during a snooze": (
        KNOWS_DOWN,
        {"outages": [over()], "snoozed_until": later(5)},
        Send(RESOLVED, 1),
    ),
    "it recovered during maintenance": (
        KNOWS_DOWN,
        {"outages": [over()], "maintenance_until": later(5)},
        Wait(later(5), Send(RESOLVED, 1)),
    ),
    "it recovered in quiet hours": (
        KNOWS_DOWN,
        {"outages": [over()], "quiet_until": later(5)},
        Wait(later(5), Send(RESOLVED, 1)),
    ),
    "the channel is not notified of recoveries": (
        KNOWS_DOWN,
        {"outages": [over()], "covered": ONLY_DOWN},
        Rest((), close=True),
    ),
    "nor of a relapse that was over before it was sent": (
        KNOWS_DOWN,
        {"outages": [over(1, 5, 4), over(2, 3, 1)], "covered": ONLY_DOWN},
        Rest(((2, Why.RECOVERED),), close=True),
    ),
    "the channel is not notified of recoveries, but keeps records": (
        KNOWS_DOWN,
        {"outages": [over()], "covered": ONLY_DOWN, "keeps_records": True},
        Send(RESOLVED, 1),
    ),
    # --- Only recoveries ---
    "a channel for recoveries, while it is down": (
        KNOWS_UP,
        {"outages": [down()], "covered": ONLY_RECOVERY},
        Rest(),
    ),
    "a channel for recoveries, when it recovers": (
        KNOWS_UP,
        {"outages": [over()], "covered": ONLY_RECOVERY},
        Send(RESOLVED, 1),
    ),
    "a channel for recoveries, when it is paused": (
        KNOWS_UP,
        {"outages": [over(paused=True)], "covered": ONLY_RECOVERY, "paused": True},
        Rest(((1, None),)),
    ),
    "a channel for nothing of this": (
        KNOWS_UP,
        {"outages": [over()], "covered": Covered(frozenset({"late"}))},
        Rest(((1, None),)),
    ),
    # --- Ends that are no recovery ---
    "it was paused": (
        KNOWS_DOWN,
        {"outages": [over(paused=True)], "paused": True},
        Send(ENDED, 1, Reason.PAUSED),
    ),
    "it was paused and resumed": (
        KNOWS_DOWN,
        {"outages": [over(paused=True)]},
        Send(ENDED, 1, Reason.PAUSED),
    ),
    "it was paused before down was sent": (
        KNOWS_UP,
        {"outages": [over(paused=True)], "paused": True},
        Rest(((1, Why.PAUSED),)),
    ),
    "it was paused before down arrived, but it was tried": (
        TRIED,
        {"outages": [over(paused=True)], "paused": True},
        Send(ENDED, 1, Reason.PAUSED),
    ),
    "the channel was unsubscribed": (
        KNOWS_DOWN,
        {"outages": [down()], "covered": None},
        Send(ENDED, 1, Reason.UNSUBSCRIBED),
    ),
    "the channel was unsubscribed before down was sent": (
        KNOWS_UP,
        {"outages": [down()], "covered": None},
        Rest(((1, Why.UNSUBSCRIBED),), forget=True),
    ),
    "the rules do not cover outages any more": (
        KNOWS_DOWN,
        {"outages": [down()], "covered": ONLY_RECOVERY},
        Send(ENDED, 1, Reason.NOT_COVERED),
    ),
    "what is closed waits for nothing": (
        KNOWS_DOWN,
        {"outages": [down()], "covered": None, "maintenance_until": later(5), "quiet_until": later(5)},
        Send(ENDED, 1, Reason.UNSUBSCRIBED),
    ),
    # --- Flapping ---
    "six changes are no flapping": (KNOWS_UP, {"outages": flaps(6)}, Send(PASSED, 3)),
    "seven changes are flapping": (KNOWS_UP, {"outages": flaps(7)}, Send(FLAPPING, 4)),
    "it flaps, and the channel knows it as down": (KNOWS_DOWN, {"outages": flaps(8)}, Send(FLAPPING, 4)),
    "it is known to be flapping, and down": (
        KNOWS_FLAPPING,
        {"outages": flaps(7)},
        Wait(ago(0.5) + STEADY_DOWN),
    ),
    "it is known to be flapping, and up": (KNOWS_FLAPPING, {"outages": flaps(8)}, Wait(ago(0.5) + STEADY_UP)),
    "it flapped, and is steadily down": (KNOWS_FLAPPING, {"outages": flaps(7, last=2)}, Send(OPENED, 4)),
    "it flapped, and is steadily up": (KNOWS_FLAPPING, {"outages": flaps(8, last=5)}, Send(RESOLVED, 4)),
    "it flapped so long ago that it doesn't count": (
        replace(KNOWS_UP, after=4),
        {"outages": flaps(8, last=10)},
        Rest(),
    ),
    "it flaps during maintenance": (
        KNOWS_UP,
        {"outages": flaps(8), "maintenance_until": later(2)},
        Wait(later(2), Send(FLAPPING, 4)),
    ),
    "it flaps, and is steady before the end of maintenance": (
        KNOWS_UP,
        {"outages": flaps(8), "maintenance_until": later(60)},
        Wait(ago(0.5) + STEADY_UP, Send(FLAPPING, 4)),
    ),
    "it flapped, was steadily down, and recovered": (
        replace(KNOWS_DOWN, outage=4, after=4),
        {"outages": (*flaps(7, last=4)[:-1], over(4, 4, 0.5))},
        Send(RESOLVED, 4),
    ),
    "the rules never call it flapping": (
        KNOWS_UP,
        {"outages": flaps(9), "covered": Covered(ALL, flap_changes=0)},
        Send(OPENED, 5),
    ),
    "the rules call it flapping sooner": (
        KNOWS_UP,
        {"outages": flaps(4), "covered": Covered(ALL, flap_changes=3)},
        Send(FLAPPING, 2),
    ),
    "a delayed channel is not notified of outages that short": (
        KNOWS_UP,
        {"outages": flaps(8), "covered": DELAYED},
        Rest(tuple((number, Why.RECOVERED) for number in (1, 2, 3, 4))),
    ),
    "it flapped, and was paused": (
        KNOWS_FLAPPING,
        {"outages": flaps(8), "paused": True},
        Send(ENDED, 4, Reason.PAUSED),
    ),
    "it flapped, and the channel was unsubscribed": (
        KNOWS_FLAPPING,
        {"outages": flaps(8), "covered": None},
        Send(ENDED, 4, Reason.UNSUBSCRIBED),
    ),
    # --- Late ---
    "it is late": (NEW, {"late_after": ago(9)}, Send(LATE)),
    "it is known to be late": (KNOWS_LATE, {"late_after": ago(9)}, Rest()),
    "its next heartbeat is late too": (KNOWS_LATE, {"late_after": ago(5)}, Send(LATE)),
    "late, in quiet hours": (
        NEW,
        {"late_after": ago(9), "quiet_until": later(5)},
        Wait(later(5), Send(LATE)),
    ),
    "late, but not wanted": (NEW, {"late_after": ago(9), "covered": ONLY_DOWN}, Rest()),
    "late no longer": (KNOWS_LATE, {}, Rest((), close=True)),
    "late no longer, and recorded": (RECORDED_LATE, {}, Send(ENDED, None, Reason.ARRIVED)),
    "recorded as late, and paused": (RECORDED_LATE, {"paused": True}, Send(ENDED, None, Reason.PAUSED)),
    "recorded as late, and not wanted any more": (
        RECORDED_LATE,
        {"covered": ONLY_DOWN},
        Send(ENDED, None, Reason.NOT_COVERED),
    ),
    "late, then down": (
        RECORDED_LATE,
        {"outages": [down()], "late_after": ago(9)},
        Send(OPENED, 1),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_channel_is_sent(case):
    believed, unusual, outcome = CASES[case]
    assert compare(believed, Truth(**{"now": NOW, "covered": Covered(ALL), **unusual})) == outcome


# --- What always holds -----------------------------------------------------------------------------


@st.composite
def outages(draw) -> tuple[Outage, ...]:
    """Outages in a row, the last of which may go on, some of them closed by a pause."""
    minutes = sorted(draw(st.lists(st.integers(1, 900), max_size=20, unique=True)), reverse=True)
    pairs = [
        (minutes[n], minutes[n + 1] if n + 1 < len(minutes) else None) for n in range(0, len(minutes), 2)
    ]
    return tuple(
        Outage(
            number,
            ago(began / 30),
            ago(began / 30),
            None if ended is None else ago(ended / 30),
            acknowledged=draw(st.booleans()),
            paused=ended is not None and draw(st.integers(0, 5)) == 0,
        )
        for number, (began, ended) in enumerate(pairs, 1)
    )


held = st.none() | st.integers(1, 5000).map(lambda seconds: NOW + timedelta(seconds=seconds))
covers = st.builds(
    Covered,
    events=st.frozensets(st.sampled_from(sorted(ALL))),
    delay=st.sampled_from([timedelta(), timedelta(minutes=2), HOUR]),
    unless_acknowledged=st.booleans(),
    remind_every=st.none() | st.just(timedelta(minutes=3)),
    flap_changes=st.sampled_from([0, 3, 6]),
)


@st.composite
def situations(draw) -> tuple[Believed, Truth]:
    """A belief as the engine can have left it, and a truth."""
    found = draw(outages())
    numbers = [outage.number for outage in found]
    state = draw(st.sampled_from(State))
    knows = state in (State.DOWN, State.FLAPPING) and numbers
    if state in (State.DOWN, State.FLAPPING) and not knows:
        state = State.UP
    outage = draw(st.sampled_from(numbers)) if knows else None
    is_open = bool(found) and found[-1].resolved_at is None
    late = draw(st.none() | st.just(ago(3))) if not is_open else None
    believed = Believed(
        state=state,
        opened=bool(knows) or draw(st.booleans()),
        outage=outage,
        after=max(outage or 0, draw(st.integers(0, len(numbers)))),
        reminders=draw(st.integers(0, 3)),
        sent_at=ago(4) if knows else None,
        late_after=draw(st.none() | st.just(ago(3)) | st.just(ago(20))),
    )
    truth = Truth(
        now=NOW,
        covered=draw(st.none() | covers),
        outages=found,
        paused=not is_open and draw(st.integers(0, 5)) == 0,
        late_after=late,
        quiet_until=draw(held),
        snoozed_until=draw(held),
        maintenance_until=draw(held),
        keeps_records=draw(st.booleans()),
    )
    return believed, truth


@given(situations())
def test_what_waits_is_compared_again_in_the_future(situation):
    outcome = compare(*situation)
    if isinstance(outcome, Wait):
        assert outcome.until > NOW


@given(situations())
def test_nothing_that_is_over_is_called_down(situation):
    outcome = compare(*situation)
    send = outcome.send if isinstance(outcome, Wait) else outcome
    if isinstance(send, Send) and send.event in (OPENED, REMINDER):
        opened = situation[1].open
        assert opened is not None
        assert opened.number == send.outage


@given(situations())
def test_bad_news_is_never_sent_while_it_is_held_back(situation):
    believed, truth = situation
    outcome = compare(believed, truth)
    if truth.maintenance_until or truth.snoozed_until or truth.quiet_until:
        assert not isinstance(outcome, Send) or outcome.event in ENDS
    if (truth.maintenance_until or truth.quiet_until) and isinstance(outcome, Send):
        # An end that no recovery is can't wait: nothing is sent after it that would say so.
        assert outcome.event is ENDED or not truth.covered or "down" not in truth.covered.events


@given(situations())
def test_a_channel_that_is_not_covered_is_sent_nothing_but_the_end_of_what_was_opened(situation):
    believed, truth = situation
    outcome = compare(believed, replace(truth, covered=None))
    if believed.opened:
        assert isinstance(outcome, Send)
        assert outcome.event is ENDED
    else:
        assert isinstance(outcome, Rest)
        assert outcome.forget


@given(situations())
def test_what_was_opened_is_ended_once_it_is_over_and_nothing_holds_it_back(situation):
    believed, truth = situation
    calm = replace(truth, quiet_until=None, snoozed_until=None, maintenance_until=None, late_after=None)
    steady = replace(calm, now=NOW + FLAP_WINDOW, keeps_records=True)
    if believed.opened and truth.open is None:
        outcome = compare(believed, steady)
        assert isinstance(outcome, Send)
        assert outcome.event in ENDS


@given(situations())
def test_what_goes_on_is_known_in_the_end_unless_the_rules_or_a_person_said_otherwise(situation):
    """Follow it through its waits; each ends when it said that it would."""
    believed, truth = situation
    everything = Covered(ALL, flap_changes=6)
    truth = replace(truth, covered=everything, late_after=None)
    if truth.open is None:
        return
    for _ in range(6):
        outcome = compare(believed, truth)
        if not isinstance(outcome, Wait):
            break
        left = {
            name: until if (until := getattr(truth, name)) is not None and until > outcome.until else None
            for name in ("quiet_until", "snoozed_until", "maintenance_until")
        }
        truth = replace(truth, now=outcome.until, **left)
    if believed.state is State.DOWN and believed.outage == truth.open.number:
        assert outcome == Rest() or outcome == Send(FLAPPING, truth.newest)
    else:
        assert outcome in (Send(OPENED, truth.open.number), Send(FLAPPING, truth.newest))


@given(situations())
def test_a_message_that_arrived_leaves_nothing_to_send_at_once(situation):
    """So that no channel is sent messages without an end."""
    believed, truth = situation
    outcome = compare(believed, truth)
    if not isinstance(outcome, Send):
        return
    after = _believe(believed, outcome, truth)
    again = compare(after, truth)
    if isinstance(again, Send):
        # Closed there, and now something else is to be said: never the same twice.
        assert again.event is not outcome.event
        third = compare(_believe(after, again, truth), truth)
        assert not isinstance(third, Send)


def _believe(believed: Believed, sent: Send, truth: Truth) -> Believed:
    """What dispatch.beliefs.believe writes."""
    after = max(believed.after, sent.outage or 0)
    if sent.event in ENDS:
        return replace(
            believed, state=State.UP, opened=False, outage=None, after=after, reminders=0, sent_at=NOW
        )
    if sent.event is REMINDER:
        return replace(believed, reminders=believed.reminders + 1, sent_at=NOW)
    if sent.event is LATE:
        return replace(
            believed,
            state=State.LATE,
            opened=believed.opened or truth.keeps_records,
            late_after=truth.late_after,
            sent_at=NOW,
        )
    state = State.DOWN if sent.event is OPENED else State.FLAPPING
    return replace(
        believed, state=state, opened=True, outage=sent.outage, after=after, reminders=0, sent_at=NOW
    )
