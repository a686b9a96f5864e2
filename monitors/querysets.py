"""Querysets of the monitors' tables."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from monitors.domain.state_machine import Status

if TYPE_CHECKING:
    from accounts.models import User, Workspace


class MonitorQuerySet(models.QuerySet[Any]):
    def visible_to(self, user: User) -> MonitorQuerySet:
        """Monitors of the workspaces that `user` is a member of."""
        return self.filter(workspace__memberships__user=user)

    def in_workspace(self, workspace: Workspace) -> MonitorQuerySet:
        return self.filter(workspace=workspace)


class MonitorStateQuerySet(models.QuerySet[Any]):
    def due(self, now: datetime) -> MonitorStateQuerySet:
        """States that a sweep has to check."""
        return self.filter(due_at__lte=now)

    def awaited(self) -> MonitorStateQuerySet:
        """States of monitors that await a heartbeat: up, or down and not decided yet."""
        return self.filter(Q(status=Status.UP.value) | Q(due_at__isnull=False))


def is_active() -> Q:
    """Return the condition that a push token is active now, by the database's clock."""
    return Q(Q(expires_at__isnull=True) | Q(expires_at__gt=Now()), revoked_at__isnull=True)


class PushTokenQuerySet(models.QuerySet[Any]):
    def valid(self) -> PushTokenQuerySet:
        """Tokens that are active now, by the database's clock."""
        return self.filter(is_active())

    def in_workspace(self, workspace: Workspace) -> PushTokenQuerySet:
        return self.filter(workspace_id=workspace.pk)

    def to_change(self, workspace: Workspace, now: datetime) -> PushTokenQuerySet:
        """Active tokens of `workspace` without a successor that are older than its maximum age."""
        if workspace.token_age_days is None:
            return self.none()
        made_before = now - timedelta(days=workspace.token_age_days)
        return self.in_workspace(workspace).valid().filter(replaced_by=None, created_at__lt=made_before)
