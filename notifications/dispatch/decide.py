"""Whether what is due is told now: decided from facts, without a database and without a clock.

People hear of an outage and of its end in turn: of no outage twice, and of no end of one that they were
not told of. Everything that keeps people from being told (a tolerance, a snooze, maintenance) ends, and is
asked again then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum, auto

from notifications.rules.thresholds import LOOK_AGAIN


class Event(StrEnum):
    """What a delivery tells of, where there is something to judge."""

    OPENED = "incident.opened"
    RESOLVED = "incident.resolved"
    PASSED = "incident.passed"
    REMINDER = "incident.reminder"
    LATE = "monitor.late"


class Why(StrEnum):
    """Why something is not told at all."""

    RECOVERED = "recovered"
    NEVER_TOLD = "never_told"
    CONTINUES = "continues"
    ACKNOWLEDGED = "acknowledged"
    NOT_LATE = "not_late"
    UNWANTED = "unwanted"


class Told(Enum):
    """What a channel knows of the beginning of an outage: `SOON` means that it is about to be told."""

    YES = auto()
    NO = auto()
    SOON = auto()


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of a delivery that is due. Times are aware datetimes, `now` the database's.

    Attributes:
        planned_at: when the rules let people be told, the delay and every hold so far included. Of what is
            over by then, they hear nothing.
        under_way: an attempt was made, so that the other side may know already.
        wanted: the channel is still to hear of such events of this monitor.
        delayed: the channel hears only of outages that last.
        resolved_at, acknowledged_at: of the incident, where it has them.
        maintenance_until, snoozed_until: in the future, or None.
        tolerated_until: None where there were failures enough; else when to look again.
        told: what the channel knows of the beginning of this incident.
        recovery_untold: it was told of an earlier outage of this monitor, and not yet of its end.
        earlier_undecided: it may be about to be told of an earlier outage, which is over: that comes first.
        good, good_needed: good heartbeats in a row since the end, and how many people want to see.
        every: the time between reminders.
        still_late: no heartbeat came since.
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
    tolerated_until: datetime | None = None
    told: Told = Told.YES
    recovery_untold: bool = False
    earlier_undecided: bool = False
    good: int = 1
    good_needed: int = 1
    every: timedelta = timedelta(hours=1)
    still_late: bool = True


@dataclass(frozen=True, slots=True)
class Tell:
    """Now."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Not before `until`; `replan`: what is over by then was not worth telling."""

    until: datetime
    replan: bool = False


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Not at all."""

    why: Why


Verdict = Tell | Hold | Withdraw


def judge(facts: Situation) -> Verdict:
    """Return what is to become of a delivery that is due."""
    match facts.event:
        case Event.OPENED:
            return Tell() if facts.under_way else _opened(facts)
        case Event.PASSED:
            return Tell() if facts.under_way else _passed(facts)
        case Event.RESOLVED:
            return Tell() if facts.under_way else _resolved(facts)
        case Event.REMINDER:
            return _reminder(facts)
        case Event.LATE:
            return _late(facts)


def _opened(facts: Situation) -> Verdict:
    if not facts.wanted:
        return Withdraw(Why.UNWANTED)
    if facts.resolved_at is not None and facts.resolved_at <= facts.planned_at:
        return Withdraw(Why.RECOVERED)
    # Also where it waited for its turn meanwhile: who saw to it wanted to spare whoever is not called yet.
    if facts.delayed and facts.acknowledged_at is not None:
        return Withdraw(Why.ACKNOWLEDGED)
    until = _held_until(facts)
    if until is None:
        until = facts.tolerated_until
    if until is not None:
        return Withdraw(Why.RECOVERED) if facts.resolved_at is not None else Hold(until, replan=True)
    if facts.earlier_undecided:
        return Hold(facts.now + LOOK_AGAIN)
    return Withdraw(Why.CONTINUES) if facts.recovery_untold else Tell()


def _passed(facts: Situation) -> Verdict:
    if not facts.wanted:
        return Withdraw(Why.UNWANTED)
    if _held_until(facts) is not None or facts.tolerated_until is not None:
        return Withdraw(Why.RECOVERED)
    if facts.earlier_undecided:
        return Hold(facts.now + LOOK_AGAIN)
    return Withdraw(Why.CONTINUES) if facts.recovery_untold else Tell()


def _resolved(facts: Situation) -> Verdict:
    if facts.told is Told.NO:
        return Withdraw(Why.NEVER_TOLD)
    if facts.told is Told.SOON:
        return Hold(facts.now + LOOK_AGAIN)
    # Not while people sleep: but a snooze is about bad news.
    if facts.maintenance_until is not None:
        return Hold(facts.maintenance_until)
    if facts.good < facts.good_needed:
        return Hold(facts.now + LOOK_AGAIN)
    return Tell()


def _reminder(facts: Situation) -> Verdict:
    if not facts.wanted:
        return Withdraw(Why.UNWANTED)
    if facts.resolved_at is not None:
        return Withdraw(Why.RECOVERED)
    if facts.acknowledged_at is not None:
        return Withdraw(Why.ACKNOWLEDGED)
    if facts.under_way:
        return Tell()
    if facts.told is Told.NO:
        return Withdraw(Why.NEVER_TOLD)
    if facts.told is Told.SOON:
        # Not in the same breath as the news itself.
        return Hold(facts.now + facts.every)
    until = _held_until(facts)
    return Tell() if until is None else Hold(until)


def _late(facts: Situation) -> Verdict:
    if not facts.wanted:
        return Withdraw(Why.UNWANTED)
    if not facts.still_late:
        return Withdraw(Why.NOT_LATE)
    until = None if facts.under_way else _held_until(facts)
    return Tell() if until is None else Hold(until)


def _held_until(facts: Situation) -> datetime | None:
    """Return the end of what keeps people from hearing bad news now, or None."""
    held = [until for until in (facts.maintenance_until, facts.snoozed_until) if until is not None]
    return max(held, default=None)
