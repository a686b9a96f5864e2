"""What happened to a monitor: its heartbeats and its incidents, newest first."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.models import Heartbeat, Incident, Monitor
from tianji.clock import database_now

PAGE = 50
NEWEST_INCIDENTS = 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9a-f]{1,15})-([0-9a-f]{1,15})")

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows, newest first, and the cursor of those before them, "" where there are none."""

    rows: list[Row]
    older: str = ""


def newest_heartbeats(monitor: Monitor) -> Page[Heartbeat]:
    return _heartbeats(monitor, before="")


def newest_incidents(monitor: Monitor) -> Page[Incident]:
    return _incidents(monitor, before="", size=NEWEST_INCIDENTS)


@require_GET
@members_only
def heartbeats(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A page of the log, from the cursor `before` on into the past."""
    monitor = get_monitor_or_404(request, public_id)
    page = _heartbeats(monitor, before=request.GET.get("before", ""))
    return _page(request, "monitors/heartbeats.html", monitor, page)


@require_GET
@members_only
def incidents(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A page of incidents, from the cursor `before` on into the past."""
    monitor = get_monitor_or_404(request, public_id)
    page = _incidents(monitor, before=request.GET.get("before", ""))
    return _page(request, "monitors/incidents.html", monitor, page)


def _page(request: HttpRequest, template: str, monitor: Monitor, page: Page[Row]) -> HttpResponse:
    membership = membership_in(request, monitor.workspace)
    context = {
        "monitor": monitor,
        "page": page,
        "now": database_now(),
        "membership": membership,
        "workspace": membership.workspace,
    }
    return render(request, template, context)


def _heartbeats(monitor: Monitor, *, before: str, size: int = PAGE) -> Page[Heartbeat]:
    rows = Heartbeat.objects.filter(monitor=monitor)
    return _older_than(rows, "received_at", lambda row: row.received_at, before, size)


def _incidents(monitor: Monitor, *, before: str, size: int = PAGE) -> Page[Incident]:
    rows = Incident.objects.filter(monitor=monitor)
    return _older_than(rows, "started_at", lambda row: row.started_at, before, size)


def _older_than(
    rows: QuerySet[Row], column: str, time_of: Callable[[Row], datetime], before: str, size: int
) -> Page[Row]:
    if before:
        at, pk = _read_cursor(before)
        # The first condition alone would do for the result; it gives the index its range.
        rows = rows.filter(
            Q(**{f"{column}__lte": at}), Q(**{f"{column}__lt": at}) | Q(**{column: at, "pk__lt": pk})
        )
    found = list(rows.order_by(f"-{column}", "-pk")[: size + 1])
    if len(found) <= size:
        return Page(found)
    found = found[:size]
    return Page(found, _cursor(time_of(found[-1]), found[-1].pk))


def _cursor(at: datetime, pk: int) -> str:
    return f"{(at - _EPOCH) // timedelta(microseconds=1):x}-{pk:x}"


def _read_cursor(text: str) -> tuple[datetime, int]:
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise Http404
    try:
        return _EPOCH + timedelta(microseconds=int(match[1], 16)), int(match[2], 16)
    except OverflowError as error:
        raise Http404 from error
