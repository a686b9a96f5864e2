"""From the monitors' signals to beliefs that are to be compared, in the transaction that makes it true."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Greatest

from accounts.models import Workspace
from core.clock import database_now
from core.sql import among
from core.wakeups import wake_on_commit
from monitors import signals
from monitors.models import Incident, Monitor
from notifications.composing import message_facts
from notifications.dispatch.beliefs import Wake, wake
from notifications.locks import (
    keep_channels,
    keep_monitors,
    lock_beliefs,
    lock_channels,
    lock_deliveries,
    lock_unfinished_of,
)
from notifications.messages.events import Event, Reason
from notifications.models import Belief, Channel, Delivery
from notifications.rules.effective import routes_of


def connect() -> None:
    """Connect to the monitors' signals; called once, when the app is ready."""
    signals.incidents_changed.connect(_changed, dispatch_uid="notifications.incidents_changed")
    signals.recipients_changed.connect(_recipients_changed, dispatch_uid="notifications.recipients_changed")
    signals.maintenance_moved.connect(_maintenance_moved, dispatch_uid="notifications.maintenance_moved")
    signals.monitor_deleting.connect(_deleting, dispatch_uid="notifications.monitor_deleting")
    signals.clock_set_back.connect(_clock_set_back, dispatch_uid="notifications.clock_set_back")


def recheck(
    *,
    monitors: Collection[int] | None = None,
    channel: Channel | None = None,
    workspace: Workspace | None = None,
    skip_finished: bool = False,
    only_waiting: bool = False,
) -> None:
    """Compare at once what is believed about `monitors` (row ids), by a channel, or in a workspace.

    To be called in the transaction that changes who is notified, or when.

    Args:
        skip_finished: what is over is no news, because the channel was disabled while it happened.
        only_waiting: only where an incident is open, or was at the receiver, or something waits for its time.
    """
    now = database_now()
    about = {"monitor__workspace": channel.workspace if channel else workspace}
    if monitors is not None:
        about = {"monitor__in": among(monitors)}
    believed = Belief.objects.filter(**about)
    if channel is not None:
        believed = believed.filter(channel=channel)
    if only_waiting:
        believed = believed.filter(Q(outage__isnull=False) | Q(check_at__isnull=False))
    rows = {
        (monitor, mine): pk for monitor, mine, pk in believed.values_list("monitor_id", "channel_id", "pk")
    }
    going_on = Incident.objects.filter(resolved_at=None, confirmed_at__isnull=False, **about)
    wanted = up_to_newest(rows) | routed(going_on.select_related("monitor"), only=channel)
    # All in one statement: what is locked before would be locked in another order.
    woken = wake_that_stay(wanted, at=now)
    these = Belief.objects.filter(pk__in=among(rows[pair] for pair in woken if pair in rows))
    # Also what was due before is news of now.
    these.update(check_at=now)
    if skip_finished:
        over = Incident.objects.filter(monitor=OuterRef("monitor"), resolved_at__isnull=False)
        newest = Subquery(over.order_by("-pk").values("pk")[:1])
        these.filter(outage=None).update(after_incident=Greatest(F("after_incident"), Coalesce(newest, 0)))
    wake_on_commit("notifications.tasks.deliver")


def _recipients_changed(monitors: list[int], **kwargs: Any) -> None:
    recheck(monitors=monitors)


def _maintenance_moved(monitors: list[int], **kwargs: Any) -> None:
    # Of the others, which are nearly all of them, there is no news that maintenance could hold back.
    recheck(monitors=monitors, only_waiting=True)


def _clock_set_back(by: timedelta, **kwargs: Any) -> None:
    """What waits for a time goes on waiting for as long as it would have."""
    now = database_now()
    lock_channels(Channel.objects.all())
    Channel.objects.filter(paused_until__gt=now).update(paused_until=F("paused_until") - by)
    Channel.objects.filter(digest_at__gt=now).update(digest_at=F("digest_at") - by)
    deliveries = lock_deliveries(Delivery.objects.filter(next_attempt_at__gt=now))
    these = Delivery.objects.filter(pk__in=among(row.pk for row in deliveries))
    these.update(next_attempt_at=F("next_attempt_at") - by)
    beliefs = lock_beliefs(Belief.objects.filter(check_at__gt=now))
    Belief.objects.filter(pk__in=among(row.pk for row in beliefs)).update(check_at=F("check_at") - by)


def _changed(incidents: list[Incident], at: datetime, **kwargs: Any) -> None:
    """Some monitors went down, recovered, or were paused while they were down."""
    # Also a channel that is no longer subscribed: its last notification must not be wrong.
    these = among(each.monitor_id for each in incidents)
    opened = Belief.objects.filter(monitor__in=these, outage__isnull=False)
    wanted = dict.fromkeys(opened.values_list("monitor_id", "channel_id"), 0) | routed(incidents)
    there = keep_channels({channel for _monitor, channel in wanted})
    wake((Wake(*pair, after) for pair, after in wanted.items() if pair[1] in there), at=at)
    wake_on_commit("notifications.tasks.deliver")


def _deleting(monitor: Monitor, at: datetime, **kwargs: Any) -> None:
    """End at each receiver what was opened there, with what is left of the monitor."""
    opened = Belief.objects.filter(monitor=monitor, outage__isnull=False, channel__enabled=True)
    there = keep_channels(set(opened.values_list("channel", flat=True)))
    in_flight = lock_unfinished_of(monitor.pk)
    ended = [
        Delivery(
            channel_id=belief.channel_id,
            event=Event.ENDED,
            reason=Reason.DELETED,
            outage=belief.outage,
            sequence=belief.sequence + 1,
            about=message_facts.left_of(monitor, belief.incident),
            created_at=at,
            planned_at=at,
            # Not while a message about it is on its way, which would then come last.
            next_attempt_at=max(at, in_flight.get(belief.channel_id, at)),
        )
        for belief in opened.select_related("incident")
        if belief.channel_id in there
    ]
    if ended:
        Delivery.objects.bulk_create(ended)
        wake_on_commit("notifications.tasks.deliver")


# --- What is to be compared ------------------------------------------------------------------------

# A monitor and a channel, by their row ids, and up to which incident nothing is news.
Pairs = Mapping[tuple[int, int], int]


def routed(incidents: Iterable[Incident], *, only: Channel | None = None) -> dict[tuple[int, int], int]:
    """Return each route of these incidents.

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


def up_to_newest(pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Return `pairs` to which no incident so far is news."""
    rows = Incident.objects.filter(monitor__in=among({monitor for monitor, _channel in pairs}))
    newest = dict(rows.values("monitor").annotate(newest=Max("pk")).values_list("monitor", "newest"))
    return {pair: newest.get(pair[0], 0) for pair in pairs}


def wake_that_stay(wanted: Pairs, *, at: datetime) -> Pairs:
    """Wake those whose channel and monitor are not being deleted, and keep these; return them."""
    channels = keep_channels({channel for _monitor, channel in wanted})
    monitors = keep_monitors(list({monitor for monitor, _channel in wanted}))
    stay = {pair: after for pair, after in wanted.items() if pair[0] in monitors and pair[1] in channels}
    wake((Wake(*pair, after) for pair, after in stay.items()), at=at)
    return stay
