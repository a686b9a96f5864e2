"""Troubleshooting: the pushes for a monitor that were not accepted, and what to do about them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from monitors import limits, token_pages
from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.models import Monitor, PushToken, Refusal
from monitors.push import BODY_LIMIT
from monitors.refusals import KINDS_MOST
from monitors.views.detail import workspace_context
from tianji.clock import database_now


@dataclass(frozen=True, slots=True)
class _Row:
    """Refused pushes of one kind, and what to do about them."""

    refusal: Refusal
    advice: str


@require_GET
@members_only
def refusals(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """What was refused lately, newest first, and how to test with curl; for htmx, only that part."""
    monitor = get_monitor_or_404(request, public_id)
    membership = membership_in(request, monitor.workspace)
    newest = Refusal.objects.filter(monitor=monitor).order_by("-last_at", "-pk")[:KINDS_MOST]
    working = monitor.tokens.valid().filter(replaced_by=None).order_by("label", "created_at", "pk")
    token: PushToken | None = working.first()
    context = {
        "monitor": monitor,
        "rows": [_Row(refusal, _advice(monitor, refusal)) for refusal in newest],
        "token": token,
        "lines": token_pages.push_lines(monitor, token_pages.masked_url(token)) if token else None,
        "now": database_now(),
        **workspace_context(membership),
    }
    template = "monitors/log/rejected_pushes.html"
    template += "#list" if request.htmx else ""  # type: ignore[attr-defined]
    return render(request, template, context)


def _advice(monitor: Monitor, refusal: Refusal) -> str:
    """Return in one sentence what to do so that pushes like these are accepted."""
    match refusal.reason:
        case Refusal.Reason.REVOKED:
            return _("This token was revoked: give the sender a push URL that works now.")
        case Refusal.Reason.EXPIRED:
            return _("This token was replaced and its time is over: give the sender the new push URL.")
        case Refusal.Reason.METHOD if monitor.post_only and refusal.method in ("GET", "HEAD"):
            return _("Have the sender use POST (curl: -X POST), or allow GET in the monitor's settings.")
        case Refusal.Reason.METHOD:
            return _("Have the sender use GET, HEAD or POST.")
        case Refusal.Reason.LIMIT:
            rate = limits.rate_of(monitor)
            return _(
                "Have the sender push less often than %(rate)s times a minute, "
                "or raise the limit in the monitor's settings."
            ) % {"rate": rate}
        case Refusal.Reason.TOO_LARGE:
            return _("Send at most %(limit)s bytes: keep long output elsewhere and send its end.") % {
                "limit": BODY_LIMIT
            }
        case _:
            return _("Correct what the sender sends; the status is “up” or “down”, or left out.")
