"""Create, edit and delete a channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from accounts.models import Workspace
from monitors.models import Monitor, MonitorState
from notifications.models import Channel, Delivery, DeliveryAttempt
from tianji.clock import database_now

_BATCH = 1000
_COLUMNS = ("name", "config", "enabled", "all_monitors")


def create(
    *,
    workspace: Workspace,
    kind: str,
    name: str,
    config: dict[str, Any],
    enabled: bool = True,
    all_monitors: bool = True,
    monitors: Iterable[Monitor] = (),
) -> Channel:
    """Make a channel. `monitors` counts only where not `all_monitors`; they are of `workspace`."""
    with transaction.atomic():
        channel = Channel.objects.create(
            workspace=workspace,
            kind=kind,
            name=name,
            config=config,
            enabled=enabled,
            all_monitors=all_monitors,
        )
        channel.monitors.set([] if all_monitors else monitors)
    return channel


def edit(
    *,
    channel: Channel,
    name: str,
    config: dict[str, Any],
    enabled: bool,
    all_monitors: bool,
    monitors: Iterable[Monitor] = (),
) -> Channel:
    """Change `channel`. Switching it off gives up what still waits, so that switching it on again
    later tells nobody old news."""
    with transaction.atomic():
        held = [] if enabled else _hold_monitors_waiting_for(channel)
        channel = Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)
        channel.name, channel.config = name, config
        channel.enabled, channel.all_monitors = enabled, all_monitors
        channel.save(update_fields=[*_COLUMNS, "updated_at"])
        channel.monitors.set([] if all_monitors else monitors)
        if not enabled:
            _give_up_waiting(channel, monitors=held)
    return channel


def _hold_monitors_waiting_for(channel: Channel) -> list[int]:
    """Lock the monitors that `channel` has yet to be told about, and return their ids.

    A monitor that is being deleted must not get new rows, which would fail its deletion. As everywhere,
    monitors are locked before channels.
    """
    waiting = channel.deliveries.filter(status=Delivery.Status.PENDING)
    return list(
        MonitorState.objects.select_for_update(no_key=True)
        .filter(monitor__in=waiting.values("incident__monitor"))
        .order_by("monitor_id")
        .values_list("monitor_id", flat=True)
    )


def _give_up_waiting(channel: Channel, *, monitors: list[int]) -> None:
    """Close what is waiting about `monitors`, with a note.

    The caller holds the channel, so nothing of it is claimed, and the monitors. What another one adds
    at this moment is given up by the attempt, which looks whether the channel is on.
    """
    waiting = channel.deliveries.filter(status=Delivery.Status.PENDING, incident__monitor__in=monitors)
    now = database_now()
    DeliveryAttempt.objects.bulk_create(
        DeliveryAttempt(
            delivery_id=pk,
            number=count + 1,
            started_at=now,
            finished_at=now,
            ok=False,
            detail=_("Not sent: the channel was switched off."),
        )
        for pk, count in waiting.values_list("pk", "attempt_count")
    )
    waiting.update(status=Delivery.Status.FAILED, next_attempt_at=None, attempt_count=F("attempt_count") + 1)


def delete(*, channel: Channel) -> None:
    """Delete `channel` and the record of what it was told.

    It is switched off first, so that nothing new is owed to it, and a long record goes in small
    batches: whoever opens an incident would wait for the lock that deleting the channel takes.
    """
    Channel.objects.filter(pk=channel.pk).update(enabled=False, updated_at=database_now())
    while _delete_some_deliveries(channel):
        pass
    with transaction.atomic():
        # Before its deliveries are looked for, so that none is added after that.
        locked = Channel.objects.select_for_update().filter(pk=channel.pk).first()
        if locked is not None:
            locked.delete()


def _delete_some_deliveries(channel: Channel) -> bool:
    with transaction.atomic():
        # So that no result is recorded between the deletion of the attempts and of their delivery.
        Channel.objects.select_for_update(no_key=True).filter(pk=channel.pk).first()
        ids = list(channel.deliveries.values_list("pk", flat=True)[:_BATCH])
        Delivery.objects.filter(pk__in=ids).delete()
    return bool(ids)
