"""Add members to a workspace, change their roles and remove them. One owner always remains."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from accounts.audit import AuditTarget
from accounts.locks import lock_workspace
from accounts.models import AuditEntry, Invitation, Membership, Role, User, Workspace


class LastOwner(Exception):
    """The change would leave the workspace without an owner."""


class AlreadyMember(Exception):
    """The person to add is already a member."""


def add(
    *,
    workspace: Workspace,
    user: User,
    role: str,
    by: Actor,
    action: AuditEntry.Action = AuditEntry.Action.MEMBER_ADDED,
) -> Membership:
    """Make `user` a member: one who was just created, who accepted, or whom an administrator added.

    Whoever else has an account is invited (accounts/services/invitations.py).

    Raises:
        AlreadyMember: the person is already a member; nothing was changed.
    """
    with transaction.atomic():
        lock_workspace(workspace)
        membership, is_new = Membership.objects.get_or_create(
            user=user, workspace=workspace, defaults={"role": Role(role)}
        )
        if not is_new:
            raise AlreadyMember
        Invitation.objects.filter(user=user, workspace=workspace).delete()
        _record(membership, by, action, role=membership.role)
    return membership


def set_role(*, membership: Membership, role: str, by: Actor) -> Membership:
    """Change a member's role.

    Raises:
        LastOwner: the workspace would be left without an owner.
        Membership.DoesNotExist: the member was removed in the meantime.
    """
    with transaction.atomic():
        lock_workspace(membership.workspace)
        membership.refresh_from_db()
        if membership.role != role:
            if membership.role == Role.OWNER:
                _require_another_owner(membership)
                _revoke_invitations_of(membership)
            membership.role = Role(role)
            membership.save(update_fields=["role"])
            _record(membership, by, AuditEntry.Action.MEMBER_CHANGED, role=membership.role)
    return membership


def remove(*, membership: Membership, by: Actor) -> None:
    """Remove a member. The account and everything it created stay.

    Raises:
        LastOwner: the workspace would be left without an owner.
        Membership.DoesNotExist: the member was removed in the meantime.
    """
    with transaction.atomic():
        lock_workspace(membership.workspace)
        membership.refresh_from_db()
        if membership.role == Role.OWNER:
            _require_another_owner(membership)
            _revoke_invitations_of(membership)
        _record(membership, by, AuditEntry.Action.MEMBER_REMOVED)
        membership.delete()


def _require_another_owner(membership: Membership) -> None:
    owners = Membership.objects.filter(workspace=membership.workspace_id, role=Role.OWNER)
    if not owners.exclude(pk=membership.pk).exists():
        raise LastOwner


def _revoke_invitations_of(membership: Membership) -> None:
    """A former owner must not come back by an invitation of their own to another account."""
    Invitation.objects.filter(workspace=membership.workspace_id, created_by=membership.user_id).delete()


def _record(membership: Membership, by: Actor, action: str, **details: Any) -> None:
    workspace = membership.workspace
    target = AuditTarget(workspace.public_id, workspace.name, {"member": membership.user.email, **details})
    audit.record(workspace=workspace, by=by, action=action, target=target)
