"""Suggests a timeout that fits how a sender pushes: arithmetic, without a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil

from monitors.domain.recurrence import Stretch
from monitors.domain.schedules import TIMEOUT_MAX, IntervalSchedule

# A gap this many times longer than usual, and than agreed, is an outage and not part of the rhythm.
_OUTAGE_OF_USUAL, _OUTAGE_OF_AGREED = 10, 2

GAPS_LEAST = 50
# A suggested timeout is 1.5 times what the sender usually needs.
_ROOM = 1.5
# A shorter timeout is only suggested if it is below this share of the old one and saves some seconds.
_WORTH, _SAVES_LEAST = 0.75, 10
# A shorter timeout is only suggested for monitors that were watched for at least this long.
_WATCHED_LEAST = timedelta(hours=4)
# (from how many seconds, step to which a timeout is rounded up)
_STEPS = ((86_400, 3600), (3600, 300), (600, 60), (120, 10), (0, 5))


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The gaps between heartbeats in seconds, shortest first, at least one; `covers` is their total time.

    Without outages and gaps in which nothing was expected.
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
        """Return the gap that a `share` (0 to 1) of all gaps does not exceed (nearest rank)."""
        rank = -int(-len(self.gaps) * share // 1)
        return self.gaps[max(rank, 1) - 1]


def rhythm(
    times: Sequence[datetime], *, unwatched: Iterable[Stretch] = (), agreed: float | None = None
) -> Rhythm | None:
    """Return the rhythm of heartbeats at `times`, oldest first; None if there is no gap.

    Args:
        unwatched: times in which nothing was expected, because the monitor was paused or new; in order.
        agreed: the seconds of silence after which the monitor goes down. None for set times, because it
            varies; then no gap is an outage.
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
        longest = longest_of_rhythm(gaps[(len(gaps) - 1) // 2], agreed)
        gaps = [gap for gap in gaps if gap <= longest]
    return Rhythm(tuple(gaps), timedelta(seconds=sum(gaps))) if gaps else None


def longest_of_rhythm(usual: float, agreed: float) -> float:
    """Return the gap in seconds from which on it is an outage; see `rhythm`."""
    return max(_OUTAGE_OF_USUAL * usual, _OUTAGE_OF_AGREED * agreed)


@dataclass(frozen=True, slots=True)
class Advice:
    """A better timeout in seconds: longer, or shorter if `avoided` is 0.

    99 % of the gaps are at most `mostly` seconds. `avoided` is how many incidents it would have prevented.
    """

    timeout: int
    mostly: int
    avoided: int = 0


def advise(
    seen: Rhythm | None, *, schedule: IntervalSchedule, interval: int | None, silences: Iterable[float]
) -> Advice | None:
    """Return a better timeout for `schedule`, or None if it fits or too little is known.

    Args:
        interval: the recommended interval in seconds, if there is one.
        silences: the seconds from heartbeat to heartbeat around each missed incident.
    """
    if seen is None or len(seen.gaps) < GAPS_LEAST:
        return None
    mostly = ceil(seen.p99)
    room = _nice(max(seen.p99, interval or 0) * _ROOM)
    if room > schedule.timeout:
        alert_after = _alert_after(room, schedule.grace)
        avoided = sum(silence <= alert_after for silence in silences)
        return Advice(room, mostly, avoided) if avoided else None
    if seen.covers < _WATCHED_LEAST:
        return None
    now = _alert_after(schedule.timeout, schedule.grace)
    # Longer gaps were incidents already; a shorter timeout adds none of those.
    shorter = max(room, _nice(max((gap for gap in seen.gaps if gap <= now), default=0)))
    then = _alert_after(shorter, schedule.grace)
    worth = then <= now * _WORTH and now - then >= _SAVES_LEAST
    return Advice(shorter, mostly) if worth else None


def _alert_after(timeout: int, grace: int | None) -> int:
    return timeout + IntervalSchedule(timeout, grace).effective_grace


def _nice(seconds: float) -> int:
    """Return `seconds` rounded up to a number that a person would choose."""
    step = next(step for start, step in _STEPS if seconds >= start)
    return min(ceil(seconds / step) * step, TIMEOUT_MAX)
