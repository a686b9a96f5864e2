"""The JSON that machines receive, version 1, without a database. docs describe it field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from notifications.messages import Facts, Message, one_line

VERSION = 1


def of_incident(facts: Facts, message: Message, *, delivery_id: UUID) -> dict[str, Any]:
    """Return the JSON object of one event. Every attempt of a delivery carries the same `id`."""
    duration = facts.duration
    return {
        "version": VERSION,
        "id": str(delivery_id),
        "event": facts.event.value,
        "at": iso(facts.at),
        "monitor": {
            "id": facts.monitor_id,
            "name": one_line(facts.monitor),
            "url": facts.monitor_url,
        },
        "incident": {
            "id": facts.incident_id,
            "cause": facts.cause.value,
            "started_at": iso(facts.started_at),
            "detected_at": iso(facts.detected_at),
            "resolved_at": iso(facts.resolved_at),
            "duration_seconds": None if duration is None else round(duration.total_seconds(), 3),
        },
        "message": facts.message,
        "value": facts.value,
        "last_heartbeat_at": iso(facts.last_heartbeat_at),
        "title": message.title,
        "text": message.text,
    }


def of_test(message: Message, *, test_id: UUID, at: datetime) -> dict[str, Any]:
    """Return the JSON object of a test: the same keys, with nothing in those of the incident."""
    return {
        "version": VERSION,
        "id": str(test_id),
        "event": "test",
        "at": iso(at),
        "monitor": None,
        "incident": None,
        "message": "",
        "value": None,
        "last_heartbeat_at": None,
        "title": message.title,
        "text": message.text,
    }


def iso(time: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with milliseconds and a Z, such as 2026-11-22T15:52:45.000Z."""
    if time is None:
        return None
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
