"""Occurrences of one-off and weekly plans: arithmetic with local times, without a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

Stretch = tuple[datetime, datetime]

# In which people may plan; anything else is a slip of the keyboard.
YEARS = range(2000, 2101)
# Adjacent occurrences, such as 24 h every day, may never end: they are followed no further than this.
FOLLOWED = timedelta(days=366)
_DAY = timedelta(days=1)
_FIRST, _LAST = datetime(1, 1, 8, tzinfo=UTC), datetime(9999, 12, 24, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Once:
    """From `start` until before `end`."""

    start: datetime
    end: datetime

    def between(self, start: datetime, end: datetime) -> Iterator[Stretch]:
        """Yield the stretch if it overlaps `start` to `end`."""
        if start < end and self.start < end and self.end > start:
            yield self.start, self.end


@dataclass(frozen=True, slots=True)
class Weekly:
    """On each of `weekdays` (0 is Monday) from the local time `at` in `zone`, for `length` of elapsed time.

    A local time skipped by daylight saving is shifted accordingly; of one that exists twice, the first
    counts. Occurrences are cut off before `begins` and from `until` on.
    """

    weekdays: frozenset[int]
    at: time
    length: timedelta
    zone: str
    begins: datetime | None = None
    until: datetime | None = None

    def between(self, start: datetime, end: datetime) -> Iterator[Stretch]:
        """Yield the stretches that overlap `start` to `end`, in order."""
        start, end = max(start, self.begins or _FIRST, _FIRST), min(end, self.until or _LAST, _LAST)
        if start >= end:
            return
        zone = ZoneInfo(self.zone)
        # One more day at both ends: skipped times are shifted, and days begin at other times elsewhere.
        day = (start - self.length).astimezone(zone).date() - _DAY
        last = end.astimezone(zone).date() + _DAY
        while day <= last:
            if day.weekday() in self.weekdays:
                begin = datetime.combine(day, self.at, tzinfo=zone).astimezone(UTC)
                stop = begin + self.length
                if self.begins is not None:
                    begin = max(begin, self.begins)
                if self.until is not None:
                    stop = min(stop, self.until)
                if begin < stop and begin < end and stop > start:
                    yield begin, stop
            day += _DAY


Plan = Once | Weekly


def occurrences(plan: Plan, now: datetime) -> Iterator[Stretch]:
    """Yield the stretches of `plan` that are not over at `now`, in order, up to a year and a week ahead."""
    return plan.between(now, now + FOLLOWED + timedelta(days=7))


def current(plan: Plan, now: datetime) -> Stretch | None:
    """Return the stretch that contains `now`; of several, the one that ends last."""
    there = plan.between(now, now + timedelta.resolution)
    return max(there, key=lambda stretch: stretch[1], default=None)


def over_at(plans: Iterable[Plan], now: datetime) -> datetime | None:
    """Return when the plan that contains `now` ends, or None if none does.

    Adjacent and overlapping stretches count as one, up to FOLLOWED.
    """
    plans = list(plans)
    end, moved = now, True
    while moved and end < now + FOLLOWED:
        moved = False
        for plan in plans:
            here = current(plan, end)
            if here is not None and here[1] > end:
                end, moved = here[1], True
    return min(end, now + FOLLOWED) if end > now else None


def together(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Return `stretches` in order, with those that touch or overlap merged."""
    joined: list[Stretch] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined


def taken_together(plans: Sequence[Plan], start: datetime, end: datetime) -> list[Stretch]:
    """Return the times between `start` and `end` that any of `plans` covers, sorted and disjoint."""
    found = (stretch for plan in plans for stretch in plan.between(start, end))
    return together((max(begin, start), min(stop, end)) for begin, stop in found)
