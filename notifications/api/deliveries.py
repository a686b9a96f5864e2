"""Deliveries over HTTP, with every attempt."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import keyset
from api.base import ApiView
from api.fields import in_utc
from api.schema import paged
from monitors.models import Incident, Monitor
from notifications.api.serializers import DeliveryFilter, DeliverySerializer
from notifications.models import Channel, Delivery, DeliveryAttempt
from notifications.services import queries

_COLUMNS = {
    "status": "status",
    "event": "event",
    "channel": "channel__public_id",
    "monitor": "monitor__public_id",
    "digest": "digest__public_id",
}


class Deliveries(ApiView):
    query = tuple(DeliveryFilter().fields)

    @extend_schema(
        tags=["channels"],
        operation_id="list_deliveries",
        summary="List deliveries",
        description="Newest first, each with its attempts.",
        parameters=[DeliveryFilter],
        responses=paged(DeliverySerializer, "PageOfDeliveries"),
    )
    def get(self, request: Request) -> Response:
        params = self.read_query(DeliveryFilter)
        wanted = {column: params[name] for name, column in _COLUMNS.items() if name in params}
        return keyset.page(
            request,
            queries.deliveries_in(self.workspace).filter(**wanted),
            time=None,
            params=params,
            serialize=lambda found: [_delivery(row, masked=not self.may_change) for row in found],
        )


def _delivery(row: Delivery, *, masked: bool) -> dict[str, Any]:
    return {
        "id": str(row.public_id),
        "event": row.event,
        "status": row.status,
        "channel": str(row.channel.public_id),
        "channel_name": row.channel.name,
        "monitor": _id(row.monitor),
        "monitor_name": row.monitor.name if row.monitor else (row.about or {}).get("monitor"),
        "incident": _id(row.incident),
        "subject": _id(row.subject),
        "digest": _id(row.digest),
        "outage": str(row.outage) if row.outage else None,
        "sequence": row.sequence if row.outage else None,
        "reason": row.reason or None,
        "note": row.note or None,
        "created_at": in_utc(row.created_at),
        "planned_at": in_utc(row.planned_at),
        "next_attempt_at": in_utc(row.next_attempt_at),
        "sent_at": in_utc(row.sent_at),
        "attempts": [_attempt(attempt, masked=masked) for attempt in row.attempts.all()],
    }


def _id(row: Monitor | Incident | Channel | Delivery | None) -> str | None:
    return str(row.public_id) if row else None


def _attempt(attempt: DeliveryAttempt, *, masked: bool) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "started_at": in_utc(attempt.started_at),
        "finished_at": in_utc(attempt.finished_at),
        "ok": attempt.ok,
        # Responses may contain addresses.
        "detail": None if masked else attempt.detail,
    }
