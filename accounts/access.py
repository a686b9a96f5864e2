"""Access control: the workspace of a request and the signed-in user's role in it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from accounts.models import Invitation, Membership, Role, User, Workspace

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]

SESSION_KEY = "workspace"


def membership_of(request: HttpRequest) -> Membership:
    """Return the signed-in user's membership in their current workspace.

    That is the one chosen in the session, or else the first. Raises Http404 if the user has none.
    """
    cached: Membership | None = getattr(request, "_membership", None)
    if cached is not None:
        return cached
    pending = Invitation.objects.current().filter(user=OuterRef("user"))
    memberships = list(
        Membership.objects.filter(user=cast(User, request.user))
        .annotate(invited=Exists(pending))
        .select_related("workspace")
        .order_by("id")
    )
    if not memberships:
        raise Http404("This account belongs to no workspace.")
    selected = request.session.get(SESSION_KEY)
    membership = next((m for m in memberships if str(m.workspace.public_id) == selected), memberships[0])
    request._membership = membership  # type: ignore[attr-defined]
    request._memberships = memberships  # type: ignore[attr-defined]
    return membership


def workspace_of(request: HttpRequest) -> Workspace:
    return membership_of(request).workspace


def require_change(request: HttpRequest) -> Membership:
    """Return the membership for a request that changes something.

    Raises PermissionDenied if the role is read-only.
    """
    membership = membership_of(request)
    if not membership.may_change:
        raise PermissionDenied
    return membership


def require_owner(request: HttpRequest) -> Membership:
    """Return the membership for a request that only owners may make. Raises PermissionDenied otherwise."""
    membership = membership_of(request)
    if membership.role != Role.OWNER:
        raise PermissionDenied
    return membership


def signed_in(view: View[P]) -> View[P]:
    """Require a signed-in user, and keep the response out of every cache."""
    return wraps(view)(login_required(never_cache(view)))
