"""Heartbeat bars: for each time slot, how many heartbeats arrived and the worst status."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import itemgetter

from monitors.domain import intervals
from monitors.domain.recurrence import Stretch
from monitors.domain.state_machine import Status
from monitors.domain.time_slots import Slot, edges, mostly_in, worst_among, worst_of
from monitors.domain.uptime import Onset
from monitors.history import gaps
from monitors.history.days import Days, days_of
from monitors.history.rollups import HALF_HOUR, rollups_in, sums
from monitors.history.uptimes import onsets_of
from monitors.models import Monitor, RolledUp
from monitors.services.outdated_days import DAY, day_of, midnight

__all__ = ["Bar", "Slot", "bar_of", "bars_of"]

SLOTS = 48
# Heartbeats of a monitor: start in seconds since 1970, monitor, number of ups and downs, message, number of
# values, their sum, and intervals, None if they were not counted.
_Part = tuple[float, int, int, int, str, int, float | None, str | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of one monitor, with the intervals between its heartbeats, by bucket (domain/intervals.py).

    Those that ended in one of the stretches of `uncounted` are not among them, as they are not rolled up.
    """

    slots: list[Slot]
    intervals: Counter[int]
    uncounted: list[Stretch]


@dataclass(slots=True)
class _Tally:
    ups: int = 0
    downs: int = 0
    last_message: str = ""
    values: int = 0
    value_sum: float = 0.0

    @property
    def mean(self) -> float | None:
        return self.value_sum / self.values if self.values else None

    def add(self, ups: int, downs: int, last_message: str, values: int, value_sum: float | None) -> None:
        """Add heartbeats that are later than those already added."""
        if downs or not self.downs:
            self.last_message = last_message
        self.ups += ups
        self.downs += downs
        self.values += values
        self.value_sum += value_sum or 0.0


def bars_of(
    monitors: Sequence[Monitor], *, now: datetime, span: timedelta = DAY, slots: int = SLOTS
) -> dict[int, list[Slot]]:
    """Return the bar of each of `monitors` by row id: `slots` slots, oldest first, `now` in the last.

    Six queries for any number of monitors, and two more if a slot consists of whole days. The worst status
    comes from the status changes, so a silent monitor is down in slots without a heartbeat. Heartbeats are
    counted from rollups if a slot consists of whole half hours, and one by one for what is not rolled up yet.
    If it consists of whole days, both come from daily rollups, as far as these are up to date.

    Args:
        monitors: loaded with their states.
        now: the database's time.
        span: the time that the bar covers; a slot is a `slots`-th part of it. Deleted heartbeats are only
            counted if a slot is a multiple of half an hour.
    """
    if not monitors:
        return {}
    bars, _parts, _uncounted = _read(monitors, now, span, slots, with_intervals=False)
    return bars


def bar_of(monitor: Monitor, *, now: datetime, span: timedelta, slots: int) -> Bar:
    """Return the bar of `monitor` as `bars_of` does, with intervals, by the same queries."""
    bars, parts, uncounted = _read([monitor], now, span, slots, with_intervals=True)
    written = (part[7] for part in parts)
    return Bar(bars[monitor.pk], intervals.read(" ".join(text for text in written if text)), uncounted)


def _read(
    monitors: Sequence[Monitor], now: datetime, span: timedelta, slots: int, *, with_intervals: bool
) -> tuple[dict[int, list[Slot]], list[_Part], list[Stretch]]:
    ids = [monitor.pk for monitor in monitors]
    bounds = edges(now, span=span, slots=slots)
    days = None
    rest = bounds[0]
    if not (bounds[1] - bounds[0]) % DAY:
        days = days_of(monitors, first=day_of(bounds[0]), now=now)
        rest = midnight(days.until)
    parts, one_by_one = _parts_of(ids, bounds, now, days, with_intervals=with_intervals)
    tallies = _count(parts, bounds)
    onsets = onsets_of(monitors, start=rest, end=now, now=now)
    in_gaps = mostly_in(gaps.between(bounds[0], bounds[-1]), bounds)
    bars = {
        pk: [
            _slot(start, end, worst, tallies.get((pk, number)), in_gap)
            for number, ((start, end), worst, in_gap) in enumerate(
                zip(pairwise(bounds), _worst(pk, onsets[pk], bounds, days), in_gaps, strict=True)
            )
        ]
        for pk in ids
    }
    return bars, parts, one_by_one


def _worst(
    pk: int, onsets: Sequence[Onset], bounds: Sequence[datetime], days: Days | None
) -> list[Status | None]:
    """Return the worst status of a monitor in each slot: in `days`, and after them by its `onsets`."""
    if days is None:
        return worst_of(onsets, bounds)
    rest = midnight(days.until)
    found: list[list[Status]] = [[] for _ in bounds[1:]]
    for row in days.rows[pk]:
        found[_number(midnight(row.day), bounds)].append(row.worst)
    open_ = [rest, *(bound for bound in bounds if bound > rest)]
    for number, status in zip(range(_number(rest, bounds), len(found)), worst_of(onsets, open_), strict=True):
        if status is not None:
            found[number].append(status)
    return [worst_among(each) for each in found]


def _number(at: datetime, bounds: Sequence[datetime]) -> int:
    """Return which slot `at` is in."""
    return (at - bounds[0]) // (bounds[1] - bounds[0])


def _slot(start: datetime, end: datetime, worst: Status | None, tally: _Tally | None, in_gap: bool) -> Slot:
    # Before a monitor existed, nothing was missing.
    hatched = in_gap and worst is not None
    if tally is None:
        return Slot(start, end, worst, in_gap=hatched)
    return Slot(start, end, worst, tally.ups, tally.downs, tally.last_message, tally.mean, in_gap=hatched)


def _count(parts: Sequence[_Part], bounds: Sequence[datetime]) -> dict[tuple[int, int], _Tally]:
    """Return the heartbeats of each monitor in each slot that has any, by row id and slot."""
    zero, seconds = bounds[0].timestamp(), (bounds[1] - bounds[0]).total_seconds()
    tallies: dict[tuple[int, int], _Tally] = defaultdict(_Tally)
    for start, pk, ups, downs, message, values, value_sum, _intervals in sorted(parts, key=itemgetter(0)):
        tallies[pk, int((start - zero) // seconds)].add(ups, downs, message, values, value_sum)
    return tallies


def _parts_of(
    ids: list[int], bounds: list[datetime], now: datetime, days: Days | None, *, with_intervals: bool
) -> tuple[list[_Part], list[Stretch]]:
    """Return the heartbeats of each monitor, and the stretches in which they were counted one by one."""
    width = bounds[1] - bounds[0]
    rolled_up: set[datetime] = set()
    parts: list[_Part] = []
    if days is not None:
        parts += [
            (
                midnight(row.day).timestamp(),
                pk,
                row.ups,
                row.downs,
                row.last_message,
                row.value_count,
                row.value_sum,
                row.intervals,
            )
            for pk, rows in days.rows.items()
            for row in rows
            if row.ups or row.downs
        ]
        rest = midnight(days.until)
        bounds = [rest, *(bound for bound in bounds if bound > rest)]
    if not width % HALF_HOUR:
        made = RolledUp.objects.filter(start__gte=bounds[0], start__lt=bounds[-1])
        rolled_up = set(made.values_list("start", flat=True))
    if rolled_up:
        # A rollup in progress may not have all rows yet.
        complete = {start.timestamp() for start in rolled_up}
        rows = rollups_in(ids, (bounds[0], bounds[-1]), with_intervals=with_intervals)
        parts += [row for row in rows if row[0] in complete]
    stretches = list(_not_rolled_up(bounds, rolled_up, now))
    parts += [
        (
            *(stretches[sum_.stretch][0].timestamp(), sum_.monitor_id, sum_.ups, sum_.downs),
            *(sum_.last_message, sum_.value_count, sum_.value_sum, None),
        )
        for sum_ in sums(ids, stretches)
    ]
    return parts, stretches


def _not_rolled_up(bounds: list[datetime], rolled_up: set[datetime], now: datetime) -> Iterator[Stretch]:
    """Yield the stretches whose heartbeats have to be read, oldest first, each within one slot."""
    for start, end in pairwise(bounds):
        if not rolled_up:
            yield start, end
            continue
        open_from, at = None, start
        while at < end:
            if at in rolled_up:
                if open_from is not None:
                    yield open_from, at
                open_from = None
            elif open_from is None and at <= now:
                open_from = at
            at += HALF_HOUR
        if open_from is not None:
            yield open_from, end
