"""The page of one monitor."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from accounts.actors import actor_of
from accounts.models import Membership
from monitors import closeup, presenting, timeline, token_pages, tokens
from monitors.access import get_monitor_or_404, members_only, membership_in, push_url
from monitors.models import Monitor, PushToken
from monitors.status import Shown
from monitors.token_pages import PushLines
from monitors.views.log import newest_incidents
from tianji.clock import database_now

_SHOW_NEXT, _VERSION = "show_next", "Tianji-Version"


@require_GET
@members_only
def detail(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A monitor's page; asked for by htmx, the part of it that changes, or nothing when nothing did.

    `range` in the address is how far its bar and its charts look back.
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
    """Return the page of `monitor`, with the push URL of `shown` in full for those who may see it.

    A request that says which version of the page is open is answered 204 where that is still so.
    """
    membership = membership_in(request, monitor.workspace)
    now = database_now()
    chosen = closeup.range_named(request.GET.get("range", ""))
    # Before all else is read: what changes meanwhile makes another version, and is shown next time.
    version = closeup.version(monitor, chosen, now=now, may_change=membership.may_change)
    if request.headers.get(_VERSION) == version:
        return HttpResponse(status=204)
    lines = reveal(request, monitor, shown) if shown and membership.may_change else {}
    page = closeup.close_up(monitor, chosen, now=now)
    context = {
        "monitor": monitor,
        "page": page,
        "reading": page.reading,
        "now": now,
        "version": version,
        "ranges": closeup.RANGES,
        "grace": presenting.grace_of(monitor),
        "log": timeline.newest(monitor, now=now),
        "waits": page.reading.shown is Shown.NEW and page.reading.state.last_heartbeat_at is None,
        "incidents": newest_incidents(monitor),
        "tokens": token_pages.section(monitor, now, lines),
        **workspace_context(membership),
    }
    return render(request, template, context)


def workspace_context(membership: Membership) -> dict[str, Any]:
    """Return what the header shows on the page of an object, which may not be in the chosen workspace."""
    return {
        "membership": membership,
        "workspace": membership.workspace,
        "may_change": membership.may_change,
    }


def reveal(request: HttpRequest, monitor: Monitor, token: PushToken) -> dict[int, PushLines | None]:
    """Return the lines of `token` by its row id, None where it cannot be opened, and keep the record.

    The caller has seen to it that the reader may change the monitor.
    """
    secret = tokens.show(monitors=[monitor], tokens=[token], by=actor_of(request)).get(token.pk)
    return {token.pk: token_pages.push_lines(monitor, push_url(request, secret)) if secret else None}


def show_next(request: HttpRequest, token: PushToken) -> None:
    """Have the push URL of `token` in full on its monitor's page when that is opened next, once.

    The session keeps which token it is; the secret stays where it is.
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
