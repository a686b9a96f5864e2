"""The push token of a monitor."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.models import Role, User
from monitors import tokens
from monitors.access import get_monitor_or_404, members_only
from monitors.views.monitors import confirm


@require_http_methods(["GET", "POST"])
@members_only
def rotate(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask first (GET), then replace the push token (POST); the old one stops at once."""
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    back = reverse("monitors:detail", args=[public_id])
    if request.method == "POST":
        tokens.rotate(monitor=monitor, by=cast(User, request.user))
        messages.success(request, _("The push URL is new. Senders that use the old one are refused now."))
        return HttpResponseRedirect(back, status=303)
    return confirm(
        request,
        title=_("Replace the push URL of “%(name)s”?") % {"name": monitor.name},
        text=_(
            "The old URL stops at once. Every sender needs the new one before the deadline, "
            "or people are told that the monitor is down."
        ),
        button=_("Replace it"),
        cancel=back,
    )
