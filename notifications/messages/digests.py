"""Notifications about several monitors, and about a failing channel; without a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.domain import durations
from monitors.domain.state_machine import Cause
from notifications.messages.events import REASON_LABELS, Event, Reason
from notifications.messages.text import BULLET, Message, cut, moment, one_line

# How many monitors a digest names; the rest are counted.
NAMED = 20
# How many of each section its JSON lists.
LISTED = 500
# How much of a message is shown.
_MESSAGE_LENGTH = 80


class Section(StrEnum):
    """The sections of a digest, in their order; the values are the keys of `counts` in its JSON."""

    DOWN = "down"
    REMINDER = "still_down"
    RECOVERED = "recovered"
    FLAPPING = "flapping"
    LATE = "late"
    ENDED = "closed"


# The section of each event that is about one monitor.
SECTIONS = {
    Event.OPENED: Section.DOWN,
    Event.REMINDER: Section.REMINDER,
    Event.RESOLVED: Section.RECOVERED,
    Event.PASSED: Section.RECOVERED,
    Event.FLAPPING: Section.FLAPPING,
    Event.LATE: Section.LATE,
    Event.ENDED: Section.ENDED,
}


def section_of(event: Event) -> Section:
    """Return the section of a digest for `event`. Raises KeyError if it is not about one monitor."""
    return SECTIONS[event]


@dataclass(frozen=True, slots=True)
class Member:
    """One monitor of a digest: the event that it would have been notified of alone.

    `cause` is None if there is no incident; `started_at` is then when a heartbeat was expected, or when it
    began to flap. `message` is the reason as reported. `reason` belongs to ENDED, `is_down` to FLAPPING.
    """

    event: Event
    monitor: str
    monitor_id: str
    monitor_url: str
    cause: Cause | None
    started_at: datetime
    resolved_at: datetime | None = None
    outage: str = ""
    incident_id: str = ""
    sequence: int = 0
    message: str = ""
    reason: Reason | None = None
    is_down: bool = False
    urgency: str = "normal"


@dataclass(frozen=True, slots=True)
class Other:
    """One of the monitors beyond LISTED: what a program needs to open and end its outage."""

    event: Event
    monitor_id: str
    incident_id: str = ""
    outage: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a digest needs. `members` are at most LISTED of each section, `others` the rest of them.

    `acknowledge_url` is where everything in it that is down can be acknowledged.
    """

    at: datetime
    now: datetime
    workspace: str
    url: str
    members: tuple[Member, ...]
    counts: Mapping[Section, int]
    acknowledge_url: str = ""
    others: tuple[Other, ...] = ()

    @property
    def count(self) -> int:
        """How many monitors it is about."""
        return sum(self.counts.values())

    @property
    def names(self) -> str:
        """The names of the first monitors, and how many more there are."""
        named = [member for _section, members in sections(self) for member in members][:NAMED]
        names = ", ".join(one_line(member.monitor) for member in named)
        return f"{names} {_more(self.count - len(named))}" if self.count > len(named) else names


@dataclass(frozen=True, slots=True)
class FailingChannel:
    """What a notification about a failing channel needs. `detail` is the last response of its receiver.

    `enabled`: deliveries are still attempted.
    """

    at: datetime
    channel: str
    channel_id: str
    kind: str
    kind_label: str
    url: str
    workspace: str
    failures: int
    failing_since: datetime | None
    detail: str = ""
    enabled: bool = True


def compose(facts: Facts) -> Message:
    """Return the digest: how many monitors, which and why, by section, with a link to all of them."""
    lines = [_head(facts)]
    links: dict[str, str] = {}
    left = NAMED
    for section, members in sections(facts):
        named = members[:left]
        left -= len(named)
        lines.append(f"{_heading(section, facts.counts[section])}")
        for member in named:
            line = f"{BULLET}{_line(member, section, facts)}"
            lines.append(line)
            if section is Section.DOWN:
                links[line] = member.monitor_url
        if named and facts.counts[section] > len(named):
            lines.append(f"{BULLET}{_more(facts.counts[section] - len(named))}")
    return Message(
        cut(title_of(facts)), tuple(lines), facts.url, ack_url=facts.acknowledge_url, line_urls=links
    )


def sections(facts: Facts) -> list[tuple[Section, list[Member]]]:
    """Return the sections that are not empty with their members, those that began first first."""
    members = sorted(facts.members, key=lambda member: member.started_at)
    return [
        (section, [member for member in members if section_of(member.event) is section])
        for section in Section
        if facts.counts.get(section)
    ]


def count_of(facts: Facts) -> str:
    """Return "3 monitors"."""
    return ngettext("%(count)d monitor", "%(count)d monitors", facts.count) % {"count": facts.count}


def title_of(facts: Facts) -> str:
    """Return "3 down, 2 recovered"."""
    return ", ".join(_counted(section, facts.counts[section]) for section, _members in sections(facts))


def _counted(section: Section, count: int) -> str:
    match section:
        case Section.DOWN:
            pattern = ngettext("%(count)d down", "%(count)d down", count)
        case Section.REMINDER:
            pattern = ngettext("%(count)d still down", "%(count)d still down", count)
        case Section.RECOVERED:
            pattern = ngettext("%(count)d recovered", "%(count)d recovered", count)
        case Section.FLAPPING:
            pattern = ngettext("%(count)d flapping", "%(count)d flapping", count)
        case Section.LATE:
            pattern = ngettext("%(count)d late", "%(count)d late", count)
        case Section.ENDED:
            pattern = ngettext("%(count)d closed", "%(count)d closed", count)
    return pattern % {"count": count}


def label_of(section: Section) -> str:
    """Return what is the case with the monitors of `section`, in one or two words."""
    match section:
        case Section.DOWN:
            return _("Down")
        case Section.REMINDER:
            return _("Still down")
        case Section.RECOVERED:
            return _("Recovered")
        case Section.FLAPPING:
            return _("Flapping")
        case Section.LATE:
            return _("Late")
        case Section.ENDED:
            return _("Closed")


def _heading(section: Section, count: int) -> str:
    return f"{label_of(section)} ({count}):"


def _head(facts: Facts) -> str:
    pattern = ngettext(
        "%(count)d monitor in the workspace “%(workspace)s”, as of %(time)s.",
        "%(count)d monitors in the workspace “%(workspace)s”, as of %(time)s.",
        facts.count,
    )
    return pattern % {
        "count": facts.count,
        "workspace": one_line(facts.workspace),
        "time": moment(facts.now),
    }


def _line(member: Member, section: Section, facts: Facts) -> str:
    values = {
        "monitor": one_line(member.monitor),
        "cause": _cause_and_message(member),
        "length": durations.about(
            max(((member.resolved_at or facts.now) - member.started_at).total_seconds(), 0)
        ),
    }
    match section:
        case Section.DOWN | Section.REMINDER:
            return _("%(monitor)s: down for %(length)s (%(cause)s)") % values
        case Section.RECOVERED:
            return _("%(monitor)s: recovered after %(length)s (%(cause)s)") % values
        case Section.FLAPPING:
            pattern = _("%(monitor)s: down now") if member.is_down else _("%(monitor)s: up now")
            return pattern % values
        case Section.LATE:
            return _("%(monitor)s: %(length)s late") % values
        case Section.ENDED:
            reason = one_line(str(REASON_LABELS[member.reason])) if member.reason else _("Closed")
            return f"{values['monitor']}: {reason}"


def _cause_and_message(member: Member) -> str:
    cause = cause_of(member.cause or Cause.MISSED)
    if member.cause in (None, Cause.MISSED) or not (message := one_line(member.message)):
        return cause
    short = message if len(message) <= _MESSAGE_LENGTH else f"{message[: _MESSAGE_LENGTH - 1].rstrip()}…"
    return f"{cause}: {short}"


def cause_of(cause: Cause) -> str:
    """Return why a monitor is down, in a few words."""
    match cause:
        case Cause.REPORTED:
            return _("reported down")
        case Cause.VALUE:
            return _("value out of range")
    return _("missed heartbeat")


def _more(count: int) -> str:
    return ngettext("and %(count)d more", "and %(count)d more", count) % {"count": count}


def compose_failing(facts: FailingChannel) -> Message:
    """Return the notification to the owners that a channel is failing."""
    values = {
        "channel": one_line(facts.channel),
        "kind": one_line(facts.kind_label),
        "workspace": one_line(facts.workspace),
    }
    lines = [
        _("The channel “%(channel)s” (%(kind)s) in the workspace “%(workspace)s” is not delivering.") % values
    ]
    if facts.failing_since is not None:
        lines.append(
            ngettext(
                "Failing since %(time)s (%(count)d attempt in a row).",
                "Failing since %(time)s (%(count)d attempts in a row).",
                facts.failures,
            )
            % {"count": facts.failures, "time": moment(facts.failing_since)}
        )
    else:
        lines.append(_("It has since delivered a notification."))
    if not facts.enabled:
        # The receiver answered that it no longer exists, or someone has disabled the channel.
        lines.append(_("It is disabled."))
    if detail := one_line(facts.detail):
        lines.append(_("Last response: %(detail)s") % {"detail": detail})
    if facts.failing_since is not None:
        lines.append(
            _("No notifications are sent through it until it is fixed. Edit the channel and send a test.")
        )
    return Message(cut(_("Channel failing: %(channel)s") % values), tuple(lines), facts.url)
