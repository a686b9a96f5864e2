"""The page of one monitor."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.actors import actor_of
from accounts.models import Membership
from core.clock import database_now
from monitors.access import get_monitor_or_404, members_only, membership_in, push_url
from monitors.domain.state_machine import Shown
from monitors.history import current
from monitors.models import Monitor, PushToken
from monitors.pages import detail as detail_context
from monitors.pages import tokens as token_page
from monitors.pages.log import feed
from monitors.pages.tokens import PushLines
from monitors.services import tokens
from monitors.views.log import newest_incidents
from monitors.views.responses import shows

_SHOW_NEXT = "show_next"


@require_GET
@members_only
def detail(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A monitor's page; for htmx, only the live part, or 204 if nothing has changed.

    `range` in the query is the time range of its bar and charts.
    """
    monitor = get_monitor_or_404(request, public_id)
    if request.htmx:  # type: ignore[attr-defined]
        return detail_page(request, monitor, template="monitors/detail/page.html#live")
    return detail_page(request, monitor, shown=_token_to_show(request, monitor))


def detail_page(
    request: HttpRequest,
    monitor: Monitor,
    *,
    shown: PushToken | None = None,
    template: str = "monitors/detail/page.html",
) -> HttpResponse:
    """Return the page of `monitor`, with the full push URL of `shown` if the reader may see it.

    A request with the version of the open page is answered 204 if that is still current.
    """
    membership = membership_in(request, monitor.workspace)
    now = database_now()
    selected = detail_context.range_named(request.GET.get("range", ""))
    # Before anything else is read: later changes have another version, and are shown next time.
    version = detail_context.version(monitor, selected, now=now, may_change=membership.may_change)
    if shows(request, version):
        return HttpResponse(status=204)
    lines = reveal(request, monitor, shown) if shown and membership.may_change else {}
    page = detail_context.close_up(monitor, selected, now=now)
    context = {
        "monitor": monitor,
        "page": page,
        "reading": page.reading,
        "now": now,
        "version": version,
        "ranges": detail_context.RANGES.values(),
        "grace": current.grace_of(monitor),
        "log": feed.newest(monitor, now=now),
        "waits": page.reading.shown is Shown.NEW and page.reading.state.last_heartbeat_at is None,
        "incidents": newest_incidents(monitor),
        "tokens": token_page.section(monitor, now, lines),
        **workspace_context(membership),
    }
    return render(request, template, context)


def workspace_context(membership: Membership) -> dict[str, Any]:
    """Return the header's context on the page of an object, which may be in another workspace."""
    return {
        "membership": membership,
        "workspace": membership.workspace,
        "may_change": membership.may_change,
    }


def reveal(request: HttpRequest, monitor: Monitor, token: PushToken) -> dict[int, PushLines | None]:
    """Return the lines of `token` by row id, None if it can't be decrypted, and write the audit log.

    The caller has checked that the reader may change the monitor.
    """
    secret = tokens.show(monitors=[monitor], tokens=[token], by=actor_of(request)).get(token.pk)
    return {token.pk: token_page.push_lines(monitor, push_url(request, secret)) if secret else None}


def show_next(request: HttpRequest, token: PushToken) -> None:
    """Show the full push URL of `token` once, when its monitor's page is opened next.

    The session stores only which token it is, not the secret.
    """
    request.session[_SHOW_NEXT] = str(token.public_id)


def _token_to_show(request: HttpRequest, monitor: Monitor) -> PushToken | None:
    wanted = request.session.get(_SHOW_NEXT)
    if wanted is None:
        return None
    token: PushToken | None = monitor.tokens.valid().filter(public_id=wanted).first()
    if token is not None:
        del request.session[_SHOW_NEXT]
    return token
