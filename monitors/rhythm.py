"""A sender's rhythm, from the times of its heartbeats: arithmetic, without a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

# A gap this many times longer than usual, and than agreed, is an outage and not part of the rhythm.
_OUTAGE_OF_USUAL, _OUTAGE_OF_AGREED = 10, 2

Stretch = tuple[datetime, datetime]


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
        agreed: the seconds of silence after which the monitor goes down. None for a cron schedule, where
            that varies; then nothing is an outage.
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
