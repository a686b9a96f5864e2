"""Events that neither a heartbeat nor a deadline causes: late monitors, and failing channels.

They are looked for every few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from accounts.models import Workspace
from core.clock import database_now
from core.wakeups import wake_on_commit
from monitors.domain.state_machine import Shown
from monitors.heartbeats.transitions import horizon
from monitors.models import Incident, Monitor
from monitors.pages.overview import filters
from notifications.dispatch import enqueue
from notifications.locks import keep_monitors, lock_channels
from notifications.messages.events import Event
from notifications.models import Channel, ChannelRule, Delivery

# At most this many channels are notified that another one is failing.
_NOTIFIED_MOST = 3


def enqueue_all() -> int:
    """Wake channels for late monitors and what was overlooked, and for failing ones; return how many."""
    late, overlooked, failing = _candidates()
    woken = enqueue_late() if late else 0
    woken += enqueue.wake_overlooked() if overlooked else 0
    return woken + (enqueue_failing() if failing else 0)


def _candidates() -> tuple[bool, bool, bool]:
    """Return whether anyone is notified of late monitors, any incident is open, and any channel is failing.

    One query, which mostly spares the others.
    """
    with connection.cursor() as cursor:
        cursor.execute(_candidates_statement(), [])
        late, overlooked, failing = map(bool, cursor.fetchone())
    return late, overlooked, failing


@cache
def _candidates_statement() -> str:
    channels, rules = Channel._meta.db_table, ChannelRule._meta.db_table
    return (
        f"SELECT EXISTS (SELECT 1 FROM {channels} WHERE enabled AND on_late)"
        f" OR EXISTS (SELECT 1 FROM {rules} WHERE subscribed AND events IS NOT NULL),"
        # Open ones have an index of their own.
        f" EXISTS (SELECT 1 FROM {Incident._meta.db_table}"
        " WHERE resolved_at IS NULL AND confirmed_at IS NOT NULL),"
        f" EXISTS (SELECT 1 FROM {channels} WHERE failing_since IS NOT NULL)"
    )


# --- Late ------------------------------------------------------------------------------------------


def enqueue_late() -> int:
    """Wake each channel that is subscribed to late monitors for those that are late; return how many."""
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
    now = database_now()
    until = horizon(now)
    monitors = Monitor.objects.filter(workspace=workspace)
    seen = filters.standing(monitors, until)
    if not seen.counts[Shown.LATE]:
        return 0
    late = filters.by_status(monitors, [Shown.LATE], now=until, seen=seen).select_related("state")
    with transaction.atomic():
        # A monitor that is being deleted must not get new rows.
        there = keep_monitors([monitor.pk for monitor in late])
        woken = enqueue.wake_late([monitor for monitor in late if monitor.pk in there], now)
        wake_on_commit("notifications.tasks.deliver")
    return woken


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
