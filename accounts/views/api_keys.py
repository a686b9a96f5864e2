"""List, create and revoke management API keys, for owners and admins."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from accounts.access import require_change, signed_in
from accounts.actors import actor_of
from accounts.forms import ApiKeyForm
from accounts.models import ApiKey, Workspace
from accounts.services import api_keys
from core.clock import database_now


@require_http_methods(["GET", "POST"])
@signed_in
@sensitive_variables("issued")
def api_keys_(request: HttpRequest) -> HttpResponse:
    """List the keys. A POST creates one; its response is the only page that ever shows the key."""
    workspace = require_change(request).workspace
    form = ApiKeyForm(request.POST if request.method == "POST" else None)
    if not (form.is_bound and form.is_valid()):
        return _page(request, workspace, form, status=422 if form.errors else 200)
    days = form.cleaned_data["expires_days"]
    issued = api_keys.issue(
        workspace=workspace,
        name=form.cleaned_data["name"],
        scope=form.cleaned_data["scope"],
        expires_at=database_now() + timedelta(days=days) if days else None,
        by=actor_of(request),
    )
    return _page(request, workspace, ApiKeyForm(), issued=issued)


def _page(
    request: HttpRequest, workspace: Workspace, form: ApiKeyForm, *, status: int = 200, **more: Any
) -> HttpResponse:
    keys = ApiKey.objects.filter(workspace=workspace).select_related("created_by")
    context = {"form": form, "keys": keys, "now": database_now(), **more}
    return render(request, "accounts/api_keys.html", context, status=status)


@require_http_methods(["GET", "POST"])
@signed_in
def revoke(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ask for confirmation (GET), then revoke a key (POST)."""
    workspace = require_change(request).workspace
    key = get_object_or_404(
        ApiKey.objects.select_related("workspace"), workspace=workspace, public_id=public_id
    )
    if request.method == "POST":
        api_keys.revoke(key=key, by=actor_of(request))
        messages.success(request, _("API key “%(name)s” revoked.") % {"name": key.name})
        return HttpResponseRedirect(reverse("accounts:api_keys"), status=303)
    context = {
        "title": _("Revoke API key “%(name)s”?") % {"name": key.name},
        "text": _("Programs that use it lose access immediately. This cannot be undone."),
        "button": _("Revoke"),
        "action": request.path,
        "cancel": reverse("accounts:api_keys"),
    }
    template = "components/confirm.html#question" if request.htmx else "components/confirm.html"  # type: ignore[attr-defined]
    return render(request, template, context)
