"""The values of the placeholders in a channel's templates, per event; without a database."""

from __future__ import annotations

from django.utils.translation import gettext as _

from monitors.domain.value_rules import number
from notifications.messages import digests
from notifications.messages.events import Event
from notifications.messages.single import Facts, why
from notifications.messages.text import moment, one_line


def of_incident(facts: Facts) -> dict[str, str]:
    """Return the values for an event of one monitor; `title`, `text` and the URLs come from its message."""
    return {
        "monitor": one_line(facts.monitor),
        "status": _status(facts.event),
        "cause": "" if facts.event is Event.LATE else why(facts),
        "since": moment(facts.started_at),
        "duration": facts.lasted,
        "message": one_line(facts.message),
        "value": "" if facts.value is None else number(facts.value),
        "last_heartbeat": "" if facts.last_heartbeat_at is None else moment(facts.last_heartbeat_at),
        "count": "1",
        "names": one_line(facts.monitor),
    }


def of_digest(facts: digests.Facts) -> dict[str, str]:
    """Return the values for a digest; those that only one monitor can have are empty."""
    return {
        **_NOTHING,
        "monitor": digests.count_of(facts),
        "status": _status(facts.event),
        "since": moment(facts.first_at),
        "count": str(facts.count),
        "names": facts.names,
    }


def of_test() -> dict[str, str]:
    """Return the values for a test, which is about no monitor."""
    name = _("Example")
    return {**_NOTHING, "monitor": name, "status": _status(Event.TEST), "count": "1", "names": name}


_NOTHING = dict.fromkeys(("cause", "since", "duration", "message", "value", "last_heartbeat"), "")


def _status(event: Event) -> str:
    match event:
        case Event.OPENED | Event.DIGEST_DOWN:
            return _("Down")
        case Event.REMINDER | Event.DIGEST_REMINDER:
            return _("Still down")
        case Event.RESOLVED | Event.DIGEST_UP:
            return _("Recovered")
        case Event.PASSED:
            return _("Was down")
        case Event.LATE:
            return _("Late")
    return _("Test")
