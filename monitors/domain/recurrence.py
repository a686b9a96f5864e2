"""When planned times are, once or every week: arithmetic of clocks on walls, without a database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

Stretch = tuple[datetime, datetime]

# What adjoins on and on, such as each day for a whole day, ends nowhere: nobody looks further than this.
FOLLOWED = timedelta(days=366)
_DAY = timedelta(days=1)
_FIRST, _LAST = datetime(1, 1, 8, tzinfo=UTC), datetime(9999, 12, 24, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Once:
    """From `start` until before `end`."""

    start: datetime
    end: datetime

    def between(self, start: datetime, end: datetime) -> Iterator[Stretch]:
        """Yield the stretch if any of it lies between `start` and `end`."""
        if start < end and self.start < end and self.end > start:
            yield self.start, self.end


@dataclass(frozen=True, slots=True)
class Weekly:
    """On each of `weekdays` (0 is Monday) from `at` on the clocks of `zone`, for `length` that really passes.

    A time that the clocks skip is that much later; of one that comes twice, the first counts. What lies
    before `begins` or from `until` on is cut off.
    """

    weekdays: frozenset[int]
    at: time
    length: timedelta
    zone: str
    begins: datetime | None = None
    until: datetime | None = None

    def between(self, start: datetime, end: datetime) -> Iterator[Stretch]:
        """Yield the stretches of which any part lies between `start` and `end`, in order."""
        start, end = max(start, self.begins or _FIRST, _FIRST), min(end, self.until or _LAST, _LAST)
        if start >= end:
            return
        zone = ZoneInfo(self.zone)
        # A day more at both ends: what is skipped moves, and days begin at other times elsewhere.
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
    """Yield the stretches of `plan` that are not over at `now`, in order; of a year and a week."""
    return plan.between(now, now + FOLLOWED + timedelta(days=7))


def current(plan: Plan, now: datetime) -> Stretch | None:
    """Return the stretch that `now` lies in: of several, the one that ends last."""
    there = plan.between(now, now + timedelta.resolution)
    return max(there, key=lambda stretch: stretch[1], default=None)


def over_at(plans: Iterable[Plan], now: datetime) -> datetime | None:
    """Return when all of `plans` leave `now` alone, or None where none holds it.

    Those that adjoin or overlap are followed on; what goes on for longer than FOLLOWED ends then.
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
    """Return `stretches` in order, those that touch or overlap as one."""
    joined: list[Stretch] = []
    for start, end in sorted(stretches):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    return joined


def taken_together(plans: Sequence[Plan], start: datetime, end: datetime) -> list[Stretch]:
    """Return the times between `start` and `end` that any of `plans` holds, in order and apart."""
    found = (stretch for plan in plans for stretch in plan.between(start, end))
    return together((max(begin, start), min(stop, end)) for begin, stop in found)
