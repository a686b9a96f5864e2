"""Decides from facts whether a due delivery is sent now, without a database and without a clock.

A channel is notified of an outage and then of its recovery: never twice of the same outage, and never of the
recovery from an outage that it was not notified of. Whatever holds a notification back (a snooze,
maintenance) ends at some time, and the delivery is judged again then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto

from notifications.messages.events import Event

# How soon a delivery that depends on another one is judged again.
RECHECK_AFTER = timedelta(seconds=2)


class SkipReason(StrEnum):
    """Why a delivery is skipped."""

    RECOVERED = "recovered"
    NOT_NOTIFIED = "not_notified"
    CONTINUES = "continues"
    ACKNOWLEDGED = "acknowledged"
    NOT_LATE = "not_late"
    UNSUBSCRIBED = "unsubscribed"


class Notified(Enum):
    """Whether a channel was notified that a monitor went down; `SOON`: it is about to be."""

    YES = auto()
    NO = auto()
    SOON = auto()


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts about a delivery that is due. Times are aware datetimes, `now` the database's.

    Attributes:
        planned_at: when the rules allow it to be sent, including the delay and all holds so far. A down
            notification is not sent if the outage is over by then.
        under_way: an attempt was made, so the receiver may have it already.
        wanted: the channel is still subscribed to such events of this monitor.
        delayed: the channel is only notified of outages that last.
        resolved_at, acknowledged_at: of the incident, if set.
        maintenance_until, snoozed_until: in the future, or None.
        notified: whether the channel was notified of the beginning of this incident.
        recovery_pending: it was notified of an earlier outage of this monitor, but not yet of its recovery.
        earlier_undecided: a notification of an earlier outage, which is over, may be about to be sent first.
        down_again: another incident of the monitor is open and confirmed.
        every: the time between reminders.
        still_late: no heartbeat has arrived since.
    """

    event: Event
    now: datetime
    planned_at: datetime
    under_way: bool = False
    wanted: bool = True
    delayed: bool = False
    resolved_at: datetime | None = None
    acknowledged_at: datetime | None = None
    maintenance_until: datetime | None = None
    snoozed_until: datetime | None = None
    notified: Notified = Notified.YES
    recovery_pending: bool = False
    earlier_undecided: bool = False
    down_again: bool = False
    every: timedelta = timedelta(hours=1)
    still_late: bool = True


@dataclass(frozen=True, slots=True)
class Send:
    """Send it now."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Not before `until`; `replan`: if the outage is over by then, it is not sent."""

    until: datetime
    replan: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """Skip it."""

    why: SkipReason


Verdict = Send | Hold | Skip


def judge(facts: Situation) -> Verdict:
    """Return what to do with a delivery that is due."""
    match facts.event:
        case Event.OPENED:
            return Send() if facts.under_way else _opened(facts)
        case Event.PASSED:
            return Send() if facts.under_way else _passed(facts)
        case Event.RESOLVED:
            return Send() if facts.under_way else _resolved(facts)
        case Event.REMINDER:
            return _reminder(facts)
        case Event.LATE:
            return _late(facts)
        case other:
            raise ValueError(f"{other} is not judged: it is sent as it is")


def _opened(facts: Situation) -> Verdict:
    if not facts.wanted:
        return Skip(SkipReason.UNSUBSCRIBED)
    if facts.resolved_at is not None and facts.resolved_at <= facts.planned_at:
        return Skip(SkipReason.RECOVERED)
    # Even if it was only waiting for its turn: acknowledging spares channels not yet notified.
    if facts.delayed and facts.acknowledged_at is not None:
        return Skip(SkipReason.ACKNOWLEDGED)
    until = _held_until(facts)
    if until is not None:
        return Skip(SkipReason.RECOVERED) if facts.resolved_at is not None else Hold(until, replan=True)
    if facts.earlier_undecided:
        return Hold(facts.now + RECHECK_AFTER)
    return Skip(SkipReason.CONTINUES) if facts.recovery_pending else Send()


def _passed(facts: Situation) -> Verdict:
    if not facts.wanted:
        return Skip(SkipReason.UNSUBSCRIBED)
    if _held_until(facts) is not None:
        return Skip(SkipReason.RECOVERED)
    if facts.earlier_undecided:
        return Hold(facts.now + RECHECK_AFTER)
    return Skip(SkipReason.CONTINUES) if facts.recovery_pending else Send()


def _resolved(facts: Situation) -> Verdict:
    if facts.notified is Notified.NO:
        return Skip(SkipReason.NOT_NOTIFIED)
    if facts.notified is Notified.SOON:
        return Hold(facts.now + RECHECK_AFTER)
    # Maintenance holds back recoveries too, but a snooze only holds back bad news.
    if facts.maintenance_until is not None:
        return Hold(facts.maintenance_until)
    if facts.down_again:
        # The outage continues as soon as the beginning of the other incident is judged.
        return Hold(facts.now + RECHECK_AFTER)
    return Send()


def _reminder(facts: Situation) -> Verdict:
    if not facts.wanted:
        return Skip(SkipReason.UNSUBSCRIBED)
    if facts.resolved_at is not None:
        return Skip(SkipReason.RECOVERED)
    if facts.acknowledged_at is not None:
        return Skip(SkipReason.ACKNOWLEDGED)
    if facts.under_way:
        return Send()
    if facts.notified is Notified.NO:
        return Skip(SkipReason.NOT_NOTIFIED)
    if facts.notified is Notified.SOON:
        # Not together with the down notification itself.
        return Hold(facts.now + facts.every)
    until = _held_until(facts)
    return Send() if until is None else Hold(until)


def _late(facts: Situation) -> Verdict:
    if not facts.wanted:
        return Skip(SkipReason.UNSUBSCRIBED)
    if not facts.still_late:
        return Skip(SkipReason.NOT_LATE)
    until = None if facts.under_way else _held_until(facts)
    return Send() if until is None else Hold(until)


def _held_until(facts: Situation) -> datetime | None:
    """Return when maintenance or a snooze stops holding back bad news, or None."""
    held = [until for until in (facts.maintenance_until, facts.snoozed_until) if until is not None]
    return max(held, default=None)
