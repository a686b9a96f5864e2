"""What a message says, read when it is written: the present state, and what happened before."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from core.sql import among
from monitors.domain.schedules import ScheduleError
from monitors.domain.state_machine import Cause
from monitors.history.rejected import rejected_since
from monitors.models import Incident, Monitor
from notifications.composing import ack_links
from notifications.messages import digests, single
from notifications.messages.digests import SECTIONS, Section, section_of
from notifications.messages.events import Event, Reason
from notifications.models import Belief, Channel, Delivery, DeliveryAttempt
from notifications.rules.compare import FLAP_WINDOW
from notifications.rules.effective import rules_of


def of_one(delivery: Delivery, now: datetime) -> single.Facts:
    """Return the facts for a notification about one monitor, as of `now`, the database's time."""
    incident, event = delivery.incident, Event(delivery.event)
    monitor = incident.monitor if incident else delivery.monitor
    if monitor is None:
        return _of_deleted(delivery, now)
    belief = _belief_of(delivery)
    about = _about_incident(incident) if incident else _about_lateness(delivery, monitor)
    goes_on = incident if incident is not None and incident.resolved_at is None else None
    is_ending = event in (Event.ENDED, Event.RESOLVED, Event.PASSED)
    flapping = event is Event.FLAPPING or (belief is not None and belief.state == Belief.State.FLAPPING)
    acknowledge = ""
    if goes_on and event in (Event.OPENED, Event.REMINDER) and goes_on.acknowledged_at is None:
        acknowledge = ack_links.acknowledge_url(goes_on, delivery.channel)
    return single.Facts(
        event=event,
        at=_at(delivery),
        now=now,
        monitor=monitor.name,
        monitor_id=str(monitor.public_id),
        monitor_url=url("monitors:detail", monitor.public_id),
        bounds=single.Bounds(monitor.value_min, monitor.value_max, monitor.value_required),
        reminder=delivery.reminder,
        reminders=rules_of([monitor.pk])[monitor.pk].remind_most if event is Event.REMINDER else 0,
        latest_value=_latest_value(incident) if incident and event is Event.REMINDER else None,
        rejected=_rejected(goes_on) if goes_on and not is_ending else "",
        workspace=delivery.channel.workspace.name,
        acknowledge_url=acknowledge,
        outage=str(delivery.outage or ""),
        sequence=delivery.sequence,
        again=event is Event.OPENED and belief is not None and belief.state == Belief.State.DOWN,
        meanwhile=_meanwhile(delivery, belief, now) if incident and belief else None,
        reason=Reason(delivery.reason) if delivery.reason else None,
        is_down=flapping and monitor.incidents.filter(resolved_at=None).exists(),
        changes=_changes(monitor, now) if flapping and event in (Event.FLAPPING, Event.ENDED) else 0,
        urgency=monitor.urgency,
        **about,
    )


def _belief_of(delivery: Delivery) -> Belief | None:
    if delivery.pk is None:
        return None  # a preview
    about = {"channel": delivery.channel_id, "monitor": delivery.monitor_id}
    return Belief.objects.filter(workspace_id=delivery.workspace_id, **about).first()


def _at(delivery: Delivery) -> datetime:
    """Return when what the message is about happened."""
    incident, event = delivery.incident, delivery.event
    if incident is None or event in (Event.REMINDER, Event.FLAPPING, Event.ENDED):
        return delivery.created_at
    ended = incident.resolved_at if event != Event.OPENED else None
    return ended or incident.confirmed_at or incident.detected_at


def _of_deleted(delivery: Delivery, now: datetime) -> single.Facts:
    """Return the facts of a monitor that was deleted, from what is left of it."""
    about = delivery.about or {}
    started_at = parse_datetime(about.get("started_at", "")) or delivery.created_at
    return single.Facts(
        event=Event(delivery.event),
        at=delivery.created_at,
        now=now,
        monitor=about.get("monitor", ""),
        monitor_id=about.get("monitor_id", ""),
        monitor_url=url("monitors:overview"),
        incident_id=about.get("incident_id", ""),
        cause=Cause(about.get("cause", Cause.MISSED)),
        started_at=started_at,
        detected_at=parse_datetime(about.get("detected_at", "")) or started_at,
        workspace=delivery.channel.workspace.name,
        outage=str(delivery.outage or ""),
        sequence=delivery.sequence,
        reason=Reason.DELETED,
        urgency=about.get("urgency", "normal"),
    )


def left_of(monitor: Monitor, incident: Incident | None) -> dict[str, str]:
    """Return what is kept of `monitor`, which is being deleted, for the message that ends its outage.

    Args:
        incident: that the channel was notified of last, if there is one; otherwise it is the newest.
    """
    about = {"monitor": monitor.name, "monitor_id": str(monitor.public_id), "urgency": monitor.urgency}
    incident = incident or monitor.incidents.order_by("-pk").first()
    if incident is None:
        return about
    return about | {
        "incident_id": str(incident.public_id),
        "cause": incident.cause,
        "started_at": incident.started_at.isoformat(),
        "detected_at": incident.detected_at.isoformat(),
    }


def _about_incident(incident: Incident) -> dict[str, Any]:
    return {
        "incident_id": str(incident.public_id),
        "cause": Cause(incident.cause),
        "started_at": incident.started_at,
        "detected_at": incident.detected_at,
        "resolved_at": incident.resolved_at,
        "last_heartbeat_at": incident.last_heartbeat_at,
        "opening_message": incident.opening_message,
        "opening_value": incident.opening_value,
        "latest_message": incident.latest_message,
        "closing_message": incident.closing_message,
        "closing_value": incident.closing_value,
    }


def _meanwhile(delivery: Delivery, belief: Belief, now: datetime) -> single.Meanwhile | None:
    """Return the outages that the channel was not notified of, or not of their ends, besides this one."""
    news = Incident.objects.filter(
        Q(pk__gt=belief.after_incident) | Q(pk=belief.incident_id or -1),
        workspace_id=delivery.workspace_id,
        monitor=delivery.monitor_id,
        confirmed_at__isnull=False,
    ).exclude(pk=delivery.incident_id or -1)
    found = list(news.order_by("pk").values_list("started_at", "resolved_at"))
    if not found:
        return None
    longest = max((end or now) - start for start, end in found)
    return single.Meanwhile(len(found), found[0][0], longest)


def _changes(monitor: Monitor, now: datetime) -> int:
    """Return how often it went down and recovered within FLAP_WINDOW."""
    since = now - FLAP_WINDOW
    confirmed = monitor.incidents.filter(confirmed_at__isnull=False)
    return confirmed.aggregate(
        changes=Count("pk", filter=Q(confirmed_at__gt=since)) + Count("pk", filter=Q(resolved_at__gt=since))
    )["changes"]


def _latest_value(incident: Incident) -> float | None:
    """Return the value that was reported last, since the incident was opened and while it is open."""
    if incident.monitor.pk is None or incident.resolved_at is not None:
        return None
    state = incident.monitor.state
    reported = state.last_heartbeat_at is not None and state.last_heartbeat_at > incident.started_at
    return state.last_value if reported else None


def _rejected(incident: Incident) -> str:
    # The monitor of a preview is made up.
    if incident.cause != Cause.MISSED or incident.monitor.pk is None:
        return ""
    return rejected_since(incident.monitor, incident.last_heartbeat_at)


def _about_lateness(delivery: Delivery, monitor: Monitor) -> dict[str, Any]:
    """The facts about a monitor whose next heartbeat after `occasion` is late."""
    state = monitor.state
    last_heartbeat = delivery.occasion or state.last_heartbeat_at
    expected_by, deadline = delivery.created_at, None
    if last_heartbeat is not None:
        try:
            due = monitor.schedule.due_after(max(last_heartbeat, state.excused_until or last_heartbeat))
            expected_by, deadline = due.expected_by, due.deadline
        except ScheduleError:
            pass  # its page shows the error
    later = state.last_heartbeat_at if last_heartbeat and state.last_heartbeat_at else None
    came_at = later if later is not None and last_heartbeat is not None and later > last_heartbeat else None
    return {
        "incident_id": "",
        "cause": Cause.MISSED,
        "started_at": expected_by,
        "detected_at": delivery.created_at,
        "resolved_at": came_at,
        "deadline": deadline,
        "last_heartbeat_at": last_heartbeat,
        # The state only has the last heartbeat.
        "opening_message": "" if came_at else state.last_message,
        "opening_value": None if came_at else state.last_value,
    }


def of_digest(delivery: Delivery, now: datetime) -> digests.Facts:
    """Return the facts for a digest: constantly few queries, none of which reads more than LISTED rows."""
    members = delivery.members.exclude(status=Delivery.Status.SKIPPED)
    counts: dict[Section, int] = {}
    for event, count in members.order_by().values_list("event").annotate(count=Count("pk")):
        section = section_of(Event(event))
        counts[section] = counts.get(section, 0) + count
    listed: list[Delivery] = []
    rows = members.select_related("incident", "monitor__state").order_by("incident__started_at", "pk")
    for section in counts:
        events = [event for event in Event if event in SECTIONS and section_of(event) is section]
        listed += rows.filter(event__in=events)[: digests.LISTED]
    down = Section.DOWN in counts or Section.REMINDER in counts
    return digests.Facts(
        at=delivery.created_at,
        now=now,
        workspace=delivery.channel.workspace.name,
        url=f"{url('monitors:overview')}{'?status=down' if down else ''}",
        members=tuple(_member(row, now) for row in listed),
        counts=counts,
        others=_others(members, counts, [row.pk for row in listed]),
        acknowledge_url=ack_links.acknowledge_all_url(delivery) if down else "",
    )


def _others(
    members: QuerySet[Delivery], counts: Mapping[Section, int], listed: list[int]
) -> tuple[digests.Other, ...]:
    """Return those beyond the listed ones: programs must know the outage of each."""
    if sum(counts.values()) == len(listed):
        return ()
    rows = members.exclude(pk__in=among(listed)).order_by("pk")
    return tuple(
        digests.Other(
            Event(event),
            str(monitor or (about or {}).get("monitor_id", "")),
            str(incident or (about or {}).get("incident_id", "")),
            str(outage or ""),
            sequence,
        )
        for event, monitor, incident, outage, sequence, about in rows.values_list(
            "event", "monitor__public_id", "incident__public_id", "outage", "sequence", "about"
        )
    )


def _member(row: Delivery, now: datetime) -> digests.Member:
    monitor, incident = row.monitor, row.incident
    if monitor is None:
        return _deleted_member(row)
    about = _about_incident(incident) if incident else _about_lateness(row, monitor)
    return digests.Member(
        event=Event(row.event),
        monitor=monitor.name,
        monitor_id=str(monitor.public_id),
        monitor_url=url("monitors:detail", monitor.public_id),
        cause=about["cause"] if incident else None,
        started_at=about["started_at"],
        resolved_at=about["resolved_at"],
        outage=str(row.outage or ""),
        incident_id=about["incident_id"],
        sequence=row.sequence,
        message=about["latest_message"] or about["opening_message"] if incident else "",
        reason=Reason(row.reason) if row.reason else None,
        is_down=incident is not None and incident.resolved_at is None,
        urgency=monitor.urgency,
    )


def _deleted_member(row: Delivery) -> digests.Member:
    facts = _of_deleted(row, row.created_at)
    return digests.Member(
        event=facts.event,
        monitor=facts.monitor,
        monitor_id=facts.monitor_id,
        monitor_url=facts.monitor_url,
        cause=facts.cause if facts.incident_id else None,
        started_at=facts.started_at,
        outage=facts.outage,
        incident_id=facts.incident_id,
        sequence=facts.sequence,
        reason=facts.reason,
        urgency=facts.urgency,
    )


def of_failing(delivery: Delivery) -> digests.FailingChannel:
    """Return the facts about the failing channel that `delivery` is about."""
    subject = delivery.subject
    assert subject is not None, "news about a channel name it"
    last = DeliveryAttempt.objects.filter(delivery__channel=subject, ok=False).order_by("-pk").first()
    return digests.FailingChannel(
        at=delivery.created_at,
        channel=subject.name,
        channel_id=str(subject.public_id),
        kind=subject.kind,
        kind_label=subject.kind_label,
        url=page_of(subject),
        workspace=delivery.channel.workspace.name,
        failures=subject.failures,
        failing_since=subject.failing_since,
        detail=last.detail if last else "",
        enabled=subject.enabled,
    )


def page_of(channel: Channel) -> str:
    """Return the URL of the page of `channel`."""
    return url("notifications:detail", channel.public_id)


def url(name: str, *arguments: UUID) -> str:
    """Return the absolute URL of a page."""
    return f"{settings.TIANJI_URL}{reverse(name, args=arguments)}"
