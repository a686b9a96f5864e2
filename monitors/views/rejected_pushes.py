"""Troubleshooting: rejected pushes for a monitor, and what to do about them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from core.clock import database_now
from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.heartbeats import rate_limit
from monitors.heartbeats.parser import PUSH_BODY_LIMIT
from monitors.heartbeats.rejections import KINDS_MOST
from monitors.models import Monitor, PushToken, RejectedPush
from monitors.pages import tokens as token_page
from monitors.views.detail import workspace_context


@dataclass(frozen=True, slots=True)
class _Row:
    """Rejected pushes of one kind, and what to do about them."""

    rejected: RejectedPush
    advice: str


@require_GET
@members_only
def rejected_pushes(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Recently rejected pushes, newest first, and how to test with curl; for htmx, only that part."""
    monitor = get_monitor_or_404(request, public_id)
    membership = membership_in(request, monitor.workspace)
    newest = RejectedPush.objects.filter(monitor=monitor).order_by("-last_at", "-pk")[:KINDS_MOST]
    working = monitor.tokens.valid().filter(replaced_by=None).order_by("label", "created_at", "pk")
    token: PushToken | None = working.first()
    context = {
        "monitor": monitor,
        "rows": [_Row(rejected, _advice(monitor, rejected)) for rejected in newest],
        "token": token,
        "lines": token_page.push_lines(monitor, token_page.masked_url(token)) if token else None,
        "now": database_now(),
        **workspace_context(membership),
    }
    template = "monitors/log/rejected_pushes.html"
    template += "#list" if request.htmx else ""  # type: ignore[attr-defined]
    return render(request, template, context)


def _advice(monitor: Monitor, rejected: RejectedPush) -> str:
    """Return a sentence saying what to do so that pushes like these are accepted."""
    match rejected.reason:
        case RejectedPush.Reason.REVOKED:
            return _("This token was revoked. Give the sender an active push URL.")
        case RejectedPush.Reason.EXPIRED:
            return _("This token was rotated and has expired. Give the sender the new push URL.")
        case RejectedPush.Reason.METHOD if monitor.post_only and rejected.method in ("GET", "HEAD"):
            return _(
                "Configure the sender to use POST (curl: -X POST), or allow GET in the monitor's settings."
            )
        case RejectedPush.Reason.METHOD:
            return _("Configure the sender to use GET, HEAD or POST.")
        case RejectedPush.Reason.LIMIT:
            rate = rate_limit.rate_of(monitor)
            return _(
                "Configure the sender to push at most %(rate)s times per minute, or raise the limit in the "
                "monitor's settings."
            ) % {"rate": rate}
        case RejectedPush.Reason.TOO_LARGE:
            return _(
                "Send at most %(limit)s bytes, or put the status into the URL; the body is then cut."
            ) % {"limit": PUSH_BODY_LIMIT}
        case _:
            return _(
                "Correct the sender's request, or put the status into the URL: ?status=up or ?status=down."
            )
