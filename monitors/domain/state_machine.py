"""The state machine of a monitor's status: the table of docs/architecture.md, without a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

# Of a heartbeat; longer messages are cut.
MESSAGE_LENGTH = 500


class Status(StrEnum):
    """A monitor's stored status."""

    NEW = "new"
    UP = "up"
    DOWN = "down"
    PAUSED = "paused"


class Shown(StrEnum):
    """A monitor's current status: the stored one, corrected by the clock."""

    NEW = "new"
    UP = "up"
    LATE = "late"
    DOWN = "down"
    PAUSED = "paused"


class Urgency(StrEnum):
    """How urgent it is to know that a monitor is down; notification rules refer to it."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class Cause(StrEnum):
    """Why an incident was opened."""

    MISSED = "missed"
    REPORTED = "reported"
    # It reported up, with a value that the monitor's rules do not allow.
    VALUE = "value"


class Reason(StrEnum):
    """Why a status changed."""

    HEARTBEAT = "heartbeat"
    REPORTED = "reported"
    MISSED = "missed"
    VALUE = "value"
    PAUSED = "paused"
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about a monitor when an event occurs.

    `deadline` returns the time after which silence means down, or None while nothing is due. It is only
    called when the result matters, because a cron deadline has to be calculated.
    """

    status: Status
    deadline: Callable[[], datetime | None]


@dataclass(frozen=True, slots=True)
class HeartbeatArrived:
    """A push arrived at `at` and reported up or down.

    `value_is_good` is whether the monitor's rules allow its value, or its lack of one.
    """

    at: datetime
    up: bool
    value_is_good: bool = True

    @property
    def fault(self) -> Cause | None:
        """The cause of the incident it opens; None if it is good."""
        if not self.up:
            return Cause.REPORTED
        return None if self.value_is_good else Cause.VALUE


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A sweep ran at `at`."""

    at: datetime


@dataclass(frozen=True, slots=True)
class PauseRequested:
    at: datetime


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    at: datetime


Event = HeartbeatArrived | TimePassed | PauseRequested | ResumeRequested


@dataclass(frozen=True, slots=True)
class Change:
    """One status change, effective at `at`."""

    source: Status
    target: Status
    at: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class Opening:
    """An incident that starts at `started_at`, which may be before the event that revealed it."""

    cause: Cause
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """What one event does to one monitor. Times are aware datetimes from the database's clock.

    `opens` and `resolves` together mean that a deadline had passed unnoticed before the push that ended
    the silence: an incident that is already resolved when it is written.
    """

    status: Status
    changes: tuple[Change, ...] = ()
    opens: Opening | None = None
    resolves: bool = False
    notifies: bool = True


def decide(facts: Facts, event: Event) -> Decision:
    """Return the effect of `event` on a monitor with `facts`."""
    match facts.status, event:
        case _, PauseRequested(at):
            return _pause(facts.status, at)
        case Status.PAUSED, ResumeRequested(at):
            return Decision(Status.NEW, (Change(Status.PAUSED, Status.NEW, at, Reason.RESUMED),))
        case Status.PAUSED, _:
            return Decision(Status.PAUSED)
        case Status.UP, HeartbeatArrived(at, fault=fault):
            return _heartbeat_while_up(facts, at, fault)
        case Status.NEW, HeartbeatArrived(at, fault=None):
            return Decision(Status.UP, (Change(Status.NEW, Status.UP, at, Reason.HEARTBEAT),))
        case Status.NEW, HeartbeatArrived(at, fault=Cause() as fault):
            return _failed(Status.NEW, at, fault)
        case Status.DOWN, HeartbeatArrived(at, fault=None):
            return Decision(Status.UP, (Change(Status.DOWN, Status.UP, at, Reason.HEARTBEAT),), resolves=True)
        case Status.UP, TimePassed(at):
            deadline = facts.deadline()
            if deadline is not None and deadline < at:
                return _missed(deadline)
    return Decision(facts.status)


def _pause(status: Status, at: datetime) -> Decision:
    if status is Status.PAUSED:
        return Decision(Status.PAUSED)
    return Decision(
        Status.PAUSED,
        (Change(status, Status.PAUSED, at, Reason.PAUSED),),
        resolves=status is Status.DOWN,
        notifies=False,
    )


def _failed(source: Status, at: datetime, fault: Cause) -> Decision:
    # Each cause of an incident is also the reason of its status change.
    change = Change(source, Status.DOWN, at, Reason(fault.value))
    return Decision(Status.DOWN, (change,), opens=Opening(fault, at))


def _missed(deadline: datetime) -> Decision:
    return Decision(
        Status.DOWN,
        (Change(Status.UP, Status.DOWN, deadline, Reason.MISSED),),
        opens=Opening(Cause.MISSED, deadline),
    )


def _heartbeat_while_up(facts: Facts, at: datetime, fault: Cause | None) -> Decision:
    deadline = facts.deadline()
    if deadline is not None and deadline < at:
        missed = _missed(deadline)
        if fault is not None:
            return missed
        back = Change(Status.DOWN, Status.UP, at, Reason.HEARTBEAT)
        return Decision(Status.UP, (*missed.changes, back), opens=missed.opens, resolves=True)
    return Decision(Status.UP) if fault is None else _failed(Status.UP, at, fault)


def shown(
    status: Status,
    *,
    now: datetime,
    expected_by: datetime | None,
    deadline: datetime | None,
    settled: datetime | None = None,
) -> Shown:
    """Return the current status at `now`, right even if no sweep has run.

    `expected_by` is the end of the timeout (or the scheduled time), `deadline` the end of the grace period.
    After `settled` (default: `now`) a heartbeat may have been sent that could not be received, so that a
    deadline which passed since does not count yet.
    """
    if status is Status.UP and deadline is not None and deadline < (settled or now):
        return Shown.DOWN
    if status is Status.UP and expected_by is not None and expected_by < now:
        return Shown.LATE
    return Shown(status.value)
