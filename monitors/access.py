"""Who may see and change a monitor, and its push URL."""

from __future__ import annotations

from functools import wraps
from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.vary import vary_on_headers

from accounts.access import P, View
from accounts.models import Membership, Role, User, Workspace
from monitors.models import WITH_DEFAULTS, Incident, MaintenanceWindow, Monitor, MonitorState, PushToken


def members_only(view: View[P]) -> View[P]:
    """Require sign-in, and keep the response out of caches.

    A page and its fragment share a URL, and both may show a push token.
    """

    @wraps(view)
    def found_or_404(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (Monitor.DoesNotExist, MonitorState.DoesNotExist):
            # Someone deleted the monitor after it was looked up.
            raise Http404 from None

    return wraps(view)(login_required(never_cache(vary_on_headers("HX-Request")(found_or_404))))


def membership_in(request: HttpRequest, workspace: Workspace) -> Membership:
    """Return the signed-in user's membership in `workspace`. Raises Http404 if there is none."""
    membership = (
        Membership.objects.filter(user=cast(User, request.user), workspace=workspace)
        .select_related("workspace")
        .first()
    )
    if membership is None:
        raise Http404
    return membership


def get_monitor_or_404(request: HttpRequest, public_id: UUID, *, role: Role = Role.VIEWER) -> Monitor:
    """Return a monitor from any of the signed-in user's workspaces, with its state and workspace loaded.

    A link to a monitor works whichever workspace is selected in the header.

    Args:
        role: VIEWER to look at it; any other requires a role that may change it.

    Raises:
        Http404: it does not exist, or the user is not a member of its workspace.
        PermissionDenied: the user may see it but not change it.
    """
    monitor = (
        Monitor.objects.visible_to(cast(User, request.user))
        .select_related("state", WITH_DEFAULTS)
        .filter(public_id=public_id)
        .first()
    )
    if monitor is None:
        raise Http404
    if role != Role.VIEWER and not membership_in(request, monitor.workspace).may_change:
        raise PermissionDenied
    return monitor


def get_token_or_404(request: HttpRequest, public_id: UUID, token_id: UUID) -> tuple[Monitor, PushToken]:
    """Return the monitor `public_id` and its active token `token_id`, both of which the user may change.

    Raises:
        Http404, PermissionDenied: like `get_monitor_or_404`; also for a token that is no longer active.
    """
    monitor = get_monitor_or_404(request, public_id, role=Role.ADMIN)
    token = monitor.tokens.valid().filter(public_id=token_id).first()
    if token is None:
        raise Http404
    return monitor, token


def get_incident_or_404(request: HttpRequest, public_id: UUID) -> Incident:
    """Return an incident that the signed-in user may see, with everything its page shows.

    Raises:
        Http404: it does not exist, or the user is not a member of its workspace.
    """
    return get_object_or_404(
        Incident.objects.select_related(f"monitor__{WITH_DEFAULTS}", "monitor__state", "acknowledged_by"),
        monitor__workspace__memberships__user=cast(User, request.user),
        public_id=public_id,
    )


def get_maintenance_or_404(
    request: HttpRequest, public_id: UUID, *, to_change: bool = False
) -> MaintenanceWindow:
    """Return a maintenance window from any of the signed-in user's workspaces, with its workspace loaded.

    Raises:
        Http404: it does not exist, or the user is not a member of its workspace.
        PermissionDenied: `to_change` is set, and the user may see it but not change it.
    """
    window = get_object_or_404(
        MaintenanceWindow.objects.select_related("workspace"),
        workspace__memberships__user=cast(User, request.user),
        public_id=public_id,
    )
    if to_change and not membership_in(request, window.workspace).may_change:
        raise PermissionDenied
    return window


def push_url(request: HttpRequest, secret: str) -> str:
    """Return the push URL of `secret`: under TIANJI_URL, or else under the host of this request."""
    if settings.TIANJI_URL_IS_SET:
        return f"{settings.TIANJI_URL}/api/push/{secret}"
    return request.build_absolute_uri(f"/api/push/{secret}")
