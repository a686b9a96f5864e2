"""The actor behind a change: a person in the browser or the admin site, an API key, or a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from accounts.models import ApiKey, AuditEntry, User
from core.client_ip import address_of


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, through what, and from which IP address. Without a user or key: the operator's shell.

    `label` names an actor that has neither and is not the shell, such as a link in a notification.
    """

    user: User | None = None
    api_key: ApiKey | None = None
    via: str = AuditEntry.Via.COMMAND
    address: str | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """The name to record; it stays readable after the account or key is deleted."""
        if self.api_key is not None:
            return str(self.api_key)
        return self.user.email if self.user else self.label or "command line"


COMMAND = Actor()


def actor_of(request: HttpRequest | Any, *, via: str = AuditEntry.Via.BROWSER) -> Actor:
    """Return the actor of a Django request (a signed-in user) or a REST framework request (an API key)."""
    key = getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        return Actor(None, key, AuditEntry.Via.API, address_of(request))
    user = request.user if isinstance(request.user, User) else None
    return Actor(user, None, via, address_of(request))


def admin_of(request: HttpRequest) -> Actor:
    """Return the person behind a request to the admin site."""
    return actor_of(request, via=AuditEntry.Via.ADMIN)
