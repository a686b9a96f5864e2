"""The locks of monitors: locking a monitor's state locks everything that belongs to the monitor.

Locks are taken in the same order everywhere, so that no two transactions wait for each other: the watermark,
states by monitor id, then channels, then deliveries (notifications/locks.py). A transaction that can't keep
to this order, or must not wait, skips locked rows.

The recorder locks the states of a batch in the statement that looks up its tokens (heartbeats/sql.py). SQLite
has no row locks and ignores these: only one transaction writes at a time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection

from accounts.models import Workspace
from monitors.domain.state_machine import Status
from monitors.models import MaintenanceWindow, Monitor, MonitorState, Watermark

# How long a transaction that locks all monitors waits for one of them.
_ALL_STATES_MS = 1000


def lock_state(monitor: Monitor) -> MonitorState:
    """Lock the state of `monitor` to change it, or the rules for its pushes; return its current state.

    FOR UPDATE, like the recorder and the sweep: each of them sees all of the change, or none of it.

    Raises:
        MonitorState.DoesNotExist: the monitor was deleted.
    """
    locked: MonitorState = MonitorState.objects.select_for_update().get(monitor=monitor)
    return locked


def lock_monitor_to_delete(monitor: Monitor) -> None:
    """Lock `monitor` and its state, so that nothing new can refer to it.

    FOR UPDATE of the monitor too, unlike the others: a row added after Django has collected those to delete
    would make the deletion fail.

    Raises:
        MonitorState.DoesNotExist: the monitor was deleted.
    """
    lock_state(monitor)
    list(Monitor.objects.select_for_update().filter(pk=monitor.pk).values_list("pk"))


def lock_due_states(now: datetime, *, limit: int) -> list[MonitorState]:
    """Lock at most `limit` states that are due at `now`, the one that has been due longest first.

    SKIP LOCKED: a sweep waits neither for another sweep nor for a push, which may be the heartbeat that was
    missing. What it skips is still due at the next sweep, unless the push was in time.
    """
    due = MonitorState.objects.select_for_update(skip_locked=True).due(now)
    return list(due.order_by("due_at")[:limit])


def lock_awaited_states() -> None:
    """Lock the states of all monitors that await a heartbeat, in the order of the monitors.

    Gives up soon if someone holds one of them: pushes wait for those that it has locked by then. SQLite locks
    no rows, and need not read them.

    Raises:
        django.db.OperationalError: a state could not be locked in time.
    """
    if connection.features.has_select_for_update:
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {_ALL_STATES_MS}")
        awaited = MonitorState.objects.select_for_update().awaited()
        list(awaited.order_by("monitor_id").values_list("monitor_id"))


def lock_down_states(workspace: Workspace) -> list[MonitorState]:
    """Lock the states of the monitors of `workspace` that are down, in the order of the monitors."""
    down = MonitorState.objects.select_for_update(of=("self",)).filter(
        workspace_id=workspace.pk, status=Status.DOWN.value
    )
    return list(down.order_by("monitor_id"))


def keep_state(monitor: Monitor) -> None:
    """Keep `monitor` from being deleted, and others from changing what belongs to it, such as its rules.

    FOR NO KEY UPDATE is enough for that: the state is only read. It conflicts with any other lock of it.

    Raises:
        MonitorState.DoesNotExist: the monitor was deleted.
    """
    MonitorState.objects.select_for_update(no_key=True).get(monitor=monitor)


def keep_states(monitors: Any, workspaces: set[int]) -> list[int]:
    """Keep monitors from being deleted, as `keep_state` does; return the ids of those that exist.

    A monitor that is being deleted must not get new rows, which would make its deletion fail.

    Args:
        monitors: their ids, or a query for them.
        workspaces: the ids of their workspaces.
    """
    ours = MonitorState.objects.filter(workspace_id__in=workspaces, monitor__in=monitors)
    locked = ours.select_for_update(no_key=True)
    return list(locked.order_by("monitor_id").values_list("monitor_id", flat=True))


def lock_window(window: MaintenanceWindow) -> MaintenanceWindow:
    """Lock a maintenance window to change or delete it; return its current state.

    FOR UPDATE, which blocks new references to it too, because it may be deleted.

    Raises:
        MaintenanceWindow.DoesNotExist: it was deleted.
    """
    return MaintenanceWindow.objects.select_for_update().get(pk=window.pk)


def lock_watermark() -> Watermark | None:
    """Lock the watermark to move it; None if no process has ever listened."""
    return Watermark.objects.select_for_update().filter(pk=Watermark.ROW).first()
