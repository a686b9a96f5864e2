"""Template context for every page: the user's workspace and role, and whether they are invited elsewhere."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.utils.functional import SimpleLazyObject

from accounts.access import membership_of
from accounts.services import invitations


def workspace(request: HttpRequest) -> dict[str, Any]:
    """Add `membership`, `workspace`, `memberships`, `may_change` and `invited` for a signed-in user."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    try:
        membership = membership_of(request)
    except Http404:
        user = request.user
        # Only pages with our menu ask.
        return {"invited": SimpleLazyObject(lambda: invitations.pending_for(user).exists())}
    return {
        "membership": membership,
        "workspace": membership.workspace,
        "memberships": request._memberships,  # type: ignore[attr-defined]
        "may_change": membership.may_change,
        "invited": membership.invited,  # type: ignore[attr-defined]
    }
