"""The locks of monitors: the row of a monitor's state stands for all that belongs to the monitor.

Locks are taken in the same order everywhere, so that no two transactions wait for each other: states by
monitor id, then channels, then deliveries (notifications/locks.py). Who is out of order, or must not wait,
skips what is locked.

The recorder locks the states of a batch in the statement that looks up its tokens (heartbeats/sql.py). SQLite
has no locks of rows: it ignores these, because a transaction that writes is the only one from its beginning.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from monitors.models import MaintenanceWindow, Monitor, MonitorState


def lock_state(monitor: Monitor) -> MonitorState:
    """Lock the state of `monitor` to change it, or what pushes are judged by; return it as it is now.

    FOR UPDATE, as the recorder and the sweep lock it: each of them sees all of the change, or none of it.

    Raises:
        MonitorState.DoesNotExist: the monitor was deleted.
    """
    locked: MonitorState = MonitorState.objects.select_for_update().get(monitor=monitor)
    return locked


def lock_due_states(now: datetime, *, limit: int) -> list[MonitorState]:
    """Lock at most `limit` states that are due at `now`, the one that has been due longest first.

    SKIP LOCKED: a sweep doesn't wait for a push, which may bring the heartbeat that was missing, nor for
    another sweep. What it skips is still due at the next one, unless that push came in time.
    """
    due = MonitorState.objects.select_for_update(skip_locked=True).due(now)
    return list(due.order_by("due_at")[:limit])


def keep_state(monitor: Monitor) -> None:
    """Keep `monitor` from being deleted, and others from changing what belongs to it, such as its rules.

    FOR NO KEY UPDATE is enough for that: the state is only read. It conflicts with any other lock of it.

    Raises:
        MonitorState.DoesNotExist: the monitor was deleted.
    """
    MonitorState.objects.select_for_update(no_key=True).get(pk=monitor.pk)


def keep_states(monitors: Any, *, skip_locked: bool = False) -> list[int]:
    """Keep monitors from being deleted, as `keep_state` does; return the ids of those that exist.

    A monitor that is being deleted must not get new rows, which would make its deletion fail.

    Args:
        monitors: their ids, or a query for them.
        skip_locked: leave out those that are locked, for who must not wait: a channel is locked already, or
            there will be another look in a few seconds.
    """
    return list(_locked_states(monitors, skip_locked=skip_locked).values_list("monitor_id", flat=True))


def keep_last_heartbeats(monitors: Any) -> dict[int, datetime | None]:
    """Keep the monitors that are not locked, as `keep_states` does; return each one's last heartbeat."""
    locked = _locked_states(monitors, skip_locked=True)
    return dict(locked.values_list("monitor_id", "last_heartbeat_at"))


def _locked_states(monitors: Any, *, skip_locked: bool) -> QuerySet[MonitorState]:
    states = MonitorState.objects.select_for_update(no_key=True, skip_locked=skip_locked)
    locked: QuerySet[MonitorState] = states.filter(monitor__in=monitors).order_by("monitor_id")
    return locked


def lock_window(window: MaintenanceWindow) -> MaintenanceWindow:
    """Lock a maintenance window to change or delete it; return it as it is now.

    FOR UPDATE, which blocks new references to it too, because it may be deleted.

    Raises:
        MaintenanceWindow.DoesNotExist: it was deleted.
    """
    return MaintenanceWindow.objects.select_for_update().get(pk=window.pk)
