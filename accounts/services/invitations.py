"""Invite people who have an account to a workspace; they accept or decline. Others get an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from accounts import audit
from accounts.actors import Actor
from accounts.audit import AuditTarget
from accounts.locks import lock_workspace
from accounts.models import AccountMail, AuditEntry, Invitation, Membership, Role, User, Workspace
from accounts.services import members, outbox
from core.clock import database_now

LIFETIME = timedelta(days=7)


class InvitationGone(Exception):
    """The invitation has expired, was revoked, accepted or declined, or is for another account."""


@dataclass(frozen=True, slots=True)
class Invited:
    """The person, and whether the account was just created: then they are a member, without a password."""

    user: User
    is_new_account: bool


def invite(*, workspace: Workspace, email: str, role: str, by: Actor) -> Invited:
    """Invite the person with `email`; one without an account gets one, and is a member from then on.

    An account that exists is not made a member without its owner: whoever has the address now may not be
    the person who is meant. Inviting again replaces the invitation.

    Raises:
        AlreadyMember: the person is already a member; nothing was changed.
    """
    with transaction.atomic():
        lock_workspace(workspace)
        user = User.objects.with_address(email)
        if user is None:
            user = User.objects.create_user(email)
            members.add(workspace=workspace, user=user, role=role, by=by)
            return Invited(user, is_new_account=True)
        if Membership.objects.filter(user=user, workspace=workspace).exists():
            raise members.AlreadyMember
        now = database_now()
        Invitation.objects.filter(user=user, workspace=workspace).delete()
        invitation = Invitation.objects.create(
            user=user,
            workspace=workspace,
            role=Role(role),
            created_at=now,
            created_by=by.user,
            expires_at=now + LIFETIME,
        )
        _record(invitation, by, AuditEntry.Action.MEMBER_INVITED, role=invitation.role)
        outbox.queue(
            AccountMail.Kind.INVITATION,
            user=user,
            language=workspace.language,
            invitation=str(invitation.public_id),
        )
    return Invited(user, is_new_account=False)


def pending_for(user: User) -> QuerySet[Invitation]:
    """Return the invitations that `user` can accept, with their workspaces and senders, newest first."""
    related = Invitation.objects.current().select_related("workspace", "created_by")
    return related.filter(user=user).order_by("-pk")


def pending_in(workspace: Workspace) -> QuerySet[Invitation]:
    """Return the invitations to `workspace` that were not accepted yet, with their people, by address."""
    related = Invitation.objects.current().select_related("user")
    return related.filter(workspace=workspace).order_by("user__email")


def accept(*, public_id: UUID, user: User, by: Actor) -> Membership:
    """Make `user`, whom the invitation is for, a member.

    Raises:
        InvitationGone: there is no such invitation for this account any more; nothing was changed.
    """
    with transaction.atomic():
        invitation = _locked(public_id, user=user)
        try:
            return members.add(
                workspace=invitation.workspace,
                user=user,
                role=invitation.role,
                by=by,
                action=AuditEntry.Action.MEMBER_JOINED,
            )
        except members.AlreadyMember:
            raise InvitationGone from None


def decline(*, public_id: UUID, user: User, by: Actor) -> Invitation:
    """Decline an invitation of `user`.

    Raises:
        InvitationGone: there is no such invitation for this account any more.
    """
    with transaction.atomic():
        invitation = _locked(public_id, user=user)
        _record(invitation, by, AuditEntry.Action.INVITATION_DECLINED)
        invitation.delete()
    return invitation


def revoke(*, public_id: UUID, workspace: Workspace, by: Actor) -> Invitation:
    """Take back an invitation to `workspace`.

    Raises:
        InvitationGone: there is no such invitation any more.
    """
    with transaction.atomic():
        invitation = _locked(public_id, workspace=workspace)
        _record(invitation, by, AuditEntry.Action.INVITATION_REVOKED)
        invitation.delete()
    return invitation


def forget_expired() -> None:
    """Delete the invitations that have expired."""
    Invitation.objects.filter(expires_at__lte=database_now()).delete()


def _locked(public_id: UUID, **whose: Any) -> Invitation:
    """Return an invitation that can be accepted, with a lock so that only one thing happens to it."""
    current = Invitation.objects.current().filter(public_id=public_id, **whose)
    found = current.select_related("workspace", "user").first()
    if found is None:
        raise InvitationGone
    lock_workspace(found.workspace)
    # What the lock waited for may have used it up.
    if not current.exists():
        raise InvitationGone
    return found


def _record(invitation: Invitation, by: Actor, action: str, **details: Any) -> None:
    workspace = invitation.workspace
    target = AuditTarget(workspace.public_id, workspace.name, {"member": invitation.user.email, **details})
    audit.record(workspace=workspace, by=by, action=action, target=target)
