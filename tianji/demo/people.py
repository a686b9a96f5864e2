"""The sample workspace and its members."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts.actors import Actor
from accounts.models import ApiKey, AuditEntry, Membership, Role, User, Workspace
from accounts.services import api_keys, members, setup, workspaces
from tianji.demo.backdate import as_of

WORKSPACE = "Demo"
OWNER, ADMIN, VIEWER = "demo@example.com", "rina@example.com", "budi@example.com"
_ADDRESSES = {OWNER: "198.51.100.7", ADMIN: "203.0.113.77"}


@dataclass(frozen=True, slots=True)
class People:
    """The workspace, and the two members who change things in it."""

    workspace: Workspace
    owner: Actor
    admin: Actor


def workspace() -> Workspace | None:
    """Return the sample workspace, or None if it doesn't exist."""
    return Workspace.objects.filter(name=WORKSPACE, memberships__user__email=OWNER).first()


def others_with_data() -> list[Workspace]:
    """Return the other workspaces with monitors."""
    ours = workspace()
    others = Workspace.objects.filter(monitors__isnull=False).distinct()
    return list(others.exclude(pk=ours.pk) if ours else others)


def create(*, password: str, now: datetime, days: float) -> People:
    """Create the workspace with its owner, an admin, a viewer and two API keys."""
    owner = _owner(password)
    ours = Workspace.objects.get(memberships__user=owner, name=WORKSPACE)
    born = now - timedelta(days=days, hours=3)
    Workspace.objects.filter(pk=ours.pk).update(created_at=born)
    people = People(ours, _actor(owner), _actor(owner))
    with as_of(ours, born + timedelta(minutes=4)):
        workspaces.change(workspace=ours, by=people.owner, timezone="Asia/Jakarta", token_age_days=365)
    with as_of(ours, born + timedelta(minutes=6)):
        admin = _account(ADMIN)
        members.add(workspace=ours, user=admin, role=Role.ADMIN, by=people.owner)
        members.add(workspace=ours, user=_account(VIEWER), role=Role.VIEWER, by=people.owner)
    people = People(ours, people.owner, _actor(admin))
    for name, scope, ago in (("Grafana", "read", days * 0.8), ("Terraform", "write", days * 0.6)):
        at = now - timedelta(days=ago)
        with as_of(ours, at):
            key = api_keys.issue(workspace=ours, name=name, scope=scope, by=people.owner).key
        ApiKey.objects.filter(pk=key.pk).update(
            created_at=at, last_used_at=now - timedelta(minutes=ago), last_used_from="10.20.0.90"
        )
    return people


def set_password(password: str) -> None:
    owner = User.objects.get(email=OWNER)
    owner.set_password(password)
    owner.save(update_fields=["password"])


def forget() -> None:
    """Delete the accounts of the sample workspace that have no other workspace."""
    used = Membership.objects.filter(user__email__in=(OWNER, ADMIN, VIEWER)).values("user")
    User.objects.filter(email__in=(OWNER, ADMIN, VIEWER)).exclude(pk__in=used).delete()


def _account(email: str) -> User:
    return User.objects.with_address(email) or User.objects.create_user(email)


def _owner(password: str) -> User:
    if setup.is_needed():
        return setup.create_owner(email=OWNER, password=password, workspace_name=WORKSPACE)
    user = _account(OWNER)
    user.set_password(password)
    user.save(update_fields=["password"])
    ours = Workspace.objects.create(name=WORKSPACE)
    Membership.objects.create(user=user, workspace=ours, role=Role.OWNER)
    return user


def _actor(user: User) -> Actor:
    return Actor(user, None, AuditEntry.Via.BROWSER, _ADDRESSES[user.email])
