"""One monitor: look at it, create, edit, pause, resume and delete it."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import require_change
from accounts.models import Membership, Role, User
from monitors import lifecycle, presenting, tokens
from monitors.access import get_monitor_or_404, members_only, membership_in, push_url
from monitors.forms import MonitorForm, ScheduleForm, zones
from monitors.models import Monitor
from monitors.schedules import ScheduleError
from monitors.views.log import newest_heartbeats, newest_incidents
from tianji.clock import database_now


@require_GET
@members_only
def detail(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """A monitor's page; asked for by htmx, the part of it that changes."""
    monitor = get_monitor_or_404(request, public_id)
    membership = membership_in(request, monitor.workspace)
    now = database_now()
    context = {
        "monitor": monitor,
        "reading": presenting.read(monitor, now),
        "now": now,
        "grace": presenting.grace_of(monitor),
        "heartbeats": newest_heartbeats(monitor),
        "incidents": newest_incidents(monitor),
        **workspace_context(membership),
        **_push_context(request, monitor, membership),
    }
    template = "monitors/detail.html#live" if request.htmx else "monitors/detail.html"  # type: ignore[attr-defined]
    return render(request, template, context)


def workspace_context(membership: Membership) -> dict[str, Any]:
    """Return what the header shows on the page of an object, which may not be in the chosen workspace."""
    return {
        "membership": membership,
        "workspace": membership.workspace,
        "may_change": membership.may_change,
    }


def _push_context(request: HttpRequest, monitor: Monitor, membership: Membership) -> dict[str, Any]:
    """Return the push token and, for those who may change the monitor, the URL and lines to copy."""
    token = monitor.tokens.valid().order_by("-created_at", "-id").first()
    secret = tokens.reveal(token) if token and membership.may_change else None
    if secret is None:
        return {"token": token}
    url = push_url(request, secret)
    times = presenting.crontab_times(monitor)
    return {
        "token": token,
        "push_url": url,
        "curl_line": f'curl -fsS -X POST "{url}?status=up&msg=OK"',
        "crontab_line": times
        and (
            f"{times} /path/to/job; curl -fsS -m 10 --retry 3 -o /dev/null -X POST "
            f'"{url}?status=$([ $? -eq 0 ] && echo up || echo down)"'
        ),
    }


@require_http_methods(["GET", "POST"])
@members_only
def create(request: HttpRequest) -> HttpResponse:
    membership = require_change(request)
    form = MonitorForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        monitor = lifecycle.create(
            workspace=membership.workspace, by=cast(User, request.user), **form.columns()
        )
        return _to_detail(monitor)
    return _form_page(request, form)


@require_http_methods(["GET", "POST"])
@members_only
def edit(request: HttpRequest, public_id: UUID) -> HttpResponse:
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    form = MonitorForm(request.POST) if request.method == "POST" else MonitorForm.of(monitor)
    if form.is_bound and form.is_valid():
        changes = {name: value for name, value in form.columns().items() if getattr(monitor, name) != value}
        if changes:
            lifecycle.edit(monitor=monitor, **changes)
        messages.success(request, _("Saved."))
        return _to_detail(monitor)
    return _form_page(request, form, monitor)


def _form_page(request: HttpRequest, form: MonitorForm, monitor: Monitor | None = None) -> HttpResponse:
    context = {
        "form": form,
        "monitor": monitor,
        "zones": zones(),
        **_preview(ScheduleForm({name: form[name].value() for name in ScheduleForm.base_fields})),
    }
    if monitor:
        context |= workspace_context(membership_in(request, monitor.workspace))
    return render(request, "monitors/form.html", context, status=422 if form.errors else 200)


@require_POST
@members_only
def preview(request: HttpRequest) -> HttpResponse:
    """Say in words what the schedule in a form means, or what is wrong with it. Changes nothing."""
    return render(request, "monitors/form.html#preview", _preview(ScheduleForm(request.POST)))


def _preview(form: ScheduleForm) -> dict[str, Any]:
    if not form.is_valid():
        return {"problem": next(iter(form.errors.values()))[0]}
    now = database_now()
    interval = form.cleaned_data["interval"]
    try:
        promise = presenting.promise(form.schedule, interval=interval, now=now)
    except ScheduleError as error:
        return {"problem": str(error)}
    return {"promise": promise, "zone": form.cleaned_data["timezone"], "now": now}


@require_POST
@members_only
def pause(request: HttpRequest, public_id: UUID) -> HttpResponse:
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    lifecycle.pause(monitor=monitor)
    return _to_detail(monitor)


@require_POST
@members_only
def resume(request: HttpRequest, public_id: UUID) -> HttpResponse:
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    lifecycle.resume(monitor=monitor)
    return _to_detail(monitor)


@require_http_methods(["GET", "POST"])
@members_only
def delete(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask first (GET), then delete (POST)."""
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    if request.method == "POST":
        lifecycle.delete(monitor=monitor)
        messages.success(request, _("“%(name)s” was deleted.") % {"name": monitor.name})
        return HttpResponseRedirect(reverse("monitors:overview"), status=303)
    return confirm(
        request,
        title=_("Delete “%(name)s”?") % {"name": monitor.name},
        text=_("Its push URL stops at once, and its log and incidents go with it. This cannot be undone."),
        button=_("Delete"),
        cancel=reverse("monitors:detail", args=[public_id]),
    )


def confirm(request: HttpRequest, *, title: str, text: str, button: str, cancel: str) -> HttpResponse:
    """Ask whether to POST to the address of `request`: a page or, for htmx, what goes into a dialog."""
    template = "components/confirm.html#question" if request.htmx else "components/confirm.html"  # type: ignore[attr-defined]
    context = {"title": title, "text": text, "button": button, "cancel": cancel, "action": request.path}
    return render(request, template, context)


def _to_detail(monitor: Monitor) -> HttpResponse:
    return HttpResponseRedirect(reverse("monitors:detail", args=[monitor.public_id]), status=303)
