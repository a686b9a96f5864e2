"""From the monitors' signals to beliefs that are to be compared, in the transaction that makes it true."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Max, OuterRef, Subquery
from django.db.models.functions import Coalesce, Greatest

from accounts.models import Workspace
from core.clock import database_now
from core.sql import among
from core.wakeups import wake_on_commit
from monitors import signals
from monitors.models import Incident, Monitor
from notifications.dispatch import beliefs
from notifications.dispatch.beliefs import Wake
from notifications.locks import keep_channels, keep_monitors, lock_unfinished_of
from notifications.messages.events import Event, Reason
from notifications.models import Belief, Channel, Delivery
from notifications.rules.effective import routes_of

# How long ago an incident was confirmed that a channel may have overlooked.
_OVERLOOKED = (timedelta(seconds=90), timedelta(seconds=30))


def connect() -> None:
    """Connect to the monitors' signals; called once, when the app is ready."""
    signals.incidents_changed.connect(_changed, dispatch_uid="notifications.incidents_changed")
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
    rows = mine.values_list("monitor_id", "channel_id", "pk")
    known = {(monitor, channel_): pk for monitor, channel_, pk in rows}
    newest = _newest_incidents({monitor for monitor, _channel in known})
    wanted = {pair: newest.get(pair[0], 0) for pair in known}
    wanted |= _routed(goes_on.select_related("monitor"), only=channel)
    # All in one statement: what is locked before would be locked in another order.
    woken = _that_stay(wanted)
    beliefs.wake(woken, at=now)
    locked = [known[each[:2]] for each in woken if each[:2] in known]
    _release(locked, now, skip_finished=skip_finished)
    wake_on_commit("notifications.tasks.deliver")


def _changed(incidents: list[Incident], at: datetime, **kwargs: Any) -> None:
    """Some monitors went down, recovered, or were paused while they were down."""
    # Also a channel that is no longer subscribed: its last notification must not be wrong.
    opened = Belief.objects.filter(monitor__in=[each.monitor_id for each in incidents], outage__isnull=False)
    wanted = dict.fromkeys(opened.values_list("monitor_id", "channel_id"), 0)
    wanted |= _routed(incidents)
    there = keep_channels({channel for _monitor, channel in wanted})
    beliefs.wake((Wake(*pair, after) for pair, after in wanted.items() if pair[1] in there), at=at)
    wake_on_commit("notifications.tasks.deliver")


def _moved(until: dict[int, datetime], **kwargs: Any) -> None:
    """Maintenance now ends at another time."""
    recheck(monitors=list(until))


def _deleting(monitor: Monitor, at: datetime, **kwargs: Any) -> None:
    """End at each receiver what was opened there, with what is left of the monitor."""
    opened = Belief.objects.filter(monitor=monitor, outage__isnull=False, channel__enabled=True)
    there = keep_channels(set(opened.values_list("channel", flat=True)))
    in_flight = lock_unfinished_of(monitor.pk)
    rows = []
    for belief in opened.select_related("channel", "incident"):
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
                # Not while a message about it is on its way, which would then come last.
                next_attempt_at=max(at, in_flight.get(belief.channel_id, at)),
            )
        )
    if rows:
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
    newest = _newest_incidents({monitor for monitor, _channel in pairs})
    known = Belief.objects.filter(
        monitor__in=among({monitor for monitor, _channel in pairs}),
        late_after=F("monitor__state__last_heartbeat_at"),
    )
    pairs -= set(known.values_list("monitor_id", "channel_id"))
    there = keep_channels({channel for _monitor, channel in pairs})
    woken = [Wake(monitor, channel, newest.get(monitor, 0)) for monitor, channel in pairs if channel in there]
    beliefs.wake(woken, at=at)
    return len(woken)


def wake_overlooked() -> int:
    """Wake channels that were subscribed while an incident was being recorded; return how many.

    Neither transaction saw the other. Looked for half a minute after the incident, when both have ended.
    """
    now = database_now()
    since, until = (now - ago for ago in _OVERLOOKED)
    goes_on = Incident.objects.filter(resolved_at=None, confirmed_at__range=(since, until))
    wanted = _routed(goes_on.select_related("monitor"))
    if not wanted:
        # Without a transaction, which on SQLite would take the only write lock.
        return 0
    rows = Belief.objects.filter(monitor__in=among({monitor for monitor, _channel in wanted}))
    known = {
        (monitor, channel)
        for monitor, channel, after, outage, check_at in rows.values_list(
            "monitor_id", "channel_id", "after_incident", "outage", "check_at"
        )
        if outage or check_at or after > wanted.get((monitor, channel), after)
    }
    with transaction.atomic():
        woken = _that_stay({pair: after for pair, after in wanted.items() if pair not in known})
        beliefs.wake(woken, at=now)
        if woken:
            wake_on_commit("notifications.tasks.deliver")
    return len(woken)


def _routed(incidents: Iterable[Incident], *, only: Channel | None = None) -> dict[tuple[int, int], int]:
    """Return the monitor and channel of each route of these incidents, and up to which incident is no news.

    A channel that has never been notified of the monitor is to be notified of this incident.
    """
    incidents = list(incidents)
    routes = routes_of({each.monitor_id: each.monitor for each in incidents}.values())
    wanted: dict[tuple[int, int], int] = {}
    for each in incidents:
        for route in routes.get(each.monitor_id, ()):
            pair = each.monitor_id, route.channel.pk
            if only is None or only.pk == route.channel.pk:
                wanted[pair] = min(each.pk - 1, wanted.get(pair, each.pk))
    return wanted


def _that_stay(wanted: Mapping[tuple[int, int], int]) -> list[Wake]:
    """Return those whose channel and monitor are not being deleted, and keep these."""
    channels = keep_channels({channel for _monitor, channel in wanted})
    monitors = keep_monitors(list({monitor for monitor, _channel in wanted}))
    return [
        Wake(monitor, channel, after)
        for (monitor, channel), after in wanted.items()
        if monitor in monitors and channel in channels
    ]


def _newest_incidents(monitors: Collection[int]) -> dict[int, int]:
    """Return the row id of the newest incident of each of `monitors` that has one."""
    rows = Incident.objects.filter(monitor__in=among(monitors)).values("monitor")
    return dict(rows.annotate(newest=Max("pk")).values_list("monitor", "newest"))


def _release(locked: Collection[int], now: datetime, *, skip_finished: bool) -> None:
    """Free locked beliefs, by their row ids, of what need not be sent any more; the rest is news of now."""
    these = Belief.objects.filter(pk__in=among(locked))
    these.update(check_at=now)
    # What was given up when its channel was disabled is not retried: the present state is sent instead.
    finished = [Delivery.Status.SENT, Delivery.Status.FAILED, Delivery.Status.SKIPPED]
    these.filter(delivery__status__in=finished).update(delivery=None)
    if skip_finished:
        over = Incident.objects.filter(monitor=OuterRef("monitor"), resolved_at__isnull=False)
        newest = Subquery(over.order_by("-pk").values("pk")[:1])
        unsent = these.filter(outage=None)
        unsent.update(after_incident=Greatest(F("after_incident"), Coalesce(newest, 0)))
