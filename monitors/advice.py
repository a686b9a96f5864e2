"""Whether a timeout fits how a sender pushes: arithmetic, without a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from monitors.rhythm import Rhythm
from monitors.schedules import TIMEOUT_MAX, IntervalSchedule

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
