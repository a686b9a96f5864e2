"""The pages of channels: who is told, and what became of every message."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import membership_of, require_change
from accounts.actors import actor_of
from monitors.access import get_incident_or_404, members_only, membership_in
from monitors.views.bulk import address_said, chosen_monitors
from monitors.views.detail import workspace_context
from notifications import channels, delivery, queries
from notifications.access import get_channel_or_404, get_channel_to_change
from notifications.forms import FORMS, AssignForm, ChannelForm, email_is_not_set_up
from notifications.kinds import kind_named
from notifications.transports.base import Sent
from tianji.clock import database_now

_PER_PAGE = 50
_NAMED = 10


def _part(request: HttpRequest, template: str, part: str) -> str:
    """Return the template's part for a request of htmx, else the whole of it."""
    return f"{template}#{part}" if request.headers.get("HX-Request") == "true" else template


@require_GET
@members_only
def channel_list(request: HttpRequest) -> HttpResponse:
    membership = membership_of(request)
    rows = queries.channels_of(membership.workspace, masked=not membership.may_change)
    template = _part(request, "notifications/list.html", "channels")
    return render(request, template, {"rows": rows, "now": database_now()})


@require_GET
@members_only
def choose_kind(request: HttpRequest) -> HttpResponse:
    require_change(request)
    return render(request, "notifications/new.html")


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def create(request: HttpRequest, kind: str) -> HttpResponse:
    workspace = require_change(request).workspace
    if kind not in FORMS:
        raise Http404("There is no such kind of channel.")
    form = FORMS[kind](request.POST if request.method == "POST" else None, workspace=workspace)
    if form.is_valid():
        channel = channels.create(workspace=workspace, kind=kind, by=actor_of(request), **form.columns())
        messages.success(request, _("The channel is there. Send a test to see that it works."))
        return redirect("notifications:detail", channel.public_id)
    return _form_page(request, form, kind)


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def edit(request: HttpRequest, public_id: UUID) -> HttpResponse:
    channel = get_channel_to_change(request, public_id)
    form = FORMS[channel.kind](
        request.POST if request.method == "POST" else None, workspace=channel.workspace, channel=channel
    )
    if form.is_valid():
        channels.edit(channel=channel, by=actor_of(request), **form.columns())
        messages.success(request, _("Saved."))
        return redirect("notifications:detail", channel.public_id)
    return _form_page(request, form, channel.kind)


@require_POST
@members_only
def assign(request: HttpRequest) -> HttpResponse:
    """Ask which channels tell about the monitors chosen on the overview, and do what is answered."""
    workspace = require_change(request).workspace
    back = address_said(request)
    monitors = chosen_monitors(workspace, request.POST.getlist("monitor"))
    if not monitors:
        messages.warning(request, _("Choose the monitors first."))
        return redirect(back)
    answered = request.POST.get("told") in ("yes", "no")
    form = AssignForm(request.POST if answered else None, workspace=workspace)
    if form.is_valid():
        number = channels.assign(
            channels=form.cleaned_data["channels"],
            monitors=monitors,
            told=request.POST["told"] == "yes",
            by=actor_of(request),
        )
        messages.success(request, _("Saved.") if number else _("That was so already."))
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


def _form_page(request: HttpRequest, form: ChannelForm, kind: str) -> HttpResponse:
    context = {
        "form": form,
        "channel": form.channel,
        "kind": kind_named(kind),
        "notice": email_is_not_set_up() if _lacks_a_server(kind) and not form.non_field_errors() else "",
    }
    return render(request, "notifications/form.html", context, status=422 if form.is_bound else 200)


def _lacks_a_server(kind: str) -> bool:
    return kind == "email" and not settings.TIANJI_EMAIL_URL


@require_http_methods(["GET", "HEAD", "POST"])
@members_only
def delete(request: HttpRequest, public_id: UUID) -> HttpResponse:
    channel = get_channel_to_change(request, public_id)
    if request.method == "POST":
        channels.delete(channel=channel, by=actor_of(request))
        messages.success(request, _("The channel “%(name)s” is deleted.") % {"name": channel.name})
        return redirect("notifications:list")
    context = {
        "title": _("Delete the channel “%(name)s”?") % {"name": channel.name},
        "text": _("It is told nothing more, and the record of what it was told goes with it."),
        "action": reverse("notifications:delete", args=[channel.public_id]),
        "button": _("Delete the channel"),
        "cancel": reverse("notifications:detail", args=[channel.public_id]),
    }
    template = _part(request, "components/confirm.html", "question")
    return render(request, template, context)


@require_POST
@members_only
def test(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Send a test message and say what came of it: a fragment for htmx, else back on the page."""
    channel = get_channel_to_change(request, public_id)
    result = delivery.send_test(channel=channel)
    arrived = isinstance(result, Sent)
    words = (
        _("The test message was taken: %(detail)s")
        if arrived
        else _("The test message did not get through: %(detail)s")
    )
    said = words % {"detail": result.detail or _("no more is known.")}
    if request.headers.get("HX-Request") == "true":
        return render(request, "notifications/detail.html#tested", {"arrived": arrived, "said": said})
    (messages.success if arrived else messages.error)(request, said)
    return redirect("notifications:detail", channel.public_id)


@require_GET
@members_only
def detail(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A channel with what it was told, every attempt included."""
    channel, membership = get_channel_or_404(request, public_id)
    page = Paginator(queries.deliveries_to(channel), _PER_PAGE).get_page(request.GET.get("page"))
    context: dict[str, Any] = {
        **workspace_context(membership),
        "channel": channel,
        "destination": queries.destination(channel, masked=not membership.may_change),
        "chosen": [] if channel.all_monitors else channel.monitors.order_by("name", "id"),
        "page": page,
        "now": database_now(),
        "lacks_a_server": _lacks_a_server(channel.kind),
    }
    template = _part(request, "notifications/detail.html", "deliveries")
    return render(request, template, context)


@require_GET
@members_only
def of_incident(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A fragment for an incident: who was told, when, and every attempt."""
    incident = get_incident_or_404(request, public_id)
    deliveries = queries.deliveries_of([incident.pk])[incident.pk]
    context = {
        "incident": incident,
        "deliveries": deliveries,
        "may_change": membership_in(request, incident.monitor.workspace).may_change,
        "now": database_now(),
    }
    return render(request, "notifications/of_incident.html", context)
