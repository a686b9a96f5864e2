"""Authentication and permissions of the management API: API keys and browser sessions."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.access import membership_of
from accounts.models import ApiKey, User, Workspace
from accounts.services import api_keys
from core.client_ip import address_of


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer tja_...`."""

    def authenticate(self, request: Request) -> tuple[None, ApiKey] | None:
        scheme, _, secret = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        key = api_keys.find(secret.strip().decode("latin-1"), address=address_of(request._request))
        if key is None:
            raise AuthenticationFailed
        return None, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Tianji"'


class BrowserAuthentication(SessionAuthentication):
    """The session of a signed-in user, as on the pages; changes require the CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found: tuple[Any, None] | None = super().authenticate(request)
        return found


class ReadsOrMayChange(BasePermission):
    """Any key or member may read; changes require a write key, or the owner or admin role."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if request.auth is None and not isinstance(request.user, User):
            return False
        return request.method in SAFE_METHODS or may_change(request)


def workspace_of(request: Request) -> Workspace:
    """Return the key's workspace, or the signed-in user's current one. Raises Http404."""
    if isinstance(request.auth, ApiKey):
        return request.auth.workspace
    return membership_of(request._request).workspace


def may_change(request: Request) -> bool:
    """Return whether the request may make changes and see push tokens."""
    if isinstance(request.auth, ApiKey):
        return request.auth.may_change
    try:
        return membership_of(request._request).may_change
    except Http404:
        return False
