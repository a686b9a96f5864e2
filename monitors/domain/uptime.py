"""Uptime: arithmetic over a monitor's status changes, without a database."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from monitors.domain.recurrence import Stretch
from monitors.domain.state_machine import Status

_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Onset:
    """From `at` until the next onset, a monitor had `status`."""

    at: datetime
    status: Status


@dataclass(frozen=True, slots=True)
class Uptime:
    """For a stretch of time: how long a monitor was watched and down, and how many incidents overlap it.

    A monitor is watched while it is up or down, but not while it is new or paused.
    """

    watched: timedelta
    down: timedelta
    incidents: int

    @property
    def share(self) -> float | None:
        """The share of the watched time in which it was not down, 0 to 1; None if it was not watched."""
        return (self.watched - self.down) / self.watched if self.watched else None


def uptime(
    onsets: Iterable[Onset], *, start: datetime, end: datetime, without: Sequence[Stretch] = ()
) -> Uptime:
    """Return the uptime from `start` to `end`.

    Args:
        onsets: in chronological order. Before the first one, the monitor did not exist. The last one lasts
            until `end`, which must not be in the future.
        without: times that count neither as watched nor as down, such as maintenance; sorted and disjoint.
            Incidents in them are still counted.
    """
    stood = list(onsets)
    watched = down = _NOTHING
    incidents, counted = 0, False
    for onset, until in zip(stood, [*(later.at for later in stood[1:]), end], strict=False):
        length = _counted(max(onset.at, start), min(until, end), without)
        if onset.status in (Status.UP, Status.DOWN):
            watched += length
        if onset.status is not Status.DOWN:
            counted = False
            continue
        down += length
        # An incident of zero length still counts for the time that contains it.
        touches = onset.at < end and (until > start or onset.at >= start)
        if touches and not counted:
            incidents, counted = incidents + 1, True
    return Uptime(watched, down, incidents)


def _counted(start: datetime, end: datetime, without: Sequence[Stretch]) -> timedelta:
    """Return the time from `start` to `end` minus what is in `without`; zero if `end` is before `start`."""
    if start >= end:
        return _NOTHING
    length = end - start
    first = bisect_right(without, start, key=lambda stretch: stretch[1])
    for begin, stop in islice(without, first, None):
        if begin >= end:
            break
        length -= min(stop, end) - max(begin, start)
    return length
