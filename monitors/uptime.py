"""How much of a time a monitor was up: arithmetic over its changes of status, without a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitors.status import Status

_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Onset:
    """From `at` on, until the next onset, a monitor had `status`."""

    at: datetime
    status: Status


@dataclass(frozen=True, slots=True)
class Uptime:
    """Of a stretch of time: how long a monitor was watched and down, and the incidents that touch it.

    It is watched while it is up or down. While it is new or paused nothing is expected of it.
    """

    watched: timedelta
    down: timedelta
    incidents: int

    @property
    def share(self) -> float | None:
        """The part of the watched time in which it was not down, 0 to 1; None where nothing was watched."""
        return (self.watched - self.down) / self.watched if self.watched else None


def uptime(onsets: Iterable[Onset], *, start: datetime, end: datetime) -> Uptime:
    """Return the uptime from `start` to `end`.

    Args:
        onsets: in the order of their times. Before the first one, the monitor did not exist. The
            last one goes on until `end`, so do not let that lie in the future.
    """
    stood = list(onsets)
    watched = down = _NOTHING
    incidents, counted = 0, False
    for onset, until in zip(stood, [*(later.at for later in stood[1:]), end], strict=False):
        length = max(min(until, end) - max(onset.at, start), _NOTHING)
        if onset.status in (Status.UP, Status.DOWN):
            watched += length
        if onset.status is not Status.DOWN:
            counted = False
            continue
        down += length
        # One that is over in the moment in which it began touches the time that it lies in.
        touches = onset.at < end and (until > start or onset.at >= start)
        if touches and not counted:
            incidents, counted = incidents + 1, True
    return Uptime(watched, down, incidents)
