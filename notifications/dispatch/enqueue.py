"""From the monitors' signals to beliefs that are to be compared, in the transaction that makes it true."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from django.db.models import F, Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest

from accounts.models import Workspace
from core.clock import database_now
from core.sql import among
from core.wakeups import wake_on_commit
from monitors import signals
from monitors.models import Incident, Monitor
from notifications.dispatch import beliefs
from notifications.dispatch.beliefs import Wake
from notifications.integrations import kinds
from notifications.locks import keep_channels, lock_beliefs
from notifications.messages.events import Event, Reason
from notifications.models import Belief, Channel, Delivery
from notifications.rules.effective import routes_of


def connect() -> None:
    """Connect to the monitors' signals; called once, when the app is ready."""
    for signal in (
        signals.incidents_opened,
        signals.incidents_passed,
        signals.incidents_resolved,
        signals.incidents_closed,
    ):
        signal.connect(_changed, dispatch_uid="notifications.changed")
    signals.maintenance_moved.connect(_moved, dispatch_uid="notifications.maintenance_moved")
    signals.monitor_deleting.connect(_deleting, dispatch_uid="notifications.monitor_deleting")


def recheck(
    *,
    monitors: Collection[int] | None = None,
    channel: Channel | None = None,
    workspace: Workspace | None = None,
    skip_finished: bool = False,
) -> None:
    """Compare at once what is believed about `monitors` (row ids), by a channel, or in a workspace.

    To be called in the transaction that changes who is notified, or when.

    Args:
        skip_finished: what is over is no news, because the channel was disabled while it happened.
    """
    now = database_now()
    mine = Belief.objects.all()
    goes_on = Incident.objects.filter(resolved_at=None, confirmed_at__isnull=False)
    if monitors is not None:
        mine, goes_on = mine.filter(monitor__in=among(monitors)), goes_on.filter(monitor__in=among(monitors))
    elif channel is not None:
        mine, workspace = mine.filter(channel=channel), channel.workspace
        goes_on = goes_on.filter(monitor__workspace=workspace)
    else:
        mine = mine.filter(channel__workspace=workspace)
        goes_on = goes_on.filter(monitor__workspace=workspace)
    _compare_at_once(mine, now, skip_finished=skip_finished)
    _wake_routes(goes_on.select_related("monitor"), now, only=channel)
    wake_on_commit("notifications.tasks.deliver")


def _changed(incidents: list[Incident], at: datetime, **kwargs: Any) -> None:
    """Some monitors went down, recovered, or were paused while they were down."""
    # Also a channel that is no longer subscribed: its last notification must not be wrong.
    opened = Belief.objects.filter(monitor__in=[each.monitor_id for each in incidents], outage__isnull=False)
    _wake_routes(incidents, at, also=opened)
    wake_on_commit("notifications.tasks.deliver")


def _moved(until: dict[int, datetime], **kwargs: Any) -> None:
    """Maintenance now ends at another time."""
    recheck(monitors=list(until))


def _deleting(monitor: Monitor, at: datetime, **kwargs: Any) -> None:
    """End at each receiver what was opened there, with what is left of the monitor."""
    opened = Belief.objects.filter(monitor=monitor, outage__isnull=False, channel__enabled=True)
    rows = []
    for belief in opened.select_related("channel", "incident"):
        kind = kinds().get(belief.channel.kind)
        if not belief.channel.on_recovery and (kind is None or kind.merges):
            continue
        incident = belief.incident or monitor.incidents.order_by("-pk").first()
        about = {"monitor": monitor.name, "monitor_id": str(monitor.public_id), "urgency": monitor.urgency}
        if incident is not None:
            about |= {
                "incident_id": str(incident.public_id),
                "cause": incident.cause,
                "started_at": incident.started_at.isoformat(),
                "detected_at": incident.detected_at.isoformat(),
            }
        rows.append(
            Delivery(
                channel=belief.channel,
                event=Event.ENDED,
                reason=Reason.DELETED,
                outage=belief.outage,
                sequence=belief.sequence + 1,
                about=about,
                created_at=at,
                planned_at=at,
                next_attempt_at=at,
            )
        )
    if rows:
        there = keep_channels({row.channel_id for row in rows})
        Delivery.objects.bulk_create([row for row in rows if row.channel_id in there])
        wake_on_commit("notifications.tasks.deliver")


def wake_late(monitors: Iterable[Monitor], at: datetime) -> int:
    """Compare what the channels that are subscribed to that believe of late `monitors`; return how many."""
    routes = routes_of(monitors)
    pairs = {
        (monitor, route.channel.pk)
        for monitor, mine in routes.items()
        for route in mine
        if "late" in route.events
    }
    newest = dict(
        Incident.objects.filter(monitor__in=among({monitor for monitor, _channel in pairs}))
        .values("monitor")
        .annotate(newest=Max("pk"))
        .values_list("monitor", "newest")
    )
    known = Belief.objects.filter(
        monitor__in=among({monitor for monitor, _channel in pairs}),
        late_after=F("monitor__state__last_heartbeat_at"),
    )
    pairs -= set(known.values_list("monitor_id", "channel_id"))
    there = keep_channels({channel for _monitor, channel in pairs})
    woken = [Wake(monitor, channel, newest.get(monitor, 0)) for monitor, channel in pairs if channel in there]
    beliefs.wake(woken, at=at)
    return len(woken)


def _wake_routes(
    incidents: Iterable[Incident],
    at: datetime,
    *,
    also: QuerySet[Belief] | None = None,
    only: Channel | None = None,
) -> None:
    """Compare what the channels of these monitors believe, and `also` these beliefs."""
    incidents = list(incidents)
    routes = routes_of({each.monitor_id: each.monitor for each in incidents}.values())
    # A channel that has never been notified of this monitor is to be notified of this incident.
    wanted: dict[tuple[int, int], int] = {}
    for each in incidents:
        for route in routes.get(each.monitor_id, ()):
            pair = each.monitor_id, route.channel.pk
            if only is None or only.pk == route.channel.pk:
                wanted[pair] = min(each.pk - 1, wanted.get(pair, each.pk))
    for monitor, channel in also.values_list("monitor_id", "channel_id") if also is not None else ():
        wanted.setdefault((monitor, channel), 0)
    there = keep_channels({channel for _monitor, channel in wanted})
    beliefs.wake(
        (Wake(*pair, after) for pair, after in wanted.items() if pair[1] in there),
        at=at,
    )


def _compare_at_once(mine: QuerySet[Belief], now: datetime, *, skip_finished: bool) -> None:
    locked = lock_beliefs(mine)
    over = Incident.objects.filter(monitor=OuterRef("monitor"), resolved_at__isnull=False)
    newest = Subquery(over.order_by("-pk").values("pk")[:1])
    # What has nothing to be compared was not subscribed to what happened since: that is no news now.
    unsent = [row.pk for row in locked if row.outage is None and (skip_finished or row.check_at is None)]
    Belief.objects.filter(pk__in=among(unsent)).update(
        after_incident=Greatest(F("after_incident"), Coalesce(newest, 0))
    )
    Belief.objects.filter(pk__in=among(row.pk for row in locked)).update(check_at=now)
