"""Acknowledge an incident and write its note."""

from __future__ import annotations

from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from accounts.audit import AuditTarget
from accounts.models import AuditEntry
from core.clock import database_now
from monitors.models import Incident


def acknowledge(*, incident: Incident, by: Actor) -> bool:
    """Acknowledge an open incident for `by`; return whether that worked.

    False if it was already acknowledged or is resolved. Of several at the same time, exactly one succeeds.

    Args:
        incident: loaded with its monitor and workspace. It is not changed in memory.
    """
    with transaction.atomic():
        changed = Incident.objects.filter(pk=incident.pk, acknowledged_at=None, resolved_at=None).update(
            acknowledged_at=database_now(), acknowledged_by=by.user
        )
        if changed:
            _record(incident, AuditEntry.Action.INCIDENT_ACKNOWLEDGED, by)
    return bool(changed)


def note(*, incident: Incident, text: str, by: Actor) -> bool:
    """Set the note of `incident` to `text` (at most NOTE_LENGTH characters); return whether it changed.

    Earlier notes stay in the audit log.

    Args:
        incident: loaded with its monitor and workspace. It is not changed in memory.
    """
    with transaction.atomic():
        changed = Incident.objects.filter(pk=incident.pk).exclude(note=text).update(note=text)
        if changed:
            _record(incident, AuditEntry.Action.INCIDENT_NOTED, by, note=text)
    return bool(changed)


def _record(incident: Incident, action: str, by: Actor, **details: str) -> None:
    monitor = incident.monitor
    target = AuditTarget(monitor.public_id, monitor.name, {"incident": str(incident.public_id), **details})
    audit.record(workspace=monitor.workspace, by=by, action=action, target=target)
