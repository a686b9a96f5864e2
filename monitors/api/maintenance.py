"""Maintenance windows over HTTP: list, create, read, replace, end, delete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api import keyset
from api.base import ApiView, idempotent
from api.fields import in_utc
from api.keyset import PageSerializer
from api.problems import Problem, impossible
from api.schema import IDEMPOTENCY_KEY, LOCATION, answers, paged
from core.clock import database_now
from monitors.api.maintenance_serializers import WEEKDAYS, MaintenanceSerializer
from monitors.domain.expressions import is_time_zone
from monitors.domain.recurrence import YEARS, current
from monitors.models import MaintenanceWindow, Monitor
from monitors.services import maintenance_windows
from monitors.services.maintenance import plan_of

TAG = "maintenance"
Kind = MaintenanceWindow.Kind

_EXAMPLE = OpenApiExample(
    "Ten minutes from now on",
    value={
        "name": "Deploy",
        "when": {"kind": "once", "duration": 600},
        "tags": ["shop"],
    },
    request_only=True,
)


class MaintenanceView(ApiView):
    """Shared by the maintenance views."""

    def windows(self) -> QuerySet[MaintenanceWindow]:
        """Return the workspace's windows with their selected monitors, in two queries."""
        monitors = Monitor.objects.in_workspace(self.workspace).only("public_id").order_by("public_id")
        return MaintenanceWindow.objects.filter(workspace=self.workspace).prefetch_related(
            Prefetch("monitors", monitors)
        )

    def window(self, public_id: UUID) -> MaintenanceWindow:
        """Return a window of the workspace. Raises Http404."""
        found: MaintenanceWindow = get_object_or_404(self.windows(), public_id=public_id)
        found.workspace = self.workspace
        return found

    def represent(self, rows: Sequence[MaintenanceWindow]) -> list[dict[str, Any]]:
        """Return windows, loaded with `windows()`, as JSON."""
        now = database_now()
        return [_as_json(window, now) for window in rows]

    def answer(self, window: MaintenanceWindow, *, status: int = 200, **headers: str) -> Response:
        """Respond with the current state of `window`."""
        fresh = self.window(window.public_id)
        return Response(self.represent([fresh])[0], status=status, headers=headers)

    def columns(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return validated data as arguments for `services.maintenance_windows`. Raises Problem."""
        when = dict(data["when"])
        if when["kind"] == Kind.ONCE:
            columns = _once(when, database_now())
        else:
            columns = _weekly(when, self.workspace.timezone)
        for name in ("starts_at", "ends_at"):
            if columns[name] is not None and columns[name].year not in YEARS:
                raise _not_in_these_years(name)
        starts, ends = columns["starts_at"], columns["ends_at"]
        if starts is not None and ends is not None and starts >= ends:
            raise impossible("when.ends_at", _("Must be after the start."))
        tags, named = data.get("tags", []), data.get("monitors", [])
        all_monitors = data.get("all_monitors", not (tags or named))
        if all_monitors and (tags or named):
            sentence = _("Leave out tags and monitors, or set all_monitors to false.")
            raise impossible("all_monitors", sentence)
        if not (all_monitors or tags or named):
            raise impossible("monitors", _("Select tags or monitors, or set all_monitors to true."))
        return {
            "name": data["name"],
            **columns,
            "all_monitors": all_monitors,
            "tags": tags,
            "monitors": self._monitors(named),
            "excluded_from_uptime": data.get("excluded_from_uptime", True),
        }

    def _monitors(self, public_ids: Sequence[UUID]) -> list[Monitor]:
        found = list(Monitor.objects.in_workspace(self.workspace).filter(public_id__in=set(public_ids)))
        unknown = set(public_ids) - {monitor.public_id for monitor in found}
        if unknown:
            named = ", ".join(sorted(map(str, unknown))[:5])
            raise impossible("monitors", _("No monitor %s in this workspace.") % named)
        return found


def _not_in_these_years(name: str) -> Problem:
    return impossible(f"when.{name}", _("Must be between the years 2000 and 2100."))


def _once(when: dict[str, Any], now: datetime) -> dict[str, Any]:
    starts, ends, duration = (when.get(name) for name in ("starts_at", "ends_at", "duration"))
    starts = starts or now
    if (ends is None) == (duration is None):
        raise impossible("when", _("Set either ends_at or duration, not both."))
    if ends is None:
        try:
            ends = starts + timedelta(seconds=duration or 0)
        except OverflowError:
            raise _not_in_these_years("starts_at") from None
    return {
        "kind": Kind.ONCE,
        "starts_at": starts,
        "ends_at": ends,
        "weekdays": [],
        "start_time": None,
        "duration": None,
        "timezone": "UTC",
    }


def _weekly(when: dict[str, Any], zone_of_workspace: str) -> dict[str, Any]:
    zone = when.get("timezone", zone_of_workspace)
    if not is_time_zone(zone):
        unknown = _("Unknown time zone “%(zone)s”. Use one such as UTC or Asia/Jakarta.")
        raise impossible("when.timezone", unknown % {"zone": zone})
    return {
        "kind": Kind.WEEKLY,
        "starts_at": when.get("starts_at"),
        "ends_at": when.get("ends_at"),
        "weekdays": sorted({WEEKDAYS.index(name) for name in when["weekdays"]}),
        "start_time": time.fromisoformat(when["start_time"]),
        "duration": when["duration"],
        "timezone": zone,
    }


def _as_json(window: MaintenanceWindow, now: datetime) -> dict[str, Any]:
    when: dict[str, Any] = {
        "kind": window.kind,
        "starts_at": in_utc(window.starts_at),
        "ends_at": in_utc(window.ends_at),
    }
    if window.kind == Kind.WEEKLY:
        when |= {
            "weekdays": [WEEKDAYS[day] for day in window.weekdays],
            "start_time": f"{window.start_time:%H:%M}",
            "duration": window.duration,
            "timezone": window.timezone,
        }
    here = current(plan_of(window), now)
    return {
        "id": str(window.public_id),
        "name": window.name,
        "when": when,
        "all_monitors": window.all_monitors,
        "tags": window.tags,
        "monitors": [str(monitor.public_id) for monitor in window.monitors.all()],
        "excluded_from_uptime": window.excluded_from_uptime,
        "under_way_until": in_utc(here[1]) if here else None,
        "created_at": in_utc(window.created_at),
    }


class MaintenanceList(MaintenanceView):
    query = tuple(PageSerializer().fields)

    @extend_schema(
        tags=[TAG],
        operation_id="list_maintenance",
        summary="List maintenance windows",
        description="Oldest first, including past ones.",
        parameters=[PageSerializer],
        responses=paged(MaintenanceSerializer, "PageOfMaintenance"),
    )
    def get(self, request: Request) -> Response:
        return keyset.page(
            request,
            self.windows(),
            time=None,
            params=self.read_query(PageSerializer),
            serialize=self.represent,
            oldest_first=True,
        )

    @extend_schema(
        tags=[TAG],
        operation_id="plan_maintenance",
        summary="Create a maintenance window",
        description="While it is active, heartbeats are recorded but no notifications are sent.",
        request=MaintenanceSerializer,
        examples=[_EXAMPLE],
        parameters=[IDEMPOTENCY_KEY, LOCATION],
        responses=answers(201, MaintenanceSerializer, writes=True),
    )
    @idempotent
    def post(self, request: Request) -> Response:
        columns = self.columns(self.read(MaintenanceSerializer))
        window = maintenance_windows.plan(workspace=self.workspace, by=self.actor, **columns)
        address = reverse("api:maintenance_window", args=[window.public_id])
        return self.answer(window, status=201, Location=address)


class MaintenanceDetail(MaintenanceView):
    @extend_schema(
        tags=[TAG],
        operation_id="read_maintenance",
        summary="Get a maintenance window",
        responses=answers(200, MaintenanceSerializer),
    )
    def get(self, request: Request, public_id: UUID) -> Response:
        return self.answer(self.window(public_id))

    @extend_schema(
        tags=[TAG],
        operation_id="replace_maintenance",
        summary="Update a maintenance window",
        description="Changes also apply to the time it has excluded from uptime so far.",
        request=MaintenanceSerializer,
        responses=answers(200, MaintenanceSerializer, writes=True),
    )
    def put(self, request: Request, public_id: UUID) -> Response:
        window = self.window(public_id)
        columns = self.columns(self.read(MaintenanceSerializer))
        try:
            maintenance_windows.change(window=window, by=self.actor, **columns)
        except MaintenanceWindow.DoesNotExist:
            raise Http404 from None
        return self.answer(window)

    @extend_schema(
        tags=[TAG],
        operation_id="delete_maintenance",
        summary="Delete a maintenance window",
        description="Time that it excluded from uptime is included again.",
        responses=answers(204, None, changes=True),
    )
    def delete(self, request: Request, public_id: UUID) -> Response:
        try:
            maintenance_windows.delete(window=self.window(public_id), by=self.actor)
        except MaintenanceWindow.DoesNotExist:
            raise Http404 from None
        return Response(status=204)


class EndMaintenance(MaintenanceView):
    @extend_schema(
        tags=[TAG],
        operation_id="end_maintenance",
        summary="End a maintenance window now",
        description=(
            "Ends the current occurrence, if it is active; later occurrences stay scheduled. Monitors that "
            "are still down send their notifications now."
        ),
        request=None,
        parameters=[IDEMPOTENCY_KEY],
        responses=answers(200, MaintenanceSerializer, changes=True),
    )
    @idempotent
    def post(self, request: Request, public_id: UUID) -> Response:
        window = self.window(public_id)
        try:
            maintenance_windows.end_now(window=window, by=self.actor)
        except MaintenanceWindow.DoesNotExist:
            raise Http404 from None
        return self.answer(window)
