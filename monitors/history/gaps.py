"""Gaps: stretches in which Tianji could not receive heartbeats, and which are left out of uptime."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitors.domain.recurrence import Stretch, together
from monitors.history import current
from monitors.models import Gap, Monitor
from monitors.services.maintenance import Windows


def between(start: datetime, end: datetime) -> list[Stretch]:
    """Return the parts of all gaps from `start` to `end`, in order and disjoint. One query.

    If pushes fail at `end`, the gap that has not ended yet is the last one.
    """
    return together(
        (max(begin, start), stop)
        for begin, stop in [*stored(start, end), (current.settled(end), end)]
        if begin < stop
    )


def stored(start: datetime, end: datetime) -> list[Stretch]:
    """Like `between`, but a gap counts only once it has ended. One query."""
    rows = Gap.objects.filter(ended_at__gt=start, started_at__lt=end)
    found = rows.values_list("started_at", "ended_at")
    return together((max(begin, start), min(stop, end)) for begin, stop in found if begin < stop)


def left_out(
    windows: Windows, monitors: Sequence[Monitor], *, start: datetime, end: datetime
) -> dict[int, Sequence[Stretch]]:
    """Return what is left out of the uptime from `start` to `end`, by the monitor's row id.

    That is every gap, and the maintenance windows that are set to be. Sorted and disjoint. One query beside
    those of `windows`.
    """
    ours = between(start, end)
    planned = windows.left_out(monitors, start=start, end=end)
    return {monitor.pk: together([*ours, *planned.get(monitor.pk, ())]) for monitor in monitors}
