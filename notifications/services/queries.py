"""Queries about channels and deliveries, for the pages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Workspace
from monitors.domain.state_machine import Urgency
from monitors.models import Incident, Monitor
from notifications import channel_config
from notifications.integrations import kinds
from notifications.messages.digests import Section, label_of, section_of
from notifications.messages.events import Event
from notifications.models import Belief, Channel, ChannelRule, Delivery, DeliveryAttempt, EscalationStep
from notifications.rules.effective import route
from notifications.services import sentences

# How many members of a digest are named.
NAMED = 50


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """A channel in a list. `monitor_count` counts the selected monitors of a channel that is not for all."""

    channel: Channel
    destination: str
    how: str
    monitor_count: int
    last_delivery: Delivery | None
    why_failing: str
    fault: str


def channels_of(workspace: Workspace, *, masked: bool) -> list[ChannelRow]:
    """Return the channels of `workspace` by name; `masked` as in `destination`. Constantly few queries."""
    ours = Delivery.objects.filter(workspace_id=workspace.pk)
    newest = ours.filter(channel=OuterRef("pk"), digest=None).order_by("-pk").values("pk")[:1]
    channels = list(
        Channel.objects.filter(workspace=workspace)
        .annotate(newest_id=Subquery(newest), monitor_count=Count("monitors"))
        .order_by("name", "pk")
    )
    deliveries = _with_subjects(
        ours.filter(pk__in=[channel.newest_id for channel in channels if channel.newest_id])
    ).in_bulk()
    why_failing = reasons([channel for channel in channels if channel.failing_since], masked=masked)
    return [
        ChannelRow(
            channel,
            destination(channel, masked=masked),
            how(channel),
            channel.monitor_count,
            deliveries.get(channel.newest_id),
            why_failing.get(channel.pk, ""),
            channel_config.fault(channel),
        )
        for channel in channels
    ]


def deliveries_to(channel: Channel) -> QuerySet[Delivery]:
    """Return the deliveries of `channel`, newest first; members of a digest are with the digest."""
    return _with_subjects(channel.deliveries.filter(digest=None)).order_by("-pk")


def deliveries_in(workspace: Workspace) -> QuerySet[Delivery]:
    """Return the deliveries of the channels of `workspace` with everything related, digest members too."""
    return (
        Delivery.objects.filter(workspace_id=workspace.pk)
        .select_related("channel", "incident", "monitor", "digest", "subject")
        .prefetch_related(_attempts())
    )


def deliveries_of(incidents: Sequence[Incident]) -> dict[int, list[Delivery]]:
    """Return the deliveries of each of `incidents`, by row id and oldest first, with channel and attempts.

    The attempts of a delivery that is part of a digest are the digest's; `digest_count` is the size of it.
    """
    found: dict[int, list[Delivery]] = {incident.pk: [] for incident in incidents}
    deliveries = (
        Delivery.objects.filter(incident__in=incidents)
        .select_related("channel", "digest")
        .annotate(digest_count=_members_of("digest"))
        .prefetch_related(_attempts(), _attempts("digest__"))
        .order_by("pk")
    )
    for delivery in deliveries:
        assert delivery.incident_id is not None, "it was found by its incident"
        found[delivery.incident_id].append(delivery)
    return found


def _with_subjects(deliveries: QuerySet[Delivery]) -> QuerySet[Delivery]:
    """Return `deliveries` with monitors, attempts, and NAMED members of each digest as `named`."""
    members = Delivery.objects.select_related("monitor").order_by("pk")[:NAMED]
    return (
        deliveries.select_related("monitor", "subject")
        .annotate(member_count=_members_of("pk"))
        .prefetch_related(_attempts(), Prefetch("members", members, to_attr="named"))
    )


def _members_of(column: str) -> Subquery:
    digest = {"digest": OuterRef(column), "workspace_id": OuterRef("workspace_id")}
    members = Delivery.objects.filter(**digest).order_by().values("digest")
    return Subquery(members.annotate(number=Count("pk")).values("number"))


def _attempts(before: str = "") -> Prefetch[str]:
    return Prefetch(f"{before}attempts", DeliveryAttempt.objects.order_by("number", "pk"))


def _subscribed_to(monitor: Monitor) -> QuerySet[Channel]:
    silent = ChannelRule.objects.filter(monitor=monitor, channel=OuterRef("pk"), subscribed=False)
    subscribed = Q(all_monitors=True) | Q(pk__in=monitor.channels.values("pk"))
    return Channel.objects.filter(
        (subscribed & ~Exists(silent)) | Q(escalation_steps__workspace=monitor.workspace_id),
        workspace_id=monitor.workspace_id,
    )


# --- Waiting ---------------------------------------------------------------------------------------


def waiting_for(monitor: Monitor, *, now: datetime) -> list[str]:
    """Return until when messages about `monitor` wait: "Ops Slack: not before 14:12". One query.

    Reminders are left out: the rules say when they are sent.
    """
    waiting = (
        Belief.objects.filter(monitor=monitor, channel__enabled=True, delivery=None, check_at__gt=now)
        .exclude(state=Belief.State.DOWN, incident__resolved_at=None)
        .select_related("channel")
        .order_by("check_at", "channel__name")
    )
    return [
        _("%(channel)s: not before %(time)s")
        % {"channel": row.channel.name, "time": _clock(row.check_at, now)}
        for row in waiting
        if row.check_at is not None
    ]


def _clock(at: datetime, now: datetime) -> str:
    here = timezone.localtime(at)
    today = here.date() == timezone.localtime(now).date()
    return f"{here:%H:%M}" if today else date_format(here, "j M Y, H:i")


# --- Failing channels ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FailingChannel:
    """A failing channel, and why, as far as the reader may know."""

    channel: Channel
    why: str


def failing_in(workspace: Workspace, *, masked: bool) -> list[FailingChannel]:
    """Return the failing channels of `workspace`: one query, and one more if there are any."""
    return _failing(Channel.objects.filter(workspace=workspace), masked=masked)


def failing_for(monitor: Monitor, *, masked: bool) -> list[FailingChannel]:
    """Return the failing channels that are subscribed to `monitor`, as `failing_in` does."""
    return _failing(_subscribed_to(monitor), masked=masked)


def failing_of(channel: Channel, *, masked: bool) -> list[FailingChannel]:
    """Return `channel` if it is failing, as `failing_in` does."""
    return (
        [FailingChannel(channel, reasons([channel], masked=masked).get(channel.pk, ""))]
        if channel.failing_since
        else []
    )


def _failing(channels: QuerySet[Channel], *, masked: bool) -> list[FailingChannel]:
    found = list(channels.filter(failing_since__isnull=False).order_by("failing_since", "pk"))
    why = reasons(found, masked=masked)
    return [FailingChannel(channel, why.get(channel.pk, "")) for channel in found]


def reasons(failing: Iterable[Channel], *, masked: bool) -> dict[int, str]:
    """Return the last response to each failing channel; empty for readers who may not change channels."""
    ids = [channel.pk for channel in failing]
    if masked or not ids:
        return {}
    failed = DeliveryAttempt.objects.filter(delivery__channel=OuterRef("pk"), ok=False).order_by("-pk")
    failing = Channel.objects.filter(pk__in=ids).annotate(last_detail=Subquery(failed.values("detail")[:1]))
    return {pk: detail or "" for pk, detail in failing.values_list("pk", "last_detail")}


# --- In words --------------------------------------------------------------------------------------


def how(channel: Channel) -> str:
    """Return the events `channel` is notified of, and when: "down, recovery, reminders (immediately)"."""
    events = route(channel, None).events
    return _("%(events)s (%(when)s)") % {
        "when": sentences.delay_in_words(timedelta(seconds=channel.delay)),
        "events": sentences.events_in_words(events),
    }


def escalation_to(channel: Channel) -> str:
    """Return when escalation notifies `channel`: "if not acknowledged within 15 min"; empty if it doesn't."""
    row = EscalationStep.objects.filter(channel=channel).first()
    if row is None:
        return ""
    when = sentences.unless_acknowledged_in_words(timedelta(seconds=row.after))
    if row.least_urgency == Urgency.LOW:
        return when
    return _("%(when)s, for monitors with %(urgency)s") % {
        "when": when,
        "urgency": sentences.urgency_in_words(row.least_urgency),
    }


def about(delivery: Delivery) -> str:
    """Return what `delivery` is about: a monitor, also one that was deleted, a number of monitors, a channel.

    Load it with one of the functions above.
    """
    if delivery.monitor:
        return delivery.monitor.name
    if delivery.subject:
        return delivery.subject.name
    if delivery.about:
        return str(delivery.about["monitor"])
    number: int = getattr(delivery, "member_count", None) or 0
    return ngettext("%(count)d monitor", "%(count)d monitors", number) % {"count": number}


def sections(delivery: Delivery) -> list[tuple[str, list[Delivery]]]:
    """Return the named members of a digest in its sections, each with its label.

    Load it with one of the functions above.
    """
    found: dict[Section, list[Delivery]] = {section: [] for section in Section}
    for member in getattr(delivery, "named", ()):
        found[section_of(Event(member.event))].append(member)
    return [(label_of(section), members) for section, members in found.items() if members]


def destination(channel: Channel, *, masked: bool) -> str:
    """Return where `channel` sends to; `masked`: recognisable, but not usable."""
    kind = kinds().get(channel.kind)
    if kind is None:
        return _("an integration that this version doesn't have")
    return kind.shown(channel_config.shown(channel, masked=masked), masked)
