"""Who does something: a person in the browser or the admin site, a program with a key, a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from accounts.models import ApiKey, AuditEntry, User
from core.client_ip import address_of


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, by way of what, and from which address. Without a user or key: the operator's shell.

    `label` names those that have neither and are not the shell, such as a link in a message.
    """

    user: User | None = None
    api_key: ApiKey | None = None
    via: str = AuditEntry.Via.COMMAND
    address: str | None = None
    label: str = ""

    @property
    def name(self) -> str:
        """How people know it, also when the account or key is gone."""
        if self.api_key is not None:
            return str(self.api_key)
        return self.user.email if self.user else self.label or "command line"


COMMAND = Actor()


def actor_of(request: HttpRequest | Any, *, via: str = AuditEntry.Via.BROWSER) -> Actor:
    """Return who sent `request`: of Django with a signed-in user, or of REST framework with a key."""
    key = getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        return Actor(None, key, AuditEntry.Via.API, address_of(request))
    user = request.user if isinstance(request.user, User) else None
    return Actor(user, None, via, address_of(request))
