"""All monitors of a workspace on one screen."""

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
from monitors import dashboard, news, polls
from monitors.access import members_only
from monitors.asked import Asked
from monitors.forms import MonitorForm
from monitors.models import PushToken

_PATH, _VERSION, _NEWS = "/", "Tianji-Version", "Tianji-News"


# What open pages were sent last, and how far the news were known then. Many of them show the same, and it
# takes long to draw.
_drawn: OrderedDict[tuple[object, ...], tuple[bytes, int]] = OrderedDict()
_DRAWN_MOST = 50


def unchanged_gate(request: HttpRequest) -> HttpResponse | None:
    """Answer 204 to an overview that asks whether it is still the same, if it is; else return None.

    Asked in front of all other middleware: there may be hundreds of open tabs, and each asks every two
    seconds.
    """
    said = request.META.get("HTTP_TIANJI_VERSION", "")
    if not said or request.method != "GET" or request.path_info != _PATH:
        return None
    try:
        same = polls.is_current(said, Asked.of(request.GET))
    except (DatabaseError, InterfaceError):
        # The page says it better.
        return None
    return HttpResponse(status=204, headers={"Cache-Control": "no-store"}) if same else None


@require_GET
@members_only
def overview(request: HttpRequest) -> HttpResponse:
    """The overview; asked for by htmx, the part of it that changes.

    A page that is open says which version it shows, and how far it knows the changes of status; what
    changed since then is told in sentences, in an event.
    """
    membership = membership_of(request)
    workspace, asked = membership.workspace, Asked.of(request.GET)
    if request.htmx:  # type: ignore[attr-defined]
        said = request.headers.get(_VERSION, "")
        if said and not said.startswith(workspace.public_id.hex):
            # Another workspace was chosen in another tab; the page around this part is of the old one.
            return HttpResponse(headers={"HX-Refresh": "true"})
        drawn, newest = _live(request, membership, asked)
        response = HttpResponse(drawn)
        _tell(response, workspace, request.headers.get(_NEWS, ""), until=newest)
        return response
    context = _context(workspace, asked)
    if membership.may_change and workspace.token_age_days is not None:
        context["tokens_to_change"] = PushToken.objects.to_change(workspace, context["now"]).count()
    return render(request, "monitors/overview/page.html", context)


def _context(workspace: Workspace, asked: Asked) -> dict[str, Any]:
    # First, so that what happens meanwhile is told next time.
    newest = news.newest()
    page = dashboard.overview(workspace, asked)
    context: dict[str, Any] = {"overview": page, "newest": newest, "now": page.now}
    if not page.total:
        context["first_form"] = MonitorForm()
    return context


def _live(request: HttpRequest, membership: Membership, asked: Asked) -> tuple[bytes, int]:
    """Return the part that changes and how far it knows the news.

    It is what was drawn for another page where that one shows the same.
    """
    reader = (membership.may_change, get_language(), timezone.get_current_timezone_name())
    version = polls.version(membership.workspace.public_id, asked)
    drawn = _drawn.get((version, *reader))
    if drawn is None:
        context = _context(membership.workspace, asked)
        drawn = render(request, "monitors/overview/page.html#live", context).content, context["newest"]
        # The first monitor's form has a token against forgery in it, which is one reader's own.
        if context["overview"].total:
            _drawn[(context["overview"].version, *reader)] = drawn
            while len(_drawn) > _DRAWN_MOST:
                _drawn.popitem(last=False)
    return drawn


def _tell(response: HttpResponse, workspace: Workspace, last: str, *, until: int) -> None:
    """Send what changed after `last`, up to `until`, along with `response`: an event for its script."""
    if not (last.isascii() and last.isdigit() and len(last) < 19):
        return
    told = [
        {"text": change.text, "status": change.shown, "url": change.url}
        for change in news.since(workspace, int(last), until=until)
    ]
    if told:
        response["HX-Trigger"] = json.dumps({"tianji:news": told})
