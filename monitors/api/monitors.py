"""Monitors over HTTP: list, create, read, change, delete, pause, resume."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from api import keyset
from api.base import expected_version, idempotent, named_etags
from api.problems import Problem, impossible
from api.schema import ETAG, IDEMPOTENCY_KEY, IF_MATCH, LOCATION, answers, paged
from core.clock import database_now
from monitors.api.base import MonitorView
from monitors.api.serializers import STATUSES, MonitorFilter, MonitorSerializer
from monitors.models import SLUG, SLUG_LENGTH, Monitor
from monitors.pages.overview import filters
from monitors.services import monitors as monitor_service

TAG = "monitors"
EXAMPLES = [
    OpenApiExample(
        "A job every day",
        {
            "name": "Nightly backup",
            "tags": ["db"],
            "schedule": {
                "kind": "cron",
                "expression": "0 3 * * *",
                "timezone": "Asia/Jakarta",
                "grace": 1800,
            },
        },
        request_only=True,
    ),
    OpenApiExample(
        "A systemd timer",
        {
            "name": "Stock report",
            "schedule": {
                "kind": "oncalendar",
                "expression": "Mon..Fri *-*-* 09:00:00\nSat *-*-* 12:00:00",
                "timezone": "Asia/Jakarta",
                "grace": 600,
                "early": 30,
            },
        },
        request_only=True,
    ),
    OpenApiExample(
        "A service every minute",
        {
            "name": "Payments",
            "schedule": {"kind": "interval", "timeout": 60, "interval": 30, "grace": 6},
        },
        request_only=True,
    ),
]
_SLUG_SCHEMA = {"type": "string", "pattern": SLUG.removesuffix(r"\Z") + "$", "maxLength": SLUG_LENGTH}


def _slug_taken() -> Problem:
    sentence = _("Another monitor in this workspace already has this slug. Choose a different one.")
    return Problem("conflict", sentence, errors=[("slug", sentence)])


def _bounds_crossed() -> Problem:
    return impossible("value_max", _("Must not be below value_min: no value would be allowed."))


def _is_slug(text: str) -> bool:
    return len(text) <= SLUG_LENGTH and re.fullmatch(SLUG, text) is not None


def _slug_in_words() -> str:
    sentence = _("Must be up to %d lower-case letters and digits, separated by single hyphens.")
    return sentence % SLUG_LENGTH


class MonitorList(MonitorView):
    query = tuple(MonitorFilter().fields)

    @extend_schema(
        tags=[TAG],
        operation_id="list_monitors",
        summary="List monitors",
        description="Oldest first.",
        parameters=[
            MonitorFilter,
            OpenApiParameter(
                "status",
                {
                    "type": "array",
                    "items": {"type": "string", "enum": STATUSES},
                    "minItems": 1,
                    "maxItems": len(STATUSES),
                },
                style="form",
                explode=False,
                description="Current status; separate several with commas.",
            ),
        ],
        responses=paged(MonitorSerializer, "PageOfMonitors"),
    )
    def get(self, request: Request) -> Response:
        params = self.read_query(MonitorFilter)
        monitors = self.monitors()
        if "status" in params:
            monitors = filters.by_status(monitors, params["status"], now=database_now())
        if "tag" in params:
            monitors = filters.by_tag(monitors, params["tag"])
        if "q" in params:
            monitors = filters.by_text(monitors, params["q"])
        return keyset.page(
            request, monitors, time=None, params=params, serialize=self.represent, oldest_first=True
        )

    @extend_schema(
        tags=[TAG],
        operation_id="create_monitor",
        summary="Create a monitor",
        request=MonitorSerializer,
        examples=EXAMPLES,
        parameters=[IDEMPOTENCY_KEY, ETAG, LOCATION],
        responses=answers(201, MonitorSerializer, writes=True, conflict=True),
    )
    @idempotent
    def post(self, request: Request) -> Response:
        columns = self.columns(self.read(MonitorSerializer))
        try:
            monitor = monitor_service.create(workspace=self.workspace, by=self.actor, **columns)
        except monitor_service.SlugTaken:
            raise _slug_taken() from None
        except monitor_service.InvalidRange:
            raise _bounds_crossed() from None
        return self.answer(monitor, status=201, Location=_address(monitor))


def _address(monitor: Monitor) -> str:
    return reverse("api:monitor", args=[monitor.public_id])


class MonitorDetail(MonitorView):
    @extend_schema(
        tags=[TAG],
        operation_id="read_monitor",
        summary="Get a monitor",
        parameters=[ETAG],
        responses=answers(200, MonitorSerializer),
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        return self.answer(self.monitor(public_id))

    @extend_schema(
        tags=[TAG],
        operation_id="change_monitor",
        summary="Update a monitor",
        description="Fields that are left out keep their values. A schedule is replaced as a whole.",
        request=MonitorSerializer,
        examples=[OpenApiExample("Another name", {"name": "Nightly backup of db1"}, request_only=True)],
        parameters=[IF_MATCH, ETAG],
        responses=answers(200, MonitorSerializer, writes=True, conflict=True, matched=True),
    )
    def patch(self, request: Request, public_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        columns = self.columns(self.read(MonitorSerializer, partial=True))
        return self.answer(change(monitor, columns, request=request, view=self))

    @extend_schema(
        tags=[TAG],
        operation_id="delete_monitor",
        summary="Delete a monitor",
        description="Its push URLs stop working immediately; its heartbeats and incidents are deleted too.",
        parameters=[IF_MATCH],
        responses=answers(204, None, changes=True, matched=True),
    )
    def delete(self, request: Request, public_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        version = expected_version(request, monitor)
        try:
            monitor_service.delete(monitor=monitor, by=self.actor, version=version)
        except monitor_service.VersionConflict:
            raise Problem("precondition-failed") from None
        return Response(status=204)


def change(monitor: Monitor, columns: dict[str, Any], *, request: Request, view: MonitorView) -> Monitor:
    """Apply `columns` to `monitor` with `services.monitors.edit`; what it rejects is raised as a Problem."""
    version = expected_version(request, monitor)
    try:
        return monitor_service.edit(monitor=monitor, by=view.actor, version=version, **columns)
    except monitor_service.VersionConflict:
        raise Problem("precondition-failed") from None
    except monitor_service.SlugTaken:
        raise _slug_taken() from None
    except monitor_service.InvalidRange:
        raise _bounds_crossed() from None


class MonitorBySlug(MonitorView):
    @extend_schema(
        tags=[TAG],
        operation_id="read_monitor_by_slug",
        summary="Get a monitor by slug",
        parameters=[OpenApiParameter("slug", _SLUG_SCHEMA, OpenApiParameter.PATH), ETAG],
        responses=answers(200, MonitorSerializer),
    )
    def get(self, request: Request, slug: str) -> Response:
        if not _is_slug(slug):
            # Don't query: PostgreSQL rejects NUL.
            raise Http404
        return self.answer(get_object_or_404(self.monitors(), slug=slug))

    @extend_schema(
        tags=[TAG],
        operation_id="put_monitor_by_slug",
        summary="Create or update a monitor by slug",
        description=(
            "Idempotent, for configuration kept in files. Fields that are left out get their defaults on "
            "creation and keep their values afterwards."
        ),
        request=MonitorSerializer,
        examples=EXAMPLES,
        parameters=[OpenApiParameter("slug", _SLUG_SCHEMA, OpenApiParameter.PATH), IF_MATCH, ETAG, LOCATION],
        responses={
            **answers(200, MonitorSerializer, writes=True, conflict=True, matched=True),
            **answers(201, MonitorSerializer),
        },
    )
    def put(self, request: Request, slug: str) -> Response:
        if not _is_slug(slug):
            raise ValidationError({"slug": [_slug_in_words()]})
        data = self.read(MonitorSerializer)
        if data.setdefault("slug", slug) != slug:
            raise impossible("slug", _("The URL says %s. Leave it out, or send the same value.") % slug)
        columns = self.columns(data)
        monitor = self.monitors().filter(slug=slug).first()
        if monitor is None:
            if named_etags(request) is not None:
                raise Problem("precondition-failed", _("No monitor has this slug."))
            try:
                monitor = monitor_service.create(workspace=self.workspace, by=self.actor, **columns)
            except monitor_service.SlugTaken:
                # Another request has just created it, so update it.
                monitor = get_object_or_404(self.monitors(), slug=slug)
            except monitor_service.InvalidRange:
                raise _bounds_crossed() from None
            else:
                return self.answer(monitor, status=201, Location=_address(monitor))
        monitor.workspace = self.workspace
        return self.answer(change(monitor, columns, request=request, view=self))


class Pause(MonitorView):
    @extend_schema(
        tags=[TAG],
        operation_id="pause_monitor",
        summary="Pause a monitor",
        description="Stops watching. An open incident is closed, and no notifications are sent.",
        request=None,
        parameters=[IDEMPOTENCY_KEY, ETAG],
        responses=answers(200, MonitorSerializer, changes=True),
    )
    @idempotent
    def post(self, request: Request, public_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        monitor_service.pause(monitor=monitor, by=self.actor)
        return self.answer(monitor)


class Resume(MonitorView):
    @extend_schema(
        tags=[TAG],
        operation_id="resume_monitor",
        summary="Resume a monitor",
        description="Starts watching again. The monitor is new until its next heartbeat.",
        request=None,
        parameters=[IDEMPOTENCY_KEY, ETAG],
        responses=answers(200, MonitorSerializer, changes=True),
    )
    @idempotent
    def post(self, request: Request, public_id: UUID) -> Response:
        monitor = self.monitor(public_id)
        monitor_service.resume(monitor=monitor, by=self.actor)
        return self.answer(monitor)
