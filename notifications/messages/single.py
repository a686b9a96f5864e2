"""The notification about one monitor: from facts to a title and lines of text, without a database.

It is written in the active language and time zone. `digests` covers notifications about several monitors.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.domain.state_machine import Cause
from notifications.messages import outages
from notifications.messages.events import ENDS, Event, Reason
from notifications.messages.incident_facts import Bounds, Facts, Meanwhile
from notifications.messages.text import Message, clock, cut, moment, one_line

__all__ = ["Bounds", "Facts", "Meanwhile", "Message", "compose", "compose_test"]


def compose(facts: Facts) -> Message:
    """Return the notification of one event: what happened, since when, why, and on recovery for how long.

    Raises:
        ValueError: the event is not about one monitor.
    """
    match facts.event:
        case Event.OPENED:
            return _opened(facts)
        case Event.REMINDER:
            return _reminder(facts)
        case Event.RESOLVED:
            return _resolved(facts)
        case Event.PASSED:
            return _passed(facts)
        case Event.ENDED:
            return _on_time_again(facts) if facts.reason is Reason.ARRIVED else _ended(facts)
        case Event.FLAPPING:
            return _flapping(facts)
        case Event.LATE:
            return _late(facts)
    raise ValueError(f"{facts.event} is not about one monitor")


def compose_test(*, channel: str, workspace: str, url: str) -> Message:
    """Return the notification that "Send test" sends; it must not look like an incident."""
    return Message(
        one_line(_("Test notification from Tianji")),
        (
            _("This is a test of the channel “%(channel)s” in the workspace “%(workspace)s”.")
            % {"channel": one_line(channel), "workspace": one_line(workspace)},
            _("Nothing is down. Notifications about your monitors will arrive here."),
        ),
        url,
    )


def _message(facts: Facts, title: str, lines: Iterable[str]) -> Message:
    over = facts.resolved_at is not None or facts.event in ENDS
    ack_url = "" if over else facts.acknowledge_url
    return Message(cut(title), tuple(lines), facts.monitor_url, ack_url=ack_url)


def _opened(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    title = (_("Down again: %(monitor)s") if facts.again else _("Down: %(monitor)s")) % {"monitor": name}
    lines = [
        outages.since(name, facts),
        *outages.reasons(facts),
        *outages.latest(facts),
        *outages.meanwhile(facts),
    ]
    return _message(facts, title, lines)


def _reminder(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    title = _("Still down: %(monitor)s (for %(length)s)") % {"monitor": name, "length": facts.lasted}
    still = _("%(monitor)s has been down for %(length)s (since %(time)s).") % {
        "monitor": name,
        "length": facts.lasted,
        "time": moment(facts.started_at),
    }
    lines = [still, outages.why(facts)]
    if facts.cause is Cause.REPORTED:
        lines += outages.message_and_value("", facts.opening_value)
    lines += [*outages.latest(facts), *outages.last_heartbeat(facts), *outages.rejected(facts)]
    if facts.reminder and facts.reminders > facts.reminder:
        lines.append(
            _("Reminder %(number)d of %(most)d.") % {"number": facts.reminder, "most": facts.reminders}
        )
    elif facts.reminder and facts.reminders:
        lines.append(_("This is the last reminder."))
    return _message(facts, title, [*lines, *outages.meanwhile(facts)])


def _late(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    lines = [
        _("%(monitor)s is %(length)s late. A heartbeat was expected by %(time)s.")
        % {"monitor": name, "length": facts.lasted, "time": moment(facts.started_at)},
    ]
    if facts.resolved_at is not None:
        lines.append(_("A heartbeat has since arrived, at %(time)s.") % {"time": moment(facts.resolved_at)})
    elif facts.deadline is not None:
        at = clock(facts.deadline, beside=facts.started_at)
        lines.append(_("Goes down at %(time)s unless one arrives.") % {"time": at})
    lines += outages.last_heartbeat(facts)
    lines += outages.message_and_value(facts.opening_message, facts.opening_value, last=True)
    return _message(facts, _("Late: %(monitor)s") % {"monitor": name}, lines)


def _resolved(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    resolved_at = facts.resolved_at or facts.at
    title = _("Recovered: %(monitor)s (down for %(length)s)") % {"monitor": name, "length": facts.lasted}
    lines = [
        _("%(monitor)s recovered at %(end)s. It was down for %(length)s (since %(start)s).")
        % {
            "monitor": name,
            "end": moment(resolved_at),
            "length": facts.lasted,
            "start": moment(facts.started_at),
        },
        outages.why(facts),
        *outages.latest(facts),
        *outages.message_and_value(facts.closing_message, facts.closing_value),
        *outages.meanwhile(facts),
    ]
    return _message(facts, title, lines)


def _passed(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    title = _("Recovered after %(length)s: %(monitor)s") % {"monitor": name, "length": facts.lasted}
    lines = [
        _("%(monitor)s was down from %(start)s to %(end)s (%(length)s) and has recovered.")
        % {
            "monitor": name,
            "start": moment(facts.started_at),
            "end": moment(facts.resolved_at or facts.at),
            "length": facts.lasted,
        },
        outages.why(facts),
        *outages.last_heartbeat(facts),
        *outages.message_and_value(facts.closing_message, facts.closing_value),
        *outages.meanwhile(facts),
    ]
    return _message(facts, title, lines)


def _ended(facts: Facts) -> Message:
    """The notification that an outage is closed without a recovery."""
    name = one_line(facts.monitor)
    if facts.reason is Reason.PAUSED:
        title, sentence = _("Paused: %(monitor)s"), _("%(monitor)s was paused.")
    elif facts.reason is Reason.DELETED:
        title, sentence = _("Deleted: %(monitor)s"), _("%(monitor)s was deleted.")
    elif facts.reason is Reason.UNSUBSCRIBED:
        title, sentence = (
            _("No longer notified: %(monitor)s"),
            _("This channel is no longer subscribed to %(monitor)s."),
        )
    else:
        title, sentence = (
            _("No longer notified: %(monitor)s"),
            _("The rules of this channel no longer cover %(monitor)s."),
        )
    values = {"monitor": name}
    lines = [f"{sentence % values} {_state_at_the_end(facts)}"]
    if facts.incident_id:
        lines.append(outages.why(facts))
    return _message(facts, title % values, [*lines, *outages.meanwhile(facts)])


def _state_at_the_end(facts: Facts) -> str:
    """Return how it was when it was paused or deleted, and otherwise how it is."""
    gone = facts.reason in (Reason.PAUSED, Reason.DELETED)
    if facts.changes:
        return _("It was flapping.") if gone else _("It is still flapping.")
    if not facts.incident_id:
        pattern = (
            _("It was late: a heartbeat was expected by %(time)s.")
            if gone
            else _("It is late: a heartbeat was expected by %(time)s.")
        )
    elif gone:
        # A pause resolves the incident, which is no recovery.
        pattern = _("It had been down since %(time)s.")
    elif facts.resolved_at is None:
        pattern = _("It has been down since %(time)s.")
    else:
        return _("It recovered at %(time)s.") % {"time": moment(facts.resolved_at)}
    return pattern % {"time": moment(facts.started_at)}


def _on_time_again(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    sentence = _("A heartbeat of %(monitor)s arrived at %(end)s. It was expected by %(start)s.") % {
        "monitor": name,
        "end": moment(facts.resolved_at or facts.at),
        "start": moment(facts.started_at),
    }
    lines = [sentence, *outages.message_and_value(facts.closing_message, facts.closing_value)]
    return _message(facts, _("On time again: %(monitor)s") % {"monitor": name}, lines)


def _flapping(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    pattern = (
        ngettext(
            "%(monitor)s changed %(count)d time in the last 10 minutes and is down now.",
            "%(monitor)s changed %(count)d times in the last 10 minutes and is down now.",
            facts.changes,
        )
        if facts.is_down
        else ngettext(
            "%(monitor)s changed %(count)d time in the last 10 minutes and is up now.",
            "%(monitor)s changed %(count)d times in the last 10 minutes and is up now.",
            facts.changes,
        )
    )
    lines = [
        pattern % {"monitor": name, "count": facts.changes},
        _("The next notification is sent when it has been steady for 5 minutes or down for 2."),
    ]
    if facts.incident_id:
        lines.append(outages.why(facts))
    return _message(facts, _("Flapping: %(monitor)s") % {"monitor": name}, [*lines, *outages.latest(facts)])
