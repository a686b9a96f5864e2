"""Create, edit, pause, resume and delete a monitor."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from itertools import count
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from accounts import audit
from accounts.actors import COMMAND, Actor
from accounts.audit import AuditTarget
from accounts.models import AuditEntry, Workspace
from core.clock import database_now
from core.wakeups import wake_on_commit
from monitors import signals
from monitors.domain.state_machine import PauseRequested, ResumeRequested, Status, TimePassed
from monitors.heartbeats import transitions
from monitors.locks import lock_monitor_to_delete, lock_state
from monitors.models import SCHEDULE_COLUMNS, SLUG_LENGTH, WITH_DEFAULTS, Monitor, MonitorState
from monitors.services import maintenance, outdated_days, tokens

# When several monitors with the same name are created at once, each finds its slug taken once at most.
_SLUG_TRIES = 20
# The columns of a state that a decision may change.
_DECIDED = ("status", "status_changed_at", "due_at", "fault", "recent_outcomes")
_FALLBACK_SLUG = "monitor"
_ROOM_FOR_A_NUMBER = 7


class SlugTaken(Exception):
    """Another monitor in the workspace has this slug."""


class InvalidRange(Exception):
    """The lowest allowed value is above the highest, so no value would be allowed."""


class VersionConflict(Exception):
    """The monitor is no longer at the version that the edit was based on."""


def create(
    *,
    workspace: Workspace,
    by: Actor = COMMAND,
    slug: str = "",
    channels: Iterable[Any] = (),
    **fields: Any,
) -> Monitor:
    """Create a monitor with its state and first push token. `fields` are columns of Monitor.

    Args:
        slug: "" to derive it from the name.
        channels: channels of `workspace` that this monitor uses.

    Raises:
        SlugTaken: `slug` was given and another monitor has it.
        InvalidRange: no value would be allowed.
    """
    _require_order(fields.get("value_min"), fields.get("value_max"))
    with transaction.atomic():
        monitor = _insert(workspace, slug, fields)
        MonitorState.objects.create(monitor=monitor, status_changed_at=database_now())
        monitor.channels.add(*channels)
        record_change(monitor, by, AuditEntry.Action.MONITOR_CREATED)
        tokens.issue_first(monitor=monitor, by=by)
    return monitor


def _insert(workspace: Workspace, slug: str, fields: dict[str, Any]) -> Monitor:
    for _ in range(_SLUG_TRIES):
        monitor = Monitor(workspace=workspace, slug=slug or free_slug(workspace, fields["name"]), **fields)
        try:
            with transaction.atomic():
                monitor.save(force_insert=True)
        except IntegrityError as error:
            if not Monitor.objects.filter(workspace=workspace, slug=monitor.slug).exists():
                raise
            if slug:
                raise SlugTaken from error
        else:
            return monitor
    raise SlugTaken


def edit(
    *,
    monitor: Monitor,
    by: Actor = COMMAND,
    version: int | None = None,
    channels: Iterable[Any] | None = None,
    **changes: Any,
) -> Monitor:
    """Change the given columns of `monitor`; a deadline that gets earlier moves immediately.

    The state row is locked first, as the recorder and the sweep do, so that neither uses a schedule that
    is being replaced. Other columns are read again under the lock, so the deadline takes concurrent edits
    into account. If nothing differs, nothing is written.

    Args:
        version: only edit the monitor if it is still at this version.
        channels: channels of its workspace that it uses from now on; None keeps them.

    Raises:
        VersionConflict: it is at another version.
        SlugTaken: another monitor has the new slug.
        InvalidRange: no value would be allowed.
    """
    with transaction.atomic():
        state = lock_state(monitor)
        monitor.refresh_from_db()
        if version is not None and version != monitor.version:
            raise VersionConflict
        changed = {name: value for name, value in changes.items() if getattr(monitor, name) != value}
        others = channels is not None and _choose(monitor, channels)
        if not (changed or others):
            return monitor
        _require_order(
            changed.get("value_min", monitor.value_min), changed.get("value_max", monitor.value_max)
        )
        now = database_now()
        # A deadline that passed under the old schedule was missed, even if no sweep has run since.
        book = transitions.Journal(now)
        book.know_open_incidents([state])
        passed = book.decide(state, monitor, TimePassed(now))
        book.write()
        was_missed = state.status == Status.DOWN and book.last_was_missed(state, monitor)
        if passed.missed and passed.awaits:
            transitions.set_due_at(state, monitor, now=now, counted=passed.missed)
        # Its tags decide which maintenance windows it is in.
        retagged = [monitor] if "tags" in changed else []
        moving = maintenance.rescheduling_ends(monitor.workspace_id, retagged) if retagged else nullcontext()
        with moving, outdated_days.noting_tags(retagged):
            for name, value in changed.items():
                setattr(monitor, name, value)
            monitor.version += 1
            _save(monitor, [*changed, "version", "updated_at"])
        if state.status == Status.UP and state.last_heartbeat_at:
            transitions.set_due_at(state, monitor, now=now)
        elif state.due_at is not None and not changed.keys().isdisjoint(SCHEDULE_COLUMNS):
            state.due_at, state.fault = None, ""
            # What was missed under the old schedule isn't missed again under the new one.
            transitions.set_due_at(state, monitor, now=now, after=now if was_missed else None)
        state.save(update_fields=_DECIDED)
        if others or "urgency" in changed:
            signals.recipients_changed.send(sender=Monitor, monitors=[monitor.pk])
        record_change(
            monitor,
            by,
            AuditEntry.Action.MONITOR_CHANGED,
            fields=sorted({*changed, *(["channels"] if others else [])}),
        )
    return monitor


def _require_order(low: float | None, high: float | None) -> None:
    if low is not None and high is not None and low > high:
        raise InvalidRange


def _choose(monitor: Monitor, channels: Iterable[Any]) -> bool:
    """Set the channels of `monitor`; return whether they changed."""
    wanted = {channel.pk for channel in channels}
    if wanted == set(monitor.channels.values_list("pk", flat=True)):
        return False
    monitor.channels.set(wanted)
    return True


def _save(monitor: Monitor, columns: list[str]) -> None:
    try:
        with transaction.atomic():
            monitor.save(update_fields=columns)
    except IntegrityError:
        others = Monitor.objects.filter(workspace_id=monitor.workspace_id, slug=monitor.slug)
        if "slug" in columns and others.exclude(pk=monitor.pk).exists():
            raise SlugTaken from None
        raise


def pause(*, monitor: Monitor, by: Actor = COMMAND) -> None:
    """Stop watching; an open incident is closed and no notifications are sent."""
    _apply(monitor, PauseRequested, by, AuditEntry.Action.MONITOR_PAUSED)


def resume(*, monitor: Monitor, by: Actor = COMMAND) -> None:
    """Start watching again: the monitor is new until its next heartbeat."""
    _apply(monitor, ResumeRequested, by, AuditEntry.Action.MONITOR_RESUMED)


def _apply(monitor: Monitor, event: type[PauseRequested | ResumeRequested], by: Actor, action: str) -> None:
    with transaction.atomic():
        state = lock_state(monitor)
        before = state.status
        at = database_now()
        book = transitions.Journal(at)
        book.know_open_incidents([state])
        if event is PauseRequested and state.due_at is not None:
            # A deadline that has passed was missed, even if no sweep has run since. The schedule and the
            # thresholds are read after the lock, because they may have changed since.
            current = Monitor.objects.select_related(WITH_DEFAULTS).get(pk=monitor.pk)
            book.decide(state, current, TimePassed(at))
        book.decide(state, monitor, event(at))
        book.write()
        state.save(update_fields=_DECIDED)
        if state.status != before:
            record_change(monitor, by, action)


def delete(*, monitor: Monitor, by: Actor = COMMAND, version: int | None = None) -> None:
    """Delete `monitor` and everything that belongs to it.

    Its heartbeats become unreachable immediately and are deleted in small batches afterwards: a long
    history must not block a request.

    Args:
        version: only delete it if it is still at this version.

    Raises:
        VersionConflict: it is at another version.
    """
    monitor_id = monitor.pk
    with transaction.atomic():
        lock_monitor_to_delete(monitor)
        if version is not None and not Monitor.objects.filter(pk=monitor_id, version=version).exists():
            raise VersionConflict
        record_change(monitor, by, AuditEntry.Action.MONITOR_DELETED)
        signals.monitor_deleting.send(sender=Monitor, monitor=monitor, at=database_now())
        monitor.delete()
        wake_on_commit("monitors.tasks.purge", monitor_id)


def record_change(monitor: Monitor, by: Actor, action: str, **details: Any) -> None:
    """Add what `by` did to `monitor` to the audit log."""
    target = AuditTarget(monitor.public_id, monitor.name, details)
    audit.record(workspace=monitor.workspace, by=by, action=action, target=target)


def slug_of(name: str) -> str:
    """Return `name` as a slug; "monitor" if no character of it can be used."""
    slug = slugify(name).replace("_", "-")[: SLUG_LENGTH - _ROOM_FOR_A_NUMBER]
    return "-".join(part for part in slug.split("-") if part) or _FALLBACK_SLUG


def free_slug(workspace: Workspace, name: str) -> str:
    """Return the slug of `name`, with a number if another monitor of `workspace` has it."""
    wanted = slug_of(name)
    taken = set(
        Monitor.objects.in_workspace(workspace).filter(slug__startswith=wanted).values_list("slug", flat=True)
    )
    if wanted not in taken:
        return wanted
    return next(slug for number in count(2) if (slug := f"{wanted}-{number}") not in taken)
