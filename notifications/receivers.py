"""From the monitors' signals to delivery rows, in the transaction that makes the event true."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import F

from monitors import signals
from monitors.models import Incident
from notifications.models import Channel, Delivery
from tianji.hints import wake_on_commit


def connect() -> None:
    """Listen to the monitors; called once, when the app is ready."""
    signals.incidents_opened.connect(_opened, dispatch_uid="notifications.opened")
    signals.incidents_resolved.connect(_resolved, dispatch_uid="notifications.resolved")
    signals.incidents_passed.connect(_passed, dispatch_uid="notifications.passed")


def _opened(incidents: list[Incident], at: datetime, **kwargs: Any) -> None:
    _owe(Delivery.Event.OPENED, _listening(incidents), at)


def _resolved(incidents: list[Incident], at: datetime, **kwargs: Any) -> None:
    # Who was told "down" is told "up", also where the channel no longer names that monitor: the
    # last word somebody heard must not be a wrong one.
    _owe(Delivery.Event.RESOLVED, _listening(incidents) | _told_down(incidents), at)


def _passed(incidents: list[Incident], at: datetime, **kwargs: Any) -> None:
    _owe(Delivery.Event.PASSED, _listening(incidents), at)


def _owe(event: Delivery.Event, pairs: set[tuple[int, int]], at: datetime) -> None:
    """Write a delivery for each pair of incident and channel, and wake a worker after the commit."""
    there = _held({channel for _incident, channel in pairs})
    deliveries = [
        Delivery(
            incident_id=incident,
            channel_id=channel,
            event=event,
            status=Delivery.Status.PENDING,
            created_at=at,
            next_attempt_at=at,
        )
        for incident, channel in sorted(pairs)
        if channel in there
    ]
    if not deliveries:
        return
    # Told twice of one event, the constraint keeps the first row.
    Delivery.objects.bulk_create(deliveries, ignore_conflicts=True)
    wake_on_commit("notifications.tasks.deliver")


def _listening(incidents: list[Incident]) -> set[tuple[int, int]]:
    """Return (incident, channel) for each enabled channel of the incident's workspace that names its
    monitor, in two queries."""
    enabled = Channel.objects.filter(
        enabled=True, workspace_id__in={incident.monitor.workspace_id for incident in incidents}
    )
    for_all: dict[int, list[int]] = {}
    for channel, workspace in enabled.filter(all_monitors=True).values_list("pk", "workspace_id"):
        for_all.setdefault(workspace, []).append(channel)
    for_some: dict[int, list[int]] = {}
    chosen = Channel.monitors.through.objects.filter(
        monitor_id__in={incident.monitor_id for incident in incidents},
        channel__enabled=True,
        channel__all_monitors=False,
        channel__workspace_id=F("monitor__workspace_id"),
    )
    for monitor, channel in chosen.values_list("monitor_id", "channel_id"):
        for_some.setdefault(monitor, []).append(channel)
    return {
        (incident.pk, channel)
        for incident in incidents
        for channel in (
            *for_all.get(incident.monitor.workspace_id, ()),
            *for_some.get(incident.monitor_id, ()),
        )
    }


def _told_down(incidents: list[Incident]) -> set[tuple[int, int]]:
    return set(
        Delivery.objects.filter(
            incident__in=[incident.pk for incident in incidents],
            event=Delivery.Event.OPENED,
            channel__enabled=True,
        ).values_list("incident_id", "channel_id")
    )


def _held(channels: set[int]) -> set[int]:
    """Return those of `channels` that are still there, and keep them so until the commit.

    A channel deleted meanwhile would fail the commit, and with it the pushes of a whole batch. The
    lock is the one that the foreign key takes anyway, only earlier; it hinders nothing but deleting.
    SQLite needs none: there one transaction writes at a time.
    """
    if not channels or connection.vendor != "postgresql":
        return channels
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM notifications_channel WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE",
            [sorted(channels)],
        )
        return {channel for (channel,) in cursor.fetchall()}
