"""Heartbeat bars: for each time slot, how many heartbeats arrived and the worst status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import itemgetter

from monitors.domain.recurrence import Stretch
from monitors.domain.state_machine import Status
from monitors.domain.time_slots import Slot, edges, mostly_in, worst_of
from monitors.history import gaps
from monitors.history.rollups import HALF_HOUR, rollups_in, sums
from monitors.history.uptimes import onsets_of
from monitors.models import Monitor, RolledUp

__all__ = ["Slot", "bars_of"]

DAY = timedelta(days=1)
SLOTS = 48


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

    Six queries for any number of monitors. The worst status comes from the status changes, so a silent
    monitor is down in slots without a heartbeat. Heartbeats are counted from rollups if a slot consists of
    whole half hours, and one by one for what is not rolled up yet.

    Args:
        monitors: loaded with their states.
        now: the database's time.
        span: the time that the bar covers; a slot is a `slots`-th part of it. Deleted heartbeats are only
            counted if a slot is a multiple of half an hour.
    """
    if not monitors:
        return {}
    ids = [monitor.pk for monitor in monitors]
    bounds = edges(now, span=span, slots=slots)
    tallies = _count(ids, bounds, now)
    onsets = onsets_of(monitors, start=bounds[0], end=now, now=now)
    in_gaps = mostly_in(gaps.between(bounds[0], bounds[-1]), bounds)
    return {
        pk: [
            _slot(start, end, worst, tallies.get((pk, number)), in_gap)
            for number, ((start, end), worst, in_gap) in enumerate(
                zip(pairwise(bounds), worst_of(onsets[pk], bounds), in_gaps, strict=True)
            )
        ]
        for pk in ids
    }


def _slot(start: datetime, end: datetime, worst: Status | None, tally: _Tally | None, in_gap: bool) -> Slot:
    # Before a monitor existed, nothing was missing.
    hatched = in_gap and worst is not None
    if tally is None:
        return Slot(start, end, worst, in_gap=hatched)
    return Slot(start, end, worst, tally.ups, tally.downs, tally.last_message, tally.mean, in_gap=hatched)


def _count(ids: list[int], bounds: list[datetime], now: datetime) -> dict[tuple[int, int], _Tally]:
    """Return the heartbeats of each monitor in each slot that has any, by row id and slot."""
    width = bounds[1] - bounds[0]
    rolled_up: set[datetime] = set()
    # Start (in seconds since 1970), monitor, number of ups and downs, message, number of values, their sum.
    parts: list[tuple[float, int, int, int, str, int, float | None]] = []
    if not width % HALF_HOUR:
        made = RolledUp.objects.filter(start__gte=bounds[0], start__lt=bounds[-1])
        rolled_up = set(made.values_list("start", flat=True))
    if rolled_up:
        # A rollup in progress may not have all rows yet.
        complete = {start.timestamp() for start in rolled_up}
        parts += [row for row in rollups_in(ids, (bounds[0], bounds[-1])) if row[0] in complete]
    stretches = list(_not_rolled_up(bounds, rolled_up, now))
    parts += [
        (
            *(stretches[sum_.stretch][0].timestamp(), sum_.monitor_id, sum_.ups, sum_.downs),
            *(sum_.last_message, sum_.value_count, sum_.value_sum),
        )
        for sum_ in sums(ids, stretches)
    ]
    tallies: dict[tuple[int, int], _Tally] = defaultdict(_Tally)
    zero, seconds = bounds[0].timestamp(), width.total_seconds()
    for start, pk, ups, downs, message, values, value_sum in sorted(parts, key=itemgetter(0)):
        tallies[pk, int((start - zero) // seconds)].add(ups, downs, message, values, value_sum)
    return tallies


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
