"""The JSON payload, version 1, without a database. docs/messages.md documents every field."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from notifications.messages import digests
from notifications.messages.events import Event
from notifications.messages.single import Facts, Message
from notifications.messages.text import one_line

VERSION = 1


def of_incident(facts: Facts, message: Message, *, delivery_id: UUID) -> dict[str, Any]:
    """Return the JSON object of one event. Every attempt of a delivery carries the same `id`."""
    duration = facts.duration
    late = facts.event is Event.LATE
    incident = {
        "id": facts.incident_id,
        "cause": facts.cause.value,
        "started_at": iso(facts.started_at),
        "detected_at": iso(facts.detected_at),
        "resolved_at": iso(facts.resolved_at),
        "duration_seconds": None if duration is None else round(duration.total_seconds(), 3),
    }
    return _object(
        facts.event,
        message,
        delivery_id,
        facts.at,
        {
            "monitor": {
                "id": facts.monitor_id,
                "name": one_line(facts.monitor),
                "url": facts.monitor_url,
            },
            "incident": None if late else incident,
            "late": {"expected_by": iso(facts.started_at), "deadline": iso(facts.deadline)} if late else None,
            "message": facts.message,
            "value": facts.value,
            "last_heartbeat_at": iso(facts.last_heartbeat_at),
            "acknowledge_url": message.ack_url or None,
            "reminder": (
                {"number": facts.reminder, "of": facts.reminders or None}
                if facts.event is Event.REMINDER
                else None
            ),
        },
    )


def of_digest(facts: digests.Facts, message: Message, *, delivery_id: UUID) -> dict[str, Any]:
    """Return the JSON object of a digest, with at most LISTED of its monitors."""
    listed = facts.members[: digests.LISTED]
    digest = {
        "count": facts.count,
        "monitors": [
            {
                "id": member.monitor_id,
                "name": one_line(member.monitor),
                "url": member.monitor_url,
                "cause": member.cause.value,
                "started_at": iso(member.started_at),
                "resolved_at": iso(member.resolved_at),
            }
            for member in listed
        ],
        "truncated": facts.count > len(listed),
    }
    return _object(facts.event, message, delivery_id, facts.at, {"digest": digest})


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
        "monitor": None,
        "incident": None,
        "late": None,
        "message": "",
        "value": None,
        "last_heartbeat_at": None,
        "acknowledge_url": None,
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
