"""Create, change, end and delete maintenance windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.actors import COMMAND, Actor
from accounts.audit import AuditTarget
from accounts.models import AuditEntry, Workspace
from core.clock import database_now
from monitors.domain.recurrence import current
from monitors.locks import lock_window
from monitors.models import MaintenanceWindow, Monitor
from monitors.services import maintenance, outdated_days


def plan(
    *, workspace: Workspace, by: Actor = COMMAND, monitors: Iterable[Monitor] = (), **fields: Any
) -> MaintenanceWindow:
    """Create a maintenance window. `fields` are columns of MaintenanceWindow.

    Args:
        monitors: monitors of `workspace` that it applies to, in addition to those with one of its tags.
    """
    with transaction.atomic():
        with _rescheduling_ends(workspace.pk):
            window = MaintenanceWindow.objects.create(workspace=workspace, **fields)
            window.monitors.set(monitors)
        _record(window, by, AuditEntry.Action.MAINTENANCE_PLANNED)
    return window


def change(
    *,
    window: MaintenanceWindow,
    by: Actor = COMMAND,
    monitors: Iterable[Monitor] | None = None,
    **changes: Any,
) -> MaintenanceWindow:
    """Change the given columns of `window`; if nothing differs, nothing is written.

    Changes also apply to the time it has excluded from uptime so far.

    Args:
        monitors: monitors of its workspace that it applies to from now on; None keeps them.

    Raises:
        MaintenanceWindow.DoesNotExist: someone deleted it.
    """
    with transaction.atomic():
        window = lock_window(window)
        changed = {name: value for name, value in changes.items() if getattr(window, name) != value}
        wanted = None if monitors is None else {monitor.pk for monitor in monitors}
        others = wanted is not None and wanted != set(window.monitors.values_list("pk", flat=True))
        if not (changed or others):
            return window
        with _rescheduling_ends(window.workspace_id):
            for name, value in changed.items():
                setattr(window, name, value)
            window.save(update_fields=list(changed))
            if wanted is not None:
                window.monitors.set(wanted)
        fields = sorted({*changed, *(["monitors"] if others else [])})
        _record(window, by, AuditEntry.Action.MAINTENANCE_CHANGED, fields=fields)
    return window


def end_now(*, window: MaintenanceWindow, by: Actor = COMMAND) -> bool:
    """End the current occurrence of `window`; return whether it was active.

    A weekly window continues afterwards: the part that has passed becomes a window of its own, so that
    uptimes stay as they were.

    Raises:
        MaintenanceWindow.DoesNotExist: someone deleted it.
    """
    with transaction.atomic():
        window = lock_window(window)
        now = database_now()
        here = current(maintenance.plan_of(window), now)
        if here is None:
            return False
        with _rescheduling_ends(window.workspace_id):
            _cut(window, now=now, end=here[1])
        _record(window, by, AuditEntry.Action.MAINTENANCE_CHANGED, fields=["ends_at"])
    return True


def _cut(window: MaintenanceWindow, *, now: datetime, end: datetime) -> None:
    """Cut the time from `now` to `end` out of `window`."""
    goes_on = window.ends_at is None or window.ends_at > end
    if window.kind == MaintenanceWindow.Kind.ONCE or not goes_on:
        window.ends_at = now
        window.save(update_fields=["ends_at"])
        return
    monitors = list(window.monitors.values_list("pk", flat=True))
    columns = {
        field.attname: getattr(window, field.attname)
        for field in MaintenanceWindow._meta.concrete_fields
        if field.name not in ("id", "public_id", "created_at", "ends_at")
    }
    past = MaintenanceWindow.objects.create(**columns, ends_at=now)
    past.monitors.set(monitors)
    window.starts_at = end
    window.save(update_fields=["starts_at"])


def delete(*, window: MaintenanceWindow, by: Actor = COMMAND) -> None:
    """Delete `window`; time that it excluded from uptime is included again.

    Raises:
        MaintenanceWindow.DoesNotExist: it was already deleted.
    """
    with transaction.atomic():
        window = lock_window(window)
        _record(window, by, AuditEntry.Action.MAINTENANCE_DELETED)
        with _rescheduling_ends(window.workspace_id):
            window.delete()


@contextmanager
def _rescheduling_ends(workspace_id: int) -> Iterator[None]:
    """Let others know which ends of maintenance, and which past days, the context changes."""
    monitors = Monitor.objects.filter(workspace_id=workspace_id).only("pk", "workspace_id", "tags")
    moving = maintenance.rescheduling_ends(workspace_id, monitors)
    with moving, outdated_days.noting_maintenance(workspace_id):
        yield


def _record(window: MaintenanceWindow, by: Actor, action: str, **details: Any) -> None:
    target = AuditTarget(window.public_id, window.name, details)
    audit.record(workspace=window.workspace, by=by, action=action, target=target)
