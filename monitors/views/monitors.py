"""One monitor: create, edit, pause, resume and delete it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import require_change
from accounts.actors import actor_of
from accounts.models import Role, Workspace
from core.clock import database_now
from core.timezones import offered_zones
from monitors.access import get_monitor_or_404, members_only, membership_in
from monitors.domain.schedules import ScheduleError
from monitors.forms.monitors import MonitorForm
from monitors.forms.schedules import ScheduleForm
from monitors.heartbeats import rate_limit
from monitors.history import current
from monitors.models import Monitor
from monitors.services import monitors as monitor_service
from monitors.views.detail import show_next, workspace_context
from monitors.views.dialogs import confirm
from monitors.views.responses import redirect_to_monitor


@require_http_methods(["GET", "POST"])
@members_only
def create(request: HttpRequest) -> HttpResponse:
    workspace = require_change(request).workspace
    form = MonitorForm(request.POST if request.method == "POST" else None, rate=_inherited_rate(workspace))
    if form.is_bound and form.is_valid():
        try:
            monitor = monitor_service.create(workspace=workspace, by=actor_of(request), **form.columns())
        except monitor_service.SlugTaken:
            _add_slug_error(form)
        else:
            show_next(request, monitor.tokens.get())
            return redirect_to_monitor(monitor)
    return _form_page(request, form)


@require_http_methods(["GET", "POST"])
@members_only
def edit(request: HttpRequest, public_id: UUID) -> HttpResponse:
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    typed = [request.POST] if request.method == "POST" else []
    form = MonitorForm(*typed, monitor=monitor, rate=_inherited_rate(monitor.workspace))
    if form.is_bound and form.is_valid():
        seen = request.POST.get("version", "")
        version = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else None
        try:
            monitor_service.edit(monitor=monitor, by=actor_of(request), version=version, **form.columns())
        except monitor_service.VersionConflict:
            # It was read again, so the next submit is based on the current version.
            form.add_error(
                None,
                _(
                    "Someone else changed this monitor in the meantime. Nothing has been saved yet; your "
                    "changes are below. Save again to overwrite theirs, or reload the page to see them."
                ),
            )
        except monitor_service.SlugTaken:
            monitor.refresh_from_db(fields=["name"])
            _add_slug_error(form)
        else:
            messages.success(request, _("Saved."))
            return redirect_to_monitor(monitor)
    return _form_page(request, form, monitor)


def _inherited_rate(workspace: Workspace) -> int:
    return rate_limit.default_rate() if workspace.push_rate is None else workspace.push_rate


def _add_slug_error(form: MonitorForm) -> None:
    form.add_error(
        "slug", _("Another monitor in this workspace already has this slug. Choose a different one.")
    )


def _form_page(request: HttpRequest, form: MonitorForm, monitor: Monitor | None = None) -> HttpResponse:
    context = {
        "form": form,
        "monitor": monitor,
        "zones": offered_zones(),
        **_preview(ScheduleForm({name: form[name].value() for name in ScheduleForm.base_fields})),
    }
    if monitor:
        context |= workspace_context(membership_in(request, monitor.workspace))
    return render(request, "monitors/edit/form.html", context, status=422 if form.errors else 200)


@require_POST
@members_only
def preview(request: HttpRequest) -> HttpResponse:
    """Preview the schedule in a form as text, or say what is wrong with it. Changes nothing."""
    return render(request, "monitors/edit/form.html#preview", _preview(ScheduleForm(request.POST)))


def _preview(form: ScheduleForm) -> dict[str, Any]:
    if not form.is_valid():
        return {"problem": next(iter(form.errors.values()))[0]}
    now = database_now()
    interval = form.cleaned_data["interval"]
    try:
        promise = current.promise(form.schedule, interval=interval, now=now)
    except ScheduleError as error:
        return {"problem": str(error)}
    return {"promise": promise, "zone": form.cleaned_data["timezone"], "now": now}


@require_POST
@members_only
def pause(request: HttpRequest, public_id: UUID) -> HttpResponse:
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    monitor_service.pause(monitor=monitor, by=actor_of(request))
    return redirect_to_monitor(monitor)


@require_POST
@members_only
def resume(request: HttpRequest, public_id: UUID) -> HttpResponse:
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    monitor_service.resume(monitor=monitor, by=actor_of(request))
    return redirect_to_monitor(monitor)


@require_http_methods(["GET", "POST"])
@members_only
def delete(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask first (GET), then delete (POST)."""
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    if request.method == "POST":
        monitor_service.delete(monitor=monitor, by=actor_of(request))
        messages.success(request, _("“%(name)s” deleted.") % {"name": monitor.name})
        return HttpResponseRedirect(reverse("monitors:overview"), status=303)
    return confirm(
        request,
        title=_("Delete “%(name)s”?") % {"name": monitor.name},
        text=_(
            "Its push URL stops working immediately, and its heartbeats and incidents are deleted too. "
            "This cannot be undone."
        ),
        button=_("Delete"),
        cancel=reverse("monitors:detail", args=[public_id]),
    )
