"""All monitors of a workspace on one screen."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import membership_of
from monitors import presenting
from monitors.access import members_only
from monitors.models import Monitor, PushToken
from tianji.clock import database_now


@require_GET
@members_only
def overview(request: HttpRequest) -> HttpResponse:
    """The overview; asked for by htmx, the part of it that changes."""
    membership = membership_of(request)
    workspace = membership.workspace
    now = database_now()
    monitors = Monitor.objects.in_workspace(workspace).for_overview()
    context: dict[str, Any] = {"overview": presenting.overview(monitors, now), "now": now}
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "monitors/overview.html#live", context)
    if membership.may_change and workspace.token_age_days is not None:
        context["tokens_to_change"] = PushToken.objects.to_change(workspace, now).count()
    return render(request, "monitors/overview.html", context)
