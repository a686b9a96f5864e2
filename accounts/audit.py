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
_LOOKS_AGAIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done to what. `details` holds no secret."""

    subject: UUID
    subject_name: str
    details: dict[str, Any] = field(default_factory=dict)


def record(*, workspace: Workspace, by: Actor, action: str, deed: Deed | None = None) -> AuditEntry:
    """Record that `by` did `action`; call it inside the transaction that does it."""
    deed = deed or Deed(workspace.public_id, workspace.name)
    entry = _entry(workspace, by, action, deed, database_now())
    entry.save(force_insert=True)
    return entry


def record_looks(*, workspace: Workspace, by: Actor, action: str, deeds: Iterable[Deed]) -> None:
    """Record that `by` viewed something, at most once an hour for the same `details`, in three queries.

    Programs view things over and over; an entry each time would bury everything else.
    """
    deeds = list(deeds)
    if not deeds:
        return
    now = database_now()
    recent = AuditEntry.objects.filter(
        subject__in={deed.subject for deed in deeds},
        at__gt=now - _LOOKS_AGAIN,
        action=action,
        user=by.user,
        api_key=by.api_key,
        via=by.via,
        address=by.address,
    )
    known = [(entry.subject, entry.details) for entry in recent]
    AuditEntry.objects.bulk_create(
        _entry(workspace, by, action, deed, now)
        for deed in deeds
        if (deed.subject, deed.details) not in known
    )


def _entry(workspace: Workspace, by: Actor, action: str, deed: Deed, at: datetime) -> AuditEntry:
    return AuditEntry(
        workspace=workspace,
        at=at,
        action=action,
        actor=by.name[:254],
        user=by.user,
        api_key=by.api_key,
        via=by.via,
        address=by.address,
        subject=deed.subject,
        subject_name=deed.subject_name[:100],
        details=deed.details,
    )
