"""Sentences about an outage that several notifications share; without a database."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.domain import durations
from monitors.domain.state_machine import Cause
from monitors.domain.value_rules import number
from notifications.messages.events import Event
from notifications.messages.incident_facts import Bounds, Facts
from notifications.messages.text import clock, moment, one_line


def since(name: str, facts: Facts) -> str:
    """Return what happened to the monitor `name`, and since when it is down."""
    patterns = {
        Cause.REPORTED: _("%(monitor)s reported down. Down since %(time)s."),
        Cause.MISSED: _("%(monitor)s missed a heartbeat. Down since %(time)s."),
        Cause.VALUE: _("The value of %(monitor)s is out of range. Down since %(time)s."),
    }
    return patterns[facts.cause] % {"monitor": name, "time": moment(facts.started_at)}


def reasons(facts: Facts) -> list[str]:
    """Return lines about the heartbeat that took it down, and the last one before."""
    if facts.cause is Cause.MISSED:
        last = message_and_value(facts.opening_message, facts.opening_value, last=True)
        return [*last_heartbeat(facts), *rejected(facts), *last]
    if facts.cause is Cause.REPORTED:
        return message_and_value(facts.opening_message, facts.opening_value) + last_heartbeat(facts)
    message = message_and_value(facts.opening_message, None)
    return [value_sentence(facts.opening_value, facts.bounds), *message, *last_heartbeat(facts)]


def meanwhile(facts: Facts) -> list[str]:
    """Return a sentence about the outages without notifications, if there were any."""
    if (more := facts.meanwhile) is None:
        return []
    if facts.event in (Event.OPENED, Event.REMINDER):
        pattern = ngettext(
            "Before that, it was down once, at %(time)s, for %(length)s.",
            "Before that, it was down %(count)d times since %(time)s, the longest for %(length)s.",
            more.times,
        )
    else:
        pattern = ngettext(
            "It was also down once, at %(time)s, for %(length)s.",
            "It was also down %(count)d times since %(time)s, the longest for %(length)s.",
            more.times,
        )
    values = {
        "count": more.times,
        "time": clock(more.since, beside=facts.started_at),
        "length": durations.about(max(more.longest.total_seconds(), 0)),
    }
    return [pattern % values]


def why(facts: Facts) -> str:
    """Return why it went down, in one line."""
    if facts.cause is Cause.MISSED:
        return _("Cause: missed heartbeat.")
    if facts.cause is Cause.VALUE:
        sentence = value_sentence(facts.opening_value, facts.bounds)
        return _("Cause: value out of range. %(sentence)s") % {"sentence": sentence}
    if message := one_line(facts.opening_message):
        return _("Cause: reported down with the message: %(message)s") % {"message": message}
    return _("Cause: reported down.")


def rejected(facts: Facts) -> list[str]:
    """Return a sentence about rejected pushes, if there were any."""
    return [one_line(facts.rejected)] if facts.rejected else []


def latest(facts: Facts) -> list[str]:
    """Return what was reported since the outage began, if it is something else."""
    message = one_line(facts.latest_message)
    lines = [_("Last report: %(message)s") % {"message": message}] if message else []
    if facts.latest_value not in (None, facts.opening_value):
        lines.append(_("Last value: %(value)s") % {"value": number(facts.latest_value)})
    return lines


def value_sentence(value: float | None, bounds: Bounds) -> str:
    """Return what was wrong with a value: "Value: 12, above the maximum of 10."

    Only the value itself if it is within `bounds`, which may have been changed since.
    """
    if value is None and not bounds.required:
        return _("The value is not a number.")
    if value is None:
        return _("The heartbeat had no value, but this monitor requires one.")
    if bounds.high is not None and value > bounds.high:
        pattern, bound = _("Value: %(value)s, above the maximum of %(bound)s."), bounds.high
    elif bounds.low is not None and value < bounds.low:
        pattern, bound = _("Value: %(value)s, below the minimum of %(bound)s."), bounds.low
    else:
        return _("Value: %(value)s.") % {"value": number(value)}
    return pattern % {"value": number(value), "bound": number(bound)}


def last_heartbeat(facts: Facts) -> list[str]:
    """Return a sentence about the last heartbeat before the outage."""
    if facts.last_heartbeat_at is None:
        return [_("No heartbeat before that.")]
    pattern = (
        _("Last heartbeat: %(time)s.") if facts.cause is Cause.MISSED else _("Previous heartbeat: %(time)s.")
    )
    return [pattern % {"time": moment(facts.last_heartbeat_at)}]


def message_and_value(message: str, value: float | None, *, last: bool = False) -> list[str]:
    """Return lines for a heartbeat's message and value, if any; `last`: the one before the outage."""
    lines = []
    if message := one_line(message):
        pattern = _("Last message: %(message)s") if last else _("Message: %(message)s")
        lines.append(pattern % {"message": message})
    if value is not None:
        pattern = _("Last value: %(value)s") if last else _("Value: %(value)s")
        lines.append(pattern % {"value": number(value)})
    return lines
