"""What a notification about one monitor is written from; without a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitors.domain import durations
from monitors.domain.state_machine import Cause
from notifications.messages.events import Event, Reason


@dataclass(frozen=True, slots=True)
class Bounds:
    """A monitor's value rule as it is now."""

    low: float | None = None
    high: float | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """Outages that the channel was not notified of, besides the one that a notification is about.

    `since` is when the first of them began.
    """

    times: int
    since: datetime
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a notification about one monitor needs. Times are aware datetimes.

    `outage` is the key of the outage at the receiver and `sequence` the number of this message about it.
    `again`: the channel has not been notified yet that an earlier outage is over. `reason` belongs to ENDED,
    `is_down` and `changes`, those of the last 10 minutes, to FLAPPING.

    `at` is when the event happened, `now` when the notification is written; `last_heartbeat_at` is the last
    heartbeat before the incident; `latest_message` is what was reported since, if that differs from the
    opening message, and `latest_value` its value; `rejected` is a sentence about pushes that were rejected
    since the last heartbeat; the closing fields belong to the heartbeat that ended it. LATE has no incident,
    and neither has ENDED after it: `started_at` is when the heartbeat was expected, `deadline` when the
    monitor goes down without one, and `resolved_at` when it arrived. `reminder` is the number of this
    reminder, out of `reminders` (0 if there is no maximum).
    """

    event: Event
    at: datetime
    monitor: str
    monitor_id: str
    monitor_url: str
    incident_id: str
    cause: Cause
    started_at: datetime
    detected_at: datetime
    resolved_at: datetime | None = None
    last_heartbeat_at: datetime | None = None
    opening_message: str = ""
    opening_value: float | None = None
    latest_message: str = ""
    latest_value: float | None = None
    rejected: str = ""
    closing_message: str = ""
    closing_value: float | None = None
    bounds: Bounds = Bounds()
    now: datetime | None = None
    deadline: datetime | None = None
    reminder: int = 0
    reminders: int = 0
    workspace: str = ""
    acknowledge_url: str = ""
    outage: str = ""
    sequence: int = 0
    again: bool = False
    meanwhile: Meanwhile | None = None
    reason: Reason | None = None
    is_down: bool = False
    changes: int = 0
    urgency: str = "normal"

    @property
    def duration(self) -> timedelta | None:
        """How long the monitor was down, or None if it still is."""
        return None if self.resolved_at is None else self.resolved_at - self.started_at

    @property
    def lasted(self) -> str:
        """How long it was down, or has been so far, in words."""
        until = self.resolved_at or self.now or self.at
        return durations.about(max((until - self.started_at).total_seconds(), 0))

    @property
    def message(self) -> str:
        """The message of the heartbeat that caused the event, or of the last report since."""
        if self._ended_by_heartbeat:
            return self.closing_message
        return self.latest_message or self.opening_message

    @property
    def value(self) -> float | None:
        if self._ended_by_heartbeat:
            return self.closing_value
        return self.opening_value if self.latest_value is None else self.latest_value

    @property
    def _ended_by_heartbeat(self) -> bool:
        return self.event in (Event.RESOLVED, Event.PASSED) or self.reason is Reason.ARRIVED
