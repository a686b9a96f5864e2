"""Events that neither a heartbeat nor a deadline causes: late monitors, and failing channels.

They are looked for every few seconds. Each is stored under a unique key, so that it is only notified once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, F, OuterRef

from accounts.models import Workspace
from core.clock import database_now
from core.wakeups import wake_on_commit
from monitors.domain.state_machine import Shown
from monitors.heartbeats.transitions import horizon
from monitors.locks import keep_last_heartbeats
from monitors.models import Monitor
from monitors.pages.overview import filters
from notifications.locks import lock_channels
from notifications.messages.events import Event
from notifications.models import Channel, ChannelRule, Delivery
from notifications.rules.effective import routes_of

# At most this many channels are notified that another one is failing.
_NOTIFIED_MOST = 3


def enqueue_all() -> int:
    """Write deliveries for late monitors and failing channels; return how many are new."""
    return enqueue_late() + enqueue_failing()


# --- Late ------------------------------------------------------------------------------------------


def enqueue_late() -> int:
    """Write a delivery for each late monitor to each channel that is subscribed to that."""
    workspaces = set(
        Channel.objects.filter(enabled=True, on_late=True).values_list("workspace_id", flat=True)
    )
    for workspace, events in ChannelRule.objects.filter(
        subscribed=True, events__isnull=False, channel__enabled=True
    ).values_list("channel__workspace_id", "events"):
        if isinstance(events, list) and "late" in events:
            workspaces.add(workspace)
    return sum(_enqueue_late_in(workspace) for workspace in Workspace.objects.filter(pk__in=workspaces))


def _enqueue_late_in(workspace: Workspace) -> int:
    # After the watermark, a heartbeat may have been sent that could not be received.
    now = horizon(database_now())
    monitors = Monitor.objects.filter(workspace=workspace)
    seen = filters.standing(monitors, now)
    if not seen.counts[Shown.LATE]:
        return 0
    late = list(filters.by_status(monitors, [Shown.LATE], now=now, seen=seen).select_related("state"))
    routes = routes_of(late)
    wanted = {
        (monitor.pk, route.channel.pk)
        for monitor in late
        for route in routes[monitor.pk]
        if "late" in route.events
    }
    known = set(
        Delivery.objects.filter(
            monitor__in=[monitor.pk for monitor in late],
            event=Event.LATE,
            occasion=F("monitor__state__last_heartbeat_at"),
        ).values_list("monitor_id", "channel_id")
    )
    return _write_late(wanted - known) if wanted - known else 0


def _write_late(pairs: set[tuple[int, int]]) -> int:
    with transaction.atomic():
        # A monitor that is being deleted must not get new rows.
        last_heartbeats = keep_last_heartbeats({monitor for monitor, _channel in pairs})
        there = _lock({channel for _monitor, channel in pairs})
        now = database_now()
        rows = [
            Delivery(
                monitor_id=monitor,
                channel_id=channel,
                event=Event.LATE,
                occasion=last_heartbeats[monitor],
                created_at=now,
                planned_at=now,
                next_attempt_at=now,
            )
            for monitor, channel in sorted(pairs)
            if last_heartbeats.get(monitor) is not None and channel in there
        ]
        Delivery.objects.bulk_create(rows, ignore_conflicts=True)
        wake_on_commit("notifications.tasks.deliver")
    return len(rows)


# --- Failing channels ------------------------------------------------------------------------------


def enqueue_failing() -> int:
    """Write deliveries about each failing channel to working channels of its workspace."""
    notified = Delivery.objects.filter(
        subject=OuterRef("pk"), event=Event.FAILING, occasion=OuterRef("failing_since")
    )
    failing = Channel.objects.filter(~Exists(notified), failing_since__isnull=False)
    return sum(_enqueue_failing_channel(channel) for channel in failing)


def _enqueue_failing_channel(failing: Channel) -> int:
    others = Channel.objects.filter(workspace=failing.workspace_id, enabled=True, failing_since=None)
    # Channels for all monitors are the most likely to be read.
    candidates = others.exclude(pk=failing.pk).order_by("-all_monitors", "pk").values_list("pk", flat=True)
    with transaction.atomic():
        there = _lock({failing.pk, *candidates[:_NOTIFIED_MOST]})
        if failing.pk not in there:
            return 0
        now = database_now()
        rows = [_failing_delivery(failing, channel, now) for channel in sorted(there - {failing.pk})]
        Delivery.objects.bulk_create(rows, ignore_conflicts=True)
        wake_on_commit("notifications.tasks.deliver")
    return len(rows)


def _failing_delivery(failing: Channel, channel: int, now: datetime) -> Delivery:
    return Delivery(
        channel_id=channel,
        subject=failing,
        occasion=failing.failing_since,
        event=Event.FAILING,
        created_at=now,
        planned_at=now,
        next_attempt_at=now,
    )


def _lock(channels: Iterable[int]) -> set[int]:
    """Lock those of `channels` that are not locked yet, so that none is deleted in the meantime."""
    wanted = Channel.objects.filter(pk__in=set(channels))
    return {channel.pk for channel in lock_channels(wanted, skip_locked=True)}
