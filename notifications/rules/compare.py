"""What a channel should be sent about a monitor now: what it believes, compared with what is true.

Pure: no database, no clock. docs/rules.md has the same as a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from notifications.messages.events import Event, Reason

# More changes than a monitor's rules allow in this time are flapping ...
FLAP_WINDOW = timedelta(minutes=10)
# ... until it has been up, or down, for so long.
STEADY_UP, STEADY_DOWN = timedelta(minutes=5), timedelta(minutes=2)
# How often a receiver that keeps a record of a late monitor is checked for the end of it.
LATE_AGAIN = timedelta(seconds=5)


class State(StrEnum):
    """What a channel believes about a monitor: the last message that arrived."""

    NOTHING = "nothing"
    UP = "up"
    LATE = "late"
    DOWN = "down"
    FLAPPING = "flapping"


class Why(StrEnum):
    """Why a channel is not notified of an incident; the values of `Delivery.Note`."""

    RECOVERED = "recovered"
    ACKNOWLEDGED = "acknowledged"
    UNSUBSCRIBED = "unsubscribed"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Outage:
    """A confirmed incident. `paused`: a pause of its monitor closed it. `number` grows with each incident."""

    number: int
    started_at: datetime
    confirmed_at: datetime
    resolved_at: datetime | None = None
    acknowledged: bool = False
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Believed:
    """What a channel believes of a monitor.

    Attributes:
        opened: an outage was opened at the receiver, or may have been, and was not ended there yet.
        outage: the number of the incident that it was notified of last.
        after: incidents up to this number are no news.
        reminders: how many were sent about that incident.
        sent_at: when the last message arrived.
        late_after: the heartbeat after which it was notified that the monitor is late.
    """

    state: State = State.NOTHING
    opened: bool = False
    outage: int | None = None
    after: int = 0
    reminders: int = 0
    sent_at: datetime | None = None
    late_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Covered:
    """How the rules cover a monitor for a channel.

    Attributes:
        events: names of `notifications.rules.effective.EVENTS`.
        delay: from the start of an outage.
        unless_acknowledged: an outage that was acknowledged before is not notified.
        remind_every: None for never.
        flap_changes: more changes than this in FLAP_WINDOW are flapping; 0 for never.
    """

    events: frozenset[str]
    delay: timedelta = timedelta()
    unless_acknowledged: bool = False
    remind_every: timedelta | None = None
    remind_most: int = 24
    flap_changes: int = 6


@dataclass(frozen=True, slots=True)
class Truth:
    """How things are at `now`, the database's time.

    Attributes:
        covered: None if the channel is not notified of this monitor (any more).
        outages: the open one, that of `Believed.outage`, those that are news, and those of the last
            FLAP_WINDOW; oldest first.
        paused: the monitor is paused.
        late_after: its last heartbeat, if the next one is late.
        quiet_until, snoozed_until, maintenance_until: in the future, or None.
        keeps_records: the receiver keeps a record of each outage, so that each must be ended.
    """

    now: datetime
    covered: Covered | None
    outages: Sequence[Outage] = ()
    paused: bool = False
    late_after: datetime | None = None
    quiet_until: datetime | None = None
    snoozed_until: datetime | None = None
    maintenance_until: datetime | None = None
    keeps_records: bool = False

    @property
    def open(self) -> Outage | None:
        """The outage that is not over."""
        return self.outages[-1] if self.outages and self.outages[-1].resolved_at is None else None

    @property
    def newest(self) -> int | None:
        """The number of the newest outage."""
        return self.outages[-1].number if self.outages else None


@dataclass(frozen=True, slots=True)
class Send:
    """Send this event now; `outage` is the number of its incident, if it has one."""

    event: Event
    outage: int | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Compare again then; `send` is what is sent then if nothing happens before."""

    until: datetime
    send: Send | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to send until something happens.

    `skipped` are outages that it is not notified of, and why; None if it never asked to be. `close`: what it
    was sent is over, and it is not notified of that. `forget`: it is not notified of this monitor any more,
    so that what happens from now on is no news if it ever is again.
    """

    skipped: tuple[tuple[int, Why | None], ...] = ()
    close: bool = False
    forget: bool = False


Outcome = Send | Wait | Rest


def compare(believed: Believed, truth: Truth) -> Outcome:
    """Return what a channel should be sent about a monitor now.

    1. If the rules no longer cover the monitor, what was opened at the receiver is closed there.
    2. That a monitor is flapping is sent once, and nothing else until it is steady.
    3. If it is down: so, unless the channel knows; then reminders.
    4. If it is up: so, if the channel believes something else, or has missed an outage.
    5. If it is late: so, once for each heartbeat.
    """
    if truth.covered is None:
        return _close(believed, truth, Reason.UNSUBSCRIBED)
    if (steady_at := _flapping_until(believed, truth, truth.covered)) is not None:
        return _flapping(believed, truth, steady_at)
    if truth.open is not None:
        return _down(believed, truth, truth.open, truth.covered)
    if believed.opened and believed.state is not State.LATE:
        return _over(believed, truth)
    missed = _missed(believed, truth, truth.covered)
    # What was opened because it is late is ended first, also if nothing is sent about a short outage since.
    if missed is not None and not (isinstance(missed, Rest) and believed.opened):
        return missed
    return _late(believed, truth, truth.covered)


# --- Down ------------------------------------------------------------------------------------------


def _down(believed: Believed, truth: Truth, outage: Outage, covered: Covered) -> Outcome:
    if "down" not in covered.events:
        # An outage that is not over is not skipped: its recovery may be covered.
        late = believed.state is State.LATE
        return _close(believed, truth, Reason.NOT_COVERED) if believed.opened else Rest(close=late)
    knows_one = believed.state in (State.DOWN, State.FLAPPING)
    if believed.state is State.DOWN and believed.outage == outage.number:
        return _reminder(believed, truth, outage, covered)
    if not knows_one and covered.unless_acknowledged and outage.acknowledged:
        return Rest(_skipped(believed, truth, Why.ACKNOWLEDGED))
    delayed = [outage.started_at + covered.delay] if covered.delay and not knows_one else []
    return _send_at((*delayed, *_bad_news_held(truth)), Send(Event.OPENED, outage.number), truth)


def _reminder(believed: Believed, truth: Truth, outage: Outage, covered: Covered) -> Outcome:
    if (
        covered.remind_every is None
        or "reminder" not in covered.events
        or outage.acknowledged
        or believed.reminders >= covered.remind_most
        or believed.sent_at is None
    ):
        return Rest()
    due_at = believed.sent_at + covered.remind_every
    return _send_at((due_at, *_bad_news_held(truth)), Send(Event.REMINDER, outage.number), truth)


# --- Up --------------------------------------------------------------------------------------------


def _over(believed: Believed, truth: Truth) -> Outcome:
    """The outage that was opened at the receiver is over."""
    last = truth.outages[-1] if truth.outages else None
    if truth.paused or (last is not None and last.paused):
        return _close(believed, truth, Reason.PAUSED)
    covered = truth.covered
    assert covered is not None, "otherwise it is closed"
    arrived = believed.state in (State.DOWN, State.FLAPPING)
    wanted = "recovery" in covered.events or truth.keeps_records
    if not wanted and (arrived or "down" not in covered.events):
        return Rest(_skipped(believed, truth, Why.RECOVERED), close=True)
    send = Send(Event.RESOLVED if arrived else Event.PASSED, truth.newest)
    return _send_at(_good_news_held(truth), send, truth)


def _missed(believed: Believed, truth: Truth, covered: Covered) -> Outcome | None:
    """Return what to do about outages that began and ended since the channel's last message, if any."""
    news = [outage for outage in truth.outages if outage.number > believed.after]
    if not news:
        return None
    last = news[-1]
    if "down" not in covered.events:
        if "recovery" not in covered.events or last.paused:
            return Rest(_skipped(believed, truth, None))
        return _send_at(_good_news_held(truth), Send(Event.RESOLVED, last.number), truth)
    if last.paused:
        return Rest(_skipped(believed, truth, Why.PAUSED))
    # What recovers before it may be sent is not sent.
    long_enough = any(
        outage.resolved_at is not None and outage.resolved_at - outage.started_at >= covered.delay
        for outage in news
    )
    if not long_enough or _bad_news_held(truth):
        return Rest(_skipped(believed, truth, Why.RECOVERED))
    return Send(Event.PASSED, last.number)


def _late(believed: Believed, truth: Truth, covered: Covered) -> Outcome:
    still_late = truth.late_after is not None and truth.late_after == believed.late_after
    if believed.state is State.LATE and not still_late and truth.late_after is None:
        return _close(believed, truth, _why_not_late(truth, covered))
    if truth.late_after is None or "late" not in covered.events:
        return Rest()
    if still_late:
        return Wait(truth.now + LATE_AGAIN) if believed.opened else Rest()
    return _send_at(_bad_news_held(truth), Send(Event.LATE), truth)


def _why_not_late(truth: Truth, covered: Covered) -> Reason:
    if truth.paused:
        return Reason.PAUSED
    return Reason.ARRIVED if "late" in covered.events else Reason.NOT_COVERED


def _close(believed: Believed, truth: Truth, reason: Reason) -> Outcome:
    """End at the receiver what was opened there."""
    if not believed.opened:
        uncovered = truth.covered is None
        skipped = _skipped(believed, truth, Why.UNSUBSCRIBED if uncovered else None)
        return Rest(skipped, close=believed.state is State.LATE, forget=uncovered)
    if believed.state is State.LATE:
        return Send(Event.ENDED, None, reason)
    return Send(Event.ENDED, truth.newest, reason)


# --- Flapping --------------------------------------------------------------------------------------


def changes(truth: Truth) -> list[datetime]:
    """Return when it went down and recovered within FLAP_WINDOW and since it was steady, in order."""
    lately: list[datetime] = []
    for outage in truth.outages:
        for at, steady in ((outage.confirmed_at, STEADY_UP), (outage.resolved_at, STEADY_DOWN)):
            if at is None or at <= truth.now - FLAP_WINDOW:
                continue
            if lately and at - lately[-1] >= steady:
                # The recovery of what was down for long is none of a series.
                lately.clear()
            lately.append(at)
    return lately


def _flapping_until(believed: Believed, truth: Truth, covered: Covered) -> datetime | None:
    """Return when a flapping monitor will be steady if nothing changes; None if it is not flapping."""
    # A channel with a delay is not notified of short outages anyway.
    concerned = believed.opened or not covered.delay
    if not covered.flap_changes or "down" not in covered.events or not concerned or truth.paused:
        return None
    lately = changes(truth)
    # Once it was said, it is flapping until it is steady, however slowly it still changes.
    if not lately or (believed.state is not State.FLAPPING and len(lately) <= covered.flap_changes):
        return None
    steady_at = lately[-1] + (STEADY_DOWN if truth.open is not None else STEADY_UP)
    return steady_at if steady_at > truth.now else None


def _flapping(believed: Believed, truth: Truth, steady_at: datetime) -> Outcome:
    if believed.state is State.FLAPPING:
        return Wait(steady_at)
    until = min(max(_bad_news_held(truth), default=truth.now), steady_at)
    return _send_at((until,), Send(Event.FLAPPING, truth.newest), truth)


# --- Both ------------------------------------------------------------------------------------------


def _bad_news_held(truth: Truth) -> list[datetime]:
    """Return until when maintenance, a snooze and quiet hours hold back bad news."""
    held = (truth.maintenance_until, truth.snoozed_until, truth.quiet_until)
    return [until for until in held if until is not None]


def _good_news_held(truth: Truth) -> list[datetime]:
    """Return until when maintenance and quiet hours hold back good news; a snooze doesn't."""
    return [until for until in (truth.maintenance_until, truth.quiet_until) if until is not None]


def _send_at(times: Iterable[datetime], send: Send, truth: Truth) -> Outcome:
    """Return `send` at the last of `times`, now if there are none."""
    at = max(times, default=truth.now)
    return send if at <= truth.now else Wait(at, send)


def _skipped(believed: Believed, truth: Truth, why: Why | None) -> tuple[tuple[int, Why | None], ...]:
    return tuple((outage.number, why) for outage in truth.outages if outage.number > believed.after)
