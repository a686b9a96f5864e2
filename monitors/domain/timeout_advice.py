"""Whether a timeout fits how a sender pushes: arithmetic, without a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil

from monitors.domain.schedules import TIMEOUT_MAX, IntervalSchedule

# A silence that is so many times as long as usual, and as what was agreed, is an outage and no rhythm.
_OUTAGE_OF_USUAL, _OUTAGE_OF_AGREED = 10, 2

Stretch = tuple[datetime, datetime]
GAPS_LEAST = 50
# A timeout leaves half as much again as the sender mostly needs.
_ROOM = 1.5
# What is shorter than this share of the old one is worth a change, where it saves some seconds.
_WORTH, _SAVES_LEAST = 0.75, 10
# A shorter timeout is proposed only to those who were watched for long enough to know them.
_WATCHED_LEAST = timedelta(hours=4)
# From how many seconds on a timeout is rounded up to which steps.
_STEPS = ((86_400, 3600), (3600, 300), (600, 60), (120, 10), (0, 5))


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The gaps between heartbeats in seconds, shortest first, at least one; `covers` is their time.

    Outages and gaps in which nothing was expected are not among them.
    """

    gaps: tuple[float, ...]
    covers: timedelta

    @property
    def median(self) -> float:
        return self.under(0.5)

    @property
    def p99(self) -> float:
        return self.under(0.99)

    def under(self, share: float) -> float:
        """Return the gap that `share` (0 to 1) of all gaps do not exceed (nearest rank)."""
        rank = -int(-len(self.gaps) * share // 1)
        return self.gaps[max(rank, 1) - 1]


def rhythm(
    times: Sequence[datetime], *, unwatched: Iterable[Stretch] = (), agreed: float | None = None
) -> Rhythm | None:
    """Return the rhythm of heartbeats that came at `times`, oldest first; None where there is no gap.

    Args:
        unwatched: when nothing was expected, because the monitor was paused or new; in order.
        agreed: the silence in seconds after which the sender counts as down. None where that is not
            one length, by a cron schedule; then nothing is an outage.
    """
    left = list(unwatched)
    gaps = []
    for start, end in pairwise(times):
        while left and left[0][1] <= start:
            left.pop(0)
        if left and left[0][0] < end:
            continue
        gaps.append((end - start).total_seconds())
    gaps.sort()
    if gaps and agreed is not None:
        usual = gaps[(len(gaps) - 1) // 2]
        longest = max(_OUTAGE_OF_USUAL * usual, _OUTAGE_OF_AGREED * agreed)
        gaps = [gap for gap in gaps if gap <= longest]
    return Rhythm(tuple(gaps), timedelta(seconds=sum(gaps))) if gaps else None


@dataclass(frozen=True, slots=True)
class Advice:
    """A timeout in seconds that fits better: longer, or shorter where `avoided` is 0.

    99 % of the gaps are not longer than `mostly` seconds. `avoided` is how many incidents there would
    not have been.
    """

    timeout: int
    mostly: int
    avoided: int = 0


def advise(
    seen: Rhythm | None, *, schedule: IntervalSchedule, interval: int | None, silences: Iterable[float]
) -> Advice | None:
    """Return a better timeout for `schedule`, or None where it is well chosen or too little is known.

    Args:
        interval: how often in seconds the sender was asked to push, if it was.
        silences: how many seconds each missed incident was silent, from heartbeat to heartbeat.
    """
    if seen is None or len(seen.gaps) < GAPS_LEAST:
        return None
    mostly = ceil(seen.p99)
    room = _nice(max(seen.p99, interval or 0) * _ROOM)
    if room > schedule.timeout:
        told = _told_after(room, schedule.grace)
        avoided = sum(silence <= told for silence in silences)
        return Advice(room, mostly, avoided) if avoided else None
    if seen.covers < _WATCHED_LEAST:
        return None
    now = _told_after(schedule.timeout, schedule.grace)
    # Those beyond were incidents, which a shorter timeout does not add.
    shorter = max(room, _nice(max((gap for gap in seen.gaps if gap <= now), default=0)))
    then = _told_after(shorter, schedule.grace)
    worth = then <= now * _WORTH and now - then >= _SAVES_LEAST
    return Advice(shorter, mostly) if worth else None


def _told_after(timeout: int, grace: int | None) -> int:
    return timeout + IntervalSchedule(timeout, grace).effective_grace


def _nice(seconds: float) -> int:
    """Return `seconds` rounded up to what people would choose."""
    step = next(step for start, step in _STEPS if seconds >= start)
    return min(ceil(seconds / step) * step, TIMEOUT_MAX)
