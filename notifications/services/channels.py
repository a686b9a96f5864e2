"""Create, edit and delete a channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils.translation import gettext as _

from accounts import audit
from accounts.actors import COMMAND, Actor
from accounts.audit import AuditTarget
from accounts.models import AuditEntry, Workspace
from core.clock import database_now
from core.sql import among
from monitors.locks import keep_states
from monitors.models import Monitor
from notifications import channel_config
from notifications.dispatch import beliefs, enqueue
from notifications.integrations import kinds
from notifications.locks import (
    lock_beliefs,
    lock_channel,
    lock_channel_to_delete,
    lock_channels,
    lock_in_order,
)
from notifications.models import BURST, BURST_MAX, Channel, Delivery, DeliveryAttempt

_BATCH = 1000
_COLUMNS = (
    *("name", "config", "enabled", "all_monitors", "delay", "title", "body"),
    *("on_down", "on_recovery", "on_late", "on_reminder"),
    *("least_urgency", "quiet_from", "quiet_until", "quiet_timezone", "burst"),
)


class VersionConflict(Exception):
    """The channel is no longer at the version that the edit was made for."""


def create(
    *,
    workspace: Workspace,
    kind: str,
    name: str,
    config: dict[str, Any],
    all_monitors: bool = True,
    monitors: Iterable[Monitor] = (),
    by: Actor = COMMAND,
    **columns: Any,
) -> Channel:
    """Create a channel. `monitors`, of `workspace`, are only used without `all_monitors`.

    Args:
        config: as cleaned by the fields of `kind`, secrets in the clear.
        columns: `enabled`, `delay` in seconds, `on_...`, `title`, `body`, `least_urgency`, `quiet_...` and
            `burst`, if not the defaults.
    """
    columns.setdefault("burst", min(BURST, burst_most(kind)))
    with transaction.atomic():
        channel = Channel.objects.create(
            workspace=workspace,
            kind=kind,
            name=name,
            config=channel_config.changed(kind, {}, config, now=database_now()),
            all_monitors=all_monitors,
            **columns,
        )
        channel.monitors.set([] if all_monitors else monitors)
        _record(channel, by, AuditEntry.Action.CHANNEL_CREATED)
        enqueue.recheck(channel=channel)
    return channel


def burst_most(kind: str) -> int:
    """Return the most messages in 30 s that a channel of `kind` may send each alone."""
    known = kinds().get(kind)
    return min(known.burst_most, BURST_MAX) if known else BURST_MAX


def edit(
    *,
    channel: Channel,
    by: Actor = COMMAND,
    version: int | None = None,
    monitors: Iterable[Monitor] | None = None,
    **changes: Any,
) -> Channel:
    """Change the given columns of `channel`. If nothing differs, nothing is written.

    Disabling it drops its pending deliveries, so that enabling it later doesn't send outdated notifications.

    Args:
        version: only edit if the channel is still at this version.
        monitors: those it is subscribed to without `all_monitors`; None leaves them unchanged.
        changes: columns by name. In `config`, only the given values are changed, and None removes one;
            secrets are in the clear.

    Raises:
        VersionConflict: it is not at that version.
        Channel.DoesNotExist: it was deleted.
    """
    with transaction.atomic():
        held = [] if changes.get("enabled", True) else _keep_monitors_waiting_for(channel)
        locked = lock_channel(channel.pk)
        if locked is None:
            raise Channel.DoesNotExist
        channel = locked
        if version is not None and version != channel.version:
            raise VersionConflict
        if "config" in changes:
            changes["config"] = channel_config.changed(
                channel.kind, channel.config, changes["config"], now=database_now()
            )
        changed = [name for name in _COLUMNS if name in changes and changes[name] != getattr(channel, name)]
        # Not the others: a config may be one that can't be written back.
        columns = [*changed, "version", "updated_at"]
        for name in changed:
            setattr(channel, name, changes[name])
        selected = _selected_ids(channel, monitors)
        if selected is not None:
            changed.append("monitors")
            channel.monitors.set(selected)
        if changed:
            channel.version += 1
            channel.save(update_fields=columns)
            _record(channel, by, AuditEntry.Action.CHANNEL_CHANGED, fields=sorted(changed))
            # What happened while it was disabled is not sent later.
            enqueue.recheck(channel=channel, skip_finished="enabled" in changed)
        if not channel.enabled:
            _give_up_pending(channel, monitors=held)
    return channel


def new_secret(*, channel: Channel, by: Actor = COMMAND) -> str:
    """Give `channel` a new signing secret and return it: it can't be read again later.

    For `channel_config.OVERLAP`, messages are signed with the previous one too, so that the receiver can be
    updated.

    Raises:
        Channel.DoesNotExist: it was deleted.
    """
    config = channel_config.new_signing_secret()
    edit(channel=channel, by=by, config=config)
    return config["secret"]


def assign(
    *, channels: Iterable[Channel], monitors: Iterable[Monitor], subscribed: bool, by: Actor = COMMAND
) -> int:
    """Subscribe `channels` to `monitors`, or unsubscribe them (`subscribed`); return how many pairs changed.

    All or nothing; channels and monitors that were deleted in the meantime are skipped, and a channel for all
    monitors stays unchanged.
    """
    with transaction.atomic():
        theirs = {monitor.pk: monitor.workspace_id for monitor in monitors}
        named = set(keep_states(set(theirs), set(theirs.values())))
        wanted = Channel.objects.filter(pk__in={channel.pk for channel in channels}, all_monitors=False)
        held = lock_channels(wanted.select_related("workspace"), with_workspaces=True)
        new = {channel: _pairs_to_change(channel, named, subscribed=subscribed) for channel in held}
        for channel, changed in new.items():
            if changed:
                (channel.monitors.add if subscribed else channel.monitors.remove)(*changed)
                channel.version += 1
                channel.save(update_fields=["version", "updated_at"])
                _record(channel, by, AuditEntry.Action.CHANNEL_CHANGED, fields=["monitors"])
                enqueue.recheck(channel=channel)
        touched = Monitor.objects.filter(pk__in=set().union(*new.values())).select_related("workspace")
        for monitor in touched.order_by("pk"):
            target = AuditTarget(monitor.public_id, monitor.name, {"fields": ["channels"]})
            audit.record(
                workspace=monitor.workspace, by=by, action=AuditEntry.Action.MONITOR_CHANGED, target=target
            )
    return sum(map(len, new.values()))


def _pairs_to_change(channel: Channel, named: set[int], *, subscribed: bool) -> set[int]:
    there = set(channel.monitors.filter(pk__in=named).values_list("pk", flat=True))
    return named - there if subscribed else there


def _selected_ids(channel: Channel, monitors: Iterable[Monitor] | None) -> set[int] | None:
    """Return the row ids of the monitors that `channel` is to be subscribed to, None for no change."""
    if channel.all_monitors:
        wanted: set[int] = set()
    elif monitors is None:
        return None
    else:
        wanted = {monitor.pk for monitor in monitors}
    return None if wanted == set(channel.monitors.values_list("pk", flat=True)) else wanted


def _keep_monitors_waiting_for(channel: Channel) -> list[int]:
    """Keep the monitors of the pending deliveries of `channel`, before it is locked; return their ids."""
    waiting = channel.deliveries.filter(status=Delivery.Status.PENDING)
    return keep_states(waiting.values("monitor"), {channel.workspace_id})


def _give_up_pending(channel: Channel, *, monitors: list[int]) -> None:
    """Close the pending deliveries about `monitors`, or about no single monitor, with a failed attempt.

    The caller has locked the channel, so none of them can be claimed, and the monitors. A delivery that is
    added right now fails at its attempt, which checks whether the channel is enabled.
    """
    waiting = channel.deliveries.filter(
        Q(monitor__in=monitors) | Q(monitor=None), status=Delivery.Status.PENDING
    )
    now, counts = database_now(), list(waiting.values_list("pk", "attempt_count"))
    DeliveryAttempt.objects.bulk_create(
        DeliveryAttempt(
            workspace_id=channel.workspace_id,
            delivery_id=pk,
            number=count + 1,
            started_at=now,
            finished_at=now,
            ok=False,
            detail=_("Not sent: the channel was disabled."),
        )
        for pk, count in counts
    )
    # The members of a digest share its result.
    ids = [pk for pk, _count in counts]
    members = lock_in_order(channel.deliveries.filter(status=Delivery.Status.MERGED, digest__in=ids))
    merged = channel.deliveries.filter(pk__in=among(row.pk for row in members))
    merged.update(status=Delivery.Status.FAILED)
    waiting.update(status=Delivery.Status.FAILED, next_attempt_at=None, attempt_count=F("attempt_count") + 1)
    # Last, as everywhere. When it is enabled again, they are compared again.
    tried = among(row.pk for row in lock_beliefs(beliefs.about(ids, channel.workspace_id)))
    channel.beliefs.filter(pk__in=tried).update(delivery=None, check_at=now)


def delete(*, channel: Channel, by: Actor = COMMAND, version: int | None = None) -> None:
    """Delete `channel` and its delivery log.

    It is disabled first, so that no new deliveries are added, and a long log is deleted in small batches:
    opening an incident would have to wait for the lock that deleting the channel takes.

    Args:
        version: only delete it if it is still at this version.

    Raises:
        VersionConflict: it isn't.
    """
    wanted = Channel.objects.filter(pk=channel.pk)
    if version is not None:
        wanted = wanted.filter(version=version)
    if not wanted.update(enabled=False, updated_at=database_now()) and version is not None:
        raise VersionConflict
    while _delete_some_deliveries(channel):
        pass
    with transaction.atomic():
        # Before Django collects its deliveries, so that none is added after that.
        locked = lock_channel_to_delete(channel.pk)
        if locked is not None:
            _record(locked, by, AuditEntry.Action.CHANNEL_DELETED)
            locked.delete()


def _delete_some_deliveries(channel: Channel) -> bool:
    with transaction.atomic():
        # So that no result is recorded between deleting the attempts and deleting their delivery.
        lock_channel(channel.pk)
        ids = list(channel.deliveries.values_list("pk", flat=True)[:_BATCH])
        Delivery.objects.filter(pk__in=ids).delete()
    return bool(ids)


def _record(channel: Channel, by: Actor, action: str, **details: Any) -> None:
    # The config may contain secrets; the name is enough to identify the channel.
    target = AuditTarget(channel.public_id, channel.name, {"kind": channel.kind, **details})
    audit.record(workspace=channel.workspace, by=by, action=action, target=target)
