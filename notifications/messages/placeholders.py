"""The values of the placeholders in a channel's templates, per event; without a database."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from monitors.domain.state_machine import Urgency
from monitors.domain.value_rules import number
from notifications.messages import digests
from notifications.messages.events import REASON_LABELS, Event
from notifications.messages.incident_facts import Facts
from notifications.messages.outages import why
from notifications.messages.text import moment, one_line


def of_incident(facts: Facts) -> dict[str, str]:
    """Return the values for an event of one monitor; `title`, `text` and the URLs come from its message."""
    return {
        "monitor": one_line(facts.monitor),
        "status": _status(facts),
        "cause": why(facts) if facts.incident_id else "",
        "reason": str(REASON_LABELS[facts.reason]) if facts.reason else "",
        "since": moment(facts.started_at),
        "duration": facts.lasted,
        "message": one_line(facts.message),
        "value": "" if facts.value is None else number(facts.value),
        "last_heartbeat": "" if facts.last_heartbeat_at is None else moment(facts.last_heartbeat_at),
        "urgency": _urgency(facts.urgency),
        "outage": facts.outage,
        "sequence": str(facts.sequence) if facts.outage else "",
        "count": "1",
        "names": one_line(facts.monitor),
    }


def of_digest(facts: digests.Facts) -> dict[str, str]:
    """Return the values for a digest; those that only one monitor can have are empty."""
    began = [member.started_at for member in facts.members]
    return {
        **_NOTHING,
        "monitor": digests.count_of(facts),
        "status": digests.title_of(facts),
        "since": moment(min(began)) if began else "",
        "count": str(facts.count),
        "names": facts.names,
    }


def of_test() -> dict[str, str]:
    """Return the values for a test, which is about no monitor."""
    name = _("Example")
    return {**_NOTHING, "monitor": name, "status": _("Test"), "count": "1", "names": name}


_NOTHING = dict.fromkeys(
    (
        *("cause", "reason", "since", "duration", "message", "value", "last_heartbeat"),
        *("urgency", "outage", "sequence"),
    ),
    "",
)


def _status(facts: Facts) -> str:
    match facts.event:
        case Event.OPENED:
            return _("Down again") if facts.again else _("Down")
        case Event.REMINDER:
            return _("Still down")
        case Event.RESOLVED:
            return _("Recovered")
        case Event.PASSED:
            return _("Was down")
        case Event.ENDED:
            return _("Closed")
        case Event.FLAPPING:
            return _("Flapping")
    return _("Late")


def _urgency(urgency: str) -> str:
    match urgency:
        case Urgency.LOW:
            return pgettext("urgency", "low")
        case Urgency.HIGH:
            return pgettext("urgency", "high")
    return pgettext("urgency", "normal")
