"""The notification about one monitor: from facts to a title and lines of text, without a database.

It is written in the active language and time zone. `digests` covers notifications about several monitors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.domain import durations
from monitors.domain.state_machine import Cause
from monitors.domain.value_rules import number
from notifications.messages.events import Event, Reason
from notifications.messages.text import Message, clock, cut, moment, one_line


@dataclass(frozen=True, slots=True)
class Bounds:
    """A monitor's value rule as it is now."""

    low: float | None = None
    high: float | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """Outages that the channel was not notified of, besides the one that a notification is about.

    `since` is when the first of them began.
    """

    times: int
    since: datetime
    longest: timedelta


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a notification about one monitor needs. Times are aware datetimes.

    `outage` is the key of the outage at the receiver and `sequence` the number of this message about it.
    `again`: the channel has not been notified yet that an earlier outage is over. `reason` belongs to ENDED,
    `is_down` and `changes`, those of the last 10 minutes, to FLAPPING.

    `at` is when the event happened, `now` when the notification is written; `last_heartbeat_at` is the last
    heartbeat before the incident; `latest_message` is what was reported since, if that differs from the
    opening message, and `latest_value` its value; `rejected` is a sentence about pushes that were rejected
    since the last heartbeat; the closing fields belong to the heartbeat that ended it. LATE has no incident, and
    neither has ENDED after it: `started_at` is when the heartbeat was expected, `deadline` when the monitor
    goes down without one, and `resolved_at` when it arrived. `reminder` is the number of this reminder, out
    of `reminders` (0 if there is no maximum).
    """

    event: Event
    at: datetime
    monitor: str
    monitor_id: str
    monitor_url: str
    incident_id: str
    cause: Cause
    started_at: datetime
    detected_at: datetime
    resolved_at: datetime | None = None
    last_heartbeat_at: datetime | None = None
    opening_message: str = ""
    opening_value: float | None = None
    latest_message: str = ""
    latest_value: float | None = None
    rejected: str = ""
    closing_message: str = ""
    closing_value: float | None = None
    bounds: Bounds = Bounds()
    now: datetime | None = None
    deadline: datetime | None = None
    reminder: int = 0
    reminders: int = 0
    workspace: str = ""
    acknowledge_url: str = ""
    outage: str = ""
    sequence: int = 0
    again: bool = False
    meanwhile: Meanwhile | None = None
    reason: Reason | None = None
    is_down: bool = False
    changes: int = 0
    urgency: str = "normal"

    @property
    def duration(self) -> timedelta | None:
        """How long the monitor was down, or None if it still is."""
        return None if self.resolved_at is None else self.resolved_at - self.started_at

    @property
    def lasted(self) -> str:
        """How long it was down, or has been so far, in words."""
        until = self.resolved_at or self.now or self.at
        return durations.about(max((until - self.started_at).total_seconds(), 0))

    @property
    def message(self) -> str:
        """The message of the heartbeat that caused the event, or of the last report since."""
        if self._ended_by_heartbeat:
            return self.closing_message
        return self.latest_message or self.opening_message

    @property
    def value(self) -> float | None:
        if self._ended_by_heartbeat:
            return self.closing_value
        return self.opening_value if self.latest_value is None else self.latest_value

    @property
    def _ended_by_heartbeat(self) -> bool:
        return self.event in (Event.RESOLVED, Event.PASSED) or self.reason is Reason.ARRIVED


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
    ack_url = "" if facts.resolved_at else facts.acknowledge_url
    return Message(cut(title), tuple(lines), facts.monitor_url, ack_url=ack_url)


def _opened(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    title = (_("Down again: %(monitor)s") if facts.again else _("Down: %(monitor)s")) % {"monitor": name}
    lines = [_since(name, facts), *_reasons(facts), *_latest(facts), *_meanwhile(facts)]
    return _message(facts, title, lines)


def _reminder(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    title = _("Still down: %(monitor)s (for %(length)s)") % {"monitor": name, "length": facts.lasted}
    still = _("%(monitor)s has been down for %(length)s (since %(time)s).") % {
        "monitor": name,
        "length": facts.lasted,
        "time": moment(facts.started_at),
    }
    lines = [still, why(facts)]
    if facts.cause is Cause.REPORTED:
        lines += _message_and_value("", facts.opening_value)
    lines += [*_latest(facts), *_last_heartbeat(facts), *_rejected(facts)]
    if facts.reminder and facts.reminders > facts.reminder:
        lines.append(
            _("Reminder %(number)d of %(most)d.") % {"number": facts.reminder, "most": facts.reminders}
        )
    elif facts.reminder and facts.reminders:
        lines.append(_("This is the last reminder."))
    return _message(facts, title, [*lines, *_meanwhile(facts)])


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
    lines += _last_heartbeat(facts)
    lines += _message_and_value(facts.opening_message, facts.opening_value, last=True)
    return _message(facts, _("Late: %(monitor)s") % {"monitor": name}, lines)


def _since(name: str, facts: Facts) -> str:
    patterns = {
        Cause.REPORTED: _("%(monitor)s reported down. Down since %(time)s."),
        Cause.MISSED: _("%(monitor)s missed a heartbeat. Down since %(time)s."),
        Cause.VALUE: _("The value of %(monitor)s is out of range. Down since %(time)s."),
    }
    return patterns[facts.cause] % {"monitor": name, "time": moment(facts.started_at)}


def _reasons(facts: Facts) -> list[str]:
    """The heartbeat that took it down, and the last one before."""
    if facts.cause is Cause.MISSED:
        last = _message_and_value(facts.opening_message, facts.opening_value, last=True)
        return [*_last_heartbeat(facts), *_rejected(facts), *last]
    if facts.cause is Cause.REPORTED:
        return _message_and_value(facts.opening_message, facts.opening_value) + _last_heartbeat(facts)
    message = _message_and_value(facts.opening_message, None)
    return [value_sentence(facts.opening_value, facts.bounds), *message, *_last_heartbeat(facts)]


def _meanwhile(facts: Facts) -> list[str]:
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
        why(facts),
        *_latest(facts),
        *_message_and_value(facts.closing_message, facts.closing_value),
        *_meanwhile(facts),
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
        why(facts),
        *_last_heartbeat(facts),
        *_message_and_value(facts.closing_message, facts.closing_value),
        *_meanwhile(facts),
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
        lines.append(why(facts))
    return _message(facts, title % values, [*lines, *_meanwhile(facts)])


def _state_at_the_end(facts: Facts) -> str:
    time = {"time": moment(facts.started_at)}
    if facts.resolved_at is not None:
        return _("It has recovered, at %(time)s.") % {"time": moment(facts.resolved_at)}
    gone = facts.reason in (Reason.PAUSED, Reason.DELETED)
    if facts.changes:
        return _("It was flapping.") if gone else _("It is still flapping.")
    if not facts.incident_id:
        sentence = (
            _("It was late. A heartbeat was expected by %(time)s.")
            if gone
            else _("It is still late. A heartbeat was expected by %(time)s.")
        )
        return sentence % time
    return (_("It was down since %(time)s.") if gone else _("It is still down (since %(time)s).")) % time


def _on_time_again(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    sentence = _("A heartbeat of %(monitor)s arrived at %(end)s. It was expected by %(start)s.") % {
        "monitor": name,
        "end": moment(facts.resolved_at or facts.at),
        "start": moment(facts.started_at),
    }
    lines = [sentence, *_message_and_value(facts.closing_message, facts.closing_value)]
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
        lines.append(why(facts))
    return _message(facts, _("Flapping: %(monitor)s") % {"monitor": name}, [*lines, *_latest(facts)])


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


def _rejected(facts: Facts) -> list[str]:
    return [one_line(facts.rejected)] if facts.rejected else []


def _latest(facts: Facts) -> list[str]:
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


def _last_heartbeat(facts: Facts) -> list[str]:
    if facts.last_heartbeat_at is None:
        return [_("No heartbeat before that.")]
    pattern = (
        _("Last heartbeat: %(time)s.") if facts.cause is Cause.MISSED else _("Previous heartbeat: %(time)s.")
    )
    return [pattern % {"time": moment(facts.last_heartbeat_at)}]


def _message_and_value(message: str, value: float | None, *, last: bool = False) -> list[str]:
    """The lines for a heartbeat's message and value, if any; `last`: the one before the outage."""
    lines = []
    if message := one_line(message):
        pattern = _("Last message: %(message)s") if last else _("Message: %(message)s")
        lines.append(pattern % {"message": message})
    if value is not None:
        pattern = _("Last value: %(value)s") if last else _("Value: %(value)s")
        lines.append(pattern % {"value": number(value)})
    return lines
