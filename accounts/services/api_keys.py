"""Issue, look up and revoke management API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from accounts import audit
from accounts.actors import Actor
from accounts.audit import AuditTarget
from accounts.models import KEY_PREFIX, ApiKey, AuditEntry, Workspace
from core import credentials
from core.clock import database_now

# "Last used" is updated at most this often.
_LAST_USED_EVERY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key and its secret, which is shown once and stored nowhere."""

    key: ApiKey
    secret: str


def issue(
    *, workspace: Workspace, name: str, scope: str, by: Actor, expires_at: datetime | None = None
) -> IssuedKey:
    """Create a key for `workspace`. `scope` is "read" or "write"."""
    secret = credentials.new_key(KEY_PREFIX)
    with transaction.atomic():
        key = ApiKey.objects.create(
            workspace=workspace,
            name=name,
            scope=ApiKey.Scope(scope),
            digest=credentials.digest(secret),
            last_four=secret[-4:],
            created_at=database_now(),
            created_by=by.user,
            expires_at=expires_at,
        )
        _record(key, by, AuditEntry.Action.API_KEY_CREATED, scope=key.scope)
    return IssuedKey(key, secret)


def find(secret: str, *, address: str | None) -> ApiKey | None:
    """Return the active key with this secret, its workspace loaded, and record its use; else None."""
    if credentials.is_mistyped(secret, KEY_PREFIX) or not secret.startswith(KEY_PREFIX):
        return None
    now = database_now()
    key = (
        ApiKey.objects.select_related("workspace")
        .filter(
            Q(expires_at=None) | Q(expires_at__gt=now), digest=credentials.digest(secret), revoked_at=None
        )
        .first()
    )
    if key is None:
        return None
    if key.last_used_at is None or now - key.last_used_at > _LAST_USED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now, last_used_from=address)
    return key


def revoke(*, key: ApiKey, by: Actor) -> bool:
    """Revoke `key` immediately; return False if it was already revoked."""
    with transaction.atomic():
        revoked = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=database_now())
        if revoked:
            _record(key, by, AuditEntry.Action.API_KEY_REVOKED)
    return bool(revoked)


def _record(key: ApiKey, by: Actor, action: str, **details: str) -> None:
    target = AuditTarget(key.public_id, str(key), details)
    audit.record(workspace=key.workspace, by=by, action=action, target=target)
