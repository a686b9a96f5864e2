"""Suggests a timeout that fits how a sender pushes: arithmetic, without a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

from monitors.rhythm import Rhythm
from monitors.schedules import TIMEOUT_MAX, IntervalSchedule

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
        told = _told_after(room, schedule.grace)
        avoided = sum(silence <= told for silence in silences)
        return Advice(room, mostly, avoided) if avoided else None
    if seen.covers < _WATCHED_LEAST:
        return None
    now = _told_after(schedule.timeout, schedule.grace)
    # Longer gaps were incidents already; a shorter timeout adds none of those.
    shorter = max(room, _nice(max((gap for gap in seen.gaps if gap <= now), default=0)))
    then = _told_after(shorter, schedule.grace)
    worth = then <= now * _WORTH and now - then >= _SAVES_LEAST
    return Advice(shorter, mostly) if worth else None


def _told_after(timeout: int, grace: int | None) -> int:
    return timeout + IntervalSchedule(timeout, grace).effective_grace


def _nice(seconds: float) -> int:
    """Return `seconds` rounded up to a number that a person would choose."""
    step = next(step for start, step in _STEPS if seconds >= start)
    return min(ceil(seconds / step) * step, TIMEOUT_MAX)
