"""Changes of how a person signs in: written to the audit logs of their workspaces, and mailed to them."""

from __future__ import annotations

from typing import Any

import structlog
from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from accounts.audit import AuditTarget
from accounts.models import AccountMail, AuditEntry, EmailChange, Membership, User
from accounts.services import outbox

log = structlog.get_logger(__name__)
Action = AuditEntry.Action


def set_password(*, user: User, password: str, by: Actor) -> None:
    """Give `user` another password, which ends all sessions but the one in which it is done."""
    user.set_password(password)
    with transaction.atomic():
        user.save(update_fields=["password"])
        password_changed(user=user, by=by)


def password_changed(*, user: User, by: Actor) -> None:
    """Note that `user` has another password; call it in the transaction that stored it.

    A change of the address that waits for its link is cancelled: whoever asked for it may be who made the
    new password necessary.
    """
    EmailChange.objects.filter(user=user).delete()
    note(user=user, by=by, action=Action.PASSWORD_CHANGED)
    outbox.queue(AccountMail.Kind.PASSWORD_CHANGED, user=user, **whence(user, by))


def factor_changed(*, user: User, by: Actor, action: AuditEntry.Action, factor: str) -> None:
    """Note that `user` has another second factor, one less, or new recovery codes."""
    with transaction.atomic():
        note(user=user, by=by, action=action, factor=factor)
        details = {"action": action, "factor": factor, **whence(user, by)}
        outbox.queue(AccountMail.Kind.FACTOR_CHANGED, user=user, **details)


def note(*, user: User, by: Actor, action: AuditEntry.Action, **details: str) -> None:
    """Write to the audit log of each workspace of `user` what happened to their account."""
    log.info("account changed", action=str(action), account=user.pk, by=by.name, address=by.address)
    for membership in Membership.objects.filter(user=user).select_related("workspace"):
        workspace = membership.workspace
        target = AuditTarget(workspace.public_id, workspace.name, {"member": user.email, **details})
        audit.record(workspace=workspace, by=by, action=action, target=target)


def whence(user: User, by: Actor) -> dict[str, Any]:
    """Return who did it, if it was someone else, and from where, for an email to `user`."""
    return {"by": "" if by.user == user else by.name, "address": by.address}
