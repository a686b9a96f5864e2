"""The overview: all monitors of a workspace on one page."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language
from django.views.decorators.http import require_GET

from accounts.access import membership_of
from accounts.models import Membership, Workspace
from monitors.access import members_only
from monitors.forms.monitors import MonitorForm
from monitors.models import URGENCY_LABELS, PushToken
from monitors.pages.overview import announcements, versions
from monitors.pages.overview import page as overview_page
from monitors.pages.overview.params import OverviewParams
from monitors.views.responses import VERSION_HEADER

_PATH, _NEWS = "/", "Tianji-News"


# What open pages were sent last, and up to which status change. Many show the same, which is slow to render.
_drawn: OrderedDict[tuple[object, ...], tuple[bytes, int]] = OrderedDict()
_DRAWN_MOST = 50


def unchanged_gate(request: HttpRequest) -> HttpResponse | None:
    """Answer a poll of the overview with 204 if the page is still current; else return None.

    Called before all other middleware: there may be hundreds of open tabs, and each polls every two seconds.
    """
    known_version = request.META.get("HTTP_TIANJI_VERSION", "")
    if not known_version or request.method != "GET" or request.path_info != _PATH:
        return None
    try:
        same = versions.is_current(known_version, OverviewParams.of(request.GET))
    except (DatabaseError, InterfaceError):
        # The page itself reports errors better.
        return None
    return HttpResponse(status=204, headers={"Cache-Control": "no-store"}) if same else None


@require_GET
@members_only
def overview(request: HttpRequest) -> HttpResponse:
    """The overview; for htmx, only the live part.

    An open page sends its version, and the last status change that it knows; later changes are sent as
    sentences in an event.
    """
    membership = membership_of(request)
    workspace, params = membership.workspace, OverviewParams.of(request.GET)
    if request.htmx:  # type: ignore[attr-defined]
        known_version = request.headers.get(VERSION_HEADER, "")
        if known_version and not known_version.startswith(workspace.public_id.hex):
            # Another workspace was selected in another tab, but the page around this part is the old one's.
            return HttpResponse(headers={"HX-Refresh": "true"})
        drawn, newest = _live(request, membership, params)
        response = HttpResponse(drawn)
        _announce(response, workspace, request.headers.get(_NEWS, ""), until=newest)
        return response
    context = _context(workspace, params)
    context["urgencies"] = URGENCY_LABELS
    if membership.may_change and workspace.token_age_days is not None:
        context["tokens_to_change"] = PushToken.objects.to_change(workspace, context["now"]).count()
    return render(request, "monitors/overview/page.html", context)


def _context(workspace: Workspace, params: OverviewParams) -> dict[str, Any]:
    # First, so that later changes are sent next time.
    newest = announcements.newest()
    page = overview_page.overview(workspace, params)
    context: dict[str, Any] = {"overview": page, "newest": newest, "now": page.now}
    if not page.total:
        context["first_form"] = MonitorForm()
    return context


def _live(request: HttpRequest, membership: Membership, params: OverviewParams) -> tuple[bytes, int]:
    """Return the live part, and the last status change it includes.

    Reused from another page if that shows the same.
    """
    reader = (membership.may_change, get_language(), timezone.get_current_timezone_name())
    version = versions.version(membership.workspace.public_id, params)
    drawn = _drawn.get((version, *reader))
    if drawn is None:
        context = _context(membership.workspace, params)
        drawn = render(request, "monitors/overview/page.html#live", context).content, context["newest"]
        # The form for the first monitor contains a CSRF token, which is personal.
        if context["overview"].total:
            _drawn[(context["overview"].version, *reader)] = drawn
            while len(_drawn) > _DRAWN_MOST:
                _drawn.popitem(last=False)
    return drawn


def _announce(response: HttpResponse, workspace: Workspace, last: str, *, until: int) -> None:
    """Add the status changes after `last`, up to `until`, to `response`, as an event for the script."""
    if not (last.isascii() and last.isdigit() and len(last) < 19):
        return
    news = [
        {"text": change.text, "status": change.shown, "url": change.url}
        for change in announcements.since(workspace, int(last), until=until)
    ]
    if news:
        response["HX-Trigger"] = json.dumps({"tianji:news": news})
