"""Notification rules in plain sentences: who is notified about a monitor, and when. Without a database.

Defaults are left out: each sentence is about a setting that was changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitors.domain.durations import DAY, HOUR, MINUTE, about, exactly
from monitors.domain.state_machine import Urgency
from monitors.domain.thresholds import Threshold, Thresholds
from notifications.models import Channel
from notifications.rules.effective import DEFAULT, EVENTS, Route, Rules, Step

# More channels than this are counted: "A, B, C, D and 4 more".
_NAMED = 4


def sentences(
    rules: Rules, routes: Sequence[Route], *, now: datetime, urgency: str = Urgency.NORMAL.value
) -> list[str]:
    """Return the rules of one monitor in plain sentences; never empty.

    Args:
        routes: the enabled channels that are subscribed to it, or notified if no one acknowledges.
        now: the database's time, to tell whether a snooze is still running.
        urgency: of the monitor. A high one notifies during quiet hours too.
    """
    snoozed = snooze(rules.snoozed_until, now=now)
    subscribed = [route for route in routes if _is_subscribed(route, rules)]
    if not subscribed:
        sentence = (
            _("No notifications: no channel is subscribed to any of its events.")
            if routes
            else _("No notifications: no channel is subscribed to this monitor.")
        )
        return [*snoozed, sentence]
    quiet = [] if urgency == Urgency.HIGH else quiet_lines(subscribed)
    thresholds = threshold_lines(rules.thresholds)
    return [*snoozed, recipients(rules, subscribed), *quiet, *thresholds, *flapping_lines(rules)]


def recipients(rules: Rules, routes: Sequence[Route]) -> str:
    """Return which channels are notified and how soon, in one sentence: "Ops Slack: immediately; ..."."""
    ordered = sorted(routes, key=lambda route: (*_how(route), route.channel.name))
    clauses = [_clause([route.channel.name for route in same], *how) for how, same in groupby(ordered, _how)]
    reminded = [route for route in ordered if "reminder" in route.events]
    if rules.remind_every is not None and reminded:
        names = [] if len(reminded) == len(ordered) else [route.channel.name for route in reminded]
        clauses.append(_reminded(rules, names))
    return "; ".join(clauses) + "."


def quiet_lines(routes: Iterable[Route]) -> list[str]:
    """Return the quiet hours of channels, in one sentence; empty if none has any."""
    clauses = [
        _("%(channel)s from %(hours)s") % {"channel": route.channel.name, "hours": hours}
        for route in sorted(routes, key=lambda route: route.channel.name)
        if (hours := quiet_hours(route.channel))
    ]
    return [_("Quiet hours: %(channels)s.") % {"channels": "; ".join(clauses)}] if clauses else []


def quiet_hours(channel: Channel) -> str:
    """Return the quiet hours of `channel`: "22:00 to 07:00 (Asia/Jakarta)"; empty if it has none."""
    if channel.quiet_from is None or channel.quiet_until is None:
        return ""
    words = {
        "from": f"{channel.quiet_from:%H:%M}",
        "until": f"{channel.quiet_until:%H:%M}",
        "zone": channel.quiet_timezone,
    }
    return _("%(from)s to %(until)s (%(zone)s)") % words


def threshold_lines(thresholds: Thresholds) -> list[str]:
    """Return the failure and recovery thresholds, if they are not 1."""
    lines = []
    missed, reported = thresholds.missed.needed > 1, thresholds.reported.needed > 1
    if missed and reported:
        words = {"missed": _missed(thresholds.missed), "reported": _reported(thresholds.reported)}
        lines.append(_("Failure threshold: %(missed)s, or %(reported)s.") % words)
    elif missed:
        lines.append(_("Failure threshold: %(missed)s.") % {"missed": _missed(thresholds.missed)})
    elif reported:
        words = {"reported": _reported(thresholds.reported)}
        lines.append(_("Failure threshold: %(reported)s.") % words)
    if thresholds.recovery > 1:
        sentence = ngettext(
            "Recovery threshold: %(count)d good heartbeat in a row.",
            "Recovery threshold: %(count)d good heartbeats in a row.",
            thresholds.recovery,
        )
        lines.append(sentence % {"count": thresholds.recovery})
    return lines


def flapping_lines(rules: Rules) -> list[str]:
    """Return when the monitor is flapping, if that is not the default."""
    if rules.flap_changes == DEFAULT.flap_changes:
        return []
    sentence = _("Flapping: %(what)s.") % {"what": flapping_in_words(rules.flap_changes)}
    return [sentence]


def flapping_in_words(changes: int) -> str:
    """Return when a monitor is flapping: "off", "more than 6 changes in 10 minutes"."""
    if not changes:
        return _("off")
    sentence = ngettext(
        "more than %(count)d change in 10 minutes", "more than %(count)d changes in 10 minutes", changes
    )
    return sentence % {"count": changes}


def escalation_lines(steps: Iterable[Step]) -> list[str]:
    """Return escalation steps, a sentence each: "Escalation: Phone if not acknowledged within 15 min."."""
    return [_escalation(step) for step in steps]


def _escalation(step: Step) -> str:
    words = {"channel": step.channel.name, "when": unless_acknowledged_in_words(step.after)}
    if step.least_urgency == Urgency.LOW:
        return _("Escalation: %(channel)s %(when)s.") % words
    words["urgency"] = urgency_in_words(step.least_urgency)
    return _("Escalation: %(channel)s %(when)s, for monitors with %(urgency)s.") % words


def urgency_in_words(least: str) -> str:
    """Return the least urgency that a channel or step needs: "any urgency", "high urgency"."""
    return {
        Urgency.LOW.value: _("any urgency"),
        Urgency.NORMAL.value: _("normal or high urgency"),
        Urgency.HIGH.value: _("high urgency"),
    }[least]


def defaults(rules: Rules, steps: Iterable[Step] = ()) -> list[str]:
    """Return the rules that don't depend on a monitor: thresholds, flapping, reminders, escalation."""
    lines = [*threshold_lines(rules.thresholds), *flapping_lines(rules)]
    if rules.remind_every is not None:
        clause = _reminded(rules, [])
        lines.append(clause[:1].upper() + clause[1:] + ".")
    usual = _("Notifications on the first missed heartbeat and on every down report, without reminders.")
    return [*(lines or [usual]), *escalation_lines(steps)]


def snooze(until: datetime | None, *, now: datetime) -> list[str]:
    """Return that a monitor is snoozed, in one sentence; empty if it is not."""
    if until is None or until <= now:
        return []
    here = timezone.localtime(until)
    today = here.date() == timezone.localtime(now).date()
    words = {
        "time": f"{here:%H:%M}" if today else date_format(here, "j M Y, H:i"),
        "left": about((until - now).total_seconds()),
    }
    return [_("Snoozed until %(time)s (in %(left)s).") % words]


# --- What a choice means, for the form --------------------------------------------------------------


def delay_in_words(delay: timedelta) -> str:
    """Return when a channel is notified: "immediately", "if still down after 10 min"."""
    if not delay:
        return _("immediately")
    return _("if still down after %(delay)s") % {"delay": _exactly(delay)}


def unless_acknowledged_in_words(after: timedelta) -> str:
    """Return when a channel is notified by an escalation step: "if not acknowledged within 15 min"."""
    return _("if not acknowledged within %(time)s") % {"time": _exactly(after)}


def events_in_words(events: frozenset[str]) -> str:
    """Return the events a channel is subscribed to: "down, recovery, reminders"."""
    labels = event_labels()
    return ", ".join(labels[name] for name in EVENTS if name in events) or _("none")


def event_labels() -> dict[str, str]:
    """Return the labels of EVENTS."""
    return {"down": _("down"), "recovery": _("recovery"), "late": _("late"), "reminder": _("reminders")}


def tolerance_in_words(tolerance: Threshold) -> str:
    """Return a failure threshold: "on the first", "after 3 in a row", "after 2 of the last 5"."""
    if tolerance.needed == 1:
        return _("on the first")
    if tolerance.of <= tolerance.needed:
        return _("after %(needed)d in a row") % {"needed": tolerance.needed}
    return _("after %(needed)d of the last %(of)d") % {"needed": tolerance.needed, "of": tolerance.of}


def recovery_in_words(number: int) -> str:
    """Return a recovery threshold: "on the first good heartbeat"."""
    if number == 1:
        return _("on the first good heartbeat")
    return _("after %(needed)d in a row") % {"needed": number}


def reminders_in_words(rules: Rules) -> str:
    """Return how often reminders are sent: "never", "every hour, at most 24 times"."""
    if rules.remind_every is None:
        return _("never")
    words = {"every": _every(rules.remind_every), "count": rules.remind_most}
    return (
        ngettext("%(every)s, at most %(count)d time", "%(every)s, at most %(count)d times", rules.remind_most)
        % words
    )


# --- Clauses ----------------------------------------------------------------------------------------


def _is_subscribed(route: Route, rules: Rules) -> bool:
    wanted = set(route.events)
    if rules.remind_every is None:
        wanted.discard("reminder")
    return bool(wanted)


def _how(route: Route) -> tuple[timedelta, bool, tuple[str, ...]]:
    # Reminders get their own clause, unless they are the only event.
    others = tuple(name for name in EVENTS if name in route.events and name != "reminder")
    return route.delay, route.unless_acknowledged, others


def _clause(names: Sequence[str], delay: timedelta, unless_acknowledged: bool, events: Sequence[str]) -> str:
    channels = _list(names)
    if "down" not in events:
        if not events:
            return _("%(channels)s: reminders only") % {"channels": channels}
        words = {"channels": channels, "events": events_in_words(frozenset(events))}
        return _("%(channels)s: %(events)s only") % words
    when = unless_acknowledged_in_words(delay) if unless_acknowledged else delay_in_words(delay)
    clause = _("%(channels)s: %(when)s") % {"channels": channels, "when": when}
    asides = []
    if "late" in events:
        asides.append(_("also when late"))
    if "recovery" not in events:
        asides.append(_("not on recovery"))
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
            "reminders to %(channels)s %(every)s until acknowledged, at most %(count)d time",
            "reminders to %(channels)s %(every)s until acknowledged, at most %(count)d times",
            rules.remind_most,
        )
    else:
        sentence = ngettext(
            "reminders %(every)s until acknowledged, at most %(count)d time",
            "reminders %(every)s until acknowledged, at most %(count)d times",
            rules.remind_most,
        )
    return sentence % words


def _missed(tolerance: Threshold) -> str:
    words = {"needed": tolerance.needed, "of": tolerance.of}
    if tolerance.of <= tolerance.needed:
        return _("%(needed)d missed heartbeats in a row") % words
    return _("%(needed)d missed heartbeats within the last %(of)d") % words


def _reported(tolerance: Threshold) -> str:
    words = {"needed": tolerance.needed, "of": tolerance.of}
    if tolerance.of <= tolerance.needed:
        return _("%(needed)d down reports in a row") % words
    return _("%(needed)d down reports within the last %(of)d heartbeats") % words


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
    """Return a list of names: "A", "A and B", "A, B and C", "A, B, C, D and 4 more"."""
    if len(names) == 1:
        return names[0]
    last = names[-1]
    if len(names) > _NAMED + 1:
        rest = len(names) - _NAMED
        names = names[: _NAMED + 1]
        last = ngettext("%(count)d more", "%(count)d more", rest) % {"count": rest}
    return _("%(names)s and %(last)s") % {"names": ", ".join(names[:-1]), "last": last}
