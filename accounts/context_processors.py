"""Template context for every page: the user's workspace and role."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest

from accounts.access import membership_of


def workspace(request: HttpRequest) -> dict[str, Any]:
    """Add `membership`, `workspace`, `memberships` and `may_change` for a signed-in user."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    try:
        membership = membership_of(request)
    except Http404:
        return {}
    return {
        "membership": membership,
        "workspace": membership.workspace,
        "memberships": request._memberships,  # type: ignore[attr-defined]
        "may_change": membership.may_change,
    }
