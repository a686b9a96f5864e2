"""The invitations of the person who is signed in: accept or decline."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.access import SESSION_KEY, signed_in
from accounts.actors import actor_of
from accounts.models import User
from accounts.services import invitations
from core.clock import database_now


@require_GET
@signed_in
def list_(request: HttpRequest) -> HttpResponse:
    """List them; those for other accounts are not there, whoever has a link."""
    mine = invitations.pending_for(cast(User, request.user))
    return render(request, "accounts/invitations.html", {"invitations": mine, "now": database_now()})


@require_POST
@signed_in
def accept(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Become a member, and go to the workspace."""
    user = cast(User, request.user)
    try:
        membership = invitations.accept(public_id=public_id, user=user, by=actor_of(request))
    except invitations.InvitationGone as error:
        raise Http404 from error
    request.session[SESSION_KEY] = str(membership.workspace.public_id)
    messages.success(request, _("You are now a member of “%(name)s”.") % {"name": membership.workspace.name})
    return HttpResponseRedirect(reverse("monitors:overview"), status=303)


@require_POST
@signed_in
def decline(request: HttpRequest, public_id: UUID) -> HttpResponse:
    try:
        gone = invitations.decline(public_id=public_id, user=cast(User, request.user), by=actor_of(request))
    except invitations.InvitationGone as error:
        raise Http404 from error
    messages.success(request, _("Invitation to “%(name)s” declined.") % {"name": gone.workspace.name})
    return HttpResponseRedirect(reverse("accounts:invitations"), status=303)
