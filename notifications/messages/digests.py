"""Notifications about several monitors, and about a failing channel; without a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.domain import durations
from monitors.domain.state_machine import Cause
from notifications.messages.events import Event
from notifications.messages.text import BULLET, Message, clock, cut, moment, one_line

# How many monitors a digest names; the rest are counted.
NAMED = 20
# How many of them its JSON lists.
LISTED = 500


@dataclass(frozen=True, slots=True)
class Member:
    """One monitor of a digest."""

    monitor: str
    monitor_id: str
    monitor_url: str
    cause: Cause
    started_at: datetime
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a digest needs. `members` are at most LISTED of `count`, the first to go down first.

    `first_at` and `last_at` are when the first and the last of them went down.
    """

    event: Event
    at: datetime
    now: datetime
    workspace: str
    url: str
    count: int
    members: tuple[Member, ...]
    first_at: datetime
    last_at: datetime

    @property
    def names(self) -> str:
        """The names of the first monitors, and how many more there are."""
        names = ", ".join(one_line(member.monitor) for member in self.members[:NAMED])
        return f"{names} {_more(self.count)}" if self.count > NAMED else names


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
    """Return the digest about several monitors: how many, which and why, with a link to all of them."""
    lines = [_head(facts), *(f"{BULLET}{_line(member, facts)}" for member in facts.members[:NAMED])]
    if facts.count > NAMED:
        lines.append(f"{BULLET}{_more(facts.count)}")
    return Message(cut(_title(facts)), tuple(lines), facts.url)


def count_of(facts: Facts) -> str:
    """Return "3 monitors"."""
    return ngettext("%(count)d monitor", "%(count)d monitors", facts.count) % {"count": facts.count}


def _title(facts: Facts) -> str:
    match facts.event:
        case Event.DIGEST_UP:
            pattern = _("Recovered: %(monitor)s")
        case Event.DIGEST_REMINDER:
            pattern = _("Still down: %(monitor)s")
        case _:
            pattern = _("Down: %(monitor)s")
    return pattern % {"monitor": count_of(facts)}


def _head(facts: Facts) -> str:
    values = {
        "count": facts.count,
        "workspace": one_line(facts.workspace),
        "start": moment(facts.first_at),
        "end": clock(facts.last_at, beside=facts.first_at),
    }
    match facts.event:
        case Event.DIGEST_UP:
            pattern = ngettext(
                "%(count)d monitor in the workspace “%(workspace)s” has recovered.",
                "%(count)d monitors in the workspace “%(workspace)s” have recovered.",
                facts.count,
            )
        case Event.DIGEST_REMINDER:
            pattern = ngettext(
                "%(count)d monitor in the workspace “%(workspace)s” has been down since %(start)s.",
                "%(count)d monitors in the workspace “%(workspace)s” are still down (first: %(start)s).",
                facts.count,
            )
        case _:
            pattern = ngettext(
                "%(count)d monitor in the workspace “%(workspace)s” went down at %(start)s.",
                "%(count)d monitors in the workspace “%(workspace)s” went down, %(start)s to %(end)s.",
                facts.count,
            )
    return pattern % values


def _line(member: Member, facts: Facts) -> str:
    values = {
        "monitor": one_line(member.monitor),
        "cause": cause_of(member.cause),
        "length": durations.about(
            max(((member.resolved_at or facts.now) - member.started_at).total_seconds(), 0)
        ),
    }
    if member.resolved_at is not None:
        return _("%(monitor)s: recovered after %(length)s (%(cause)s)") % values
    if facts.event is Event.DIGEST_UP:
        # It went down again before this digest was sent.
        return _("%(monitor)s: down again (%(cause)s)") % values
    if facts.event is Event.DIGEST_REMINDER:
        return _("%(monitor)s: down for %(length)s (%(cause)s)") % values
    return _("%(monitor)s: %(cause)s") % values


def cause_of(cause: Cause) -> str:
    """Return why a monitor is down, in a few words."""
    match cause:
        case Cause.REPORTED:
            return _("reported down")
        case Cause.VALUE:
            return _("value out of range")
    return _("missed heartbeat")


def _more(count: int) -> str:
    more = count - NAMED
    return ngettext("and %(count)d more", "and %(count)d more", more) % {"count": more}


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
