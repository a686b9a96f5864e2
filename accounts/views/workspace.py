"""The settings of a workspace, its audit log, and switching between workspaces."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access import SESSION_KEY, membership_of, require_change, signed_in
from accounts.actors import actor_of
from accounts.forms import WorkspaceForm
from accounts.models import Membership, User
from accounts.services import audit_log, workspaces
from core.export import WRITERS
from core.pagination import page_of
from core.timezones import offered_zones


@require_http_methods(["GET", "POST"])
@signed_in
def settings_(request: HttpRequest) -> HttpResponse:
    """Show the settings; owners and admins can change them."""
    membership = require_change(request) if request.method == "POST" else membership_of(request)
    workspace = membership.workspace
    form = WorkspaceForm(request.POST if request.method == "POST" else None, workspace=workspace)
    if form.is_bound and form.is_valid():
        workspaces.change(workspace=workspace, by=actor_of(request), **form.cleaned_data)
        messages.success(request, _("Saved."))
        return HttpResponseRedirect(reverse("accounts:settings"), status=303)
    context = {
        "form": form,
        "zones": offered_zones(),
        "language": dict(settings.LANGUAGES).get(workspace.language, workspace.language),
    }
    return render(request, "accounts/settings.html", context, status=422 if form.errors else 200)


@require_GET
@signed_in
def audit_(request: HttpRequest) -> HttpResponse:
    """Show the entries of the workspace, newest first, starting before the cursor `before`.

    With `format`, all of them, as a file.
    """
    entries = audit_log.entries_of(require_change(request).workspace)
    if file_format := request.GET.get("format"):
        if file_format not in WRITERS:
            raise Http404
        return cast(HttpResponse, audit_log.as_file(entries, file_format))
    page = page_of(entries, "at", cursor=request.GET.get("before", ""))
    return render(request, "accounts/audit.html", {"page": page})


@require_POST
@login_required
def switch_workspace(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Make another of the user's workspaces the current one."""
    mine = Membership.objects.filter(user=cast(User, request.user), workspace__public_id=public_id)
    if not mine.exists():
        raise Http404
    request.session[SESSION_KEY] = str(public_id)
    return HttpResponseRedirect(reverse("monitors:overview"), status=303)
