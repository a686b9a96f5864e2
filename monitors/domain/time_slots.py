"""Divides time into equal slots, each with a monitor's worst status: arithmetic, without a database."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from monitors.domain.recurrence import Stretch
from monitors.domain.state_machine import Status
from monitors.domain.uptime import Onset

# The ranges of time that pages offer, by their names in URLs.
SPANS = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
    "1y": timedelta(days=365),
}
DEFAULT_SPAN = "24h"
_ZERO = datetime(1970, 1, 1, tzinfo=UTC)
# The most significant status comes last.
_BADNESS = {Status.NEW: 1, Status.PAUSED: 2, Status.UP: 3, Status.DOWN: 4}


@dataclass(frozen=True, slots=True)
class Slot:
    """From `start` to `end`: how many heartbeats arrived, and the monitor's worst status.

    `worst` is None before the monitor existed. A silent monitor may be down in a slot without any
    heartbeat. Up ranks above paused and new, because it is more significant. `last_message` is that of the
    last down heartbeat, else of the last up one. `mean` is that of their values, None if there were none.
    `in_gap` is whether Tianji was not listening for at least half of the slot.
    """

    start: datetime
    end: datetime
    worst: Status | None
    ups: int = 0
    downs: int = 0
    last_message: str = ""
    mean: float | None = None
    in_gap: bool = False


def begin_of_slot(at: datetime, width: timedelta) -> datetime:
    """Return when the slot of `width` that contains `at` begins."""
    return _ZERO + (at - _ZERO) // width * width


def edges(now: datetime, *, span: timedelta, slots: int) -> list[datetime]:
    """Return the `slots` + 1 boundaries of the slots of about the last `span`; `now` is in the last slot.

    They are multiples of a slot's width since 1970, so that they don't move until the next slot begins.
    """
    width = span / slots
    end = begin_of_slot(now, width) + width
    return [end - number * width for number in range(slots, -1, -1)]


def worst_of(onsets: Iterable[Onset], bounds: Sequence[datetime]) -> list[Status | None]:
    """Return the worst status in each of the slots between `bounds`, which are in order.

    Args:
        onsets: in chronological order. Before the first one nothing is known; the last one never ends.
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
        # A status that ends exactly when the slot begins is not in it.
        there = [] if current is None or left[0].at == start else [current]
        while left and left[0].at < end:
            current = left.popleft().status
            there.append(current)
        found.append(worst_among(there))
    return found


def worst_among(statuses: Iterable[Status]) -> Status | None:
    """Return the most significant of `statuses`, None if there are none."""
    return max(statuses, key=_BADNESS.__getitem__, default=None)


def mostly_in(stretches: Sequence[Stretch], bounds: Sequence[datetime]) -> list[bool]:
    """Return whether at least half of each of the slots between `bounds` is in `stretches`.

    Args:
        stretches: in order and disjoint.
    """
    found = []
    first = 0
    for start, end in pairwise(bounds):
        while first < len(stretches) and stretches[first][1] <= start:
            first += 1
        inside = timedelta(0)
        for begin, stop in islice(stretches, first, None):
            if begin >= end:
                break
            inside += min(stop, end) - max(begin, start)
        found.append(inside * 2 >= end - start)
    return found
