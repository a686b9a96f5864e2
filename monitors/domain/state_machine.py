"""The state machine of a monitor's status: the table of docs/architecture.md, without a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from monitors.domain.thresholds import Thresholds, good_in_a_row, last_failed, shifted

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
    # Down, and the last heartbeat was good, but the recovery threshold is not reached yet.
    RECOVERING = "recovering"
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

    Attributes:
        deadlines: returns the deadlines that may have passed since the last heartbeat and are not among the
            outcomes yet, in order. It is only called when the result matters, because a cron deadline has to
            be calculated.
        outcomes: the last outcomes, see domain.thresholds.
        confirmed: whether its incident, if one is open, has been confirmed.
        thresholds: returns the thresholds; only called when they matter.
    """

    status: Status
    deadlines: Callable[[], Iterable[datetime]]
    outcomes: int = 0
    confirmed: bool = False
    thresholds: Callable[[], Thresholds] = Thresholds


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


@dataclass(frozen=True, slots=True)
class ThresholdsChanged:
    """The thresholds have changed; `missed` is whether the last failure was a missed deadline."""

    at: datetime
    missed: bool


Event = HeartbeatArrived | TimePassed | PauseRequested | ResumeRequested | ThresholdsChanged


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

    Attributes:
        outcomes: the last outcomes, including those that the event added.
        confirmed: whether the incident that is open, or that it resolves, is confirmed.
        confirms: the event is what confirmed it.
        missed: how many missed deadlines were counted.
    """

    status: Status
    changes: tuple[Change, ...] = ()
    outcomes: int = 0
    opens: Opening | None = None
    confirmed: bool = False
    confirms: bool = False
    resolves: bool = False
    notifies: bool = True
    missed: int = 0

    @property
    def awaits(self) -> bool:
        """Whether a further missed deadline counts.

        While a monitor is down it counts until the incident is confirmed, and again while it recovers.
        """
        return _awaits(self.status, self.outcomes, confirmed=self.confirmed)


def _awaits(status: Status, outcomes: int, *, confirmed: bool) -> bool:
    undecided = not (confirmed and last_failed(outcomes))
    return status is Status.UP or (status is Status.DOWN and undecided)


def decide(facts: Facts, event: Event) -> Decision:
    """Return the effect of `event` on a monitor with `facts`."""
    match facts.status, event:
        case _, PauseRequested(at):
            return _pause(facts, at)
        case Status.PAUSED, ResumeRequested(at):
            # Its outcomes before the pause say nothing about what it does now.
            return Decision(Status.NEW, (Change(Status.PAUSED, Status.NEW, at, Reason.RESUMED),))
        case ((Status.NEW | Status.UP | Status.DOWN), HeartbeatArrived(at, fault=fault)):
            silence = _silence(facts, at)
            return _good(facts, silence, at) if fault is None else _failed(facts, silence, at, fault)
        case ((Status.UP | Status.DOWN), TimePassed(at)):
            return _silence(facts, at)
        case Status.DOWN, ThresholdsChanged(at, missed):
            return _reconsidered(facts, at, missed=missed)
    return _unchanged(facts)


def _unchanged(facts: Facts) -> Decision:
    return Decision(facts.status, outcomes=facts.outcomes, confirmed=facts.confirmed)


def _pause(facts: Facts, at: datetime) -> Decision:
    if facts.status is Status.PAUSED:
        return _unchanged(facts)
    return replace(
        _unchanged(facts),
        status=Status.PAUSED,
        changes=(Change(facts.status, Status.PAUSED, at, Reason.PAUSED),),
        resolves=facts.status is Status.DOWN,
        notifies=False,
    )


def _silence(facts: Facts, at: datetime) -> Decision:
    """Return what the deadlines before `at` do: the first opens an incident, all count as failures.

    Once the incident is confirmed, and while the last outcome is a failure, further ones change nothing.
    """
    outcomes, confirmed, missed = facts.outcomes, facts.confirmed, 0
    first: datetime | None = None
    counts = _awaits(facts.status, facts.outcomes, confirmed=facts.confirmed)
    for deadline in facts.deadlines() if counts else ():
        if deadline >= at:
            break
        first = first or deadline
        missed += 1
        outcomes = shifted(outcomes, failed=True)
        confirmed = confirmed or facts.thresholds().missed.reached(outcomes)
        if confirmed:
            break
    if first is None:
        return _unchanged(facts)
    opens = facts.status is not Status.DOWN
    change = Change(facts.status, Status.DOWN, first, Reason.MISSED)
    return Decision(
        Status.DOWN,
        (change,) if opens else (),
        outcomes,
        opens=Opening(Cause.MISSED, first) if opens else None,
        confirmed=confirmed,
        confirms=confirmed and not facts.confirmed,
        missed=missed,
    )


def _good(facts: Facts, silence: Decision, at: datetime) -> Decision:
    """Return what a good heartbeat does after `silence`."""
    outcomes = shifted(silence.outcomes, failed=False)
    match silence.status:
        case Status.DOWN if good_in_a_row(outcomes) < facts.thresholds().recovery:
            return replace(silence, outcomes=outcomes)
        case Status.DOWN:
            return _resolved(silence, outcomes, at)
        case Status.NEW:
            started = Change(Status.NEW, Status.UP, at, Reason.HEARTBEAT)
            return replace(silence, status=Status.UP, outcomes=outcomes, changes=(started,))
    return replace(silence, outcomes=outcomes)


def _resolved(before: Decision, outcomes: int, at: datetime) -> Decision:
    back = Change(Status.DOWN, Status.UP, at, Reason.HEARTBEAT)
    return replace(
        before, status=Status.UP, outcomes=outcomes, changes=(*before.changes, back), resolves=True
    )


def _failed(facts: Facts, silence: Decision, at: datetime, fault: Cause) -> Decision:
    """Return what a failed heartbeat does after `silence`."""
    failed = replace(silence, outcomes=shifted(silence.outcomes, failed=True))
    if silence.status is not Status.DOWN:
        # Each cause of an incident is also the reason of its status change.
        change = Change(silence.status, Status.DOWN, at, Reason(fault.value))
        failed = replace(failed, status=Status.DOWN, changes=(change,), opens=Opening(fault, at))
    if not failed.confirmed and facts.thresholds().reported.reached(failed.outcomes):
        failed = replace(failed, confirmed=True, confirms=True)
    return failed


def _reconsidered(facts: Facts, at: datetime, *, missed: bool) -> Decision:
    """Return what changed thresholds do to an open incident."""
    thresholds, unchanged = facts.thresholds(), _unchanged(facts)
    if not last_failed(facts.outcomes):
        recovered = good_in_a_row(facts.outcomes) >= thresholds.recovery
        return _resolved(unchanged, facts.outcomes, at) if recovered else unchanged
    threshold = thresholds.missed if missed else thresholds.reported
    if facts.confirmed or not threshold.reached(facts.outcomes):
        return unchanged
    return replace(unchanged, confirmed=True, confirms=True)


def shown(
    status: Status,
    *,
    now: datetime,
    expected_by: datetime | None,
    deadline: datetime | None,
    settled: datetime | None = None,
    recovering: bool = False,
) -> Shown:
    """Return the current status at `now`, right even if no sweep has run.

    `expected_by` is the end of the timeout (or the scheduled time), `deadline` the end of the grace period.
    After `settled` (default: `now`) a heartbeat may have been sent that could not be received, so that a
    deadline which passed since does not count yet. `recovering`: it is down, and its last outcome is good.
    """
    overdue = deadline is not None and deadline < (settled or now)
    if status is Status.DOWN and recovering and not overdue:
        return Shown.RECOVERING
    if status is Status.UP and overdue:
        return Shown.DOWN
    if status is Status.UP and expected_by is not None and expected_by < now:
        return Shown.LATE
    return Shown(status.value)
