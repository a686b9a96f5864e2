"""What is looked for every few seconds, as no transaction notes it: late monitors and failing channels."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef

from accounts.models import Workspace
from core.clock import database_now
from core.sql import among
from core.wakeups import wake_on_commit
from monitors.domain.state_machine import Shown
from monitors.heartbeats.transitions import horizon
from monitors.models import Incident, Monitor
from monitors.pages.overview import filters
from notifications.dispatch import enqueue
from notifications.locks import lock_channels
from notifications.messages.events import Event
from notifications.models import Belief, Channel, ChannelRule, Delivery
from notifications.rules.effective import routes_of

# How long ago an incident was confirmed that a channel may have overlooked.
_OVERLOOKED = (timedelta(seconds=90), timedelta(seconds=30))
# At most this many channels are notified that another one is failing.
_NOTIFIED_MOST = 3


def enqueue_all() -> int:
    """Wake channels for late monitors and what was overlooked, and for failing ones; return how many."""
    late, overlooked, failing = _candidates()
    woken = enqueue_late() if late else 0
    woken += wake_overlooked() if overlooked else 0
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


def enqueue_late() -> int:
    """Wake each channel that is subscribed to late monitors for those that are late; return how many."""
    working = Channel.objects.filter(enabled=True)
    workspaces = set(working.filter(on_late=True).values_list("workspace_id", flat=True))
    rules = ChannelRule.objects.filter(subscribed=True, events__isnull=False, channel__in=working)
    for workspace, events in rules.values_list("channel__workspace_id", "events"):
        if "late" in (events or ()):
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
    late = filters.by_status(monitors, [Shown.LATE], now=until, seen=seen)
    pairs = {
        (monitor, route.channel.pk)
        for monitor, routes in routes_of(late).items()
        for route in routes
        if "late" in route.events
    }
    known = Belief.objects.filter(
        workspace_id=workspace.pk,
        monitor__in=among({monitor for monitor, _channel in pairs}),
        late_after=F("monitor__state__last_heartbeat_at"),
    )
    pairs -= set(known.values_list("monitor_id", "channel_id"))
    with transaction.atomic():
        wanted = enqueue.up_to_newest(pairs, workspace.pk)
        woken = enqueue.wake_that_stay(wanted, at=now, workspace_id=workspace.pk)
        wake_on_commit("notifications.tasks.deliver")
    return len(woken)


def wake_overlooked() -> int:
    """Wake channels that were subscribed while an incident was being recorded; return how many.

    Neither transaction saw the other. Looked for half a minute after the incident, when both have ended.
    """
    now = database_now()
    since, until = (now - ago for ago in _OVERLOOKED)
    going_on = Incident.objects.filter(resolved_at=None, confirmed_at__range=(since, until))
    wanted = enqueue.routed(list(going_on.select_related("monitor")))
    if not wanted:
        # Without a transaction, which on SQLite would take the only write lock.
        return 0
    rows = Belief.objects.filter(monitor__in=among({monitor for monitor, _channel in wanted}))
    for row in rows:
        after = wanted.get((row.monitor_id, row.channel_id), row.after_incident)
        if row.outage or row.check_at or row.after_incident > after:
            wanted.pop((row.monitor_id, row.channel_id), None)
    with transaction.atomic():
        woken = enqueue.wake_that_stay(wanted, at=now)
        if woken:
            wake_on_commit("notifications.tasks.deliver")
    return len(woken)


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
    candidates = others.exclude(pk=failing.pk).order_by("-all_monitors", "pk")[:_NOTIFIED_MOST]
    with transaction.atomic():
        # Those that are locked are found the next time.
        wanted = Channel.objects.filter(pk__in={failing.pk, *(channel.pk for channel in candidates)})
        there = lock_channels(wanted, skip_locked=True)
        if failing not in there:
            return 0
        now = database_now()
        rows = [
            Delivery(
                channel=channel,
                subject=failing,
                occasion=failing.failing_since,
                event=Event.FAILING,
                created_at=now,
                planned_at=now,
                next_attempt_at=now,
            )
            for channel in there
            if channel != failing
        ]
        Delivery.objects.bulk_create(rows, ignore_conflicts=True)
        wake_on_commit("notifications.tasks.deliver")
    return len(rows)
