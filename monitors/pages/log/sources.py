"""The sources of a monitor's activity: heartbeats, status changes, changes by people, and gaps.

Each function returns the entries of one kind that match a filter and come after a cursor, newest first, up
to a limit. Each reads a range of one index.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q
from django.utils.translation import gettext as _

from accounts.models import AuditEntry
from monitors.domain.state_machine import Cause, Reason, Status
from monitors.domain.value_rules import ValueRules
from monitors.heartbeats.parser import DEFAULT_MESSAGE
from monitors.history.current import value_text
from monitors.models import Gap, Heartbeat, Incident, Monitor, Transition
from monitors.pages.gaps import in_words
from monitors.pages.log import audit_text
from monitors.pages.log.entries import Cursor, Entry, Fact, Filter, Kind, length

# The codes of changes that open an incident, and of those that resolve one.
OPENED, RESOLVED = ("missed", "down", "value"), ("resolved",)
INCIDENT_ACTIONS = (AuditEntry.Action.INCIDENT_NOTED, AuditEntry.Action.INCIDENT_ACKNOWLEDGED)


def heartbeats(monitor: Monitor, criteria: Filter, before: Cursor | None, limit: int) -> list[Entry]:
    if criteria.incident is not None:
        return []
    rows = criteria.within(Heartbeat.objects.filter(monitor=monitor), "received_at")
    if criteria.status:
        rows = rows.filter(status=criteria.status)
    if criteria.text:
        rows = rows.filter(message__icontains=criteria.text)
    if before is not None:
        rows = before.older(rows, "received_at", Kind.HEARTBEATS)
    return [_heartbeat(row) for row in rows.order_by("-received_at", "-pk")[:limit]]


def _heartbeat(row: Heartbeat) -> Entry:
    return Entry(
        at=row.received_at,
        kind=Kind.HEARTBEATS,
        pk=row.pk,
        code=row.status,
        word=_("up") if row.status == Status.UP else _("down"),
        tone=row.status,
        text=row.message,
        value=row.value,
        source=row.source or "",
        facts=(Fact(_("From"), row.source),) if row.source else (),
    )


# --- Status changes ------------------------------------------------------------------------------


def transitions(monitor: Monitor, criteria: Filter, before: Cursor | None, limit: int) -> list[Entry]:
    rows = criteria.within(Transition.objects.filter(monitor=monitor), "at")
    if criteria.incident is not None:
        rows = rows.filter(incident__public_id=criteria.incident)
    if criteria.status:
        rows = rows.filter(target=criteria.status)
    if criteria.text:
        rows = rows.filter(
            Q(target=Status.DOWN, incident__opening_message__icontains=criteria.text)
            | Q(source=Status.DOWN, incident__closing_message__icontains=criteria.text)
        )
    if before is not None:
        rows = before.older(rows, "at", Kind.STATUS)
    rules = monitor.value_rules
    return [_transition(row, rules) for row in rows.select_related("incident").order_by("-at", "-pk")[:limit]]


def _transition(row: Transition, rules: ValueRules) -> Entry:
    match row.reason, row.incident:
        case Reason.MISSED, Incident() as incident:
            return _status(row, "missed", _("missed"), " · ".join(_missed(incident)))
        case Reason.REPORTED, Incident() as incident:
            message = _unless_default(incident.opening_message, up=False)
            text = _("Reported down: “%(message)s”") % {"message": message} if message else _("Reported down")
            return _status(row, "down", _("down"), text, message=incident.opening_message)
        case Reason.VALUE, Incident() as incident:
            parts = [value_text(incident.opening_value, rules)]
            if message := _unless_default(incident.opening_message, up=True):
                parts.append(f"“{message}”")
            return _status(row, "value", _("value"), " · ".join(parts), message=incident.opening_message)
        case Reason.HEARTBEAT, Incident() as incident:
            parts = [_("Recovered after %(length)s") % {"length": length(incident.started_at, row.at)}]
            if incident.confirmed_at is None:
                parts.append(_("Closed as unconfirmed: no notifications were sent"))
            if message := _unless_default(incident.closing_message, up=True):
                parts.append(f"“{message}”")
            return _status(
                row, "resolved", _("recovered"), " · ".join(parts), message=incident.closing_message
            )
        case Reason.PAUSED, incident:
            text = _("Paused: heartbeats are recorded, but no alerts are sent")
            if incident is not None:
                after = length(incident.started_at, row.at)
                text = _("Paused, which closed the incident after %(length)s") % {"length": after}
                if incident.confirmed_at is None:
                    text = _("Paused, which closed the unconfirmed incident after %(length)s") % {
                        "length": after
                    }
            return _status(row, "paused", _("paused"), text)
        case Reason.RESUMED, _incident:
            return _status(row, "resumed", _("resumed"), _("Resumed: waiting for the next heartbeat"))
        case Reason.HEARTBEAT, _incident:
            return _status(row, "began", _("up"), _("First heartbeat received: monitoring started"))
    return _status(row, str(row.reason), str(row.get_target_display()).lower(), str(row.get_reason_display()))


def _missed(incident: Incident) -> Iterator[str]:
    if incident.last_heartbeat_at is None:
        yield _("No heartbeat")
    else:
        silence = length(incident.last_heartbeat_at, incident.started_at)
        yield _("No heartbeat for %(length)s") % {"length": silence}
    if incident.opening_message:
        yield _("last message “%(message)s”") % {"message": incident.opening_message}


def _unless_default(message: str, *, up: bool) -> str:
    """Return `message` unless it is the default."""
    return "" if message == DEFAULT_MESSAGE[up] else message


def _status(row: Transition, code: str, word: str, text: str, *, message: str = "") -> Entry:
    incident = row.incident
    facts: tuple[Fact, ...] = ()
    if incident is not None and code == Cause.MISSED and incident.detected_at > row.at:
        facts = (Fact(_("Detected"), at=incident.detected_at),)
    if incident is not None and code in OPENED:
        if incident.confirmed_at is None:
            # First, because a row of the list may be cut.
            text = " · ".join([_("Unconfirmed"), text])
        elif incident.confirmed_at > incident.detected_at:
            facts += (Fact(_("Confirmed"), at=incident.confirmed_at),)
    return Entry(
        at=row.at,
        kind=Kind.STATUS,
        pk=row.pk,
        code=code,
        word=word,
        tone=row.target if row.target != Status.NEW else "",
        text=text,
        message=message,
        incident=incident.public_id if incident else None,
        facts=facts,
    )


# --- Changes by people ---------------------------------------------------------------------------


def changes(monitor: Monitor, criteria: Filter, before: Cursor | None, limit: int) -> list[Entry]:
    if criteria.status:
        return []
    rows = criteria.within(AuditEntry.objects.filter(subject=monitor.public_id), "at")
    if criteria.incident is not None:
        rows = rows.filter(action__in=INCIDENT_ACTIONS, details__incident=str(criteria.incident))
    if criteria.text:
        rows = rows.filter(
            Q(actor__icontains=criteria.text)
            | Q(details__label__icontains=criteria.text)
            | Q(details__note__icontains=criteria.text)
        )
    if before is not None:
        rows = before.older(rows, "at", Kind.CHANGES)
    return [_change(row) for row in rows.order_by("-at", "-pk")[:limit]]


def _change(row: AuditEntry) -> Entry:
    facts = [Fact(_("By"), row.actor), Fact(_("Via"), str(row.get_via_display()))]
    if row.address:
        facts.append(Fact(_("From"), row.address))
    details = row.details if isinstance(row.details, dict) else {}
    if row.action == AuditEntry.Action.INCIDENT_NOTED and details.get("note"):
        facts.insert(0, Fact(_("Note"), str(details["note"])))
    return Entry(
        at=row.at,
        kind=Kind.CHANGES,
        pk=row.pk,
        code=row.action,
        word=_("changed"),
        text=audit_text.in_words(row),
        source=row.address or "",
        by=row.actor,
        facts=tuple(facts),
    )


# --- Gaps ----------------------------------------------------------------------------------------


def gaps(monitor: Monitor, asked: Filter, before: Cursor | None, limit: int) -> list[Entry]:
    """Those that ended since the monitor was created. They have neither a status nor a text to search."""
    if asked.status or asked.text or asked.incident is not None:
        return []
    rows = asked.within(Gap.objects.filter(ended_at__gt=monitor.created_at), "ended_at")
    if before is not None:
        rows = before.older(rows, "ended_at", Kind.GAPS)
    return [_gap(row) for row in rows.order_by("-ended_at", "-pk")[:limit]]


def _gap(row: Gap) -> Entry:
    stepped = row.clock_step is not None
    return Entry(
        at=row.ended_at,
        kind=Kind.GAPS,
        pk=row.pk,
        code="clock" if stepped else "gap",
        word=_("clock") if stepped else _("gap"),
        text=in_words(row),
        facts=(Fact(_("From"), at=row.started_at), Fact(_("Until"), at=row.ended_at)),
    )
