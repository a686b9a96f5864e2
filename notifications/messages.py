"""What a message says, per event: from facts to a title and lines of text, without a database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from django.utils.translation import gettext as _

from monitors import words
from monitors.status import Cause

# C0 with the line breaks, DEL, C1, the Unicode line and paragraph separators and what overrides the
# direction of text: none of it may reach a mail header or turn a name into something else.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_TITLE_LENGTH = 200


class Event(StrEnum):
    """What a message tells of."""

    OPENED = "incident.opened"
    RESOLVED = "incident.resolved"
    # A deadline that passed unseen before the push that ended the silence: one message for both.
    PASSED = "incident.passed"


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a message about one incident needs. Times are aware datetimes.

    `at` is when the event happened; `last_heartbeat_at` is the last heartbeat before the incident;
    the closing fields are the heartbeat's that ended it. `resolved_at` may be known for an OPENED
    event too, when the message leaves late.
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
    closing_message: str = ""
    closing_value: float | None = None

    @property
    def duration(self) -> timedelta | None:
        """How long the monitor was down, or None while it is."""
        return None if self.resolved_at is None else self.resolved_at - self.started_at

    @property
    def message(self) -> str:
        """The message of the heartbeat that the event is about."""
        return self.opening_message if self.event is Event.OPENED else self.closing_message

    @property
    def value(self) -> float | None:
        return self.opening_value if self.event is Event.OPENED else self.closing_value


@dataclass(frozen=True, slots=True)
class Message:
    """A title of one line and paragraphs of one line each, plain text. `url` is where to read on."""

    title: str
    lines: tuple[str, ...]
    url: str

    @property
    def text(self) -> str:
        """The whole message as plain text, the link last."""
        return "\n\n".join((*self.lines, self.url))


def compose(facts: Facts) -> Message:
    """Return the message of one event: what happened, since when, why, and on recovery for how long."""
    match facts.event:
        case Event.OPENED:
            return _opened(facts)
        case Event.RESOLVED:
            return _resolved(facts)
        case Event.PASSED:
            return _passed(facts)


def compose_test(*, channel: str, workspace: str, url: str) -> Message:
    """Return the message that "Send a test" sends: it must not be taken for an incident."""
    return Message(
        one_line(_("Test message from Tianji")),
        (
            _("This is a test of the channel “%(channel)s” in the workspace “%(workspace)s”.")
            % {"channel": one_line(channel), "workspace": one_line(workspace)},
            _("Nothing is down. Messages about your monitors will arrive here."),
        ),
        url,
    )


def _opened(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    lines = [_since(name, facts)]
    if facts.cause is Cause.REPORTED:
        lines += _said(facts.opening_message, facts.opening_value)
        lines += _last_heartbeat(facts)
    else:
        lines += _last_heartbeat(facts)
        lines += _said(facts.opening_message, facts.opening_value, last=True)
    if facts.resolved_at is not None:
        lines.append(_("Meanwhile it is up again, since %(time)s.") % {"time": moment(facts.resolved_at)})
    return Message(_cut(_("Down: %(monitor)s") % {"monitor": name}), tuple(lines), facts.monitor_url)


def _since(name: str, facts: Facts) -> str:
    pattern = (
        _("%(monitor)s reported that it is down. It is down since %(time)s.")
        if facts.cause is Cause.REPORTED
        else _("No heartbeat of %(monitor)s came in time. It is down since %(time)s.")
    )
    return pattern % {"monitor": name, "time": moment(facts.started_at)}


def _resolved(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    resolved_at, length = _end_of(facts)
    title = _("Up again: %(monitor)s (down for %(length)s)") % {"monitor": name, "length": length}
    lines = [
        _("%(monitor)s is up again since %(end)s. It was down for %(length)s, from %(start)s.")
        % {
            "monitor": name,
            "end": moment(resolved_at),
            "length": length,
            "start": moment(facts.started_at),
        },
        _why(facts),
        *_said(facts.closing_message, facts.closing_value),
    ]
    return Message(_cut(title), tuple(lines), facts.monitor_url)


def _passed(facts: Facts) -> Message:
    name = one_line(facts.monitor)
    resolved_at, length = _end_of(facts)
    title = _("Was down for %(length)s, up again: %(monitor)s") % {"monitor": name, "length": length}
    lines = [
        _("%(monitor)s was down from %(start)s to %(end)s (%(length)s) and is up again.")
        % {
            "monitor": name,
            "start": moment(facts.started_at),
            "end": moment(resolved_at),
            "length": length,
        },
        _why(facts),
        *_last_heartbeat(facts),
        *_said(facts.closing_message, facts.closing_value),
    ]
    return Message(_cut(title), tuple(lines), facts.monitor_url)


def _end_of(facts: Facts) -> tuple[datetime, str]:
    end = facts.resolved_at or facts.at
    return end, words.about(max((end - facts.started_at).total_seconds(), 0))


def _why(facts: Facts) -> str:
    if facts.cause is Cause.MISSED:
        return _("Why: no heartbeat came in time.")
    if message := one_line(facts.opening_message):
        return _("Why: it reported down, with the message: %(message)s") % {"message": message}
    return _("Why: it reported down.")


def _last_heartbeat(facts: Facts) -> list[str]:
    if facts.last_heartbeat_at is None:
        return [_("There was no heartbeat before.")]
    pattern = (
        _("The heartbeat before: %(time)s.")
        if facts.cause is Cause.REPORTED
        else _("Last heartbeat: %(time)s.")
    )
    return [pattern % {"time": moment(facts.last_heartbeat_at)}]


def _said(message: str, value: float | None, *, last: bool = False) -> list[str]:
    """The lines of a heartbeat's message and value, where it has them; `last`: it is an old one."""
    lines = []
    if message := one_line(message):
        pattern = _("Its message: %(message)s") if last else _("Message: %(message)s")
        lines.append(pattern % {"message": message})
    if value is not None:
        pattern = _("Its value: %(value)s") if last else _("Value: %(value)s")
        lines.append(pattern % {"value": number(value)})
    return lines


def one_line(text: str) -> str:
    """Return `text` on one line, without control characters: safe in a header."""
    return " ".join(_CONTROL.sub(" ", text).split())


def moment(time: datetime) -> str:
    """Return a time to the second, in UTC and saying so."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def number(value: float) -> str:
    """Return a value as its sender would write it: 12.5, 3, 1e+300."""
    return f"{value:.15g}"


def _cut(title: str) -> str:
    return title if len(title) <= _TITLE_LENGTH else title[: _TITLE_LENGTH - 1] + "…"
