"""Rules in plain sentences: who is told of a monitor, and when. Without a database.

What everybody expects is not said: each sentence tells of something that was chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.domain.durations import DAY, HOUR, MINUTE, about, exactly
from notifications.rules.effective import EVENTS, Route, Rules, Tolerance

# More channels than this are counted: "A, B, C, D and 4 more".
_NAMED = 4


def sentences(rules: Rules, routes: Sequence[Route], *, now: datetime) -> list[str]:
    """Return what holds for one monitor, in plain sentences; never none.

    Args:
        routes: the channels that are on and hear of it.
        now: the database's time, against which a snooze is told.
    """
    snoozed = snooze(rules.snoozed_until, now=now)
    heard = [route for route in routes if _hears(route, rules)]
    if not heard:
        reason = _("no channel hears of it") if not routes else _("no channel hears of anything")
        return [*snoozed, _("Nobody is told: %(reason)s.") % {"reason": reason}]
    return [*snoozed, who(rules, heard), *when(rules)]


def who(rules: Rules, routes: Sequence[Route]) -> str:
    """Return which channels are told and how soon, in one sentence: "Ops Slack at once; ..."."""
    ordered = sorted(routes, key=lambda route: (*_how(route), route.channel.name))
    clauses = [_told([route.channel.name for route in same], *how) for how, same in groupby(ordered, _how)]
    reminded = [route for route in ordered if "reminder" in route.events]
    if rules.remind_every is not None and reminded:
        names = [] if len(reminded) == len(ordered) else [route.channel.name for route in reminded]
        clauses.append(_reminded(rules, names))
    return "; ".join(clauses) + "."


def when(rules: Rules) -> list[str]:
    """Return after how many heartbeats people hear, where that is not the first."""
    said = []
    missed, reported = rules.missed.needed > 1, rules.reported.needed > 1
    if missed and reported:
        words = {"missed": _missed(rules.missed), "reported": _reported(rules.reported)}
        said.append(_("People hear of it after %(missed)s, or %(reported)s.") % words)
    elif missed:
        said.append(_("People hear of silence after %(missed)s.") % {"missed": _missed(rules.missed)})
    elif reported:
        words = {"reported": _reported(rules.reported)}
        said.append(_("People hear of a reported fault after %(reported)s.") % words)
    if rules.recovery > 1:
        sentence = ngettext(
            "That it is up again is told after %(count)d good heartbeat in a row.",
            "That it is up again is told after %(count)d good heartbeats in a row.",
            rules.recovery,
        )
        said.append(sentence % {"count": rules.recovery})
    return said


def defaults(rules: Rules) -> list[str]:
    """Return what holds where no channel is looked at: the tolerance, and reminders."""
    said = when(rules)
    if rules.remind_every is not None:
        clause = _reminded(rules, [])
        said.append(clause[:1].upper() + clause[1:] + ".")
    return said or [
        _("People are told of the first missed heartbeat and of each report of down, without reminders.")
    ]


def snooze(until: datetime | None, *, now: datetime) -> list[str]:
    """Return that a monitor is snoozed, in one sentence; nothing, where it is not."""
    if until is None or until <= now:
        return []
    here = timezone.localtime(until)
    today = here.date() == timezone.localtime(now).date()
    words = {
        "time": f"{here:%H:%M}" if today else date_format(here, "j M Y, H:i"),
        "left": about((until - now).total_seconds()),
    }
    return [_("Snoozed until %(time)s (in %(left)s).") % words]


# --- What a choice says, for the form ---------------------------------------------------------------


def delay_in_words(delay: timedelta) -> str:
    """Return when a channel is told: "at once", "if still down after 10 min"."""
    if not delay:
        return _("at once")
    return _("if still down after %(delay)s") % {"delay": _exactly(delay)}


def events_in_words(events: frozenset[str]) -> str:
    """Return what a channel hears of: "down, up again, reminders"."""
    labels = event_labels()
    return ", ".join(labels[name] for name in EVENTS if name in events) or _("nothing")


def event_labels() -> dict[str, str]:
    """Return what people call the EVENTS."""
    return {"down": _("down"), "recovery": _("up again"), "late": _("late"), "reminder": _("reminders")}


def tolerance_in_words(tolerance: Tolerance) -> str:
    """Return when people hear: "at the first", "after 3 in a row", "after 2 of the last 5"."""
    if tolerance.needed == 1:
        return _("at the first")
    if tolerance.of <= tolerance.needed:
        return _("after %(needed)d in a row") % {"needed": tolerance.needed}
    return _("after %(needed)d of the last %(of)d") % {"needed": tolerance.needed, "of": tolerance.of}


def recovery_in_words(number: int) -> str:
    """Return how many good heartbeats it takes: "at the first good heartbeat"."""
    if number == 1:
        return _("at the first good heartbeat")
    return _("after %(needed)d in a row") % {"needed": number}


def reminders_in_words(rules: Rules) -> str:
    """Return how often people are reminded: "never", "every hour, at most 24 times"."""
    if rules.remind_every is None:
        return _("never")
    words = {"every": _every(rules.remind_every), "count": rules.remind_most}
    return (
        ngettext("%(every)s, at most %(count)d time", "%(every)s, at most %(count)d times", rules.remind_most)
        % words
    )


# --- Clauses ----------------------------------------------------------------------------------------


def _hears(route: Route, rules: Rules) -> bool:
    wanted = set(route.events)
    if rules.remind_every is None:
        wanted.discard("reminder")
    return bool(wanted)


def _how(route: Route) -> tuple[timedelta, tuple[str, ...]]:
    # Reminders have a clause of their own, unless there is nothing else.
    others = tuple(name for name in EVENTS if name in route.events and name != "reminder")
    return route.delay, others


def _told(names: Sequence[str], delay: timedelta, events: Sequence[str]) -> str:
    channels = _list(names)
    if "down" not in events:
        if not events:
            return _("%(channels)s only by reminders") % {"channels": channels}
        words = {"channels": channels, "events": events_in_words(frozenset(events))}
        return _("%(channels)s only of: %(events)s") % words
    clause = _("%(channels)s %(when)s") % {"channels": channels, "when": delay_in_words(delay)}
    asides = []
    if "late" in events:
        asides.append(_("also when it is late"))
    if "recovery" not in events:
        asides.append(_("not when it is up again"))
    return f"{clause} ({', '.join(asides)})" if asides else clause


def _reminded(rules: Rules, names: Sequence[str]) -> str:
    assert rules.remind_every is not None
    words = {
        "every": _every(rules.remind_every),
        "count": rules.remind_most,
        "channels": _list(names) if names else "",
    }
    if names:
        sentence = ngettext(
            "reminder to %(channels)s %(every)s until acknowledged, at most %(count)d time",
            "reminder to %(channels)s %(every)s until acknowledged, at most %(count)d times",
            rules.remind_most,
        )
    else:
        sentence = ngettext(
            "reminder %(every)s until acknowledged, at most %(count)d time",
            "reminder %(every)s until acknowledged, at most %(count)d times",
            rules.remind_most,
        )
    return sentence % words


def _missed(tolerance: Tolerance) -> str:
    words = {"needed": tolerance.needed, "of": tolerance.of}
    if tolerance.of <= tolerance.needed:
        return _("%(needed)d missed heartbeats in a row") % words
    return _("%(needed)d missed heartbeats within the last %(of)d") % words


def _reported(tolerance: Tolerance) -> str:
    words = {"needed": tolerance.needed, "of": tolerance.of}
    if tolerance.of <= tolerance.needed:
        return _("%(needed)d reports of down in a row") % words
    return _("%(needed)d reports of down within the last %(of)d heartbeats") % words


def _every(period: timedelta) -> str:
    match period.total_seconds():
        case seconds if seconds == MINUTE:
            return _("every minute")
        case seconds if seconds == HOUR:
            return _("every hour")
        case seconds if seconds == DAY:
            return _("every day")
    return _("every %(duration)s") % {"duration": _exactly(period)}


def _exactly(period: timedelta) -> str:
    return exactly(int(period.total_seconds()))


def _list(names: Sequence[str]) -> str:
    """Return names as people list them: "A", "A and B", "A, B and C", "A, B, C, D and 4 more"."""
    if len(names) == 1:
        return names[0]
    last = names[-1]
    if len(names) > _NAMED + 1:
        rest = len(names) - _NAMED
        names = names[: _NAMED + 1]
        last = ngettext("%(count)d more", "%(count)d more", rest) % {"count": rest}
    return _("%(names)s and %(last)s") % {"names": ", ".join(names[:-1]), "last": last}
