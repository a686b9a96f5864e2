"""Times in which nobody is told, because somebody works on it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime


def held_until(monitor_ids: Collection[int], now: datetime) -> dict[int, datetime]:
    """Return of those of the monitors that are in a window at `now` when it ends, by row id."""
    return {}
