"""The audit log: who did what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from accounts.actors import Actor
from accounts.models import AuditEntry, Workspace
from core.clock import database_now

# Viewing the same token again within this time is not recorded a second time.
_REPEATED_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class AuditTarget:
    """What was done to what. `details` holds no secret."""

    subject: UUID
    subject_name: str
    details: dict[str, Any] = field(default_factory=dict)


def record(*, workspace: Workspace, by: Actor, action: str, target: AuditTarget | None = None) -> AuditEntry:
    """Record that `by` did `action`; call it inside the transaction that does it."""
    target = target or AuditTarget(workspace.public_id, workspace.name)
    entry = _entry(workspace, by, action, target, database_now())
    entry.save(force_insert=True)
    return entry


def record_views(*, workspace: Workspace, by: Actor, action: str, targets: Iterable[AuditTarget]) -> None:
    """Record that `by` viewed something, at most once an hour for the same `details`, in three queries.

    Programs view things over and over; an entry each time would bury everything else.
    """
    targets = list(targets)
    if not targets:
        return
    now = database_now()
    recent = AuditEntry.objects.filter(
        subject__in={target.subject for target in targets},
        at__gt=now - _REPEATED_WITHIN,
        action=action,
        user=by.user,
        api_key=by.api_key,
        via=by.via,
        address=by.address,
    )
    known = [(entry.subject, entry.details) for entry in recent]
    AuditEntry.objects.bulk_create(
        _entry(workspace, by, action, target, now)
        for target in targets
        if (target.subject, target.details) not in known
    )


def _entry(workspace: Workspace, by: Actor, action: str, target: AuditTarget, at: datetime) -> AuditEntry:
    return AuditEntry(
        workspace=workspace,
        at=at,
        action=action,
        actor=by.name[:254],
        user=by.user,
        api_key=by.api_key,
        via=by.via,
        address=by.address,
        subject=target.subject,
        subject_name=target.subject_name[:100],
        details=target.details,
    )
