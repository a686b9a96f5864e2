"""What pages ask of channels and deliveries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.utils.translation import gettext as _

from accounts.models import Workspace
from monitors.models import Monitor
from notifications.kinds import kind_named
from notifications.models import Channel, Delivery, DeliveryAttempt


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel as a list shows it. `monitor_count` counts those chosen, where not all are told about."""

    channel: Channel
    destination: str
    monitor_count: int
    last_delivery: Delivery | None


def channels_of(workspace: Workspace, *, masked: bool) -> list[ChannelRow]:
    """Return the channels of `workspace` by name; `masked` as in `destination`. Three queries."""
    newest = Delivery.objects.filter(channel=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    channels = list(
        Channel.objects.filter(workspace=workspace)
        .annotate(newest_id=Subquery(newest), monitor_count=Count("monitors"))
        .order_by("name", "pk")
    )
    deliveries = (
        Delivery.objects.select_related("incident__monitor")
        .prefetch_related(_attempts())
        .in_bulk([channel.newest_id for channel in channels if channel.newest_id])
    )
    return [
        ChannelRow(
            channel,
            destination(channel, masked=masked),
            channel.monitor_count,
            deliveries.get(channel.newest_id),
        )
        for channel in channels
    ]


def deliveries_to(channel: Channel) -> QuerySet[Delivery]:
    """Return what `channel` was owed, newest first, with the monitors and every attempt."""
    return (
        channel.deliveries.select_related("incident__monitor").prefetch_related(_attempts()).order_by("-pk")
    )


def deliveries_in(workspace: Workspace) -> QuerySet[Delivery]:
    """Return what the channels of `workspace` were owed, with channel, incident, monitor and attempts."""
    return (
        Delivery.objects.filter(channel__workspace=workspace)
        .select_related("channel", "incident__monitor")
        .prefetch_related(_attempts())
    )


def told_about(monitor: Monitor) -> list[Channel]:
    """Return the enabled channels that hear of `monitor`, by name."""
    return list(
        Channel.objects.filter(
            Q(all_monitors=True) | Q(pk__in=monitor.channels.values("pk")),
            workspace_id=monitor.workspace_id,
            enabled=True,
        ).order_by("name", "pk")
    )


def deliveries_of(incident_ids: Iterable[int]) -> dict[int, list[Delivery]]:
    """Return the deliveries of each of the incidents (row ids), oldest first, with channel and attempts."""
    found: dict[int, list[Delivery]] = {incident: [] for incident in incident_ids}
    deliveries = (
        Delivery.objects.filter(incident__in=list(found))
        .select_related("channel")
        .prefetch_related(_attempts())
        .order_by("pk")
    )
    for delivery in deliveries:
        found[delivery.incident_id].append(delivery)
    return found


def _attempts() -> Prefetch[str]:
    return Prefetch("attempts", DeliveryAttempt.objects.order_by("number", "pk"))


def destination(channel: Channel, *, masked: bool) -> str:
    """Return where `channel` leads; `masked`: so that a reader recognises it and cannot use it."""
    try:
        kind = kind_named(channel.kind)
    except LookupError:
        return _("a kind of channel that this version does not know")
    return kind.shown(channel.config, masked)
