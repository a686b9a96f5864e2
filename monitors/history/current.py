"""A monitor's current status, computed on read, so that it is right even if no sweep is running."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import islice
from math import floor

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from monitors.domain.durations import HOUR, MINUTE, cron_in_words, exactly
from monitors.domain.schedules import (
    CronSchedule,
    Due,
    IntervalSchedule,
    Schedule,
    ScheduleError,
    SetTimesSchedule,
)
from monitors.domain.state_machine import Shown, Status, shown
from monitors.domain.value_rules import ValueRules, number
from monitors.heartbeats.pipeline import process_pipeline
from monitors.models import Monitor, MonitorState

SHOWN_LABELS = {
    Shown.DOWN: gettext_lazy("Down"),
    Shown.RECOVERING: gettext_lazy("Recovering"),
    Shown.LATE: gettext_lazy("Late"),
    Shown.UP: gettext_lazy("Up"),
    Shown.NEW: gettext_lazy("New"),
    Shown.PAUSED: gettext_lazy("Paused"),
}
_PREVIEWED_TIMES = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """A monitor's status at one moment.

    `expected_by` and `deadline` are set while the monitor is up, late or recovering; `since` is when the
    status changed to the current one: a stored time, or the deadline that passed.
    """

    monitor: Monitor
    state: MonitorState
    shown: Shown
    since: datetime
    expected_by: datetime | None = None
    deadline: datetime | None = None


def read(monitor: Monitor, now: datetime) -> Reading:
    """Return the status of `monitor`, loaded with its state, at `now` (the database's time)."""
    state = monitor.state
    due = None
    if (state.status == Status.UP or state.is_recovering) and state.silent_since is not None:
        due = _due(monitor.schedule, state.silent_since)
    expected_by, deadline = (due.expected_by, due.deadline) if due else (None, None)
    seen = shown(
        Status(state.status),
        now=now,
        expected_by=expected_by,
        # That of a monitor that is down is exact.
        deadline=state.due_at if state.is_recovering else deadline,
        settled=settled(now),
        recovering=state.is_recovering,
    )
    since = state.status_changed_at
    if seen is Shown.DOWN and state.status == Status.DOWN:
        expected_by, deadline = None, None
    if seen is Shown.DOWN and deadline is not None:
        # Overdue: no sweep has seen it yet, and the incident will start at the deadline.
        since, expected_by, deadline = deadline, None, None
    return Reading(monitor, state, seen, since, expected_by, deadline)


def seen_up(schedule: Schedule, *, silent_since: datetime, now: datetime) -> Shown:
    """Return the current status of a monitor that is stored as up.

    Args:
        silent_since: as MonitorState has it.
    """
    due = _due(schedule, silent_since)
    if due is None:
        return Shown.UP
    return shown(Status.UP, now=now, expected_by=due.expected_by, deadline=due.deadline, settled=settled(now))


def settled(now: datetime) -> datetime:
    """Return until when silence is known to be the senders' own: `now`, unless pushes fail now."""
    return process_pipeline().listener.settled(now)


def _due(schedule: Schedule, silent_since: datetime) -> Due | None:
    """Return what is due after silence since `silent_since`; None if the schedule can't be evaluated.

    The page shows that fault.
    """
    if isinstance(schedule, IntervalSchedule):
        return schedule.due_after(silent_since)
    try:
        return _due_at_set_times(schedule, silent_since)
    except ScheduleError:
        return None


@lru_cache(maxsize=20_000)
def _due_at_set_times(schedule: SetTimesSchedule, silent_since: datetime) -> Due:
    # Slow, needed for every page, and only changes with the next heartbeat.
    return schedule.due_after(silent_since)


def percent(share: float | None) -> str:
    """Return an uptime as text: "99.98 %", a dash for None. "100 %" means that it was never down."""
    if share is None:
        return "–"
    # Not rounded: 99.999 % is not 100 %.
    hundredths = floor(share * 10_000 + 1e-9)
    if hundredths >= 10_000 and share < 1:
        hundredths = 9_999
    figure = "100" if hundredths >= 10_000 else number_format(hundredths / 100, 2)
    return _("%(figure)s\u00a0%%") % {"figure": figure}


def value_text(value: float | None, rules: ValueRules) -> str:
    """Return what was wrong with a value that was out of range: "Value 12 is above 10".

    Args:
        rules: the monitor's current rules, which may allow the value by now.
    """
    if value is None:
        return _("No value, but one is required") if rules.required else _("The value is not a number")
    words = {"value": number(value)}
    if rules.high is not None and value > rules.high:
        return _("Value %(value)s is above %(bound)s") % {**words, "bound": number(rules.high)}
    if rules.low is not None and value < rules.low:
        return _("Value %(value)s is below %(bound)s") % {**words, "bound": number(rules.low)}
    return _("Value %(value)s was out of range") % words


def good_values(rules: ValueRules) -> str:
    """Return which values are allowed: "0 to 10", "at least 0"; "" if all are."""
    words = {
        "low": None if rules.low is None else number(rules.low),
        "high": None if rules.high is None else number(rules.high),
    }
    match rules.low, rules.high:
        case None, None:
            return ""
        case None, _high:
            return _("at most %(high)s") % words
        case _low, None:
            return _("at least %(low)s") % words
    return _("%(low)s to %(high)s") % words


def fault_text(reading: Reading) -> str:
    """Return what is wrong with the value of the last heartbeat of a monitor that is down.

    "" if it is not down, has sent no heartbeat since, or the value is allowed.
    """
    state, rules = reading.state, reading.monitor.value_rules
    if state.status != Status.DOWN or state.last_heartbeat_at is None:
        return ""
    is_recent = state.last_heartbeat_at >= state.status_changed_at
    return value_text(state.last_value, rules) if is_recent and not rules.allow(state.last_value) else ""


def schedule_in_short(monitor: Monitor) -> str:
    """Return a schedule in the overview's form: "every 5 min", "cron 0 2 * * *", "OnCalendar daily + 1"."""
    if monitor.kind == Monitor.Kind.CRON:
        return _("cron %(expression)s") % {"expression": monitor.cron}
    if monitor.kind == Monitor.Kind.ON_CALENDAR:
        first, *others = monitor.calendar.split("\n")
        return f"OnCalendar {first}" + (f" + {len(others)}" if others else "")
    return _("every %(duration)s") % {"duration": exactly(monitor.interval or monitor.timeout)}


def grace_of(monitor: Monitor) -> int | None:
    """Return the grace period in seconds, or None if it depends on the distance between set times."""
    schedule = monitor.schedule
    return schedule.effective_grace if isinstance(schedule, IntervalSchedule) else schedule.grace


def crontab_times(monitor: Monitor) -> str | None:
    """Return the five crontab fields that run often enough for `monitor`, or None.

    None means that cron can't: it runs once a minute at most, its five fields have no seconds, and it doesn't
    read OnCalendar expressions.
    """
    if monitor.has_set_times:
        return monitor.cron or None
    period = monitor.interval or monitor.timeout
    if period < MINUTE:
        return None
    # Only steps that divide the hour or the day evenly keep their distance across its end.
    minutes, hours = period // MINUTE, period // HOUR
    if hours < 1:
        step = max(step for step in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30) if step <= minutes)
        return "* * * * *" if step == 1 else f"*/{step} * * * *"
    if hours < 24:
        step = max(step for step in (1, 2, 3, 4, 6, 8, 12) if step <= hours)
        return "0 * * * *" if step == 1 else f"0 */{step} * * *"
    return "0 2 * * *"


@dataclass(frozen=True, slots=True)
class ScheduleSummary:
    """What a schedule means, in sentences: `alert` is when an alert is sent, `times` the next times."""

    alert: str
    words: str = ""
    times: tuple[datetime, ...] = ()
    advice: str = ""


def promise(schedule: Schedule, *, interval: int | None, now: datetime) -> ScheduleSummary:
    """Return what `schedule` means for a sender that starts at `now`.

    Raises:
        ScheduleError: the schedule can't be evaluated, or never matches.
    """
    match schedule:
        case IntervalSchedule():
            return ScheduleSummary(alert=_interval_text(schedule), advice=_advice(schedule.timeout, interval))
        case SetTimesSchedule():
            due = schedule.due_after(now)
            return ScheduleSummary(
                alert=_set_times_text(int((due.deadline - due.expected_by).total_seconds())),
                words=cron_in_words(schedule.expression) if isinstance(schedule, CronSchedule) else "",
                times=tuple(islice(schedule.times_after(now), _PREVIEWED_TIMES)),
            )


def _interval_text(schedule: IntervalSchedule) -> str:
    words = {
        "total": exactly(schedule.timeout + schedule.effective_grace),
        "timeout": exactly(schedule.timeout),
        "grace": exactly(schedule.effective_grace),
    }
    if not schedule.effective_grace:
        return _("Alerts %(total)s after the last heartbeat: %(timeout)s timeout, no grace period.") % words
    return (
        _("Alerts %(total)s after the last heartbeat: %(timeout)s timeout + %(grace)s grace period.") % words
    )


def _set_times_text(grace: int) -> str:
    if not grace:
        return _("Alerts immediately if no heartbeat has arrived by then.")
    return _("Alerts %(grace)s later if no heartbeat has arrived.") % {"grace": exactly(grace)}


def _advice(timeout: int, interval: int | None) -> str:
    if interval is None:
        return ""
    lost = timeout // interval - 1
    if lost < 1:
        return _("The sender pushes every %(interval)s, so a single lost push makes it late.") % {
            "interval": exactly(interval)
        }
    return _("The sender pushes every %(interval)s, so a single lost push does no harm.") % {
        "interval": exactly(interval)
    }
