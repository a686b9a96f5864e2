"""The JSON payload, version 2, without a database. docs/messages.md documents every field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from notifications.messages import digests
from notifications.messages.events import Event
from notifications.messages.incident_facts import Facts, Meanwhile
from notifications.messages.text import Message, one_line

VERSION = 2


def of_incident(facts: Facts, message: Message, *, delivery_id: UUID) -> dict[str, Any]:
    """Return the JSON object of one event. Every attempt of a delivery carries the same `id`."""
    return _object(
        facts.event,
        message,
        delivery_id,
        facts.at,
        {
            "outage": facts.outage or None,
            "sequence": facts.sequence if facts.outage else None,
            "monitor": {
                "id": facts.monitor_id,
                "name": one_line(facts.monitor),
                "url": facts.monitor_url,
                "urgency": facts.urgency,
            },
            "incident": _incident(facts) if facts.incident_id else None,
            "again": facts.again,
            "meanwhile": _meanwhile(facts.meanwhile),
            "reason": facts.reason.value if facts.reason else None,
            "flapping": (
                {"changes": facts.changes, "is_down": facts.is_down}
                if facts.event is Event.FLAPPING
                else None
            ),
            "late": (
                {"expected_by": iso(facts.started_at), "deadline": iso(facts.deadline)}
                if facts.event is Event.LATE
                else None
            ),
            "message": facts.message,
            "value": facts.value,
            "last_heartbeat_at": iso(facts.last_heartbeat_at),
            "reminder": (
                {"number": facts.reminder, "of": facts.reminders or None}
                if facts.event is Event.REMINDER
                else None
            ),
        },
    )


def _incident(facts: Facts) -> dict[str, Any]:
    duration = facts.duration
    return {
        "id": facts.incident_id,
        "cause": facts.cause.value,
        "started_at": iso(facts.started_at),
        "detected_at": iso(facts.detected_at),
        "resolved_at": iso(facts.resolved_at),
        "duration_seconds": None if duration is None else round(duration.total_seconds(), 3),
    }


def _meanwhile(meanwhile: Meanwhile | None) -> dict[str, Any] | None:
    if meanwhile is None:
        return None
    return {
        "times": meanwhile.times,
        "since": iso(meanwhile.since),
        "longest_seconds": round(meanwhile.longest.total_seconds(), 3),
    }


def of_digest(facts: digests.Facts, message: Message, *, delivery_id: UUID) -> dict[str, Any]:
    """Return the JSON object of a digest, with details of at most LISTED of each section."""
    monitors = [_member(member) for _section, members in digests.sections(facts) for member in members]
    digest = {
        "count": facts.count,
        "counts": {section.value: facts.counts.get(section, 0) for section in digests.Section},
        "monitors": monitors,
        "others": [_other(other) for other in facts.others],
    }
    return _object(Event.DIGEST, message, delivery_id, facts.at, {"digest": digest})


def _other(other: digests.Other) -> dict[str, Any]:
    return {
        "event": other.event.value,
        "outage": other.outage or None,
        "sequence": other.sequence if other.outage else None,
        "id": other.monitor_id,
        "incident": {"id": other.incident_id} if other.incident_id else None,
    }


def _member(member: digests.Member) -> dict[str, Any]:
    incident = {
        "id": member.incident_id,
        "cause": member.cause.value if member.cause else None,
        "started_at": iso(member.started_at),
        "resolved_at": iso(member.resolved_at),
    }
    return {
        "event": member.event.value,
        "outage": member.outage or None,
        "sequence": member.sequence if member.outage else None,
        "id": member.monitor_id,
        "name": one_line(member.monitor),
        "url": member.monitor_url,
        "urgency": member.urgency,
        "incident": incident if member.incident_id else None,
        "message": member.message,
        "reason": member.reason.value if member.reason else None,
        "flapping": {"is_down": member.is_down} if member.event is Event.FLAPPING else None,
        "late": {"expected_by": iso(member.started_at)} if member.event is Event.LATE else None,
    }


def of_failing(facts: digests.FailingChannel, message: Message, *, delivery_id: UUID) -> dict[str, Any]:
    """Return the JSON object of the event that a channel is failing."""
    channel = {
        "id": facts.channel_id,
        "name": one_line(facts.channel),
        "kind": facts.kind,
        "url": facts.url,
        "failing_since": iso(facts.failing_since),
        "failures": facts.failures,
        "detail": facts.detail,
    }
    return _object(Event.FAILING, message, delivery_id, facts.at, {"channel": channel})


def of_test(message: Message, *, test_id: UUID, at: datetime) -> dict[str, Any]:
    """Return the JSON object of a test: the same keys, with those of an event empty."""
    return _object(Event.TEST, message, test_id, at, {})


def _object(
    event: Event, message: Message, delivery_id: UUID, at: datetime, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Every event has all keys; those that do not apply are null."""
    return {
        "version": VERSION,
        "id": str(delivery_id),
        "event": event.value,
        # What Standard Webhooks calls it.
        "type": event.value,
        "at": iso(at),
        "outage": None,
        "sequence": None,
        "monitor": None,
        "incident": None,
        "again": False,
        "meanwhile": None,
        "reason": None,
        "flapping": None,
        "late": None,
        "message": "",
        "value": None,
        "last_heartbeat_at": None,
        "acknowledge_url": message.ack_url or None,
        "reminder": None,
        "digest": None,
        "channel": None,
        **extra,
        "title": message.title,
        "text": message.text,
    }


def iso(time: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with milliseconds and a Z, such as 2026-11-22T15:52:45.000Z."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
