"""The first heartbeat: announces it when it arrives, and sends test heartbeats."""

from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from accounts.actors import actor_of
from accounts.models import Role
from core.clock import database_now
from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.domain.state_machine import Status
from monitors.heartbeats import recorder
from monitors.heartbeats.parser import Push
from monitors.history import current
from monitors.models import MESSAGE_LENGTH, Monitor, MonitorState
from monitors.views.detail import workspace_context
from monitors.views.responses import redirect_to_monitor


@require_GET
@members_only
def first_heartbeat(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """For htmx, the announcement of a monitor's first heartbeat, 204 while there is none; else its page."""
    monitor = get_monitor_or_404(request, public_id)
    if not request.htmx:  # type: ignore[attr-defined]
        return redirect_to_monitor(monitor)
    first = monitor.heartbeats.order_by("received_at", "pk").first()
    if first is None:
        return HttpResponse(status=204)
    context = {"monitor": monitor, "heartbeat": first, "now": database_now()}
    return render(request, "monitors/detail/_first_heartbeat.html", context)


@require_http_methods(["GET", "POST"])
@members_only
def test_heartbeat(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask before a test sends notifications (GET); send a test heartbeat (POST).

    Both take `status`, up or down; the default is down for GET and up for POST. An up heartbeat for a
    monitor that is down requires `sure`, because it resolves the incident. For htmx, the response is a
    sentence, and the page updates immediately.
    """
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    if request.method == "GET":
        return _ask(request, monitor, up=request.GET.get("status") == "up")
    by, up = actor_of(request), request.POST.get("status") != "down"
    if up and not request.POST.get("sure") and monitor.state.status == Status.DOWN:
        return HttpResponseRedirect(f"{_address(monitor)}?status=up", status=303)
    message = _("Test heartbeat from %(name)s") % {"name": by.name}
    push = Push(up=up, message=message[:MESSAGE_LENGTH])
    try:
        status = recorder.record_test_heartbeat(monitor=monitor, push=push, source=by.address)
    except recorder.TooManyTestHeartbeats:
        level, words = messages.WARNING, _("A test heartbeat was just sent. Wait a few seconds.")
    else:
        level, words = messages.SUCCESS, _in_words(push, status, recovering=_is_recovering(monitor))
    if request.htmx:  # type: ignore[attr-defined]
        response = render(request, "monitors/detail/_waiting.html#test_result", {"words": words})
        response["HX-Trigger"] = json.dumps({"tianji:tick": {}})
        return response
    messages.add_message(request, level, words)
    return redirect_to_monitor(monitor)


def _in_words(push: Push, status: Status, *, recovering: bool) -> str:
    if status is Status.PAUSED:
        return _("Test heartbeat recorded. The monitor stays paused.")
    if push.up and status is Status.DOWN and recovering:
        return _("Test heartbeat received. The monitor recovers after more good heartbeats.")
    if push.up and status is Status.DOWN:
        return _("The test heartbeat has no value, but one is required: the monitor is down.")
    if push.up:
        return _("Test heartbeat received.")
    return _("Test heartbeat received: the monitor is down until the next good heartbeat.")


def _is_recovering(monitor: Monitor) -> bool:
    return bool(MonitorState.objects.get(monitor=monitor).is_recovering)


def _ask(request: HttpRequest, monitor: Monitor, *, up: bool) -> HttpResponse:
    template = "monitors/detail/test_heartbeat.html"
    if request.htmx:  # type: ignore[attr-defined]
        template += "#question"
    reading = current.read(monitor, database_now())
    membership = membership_in(request, monitor.workspace)
    context = {"monitor": monitor, "reading": reading, "up": up, **workspace_context(membership)}
    return render(request, template, context)


def _address(monitor: Monitor) -> str:
    return reverse("monitors:test_heartbeat", args=[monitor.public_id])
