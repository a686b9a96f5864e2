"""Maintenance windows of a workspace: list, form, end, delete."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import membership_of, require_change
from accounts.actors import actor_of
from accounts.models import Workspace
from core.clock import database_now
from core.timezones import offered_zones
from monitors.access import get_maintenance_or_404, members_only, membership_in
from monitors.forms.maintenance import MaintenanceForm, WhenForm
from monitors.forms.monitor_picker import SEARCHES
from monitors.models import MaintenanceWindow
from monitors.pages import maintenance as maintenance_page
from monitors.services import maintenance_windows
from monitors.views.detail import workspace_context
from monitors.views.dialogs import confirm


@require_GET
@members_only
def maintenance(request: HttpRequest) -> HttpResponse:
    """The active, upcoming and past maintenance windows of the workspace."""
    now = database_now()
    lists = maintenance_page.lists_of(membership_of(request).workspace, now)
    return render(request, "monitors/maintenance/list.html", {"lists": lists, "now": now})


@require_http_methods(["GET", "POST"])
@members_only
def plan(request: HttpRequest) -> HttpResponse:
    workspace = require_change(request).workspace
    form = MaintenanceForm(request.POST if request.method == "POST" else None, workspace=workspace)
    if _is_to_be_saved(request, form):
        window = maintenance_windows.plan(workspace=workspace, by=actor_of(request), **form.columns())
        messages.success(request, _("“%(name)s” saved.") % {"name": window.name})
        return _to_list()
    return _form_page(request, form, workspace)


@require_http_methods(["GET", "POST"])
@members_only
def change(request: HttpRequest, public_id: UUID) -> HttpResponse:
    window = get_maintenance_or_404(request, public_id, to_change=True)
    typed = [request.POST] if request.method == "POST" else []
    form = MaintenanceForm(*typed, workspace=window.workspace, window=window)
    if _is_to_be_saved(request, form):
        try:
            maintenance_windows.change(window=window, by=actor_of(request), **form.columns())
        except MaintenanceWindow.DoesNotExist:
            raise Http404 from None
        messages.success(request, _("Saved."))
        return _to_list()
    return _form_page(request, form, window.workspace, window)


def _is_to_be_saved(request: HttpRequest, form: MaintenanceForm) -> bool:
    """Return whether the form is valid and was sent to be saved, not just previewed."""
    return form.is_bound and form.is_valid() and not _is_only_shown(request)


def _is_only_shown(request: HttpRequest) -> bool:
    return "show" in request.POST or SEARCHES in request.POST


def _form_page(
    request: HttpRequest,
    form: MaintenanceForm,
    workspace: Workspace,
    window: MaintenanceWindow | None = None,
) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "window": window, "zones": offered_zones()}
    if form.is_bound or window is not None:
        context |= _preview(WhenForm({name: form[name].value() for name in WhenForm.base_fields}))
    if SEARCHES in request.POST and request.headers.get("HX-Request") == "true":
        return render(request, "components/monitor_picker.html#found", {"field": form["monitors"]})
    if window is not None:
        context |= workspace_context(membership_in(request, workspace))
    failed = bool(form.errors) and not _is_only_shown(request)
    return render(request, "monitors/maintenance/form.html", context, status=422 if failed else 200)


@require_POST
@members_only
def preview(request: HttpRequest) -> HttpResponse:
    """Preview a form: its schedule as text and the next times, or what is missing. Changes nothing."""
    context = _preview(WhenForm(request.POST))
    return render(request, "monitors/maintenance/form.html#preview", context)


def _preview(form: WhenForm) -> dict[str, Any]:
    if not form.is_valid():
        return {"problem": next(iter(form.errors.values()))[0]}
    return {"preview": maintenance_page.preview(form.plan, form.cleaned_data["timezone"], database_now())}


@require_POST
@members_only
def end(request: HttpRequest, public_id: UUID) -> HttpResponse:
    window = get_maintenance_or_404(request, public_id, to_change=True)
    try:
        ended = maintenance_windows.end_now(window=window, by=actor_of(request))
    except MaintenanceWindow.DoesNotExist:
        raise Http404 from None
    if ended:
        messages.success(request, _("“%(name)s” ended.") % {"name": window.name})
    else:
        messages.info(request, _("“%(name)s” had already ended.") % {"name": window.name})
    return _to_list()


@require_http_methods(["GET", "POST"])
@members_only
def delete(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask first (GET), then delete (POST)."""
    window = get_maintenance_or_404(request, public_id, to_change=True)
    if request.method == "POST":
        try:
            maintenance_windows.delete(window=window, by=actor_of(request))
        except MaintenanceWindow.DoesNotExist:
            raise Http404 from None
        messages.success(request, _("“%(name)s” deleted.") % {"name": window.name})
        return _to_list()
    text = _("It won't take place again. Time that it excluded from uptime will be included again.")
    return confirm(
        request,
        title=_("Delete “%(name)s”?") % {"name": window.name},
        text=text,
        button=_("Delete"),
        cancel=reverse("monitors:maintenance"),
    )


def _to_list() -> HttpResponse:
    return HttpResponseRedirect(reverse("monitors:maintenance"), status=303)
