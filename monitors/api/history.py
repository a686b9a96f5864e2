"""A monitor's history over HTTP: heartbeats, incidents, status changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import keyset
from api.base import ApiView
from api.problems import impossible
from api.schema import paged, problem_response
from core import replica
from core.clock import database_now
from core.connections import release_connection
from core.export import MEDIA_TYPES, WRITERS
from monitors.api.history_serializers import (
    AnyIncidentFilter,
    HeartbeatFilter,
    HeartbeatSerializer,
    IncidentFilter,
    IncidentSerializer,
    RangeSerializer,
    TransitionFilter,
    TransitionSerializer,
)
from monitors.history import uptimes
from monitors.models import Heartbeat, Incident, Monitor, PushToken, Transition

TAG = "history"
_HEARTBEAT = ("received_at", "status", "message", "value", "source", "token")


def names_of(parameters: type[RangeSerializer]) -> tuple[str, ...]:
    return tuple(parameters().fields)


class HistoryView(ApiView):
    """Shared by the history views."""

    def in_order(self, parameters: type[RangeSerializer]) -> dict[str, Any]:
        """Return the request's parameters, with “from” before “to”.

        Raises:
            ValidationError, Problem: a parameter is invalid.
        """
        params = self.read_query(parameters)
        if "from" in params and "to" in params:
            require_order(params["from"], params["to"])
        return params

    def monitor(self, public_id: UUID) -> Monitor:
        """Return a monitor of the workspace. Raises Http404."""
        monitors = Monitor.objects.in_workspace(self.workspace).select_related("state")
        found: Monitor = get_object_or_404(monitors, public_id=public_id)
        return found


def require_order(start: datetime, end: datetime) -> None:
    if start >= end:
        raise impossible("from", _("Must be before “to”."))


def _within(rows: QuerySet[Any], column: str, params: dict[str, Any]) -> QuerySet[Any]:
    if "from" in params:
        rows = rows.filter(**{f"{column}__gte": params["from"]})
    if "to" in params:
        rows = rows.filter(**{f"{column}__lt": params["to"]})
    return rows


class Heartbeats(HistoryView):
    query = names_of(HeartbeatFilter)

    @extend_schema(
        tags=[TAG],
        operation_id="list_heartbeats",
        summary="List a monitor's heartbeats",
        description=(
            "Newest first. CSV and NDJSON stream the whole range, without pages. CSV text that a spreadsheet "
            "would read as a formula is prefixed with a '."
        ),
        parameters=[HeartbeatFilter],
        responses={
            **paged(HeartbeatSerializer, "PageOfHeartbeats"),
            (200, MEDIA_TYPES["csv"]): OpenApiResponse(OpenApiTypes.STR),
            (200, MEDIA_TYPES["ndjson"]): OpenApiResponse(OpenApiTypes.STR),
            (422, "application/problem+json"): problem_response(422),
        },
    )
    def get(self, request: Request, public_id: UUID) -> HttpResponseBase:
        params = self.in_order(HeartbeatFilter)
        monitor = self.monitor(public_id)
        rows = _within(Heartbeat.objects.filter(monitor=monitor), "received_at", params)
        if "status" in params:
            rows = rows.filter(status=params["status"])
        if "q" in params:
            rows = rows.filter(message__icontains=params["q"])
        form = params.get("format") or self._accepted()
        if form == "json":
            response: HttpResponseBase = keyset.page(
                request,
                rows,
                time="received_at",
                params=params,
                serialize=lambda found: _heartbeats(monitor, [_columns(row) for row in found]),
            )
        else:
            response = self._export(monitor, rows, form, params)
        patch_vary_headers(response, ["Accept"])
        return response

    def _accepted(self) -> str:
        preferred = self.request._request.get_preferred_type(list(MEDIA_TYPES.values()))
        return next((form for form, media_type in MEDIA_TYPES.items() if media_type == preferred), "json")

    def _export(
        self, monitor: Monitor, rows: QuerySet[Any], form: str, params: dict[str, Any]
    ) -> StreamingHttpResponse:
        for name in ("cursor", "limit"):
            if name in params:
                raise impossible(name, _("An export has no pages. Leave this out, or request JSON."))
        # Heartbeats that arrive during the export belong to the next one.
        rows = rows.filter(received_at__lte=database_now()).values("pk", *_HEARTBEAT[:-1], "token_id")
        tokens = _tokens_of(monitor)
        chunks = uptimes.in_chunks(rows, time="received_at")
        # Read the first chunk now, while a database error can still be answered as one.
        first: list[dict[str, Any]] = next(chunks, [])
        written = _written(chain([first], chunks if self.request.method == "GET" else ()), tokens)
        response = StreamingHttpResponse(
            WRITERS[form](written, _HEARTBEAT), content_type=f"{MEDIA_TYPES[form]}; charset=utf-8"
        )
        response["Content-Disposition"] = f'attachment; filename="heartbeats-{monitor.slug}.{form}"'
        return response


def _written(
    chunks: Iterable[list[dict[str, Any]]], tokens: dict[int, str]
) -> Iterator[list[dict[str, Any]]]:
    remaining = iter(chunks)
    rows = next(remaining, None)
    while rows is not None:
        # A slow reader must not hold a pooled connection.
        release_connection()
        yield [_heartbeat(row, tokens) for row in rows]
        # What was received lately is in the first chunk.
        with replica.reading(complete_until=rows[-1]["received_at"] if rows else database_now()):
            rows = next(remaining, None)


def _columns(row: Heartbeat) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (*_HEARTBEAT[:-1], "token_id")}


def _heartbeats(monitor: Monitor, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tokens = _tokens_of(monitor) if rows else {}
    return [_heartbeat(row, tokens) for row in rows]


def _heartbeat(row: dict[str, Any], tokens: dict[int, str]) -> dict[str, Any]:
    return {
        "received_at": iso(row["received_at"]),
        "status": row["status"],
        "message": row["message"],
        "value": row["value"],
        "source": row["source"],
        "token": tokens.get(row["token_id"]),
    }


def _tokens_of(monitor: Monitor) -> dict[int, str]:
    """Return the display name of each token of `monitor` by row id: "host-a (tjp_...a1b2)"."""
    tokens = PushToken.objects.filter(monitor=monitor).only("label", "last_four", "imported")
    return {token.pk: f"{token.label} ({token})" if token.label else str(token) for token in tokens}


def iso(at: datetime) -> str:
    """Return `at` like api.fields.in_utc, but fast enough for millions."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


class MonitorIncidents(HistoryView):
    query = names_of(IncidentFilter)

    @extend_schema(
        tags=[TAG],
        operation_id="list_incidents_of_monitor",
        summary="List a monitor's incidents",
        description="Newest first. “from” and “to” select incidents that were open at any time in between.",
        parameters=[IncidentFilter],
        responses={
            **paged(IncidentSerializer, "PageOfMonitorIncidents"),
            (422, "application/problem+json"): problem_response(422),
        },
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        params = self.in_order(IncidentFilter)
        monitor = self.monitor(public_id)
        return _incidents(request, Incident.objects.filter(monitor=monitor), params)


class Incidents(HistoryView):
    query = names_of(AnyIncidentFilter)

    @extend_schema(
        tags=[TAG],
        operation_id="list_incidents",
        summary="List incidents",
        description="Newest first. “from” and “to” select incidents that were open at any time in between.",
        parameters=[AnyIncidentFilter],
        responses={
            **paged(IncidentSerializer, "PageOfIncidents"),
            (422, "application/problem+json"): problem_response(422),
        },
    )
    def get(self, request: Request) -> Response:
        params = self.in_order(AnyIncidentFilter)
        incidents = Incident.objects.filter(monitor__workspace=self.workspace)
        if "monitor" in params:
            incidents = incidents.filter(monitor__public_id=params["monitor"])
        return _incidents(request, incidents, params)


def _incidents(request: Request, incidents: QuerySet[Incident], params: dict[str, Any]) -> Response:
    if "open" in params:
        incidents = incidents.filter(resolved_at__isnull=params["open"])
    incidents = uptimes.overlapping(incidents, start=params.get("from"), end=params.get("to"))
    return keyset.page(
        request,
        incidents.select_related("monitor"),
        time="started_at",
        params=params,
        serialize=lambda found: [_incident(incident) for incident in found],
    )


def _incident(incident: Incident) -> dict[str, Any]:
    ended = incident.resolved_at
    return {
        "id": str(incident.public_id),
        "monitor": str(incident.monitor.public_id),
        "monitor_name": incident.monitor.name,
        "cause": incident.cause,
        "started_at": iso(incident.started_at),
        "detected_at": iso(incident.detected_at),
        "confirmed_at": iso(incident.confirmed_at) if incident.confirmed_at else None,
        "resolved_at": iso(ended) if ended else None,
        "duration_seconds": (ended - incident.started_at).total_seconds() if ended else None,
        "opening_message": incident.opening_message,
        "opening_value": incident.opening_value,
        "latest_message": incident.latest_message,
        "closing_message": incident.closing_message,
        "closing_value": incident.closing_value,
        "last_heartbeat_at": iso(incident.last_heartbeat_at) if incident.last_heartbeat_at else None,
    }


class Transitions(HistoryView):
    query = names_of(TransitionFilter)

    @extend_schema(
        tags=[TAG],
        operation_id="list_transitions",
        summary="List a monitor's status changes",
        description="Newest first.",
        parameters=[TransitionFilter],
        responses={
            **paged(TransitionSerializer, "PageOfTransitions"),
            (422, "application/problem+json"): problem_response(422),
        },
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        params = self.in_order(TransitionFilter)
        rows = _within(Transition.objects.filter(monitor=self.monitor(public_id)), "at", params)
        return keyset.page(
            request,
            rows.select_related("incident"),
            time="at",
            params=params,
            serialize=lambda found: [_transition(row) for row in found],
        )


def _transition(row: Transition) -> dict[str, Any]:
    return {
        "at": iso(row.at),
        "from": row.source,
        "to": row.target,
        "reason": row.reason,
        "incident": str(row.incident.public_id) if row.incident else None,
    }
