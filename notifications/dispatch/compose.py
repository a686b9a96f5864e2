"""From a delivery to the letter that is sent, in the language and time zone of its workspace."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Min
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from accounts.models import Workspace
from core.clock import database_now
from core.timezones import known_zones
from monitors.domain.schedules import ScheduleError
from monitors.domain.state_machine import Cause
from monitors.history.rejected import rejected_since
from monitors.models import Incident, Monitor
from notifications.dispatch import ack_links
from notifications.messages import digests, payloads, placeholders, single, templates
from notifications.messages.events import DIGESTS, Event
from notifications.messages.single import Message
from notifications.messages.text import cut, one_line, plain
from notifications.models import Channel, Delivery, DeliveryAttempt
from notifications.rules.effective import rules_of
from notifications.transports.base import Tone

_TONES = {
    Event.OPENED: Tone.DOWN,
    Event.REMINDER: Tone.DOWN,
    Event.DIGEST_DOWN: Tone.DOWN,
    Event.DIGEST_REMINDER: Tone.DOWN,
    Event.RESOLVED: Tone.UP,
    Event.PASSED: Tone.UP,
    Event.DIGEST_UP: Tone.UP,
    Event.LATE: Tone.LATE,
}


@dataclass(frozen=True, slots=True)
class Composed:
    """What is sent: the text for people and the payload for programs. `thread` identifies the outage."""

    message: Message
    payload: dict[str, Any]
    thread: UUID | None = None
    tone: Tone = Tone.INFO


def write(delivery: Delivery) -> Composed:
    """Return the letter for `delivery`, as of now.

    The number of queries is constant, however many monitors a digest has.

    Args:
        delivery: ideally loaded with its channel's workspace, its monitor and its incident.
    """
    event = Event(delivery.event)
    now = database_now()
    thread = None
    with _voice_of(delivery.channel.workspace):
        if event in DIGESTS.values():
            several = digest_facts(delivery, now)
            values = placeholders.of_digest(several)
            message = _own_words(delivery.channel, digests.compose(several), values)
            payload = payloads.of_digest(several, message, delivery_id=delivery.public_id)
        elif event is Event.FAILING:
            failing = failing_facts(delivery)
            # Never in the channel's custom text: it must be understood.
            message = _addressed(delivery.channel, digests.compose_failing(failing))
            payload = payloads.of_failing(failing, message, delivery_id=delivery.public_id)
        else:
            facts = facts_of(delivery, now)
            message = _own_words(delivery.channel, single.compose(facts), placeholders.of_incident(facts))
            payload = payloads.of_incident(facts, message, delivery_id=delivery.public_id)
            thread = delivery.thread or (delivery.incident.public_id if delivery.incident else None)
    return Composed(message, payload, thread, _TONES.get(event, Tone.INFO))


def test(channel: Channel, test_id: UUID, at: datetime) -> Composed:
    """Return the letter of "Send test" through `channel`, in the channel's custom text if it has one."""
    workspace = channel.workspace
    with _voice_of(workspace):
        message = single.compose_test(channel=channel.name, workspace=workspace.name, url=_page_of(channel))
        message = _own_words(channel, message, placeholders.of_test())
        return Composed(message, payloads.of_test(message, test_id=test_id, at=at))


@contextmanager
def _voice_of(workspace: Workspace) -> Iterator[None]:
    """Use the language and time zone of `workspace` while composing."""
    language, zone = workspace.language, workspace.timezone
    with (
        translation.override(language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE),
        timezone.override(zoneinfo.ZoneInfo(zone if zone in known_zones() else "UTC")),
    ):
        yield


# --- Facts -----------------------------------------------------------------------------------------


def facts_of(delivery: Delivery, now: datetime) -> single.Facts:
    """Return the facts for a notification about one monitor, as of `now`, the database's time."""
    incident, event = delivery.incident, Event(delivery.event)
    monitor = incident.monitor if incident else delivery.monitor
    assert monitor is not None, "a delivery is about an incident, a monitor, several or a channel"
    about = _about_incident(incident) if incident else _about_lateness(delivery, monitor)
    most = 0
    if event is Event.REMINDER:
        most = rules_of([monitor.pk])[monitor.pk].remind_most
    may_be_acknowledged = (
        incident is not None
        and event in (Event.OPENED, Event.REMINDER)
        and incident.resolved_at is None
        and incident.acknowledged_at is None
    )
    return single.Facts(
        event=event,
        at=_at(delivery),
        now=now,
        monitor=monitor.name,
        monitor_id=str(monitor.public_id),
        monitor_url=_url("monitors:detail", monitor.public_id),
        bounds=single.Bounds(monitor.value_min, monitor.value_max, monitor.value_required),
        reminder=delivery.sequence if event is Event.REMINDER else 0,
        reminders=most,
        down_again=incident is not None and _is_down_again(incident),
        latest_value=_latest_value(incident) if incident and event is Event.REMINDER else None,
        rejected=_rejected(incident) if incident and incident.resolved_at is None else "",
        workspace=delivery.channel.workspace.name,
        acknowledge_url=(
            ack_links.acknowledge_url(incident, delivery.channel) if incident and may_be_acknowledged else ""
        ),
        **about,
    )


def _at(delivery: Delivery) -> datetime:
    # The row of a reminder is written long before it is due, when the previous one is sent.
    planned = delivery.planned_at if delivery.event == Event.REMINDER else None
    return planned or delivery.created_at


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


def _is_down_again(incident: Incident) -> bool:
    if incident.resolved_at is None:
        return False
    again = Incident.objects.filter(monitor=incident.monitor_id, resolved_at=None)
    return again.filter(confirmed_at__isnull=False).exists()


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


def digest_facts(delivery: Delivery, now: datetime) -> digests.Facts:
    """Return the facts for a digest: three queries, none of which reads more than LISTED rows."""
    members = delivery.members.filter(incident__isnull=False)
    whole = members.aggregate(
        count=Count("pk"), first=Min("incident__started_at"), last=Max("incident__started_at")
    )
    listed = members.select_related("incident__monitor").order_by("incident__started_at", "pk")
    rows = [row.incident for row in listed[: digests.LISTED] if row.incident]
    event = Event(delivery.event)
    down: set[int] = set()
    if event is not Event.DIGEST_UP:
        # A monitor that went down again before its recovery was sent is down, and nothing else will say so.
        fallen = [incident.monitor_id for incident in rows if incident.resolved_at is not None]
        again = Incident.objects.filter(monitor__in=fallen, resolved_at=None, confirmed_at__isnull=False)
        down = set(again.values_list("monitor_id", flat=True))
    query = "" if event is Event.DIGEST_UP else "?status=down"
    return digests.Facts(
        event=event,
        at=delivery.created_at,
        now=now,
        workspace=delivery.channel.workspace.name,
        url=f"{_url('monitors:overview')}{query}",
        count=whole["count"],
        members=tuple(_member(incident, down) for incident in rows),
        first_at=whole["first"] or delivery.created_at,
        last_at=whole["last"] or delivery.created_at,
    )


def _member(incident: Incident, down: set[int]) -> digests.Member:
    return digests.Member(
        monitor=incident.monitor.name,
        monitor_id=str(incident.monitor.public_id),
        monitor_url=_url("monitors:detail", incident.monitor.public_id),
        cause=Cause(incident.cause),
        started_at=incident.started_at,
        resolved_at=None if incident.monitor_id in down else incident.resolved_at,
    )


def failing_facts(delivery: Delivery) -> digests.FailingChannel:
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
        url=_page_of(subject),
        workspace=delivery.channel.workspace.name,
        failures=subject.failures,
        failing_since=subject.failing_since,
        detail=last.detail if last else "",
        enabled=subject.enabled,
    )


# --- The channel's custom text ---------------------------------------------------------------------


def _own_words(channel: Channel, message: Message, values: Mapping[str, str]) -> Message:
    """Return `message` as the templates of `channel` render it.

    A template that has become invalid must not keep a notification from being sent: the default text is
    used instead, and the last line says why.
    """
    message = _addressed(channel, message)
    values = {
        "title": message.title,
        "text": "\n\n".join("\n".join(block) for block in message.blocks),
        "workspace": one_line(channel.workspace.name),
        "url": message.url,
        "acknowledge_url": message.ack_url,
        **values,
    }
    errors: list[str] = []
    if channel.title.strip():
        if wrong := templates.check(channel.title):
            errors += wrong
        elif title := cut(one_line(templates.fill(channel.title, values))):
            message = replace(message, title=title)
    if channel.body.strip():
        if wrong := templates.check(channel.body):
            errors += wrong
        elif written := plain(templates.fill(channel.body, values)):
            lines = tuple(line for line in map(one_line, written.splitlines()) if line)
            message = replace(message, lines=lines, written=written)
    if errors:
        why = _("The channel's custom text could not be used: %(why)s") % {"why": one_line(errors[0])}
        written = f"{message.written}\n\n{why}" if message.written else ""
        message = replace(message, lines=(*message.lines, why), written=written)
    return message


def _addressed(channel: Channel, message: Message) -> Message:
    """Return `message` with what mail programs need to know about its channel."""
    return replace(
        message,
        manage_url=_page_of(channel),
        list_id=str(channel.public_id),
        language=translation.get_language() or "en",
    )


def _page_of(channel: Channel) -> str:
    return _url("notifications:detail", channel.public_id)


def _url(name: str, *arguments: UUID) -> str:
    return f"{settings.TIANJI_URL}{reverse(name, args=arguments)}"
