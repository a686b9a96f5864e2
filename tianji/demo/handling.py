"""How people responded to the sample incidents: acknowledgements, notes and snoozes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from accounts import audit
from accounts.audit import AuditTarget
from accounts.models import AuditEntry
from monitors.models import Incident, Monitor
from monitors.services import incidents
from notifications.services import snooze
from tianji.demo.backdate import as_of
from tianji.demo.jobs import Fate, Job
from tianji.demo.past import Trouble
from tianji.demo.people import People

_ACKNOWLEDGED_AFTER = timedelta(minutes=7)
_LEDGER_NOTE = (
    "Account 1210 has a booking without a counterpart from the migration. Dewi is looking for the document."
)


def handle(people: People, job: Job, monitor: Monitor, troubles: Iterable[Trouble], *, now: datetime) -> None:
    """Acknowledge, annotate or snooze the incidents of `monitor` as its mishaps and its fate require."""
    for trouble in troubles:
        mishap = trouble.mishap
        if not (mishap.note or mishap.acknowledged):
            continue
        incident = monitor.incidents.filter(started_at__range=(trouble.start, trouble.end)).first()
        if incident is None or incident.resolved_at is None:
            continue
        seen = incident.detected_at + _ACKNOWLEDGED_AFTER
        if mishap.acknowledged and seen < incident.resolved_at:
            _acknowledge(people, incident, seen)
        if mishap.note:
            _note(people, incident, mishap.note, incident.resolved_at + timedelta(minutes=26))
    _by_fate(people, job, monitor, now)


def _by_fate(people: People, job: Job, monitor: Monitor, now: datetime) -> None:
    incident = monitor.incidents.filter(resolved_at=None).first()
    if incident is None:
        return
    if job.fate is Fate.REPORTED:
        seen = incident.detected_at + _ACKNOWLEDGED_AFTER
        _acknowledge(people, incident, seen)
        _note(people, incident, _LEDGER_NOTE, seen + timedelta(minutes=41))
    if job.fate is Fate.SNOOZED:
        with as_of(people.workspace, incident.detected_at + timedelta(minutes=33)):
            snooze.snooze(monitor=monitor, until=now + timedelta(days=3), by=people.owner)


def _acknowledge(people: People, incident: Incident, at: datetime) -> None:
    """Do what `incidents.acknowledge` does, but for resolved incidents too."""
    Incident.objects.filter(pk=incident.pk).update(acknowledged_at=at, acknowledged_by=people.admin.user)
    details = {"incident": str(incident.public_id)}
    with as_of(people.workspace, at):
        audit.record(
            workspace=people.workspace,
            by=people.admin,
            action=AuditEntry.Action.INCIDENT_ACKNOWLEDGED,
            target=AuditTarget(incident.monitor.public_id, incident.monitor.name, details),
        )


def _note(people: People, incident: Incident, text: str, at: datetime) -> None:
    with as_of(people.workspace, at):
        incidents.note(incident=incident, text=text, by=people.admin)


def record_pause(people: People, monitor: Monitor, at: datetime) -> None:
    """Record in the audit log that someone paused `monitor`, which the replay did."""
    with as_of(people.workspace, at):
        audit.record(
            workspace=people.workspace,
            by=people.admin,
            action=AuditEntry.Action.MONITOR_PAUSED,
            target=AuditTarget(monitor.public_id, monitor.name),
        )
