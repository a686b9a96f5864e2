"""What happened to a monitor: its heartbeats, its incidents and what people changed, newest first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.models import AuditEntry
from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.models import Heartbeat, Incident, Monitor
from tianji.clock import database_now
from tianji.paging import PAGE, Page, page_of

NEWEST_INCIDENTS = 10


def newest_heartbeats(monitor: Monitor) -> Page[Heartbeat]:
    return _heartbeats(monitor)


def newest_incidents(monitor: Monitor) -> Page[Incident]:
    return _incidents(monitor, size=NEWEST_INCIDENTS)


@require_GET
@members_only
def heartbeats(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A page of the log, from the cursor `before` on into the past."""
    monitor = get_monitor_or_404(request, public_id)
    page = _heartbeats(monitor, cursor=request.GET.get("before", ""))
    return _page(request, "monitors/heartbeats.html", monitor, page)


@require_GET
@members_only
def incidents(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A page of incidents, from the cursor `before` on into the past."""
    monitor = get_monitor_or_404(request, public_id)
    page = _incidents(monitor, cursor=request.GET.get("before", ""))
    return _page(request, "monitors/incidents.html", monitor, page)


@require_GET
@members_only
def changes(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Who did what to the monitor and its tokens; asked for by htmx, only the rows."""
    monitor = get_monitor_or_404(request, public_id)
    entries = AuditEntry.objects.filter(workspace=monitor.workspace, subject=monitor.public_id)
    page = page_of(entries, "at", cursor=request.GET.get("before", ""))
    template = "monitors/changes.html#rows" if request.htmx else "monitors/changes.html"  # type: ignore[attr-defined]
    return _page(request, template, monitor, page)


def _page(request: HttpRequest, template: str, monitor: Monitor, page: Page[Any]) -> HttpResponse:
    membership = membership_in(request, monitor.workspace)
    context = {
        "monitor": monitor,
        "page": page,
        "now": database_now(),
        "membership": membership,
        "workspace": membership.workspace,
        "may_change": membership.may_change,
    }
    return render(request, template, context)


def _heartbeats(monitor: Monitor, *, cursor: str = "", size: int = PAGE) -> Page[Heartbeat]:
    return page_of(Heartbeat.objects.filter(monitor=monitor), "received_at", cursor=cursor, size=size)


def _incidents(monitor: Monitor, *, cursor: str = "", size: int = PAGE) -> Page[Incident]:
    return page_of(Incident.objects.filter(monitor=monitor), "started_at", cursor=cursor, size=size)
