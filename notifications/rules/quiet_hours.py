"""Quiet hours: a daily time in which a channel is only notified of what is urgent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` to `end` every day in `zone`, over midnight if `end` is earlier than `start`."""

    start: time
    end: time
    zone: ZoneInfo

    def until(self, now: datetime) -> datetime | None:
        """Return when the quiet hours that contain `now` end; None outside of them."""
        today = now.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            begins = datetime.combine(day, self.start, self.zone)
            last = day if self.start < self.end else day + timedelta(days=1)
            ends = datetime.combine(last, self.end, self.zone)
            # In UTC: a day on which the clocks change is longer or shorter.
            if begins.astimezone(UTC) <= now < ends.astimezone(UTC):
                return ends.astimezone(UTC)
        return None

    def ended_at(self, now: datetime) -> datetime:
        """Return the last end of quiet hours at or before `now`."""
        today = now.astimezone(self.zone).date()
        ends = (
            datetime.combine(today - timedelta(days=n), self.end, self.zone).astimezone(UTC) for n in (0, 1)
        )
        return next(end for end in (*ends, now - timedelta(days=2)) if end <= now)
