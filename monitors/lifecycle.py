"""Create, edit, pause, resume and delete a monitor."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts.models import User, Workspace
from monitors import journal, tokens
from monitors.models import Monitor, MonitorState
from monitors.status import PauseAsked, ResumeAsked, Status, TimePassed
from tianji.clock import database_now
from tianji.hints import wake_on_commit


def create(*, workspace: Workspace, by: User | None, **fields: Any) -> Monitor:
    """Make a monitor with its state and its first push token. `fields` are columns of Monitor."""
    with transaction.atomic():
        monitor = Monitor(workspace=workspace, **fields)
        monitor.save(force_insert=True)
        MonitorState.objects.create(monitor=monitor, status_changed_at=database_now())
        tokens.issue(monitor=monitor, by=by)
    return monitor


def edit(*, monitor: Monitor, **changes: Any) -> Monitor:
    """Change columns of `monitor`, only those named, and move its deadline at once where it gets earlier.

    The state row is locked first, as the recorder and the sweep do, so that none of them decides by
    a schedule that is being replaced. Columns not named are read again under the lock: what somebody
    else changed meanwhile counts for the deadline.
    """
    with transaction.atomic():
        state = MonitorState.objects.select_for_update().get(monitor=monitor)
        monitor.refresh_from_db()
        now = database_now()
        # A deadline that passed under the old schedule was missed, though no sweep has looked yet.
        book = journal.Journal(now)
        book.know_open_incidents([state])
        book.decide(state, monitor, TimePassed(now))
        book.write()
        for name, value in changes.items():
            setattr(monitor, name, value)
        monitor.save(update_fields=[*changes, "updated_at"])
        if state.status == Status.UP and state.last_heartbeat_at:
            journal.arm(state, monitor, now=now)
        state.save(update_fields=["status", "status_changed_at", "due_at", "fault"])
    return monitor


def pause(*, monitor: Monitor) -> None:
    """Stop watching; an open incident is closed and nobody is told."""
    _apply(monitor, PauseAsked)


def resume(*, monitor: Monitor) -> None:
    """Watch again: the monitor is new until its next heartbeat."""
    _apply(monitor, ResumeAsked)


def _apply(monitor: Monitor, event: type[PauseAsked | ResumeAsked]) -> None:
    with transaction.atomic():
        state = MonitorState.objects.select_for_update().get(monitor=monitor)
        at = database_now()
        book = journal.Journal(at)
        book.know_open_incidents([state])
        book.decide(state, monitor, event(at))
        book.write()
        state.save(update_fields=["status", "status_changed_at", "due_at", "fault"])


def delete(*, monitor: Monitor) -> None:
    """Delete `monitor` with all that belongs to it.

    Its heartbeats become unreachable at once and are removed in small batches afterwards: a long
    history must not hold a request up.
    """
    monitor_id = monitor.pk
    with transaction.atomic():
        MonitorState.objects.select_for_update().get(monitor=monitor)
        monitor.delete()
        wake_on_commit("monitors.tasks.purge", monitor_id)
