"""Time in equal parts, and the worst that a monitor was in each: arithmetic, without a database."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from monitors.domain.state_machine import Status
from monitors.domain.uptime import Onset

_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
# What says most about a time comes last.
_BADNESS = {Status.NEW: 1, Status.PAUSED: 2, Status.UP: 3, Status.DOWN: 4}


@dataclass(frozen=True, slots=True)
class Slot:
    """From `start` to `end`: how many heartbeats came, and the worst status that the monitor had.

    `worst` is None where nothing is known: before the monitor existed. A monitor that was silent may
    be down in a slot without any heartbeat. Up is worse than paused and new: it says more.
    `last_message` is that of the last heartbeat of the worst kind: a down's where one came. `mean` is
    that of their values, None where none had one.
    """

    start: datetime
    end: datetime
    worst: Status | None
    ups: int = 0
    downs: int = 0
    last_message: str = ""
    mean: float | None = None


def edges(now: datetime, *, span: timedelta, slots: int) -> list[datetime]:
    """Return the `slots` + 1 times that bound the slots of about the last `span`; `now` is in the last.

    They lie on whole multiples of a slot's width since 1970, so that they stay where they are until
    the next one begins.
    """
    width = span / slots
    end = (now - _ZERO) // width + 1
    return [_ZERO + number * width for number in range(end - slots, end + 1)]


def worst_of(onsets: Iterable[Onset], bounds: Sequence[datetime]) -> list[Status | None]:
    """Return the worst status in each of the slots between `bounds`, which are in order.

    Args:
        onsets: in the order of their times. Before the first one nothing is known; the last one goes
            on for ever.
    """
    found: list[Status | None] = []
    current: Status | None = None
    left = deque(onsets)
    while left and left[0].at < bounds[0]:
        current = left.popleft().status
    for start, end in pairwise(bounds):
        if not left:
            found.append(current)
            continue
        # What ends in the moment in which the slot begins is not in it.
        there = [] if current is None or left[0].at == start else [current]
        while left and left[0].at < end:
            current = left.popleft().status
            there.append(current)
        found.append(max(there, key=_BADNESS.__getitem__, default=None))
    return found
