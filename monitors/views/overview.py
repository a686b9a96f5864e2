"""All monitors of a workspace on one screen."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import workspace_of
from monitors import presenting
from monitors.access import members_only
from monitors.models import Monitor
from tianji.clock import database_now


@require_GET
@members_only
def overview(request: HttpRequest) -> HttpResponse:
    """The overview; asked for by htmx, the part of it that changes."""
    now = database_now()
    monitors = Monitor.objects.in_workspace(workspace_of(request)).for_overview()
    context = {"overview": presenting.overview(monitors, now), "now": now}
    template = "monitors/overview.html#live" if request.htmx else "monitors/overview.html"  # type: ignore[attr-defined]
    return render(request, template, context)
