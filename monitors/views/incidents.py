"""The incidents of a workspace, and the page of one."""

from __future__ import annotations

from itertools import islice
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.access import membership_of
from accounts.actors import actor_of
from accounts.models import Membership
from core.clock import database_now
from monitors.access import get_incident_or_404, members_only, membership_in
from monitors.forms.log import NoteForm
from monitors.history import current
from monitors.history.progress import progress_text
from monitors.models import Incident
from monitors.pages.incidents import BadCursor, incidents_of
from monitors.pages.log import feed
from monitors.pages.log.entries import Entry, Filter
from monitors.services import incidents
from monitors.views.responses import shows

# More than an incident usually has; if it has more, the newest.
_ENTRIES = 200


@require_GET
@members_only
def incident_list(request: HttpRequest) -> HttpResponse:
    """The incidents of the workspace, open ones first; with `show=open`, only open ones."""
    membership = membership_of(request)
    only_open = request.GET.get("show") == "open"
    before = request.GET.get("before", "")
    try:
        page = incidents_of(membership.workspace, only_open=only_open, cursor=before)
    except BadCursor as error:
        raise Http404 from error
    shown = [
        (
            *(row.pk, row.confirmed_at, row.resolved_at, row.acknowledged_at),
            *(bool(row.note), row.monitor.name),
        )
        for row in page.rows
    ]
    version = feed.version(feed.Page([]), shown, page.more)
    if shows(request, version):
        return HttpResponse(status=204)
    context = {
        "page": page,
        "only_open": only_open,
        "live": not before,
        "version": version,
        "now": database_now(),
    }
    return render(request, _part(request, "monitors/incidents/list.html"), context)


@require_GET
@members_only
def incident(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """The page of one incident; for htmx, only the live part, or 204 if nothing has changed."""
    found = get_incident_or_404(request, public_id)
    return _incident_page(request, found, membership_in(request, found.monitor.workspace))


@require_POST
@members_only
def acknowledge(request: HttpRequest, public_id: UUID) -> HttpResponse:
    found, _membership = _get_incident_to_change(request, public_id)
    if not incidents.acknowledge(incident=found, by=actor_of(request)):
        messages.info(request, _("Already acknowledged or resolved."))
    return _to_incident(found)


@require_POST
@members_only
def note(request: HttpRequest, public_id: UUID) -> HttpResponse:
    found, membership = _get_incident_to_change(request, public_id)
    form = NoteForm(request.POST)
    if not form.is_valid():
        return _incident_page(request, found, membership, form)
    if incidents.note(incident=found, text=form.cleaned_data["note"], by=actor_of(request)):
        messages.success(request, _("Saved."))
    return _to_incident(found)


def _incident_page(
    request: HttpRequest, found: Incident, membership: Membership, form: NoteForm | None = None
) -> HttpResponse:
    criteria = Filter(incident=found.public_id)
    entries: list[Entry] = list(islice(feed.entries(found.monitor, criteria), _ENTRIES))[::-1]
    now = database_now()
    reading = current.read(found.monitor, now)
    version = feed.version(
        feed.Page(entries),
        *(found.confirmed_at, found.resolved_at, found.acknowledged_at, found.note),
        *(reading.state.is_recovering, membership.may_change),
        None if found.resolved_at else progress_text(reading, found),
    )
    if shows(request, version):
        return HttpResponse(status=204)
    context: dict[str, Any] = {
        "incident": found,
        "monitor": found.monitor,
        "entries": entries,
        "form": form or NoteForm(initial={"note": found.note}),
        "version": version,
        "reading": reading,
        "now": now,
        "membership": membership,
        "workspace": membership.workspace,
        "may_change": membership.may_change,
        "back": reverse("monitors:incident", args=[found.public_id]),
    }
    status = 422 if form else 200
    return render(request, _part(request, "monitors/incidents/detail.html"), context, status=status)


def _get_incident_to_change(request: HttpRequest, public_id: UUID) -> tuple[Incident, Membership]:
    """Return an incident that the signed-in user may change. Raises Http404 and PermissionDenied."""
    found = get_incident_or_404(request, public_id)
    membership = membership_in(request, found.monitor.workspace)
    if not membership.may_change:
        raise PermissionDenied
    return found, membership


def _part(request: HttpRequest, template: str) -> str:
    return f"{template}#live" if request.headers.get("HX-Request") == "true" else template


def _to_incident(found: Incident) -> HttpResponseRedirect:
    # 303, so that the browser follows with GET.
    return HttpResponseRedirect(reverse("monitors:incident", args=[found.public_id]), status=303)
