"""All monitors of a workspace on one screen."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.access import membership_of
from accounts.models import Workspace
from monitors import dashboard, news
from monitors.access import members_only
from monitors.dashboard import Asked
from monitors.forms import MonitorForm
from monitors.models import PushToken
from tianji.clock import database_now

_VERSION, _NEWS = "Tianji-Version", "Tianji-News"


@require_GET
@members_only
def overview(request: HttpRequest) -> HttpResponse:
    """The overview; asked for by htmx, the part of it that changes, or nothing when nothing did.

    A page that is open says which version it shows, and how far it knows the changes of status; what
    changed since then is told in sentences, in an event.
    """
    membership = membership_of(request)
    workspace = membership.workspace
    asked = Asked.of(request.GET)
    seen = request.headers.get(_VERSION)
    if seen and seen == dashboard.version(workspace, asked):
        return HttpResponse(status=204)
    now = database_now()
    # First, so that what happens meanwhile is told next time.
    newest = news.newest()
    page = dashboard.overview(workspace, asked, now=now)
    context: dict[str, Any] = {"overview": page, "newest": newest, "now": now}
    if not page.total:
        context["first_form"] = MonitorForm()
    if request.htmx:  # type: ignore[attr-defined]
        response = render(request, "monitors/overview.html#live", context)
        _tell(response, workspace, request.headers.get(_NEWS, ""))
        return response
    if membership.may_change and workspace.token_age_days is not None:
        context["tokens_to_change"] = PushToken.objects.to_change(workspace, now).count()
    return render(request, "monitors/overview.html", context)


def _tell(response: HttpResponse, workspace: Workspace, last: str) -> None:
    """Send what changed after `last` along with `response`, as an event for the page's script."""
    if not (last.isascii() and last.isdigit() and len(last) < 19):
        return
    told = [
        {"text": change.text, "status": change.shown, "url": change.url}
        for change in news.since(workspace, int(last))
    ]
    if told:
        response["HX-Trigger"] = json.dumps({"tianji:news": told})
