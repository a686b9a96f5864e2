"""The pages of channels, with their delivery logs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import membership_of, require_change
from accounts.actors import actor_of
from core.clock import database_now
from monitors.access import get_incident_or_404, members_only, membership_in
from monitors.domain.state_machine import Urgency
from monitors.views.bulk import requested_url, selected_monitors
from monitors.views.detail import workspace_context
from notifications import channel_config
from notifications.access import get_channel_or_404, get_channel_to_change
from notifications.dispatch import send
from notifications.forms.channels import AssignForm
from notifications.models import Channel
from notifications.services import channels as channel_service
from notifications.services import queries, sentences
from notifications.transports.base import Sent
from notifications.views.channel_setup import lacks_a_mail_server, part

_PER_PAGE = 50
_NAMED = 10
# How many of a channel's selected monitors its page names.
_SELECTED_MOST = 100


@require_GET
@members_only
def channel_list(request: HttpRequest) -> HttpResponse:
    membership = membership_of(request)
    rows = queries.channels_of(membership.workspace, masked=not membership.may_change)
    template = part(request, "notifications/list.html", "channels")
    return render(request, template, {"rows": rows, "now": database_now()})


@require_POST
@members_only
def assign(request: HttpRequest) -> HttpResponse:
    """Ask which channels to subscribe to the monitors selected on the overview, and do it."""
    workspace = require_change(request).workspace
    back = requested_url(request)
    monitors = selected_monitors(workspace, request.POST.getlist("monitor"))
    if not monitors:
        messages.warning(request, _("Select monitors first."))
        return redirect(back)
    answered = request.POST.get("subscribed") in ("yes", "no")
    form = AssignForm(request.POST if answered else None, workspace=workspace)
    if form.is_valid():
        number = channel_service.assign(
            channels=form.cleaned_data["channels"],
            monitors=monitors,
            subscribed=request.POST["subscribed"] == "yes",
            by=actor_of(request),
        )
        messages.success(request, _("Saved.") if number else _("Nothing to change."))
        return redirect(back)
    context = {
        "form": form,
        "monitors": monitors,
        "named": monitors[:_NAMED],
        "unnamed": max(len(monitors) - _NAMED, 0),
        "view": request.POST.get("view", ""),
        "back": back,
        "for_all": workspace.channels.filter(all_monitors=True),
    }
    return render(request, "notifications/assign.html", context, status=422 if answered else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def delete(request: HttpRequest, public_id: UUID) -> HttpResponse:
    channel = get_channel_to_change(request, public_id)
    if request.method == "POST":
        channel_service.delete(channel=channel, by=actor_of(request))
        messages.success(request, _("Channel “%(name)s” deleted.") % {"name": channel.name})
        return redirect("notifications:list")
    context = {
        "title": _("Delete channel “%(name)s”?") % {"name": channel.name},
        "text": _("No more notifications are sent to it, and its delivery log is deleted too."),
        "action": reverse("notifications:delete", args=[channel.public_id]),
        "button": _("Delete channel"),
        "cancel": reverse("notifications:detail", args=[channel.public_id]),
    }
    template = part(request, "components/confirm.html", "question")
    return render(request, template, context)


@require_POST
@members_only
def test(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Send a test and show the result: a fragment for htmx, else on the page."""
    channel = get_channel_to_change(request, public_id)
    result = send.send_test(channel=channel)
    arrived = isinstance(result, Sent)
    words = _("Test sent: %(detail)s") if arrived else _("Test failed: %(detail)s")
    message = words % {"detail": result.detail or _("no details.")}
    if request.headers.get("HX-Request") == "true":
        return render(request, "notifications/detail.html#tested", {"arrived": arrived, "message": message})
    (messages.success if arrived else messages.error)(request, message)
    return redirect("notifications:detail", channel.public_id)


@require_GET
@members_only
def detail(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A channel with its delivery log, every attempt included."""
    channel, membership = get_channel_or_404(request, public_id)
    masked, now = not membership.may_change, database_now()
    page = Paginator(queries.deliveries_to(channel), _PER_PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        **workspace_context(membership),
        "channel": channel,
        "destination": queries.destination(channel, masked=masked),
        "fault": channel_config.fault(channel),
        "how": queries.how(channel),
        "least_urgency": (
            "" if channel.least_urgency == Urgency.LOW else sentences.urgency_in_words(channel.least_urgency)
        ),
        "quiet_hours": sentences.quiet_hours(channel),
        "escalation": queries.escalation_to(channel),
        "failing": queries.failing_of(channel, masked=masked),
        "can_sign": channel_config.can_sign(channel.kind),
        "overlap_ends": channel_config.overlap_ends(channel, now),
        **_selected(channel),
        "page": page,
        "now": now,
        "lacks_a_server": lacks_a_mail_server(channel.kind),
    }
    template = part(request, "notifications/detail.html", "deliveries")
    return render(request, template, context)


def _selected(channel: Channel) -> dict[str, Any]:
    """Return the first selected monitors of `channel`, and how many more there are."""
    if channel.all_monitors:
        return {"selected": [], "unnamed": 0}
    selected = list(channel.monitors.only("public_id", "name").order_by("name", "id")[: _SELECTED_MOST + 1])
    more = channel.monitors.count() - _SELECTED_MOST if len(selected) > _SELECTED_MOST else 0
    return {"selected": selected[:_SELECTED_MOST], "unnamed": more}


@require_GET
@members_only
def of_incident(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A fragment for an incident: its deliveries, with every attempt."""
    incident = get_incident_or_404(request, public_id)
    deliveries = queries.deliveries_of([incident])[incident.pk]
    context = {
        "incident": incident,
        "deliveries": deliveries,
        "may_change": membership_in(request, incident.monitor.workspace).may_change,
        "now": database_now(),
    }
    return render(request, "notifications/_incident_deliveries.html", context)
