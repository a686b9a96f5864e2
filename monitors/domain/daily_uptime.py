"""Uptime from parts, such as days: arithmetic, without a database."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitors.domain.recurrence import Stretch, together
from monitors.domain.state_machine import Status
from monitors.domain.uptime import Onset, Uptime, uptime

_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Part:
    """The uptime of a stretch of time, such that neighbouring parts add up to that of both together.

    `watched` and `down` are without `gap` and `maintenance`, which are what was cut out of watched time: what
    was both is a gap. `incidents` touch the stretch, and `began_down` is whether the first one had begun
    before it and lasted into it.
    """

    watched: timedelta = _NOTHING
    down: timedelta = _NOTHING
    gap: timedelta = _NOTHING
    maintenance: timedelta = _NOTHING
    paused: timedelta = _NOTHING
    incidents: int = 0
    began_down: bool = False


def part_of(
    onsets: Sequence[Onset],
    *,
    start: datetime,
    end: datetime,
    gaps: Sequence[Stretch] = (),
    planned: Sequence[Stretch] = (),
) -> Part:
    """Return the part from `start` to `end`.

    Args:
        onsets: in chronological order, as for `uptime`; there may be more before and after.
        gaps: when Tianji was not listening; sorted and disjoint.
        planned: the maintenance windows that are excluded from uptime; sorted and disjoint.
    """
    stood = _within(onsets, start, end)
    if not stood:
        return Part()
    whole = uptime(stood, start=start, end=end)
    ours = [each for each in gaps if each[0] < end and each[1] > start]
    theirs = [each for each in planned if each[0] < end and each[1] > start]
    heard = uptime(stood, start=start, end=end, without=ours) if ours else whole
    left = uptime(stood, start=start, end=end, without=together([*ours, *theirs])) if theirs else heard
    ends = [*(later.at for later in stood[1:]), end]
    return Part(
        watched=left.watched,
        down=left.down,
        gap=whole.watched - heard.watched,
        maintenance=heard.watched - left.watched,
        paused=sum(
            (
                max(min(until, end) - max(onset.at, start), _NOTHING)
                for onset, until in zip(stood, ends, strict=True)
                if onset.status is Status.PAUSED
            ),
            _NOTHING,
        ),
        incidents=whole.incidents,
        began_down=stood[0].status is Status.DOWN and stood[0].at < start < ends[0],
    )


def added(parts: Iterable[Part]) -> Uptime:
    """Return the uptime of neighbouring parts, in order."""
    watched = down = _NOTHING
    incidents = 0
    for number, part in enumerate(parts):
        watched += part.watched
        down += part.down
        # One that lasts from one part into the next is in both.
        incidents += part.incidents - (part.began_down and number > 0)
    return Uptime(watched, down, incidents)


def _within(onsets: Sequence[Onset], start: datetime, end: datetime) -> list[Onset]:
    """Return the onset before `start` and those before `end`, without ones that repeat a status."""
    first = max(bisect_left(onsets, start, key=lambda onset: onset.at) - 1, 0)
    last = bisect_left(onsets, end, key=lambda onset: onset.at)
    found: list[Onset] = []
    for onset in onsets[first:last]:
        if not found or found[-1].status is not onset.status:
            found.append(onset)
    return found
