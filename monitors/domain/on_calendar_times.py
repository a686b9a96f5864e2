"""The times of systemd's OnCalendar expressions; without a database.

`oncalendar` parses and evaluates them. It differs from systemd where it does not matter (it allows a step
that is longer than its range), and in what is handled here: names of intervals, copied unit files, time
zones, changes of the clocks, and the words of its errors.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from oncalendar import BaseIterator, OnCalendarError

from monitors.domain.expressions import ScheduleError, is_time_zone, zone_named

LINES_MAX = 10
_QUOTED_MOST = 40
# systemd has more names for the same than the library.
_SHORTHANDS = {
    "anually": "annually",
    "biannually": "semiannually",
    "bi-annually": "semiannually",
    "semi-annually": "semiannually",
}
_ASSIGNMENT = re.compile(r"OnCalendar\s*=", re.IGNORECASE)
_OTHER_SETTING = re.compile(r"\w+\s*=|\[")
_WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)", re.IGNORECASE)
_FRACTION = re.compile(r"(?<!\.)\.(?!\.)")
# 5..5/2 is 5. The library takes it for 5/2, which has no end.
_STEPS_OF_ONE = re.compile(r"\b0*(\d+)\.\.0*\1/0*[1-9]\d*\b")
# When the clocks go forward, an expression may name any of the 3600 s of an hour that does not exist. So many
# in a row without one that does exist means that it names nothing else, and would be searched for seconds.
_MISSING_MOST = 10_000
_EXAMPLE = "Mon..Fri *-*-* 09:00:00 Asia/Jakarta"
_FORMAT = f"Enter weekdays, a date, a time and a time zone in this order, each optional, such as {_EXAMPLE}."
_ALLOWED = {
    "Bad day-of-week": "Weekdays must be Mon to Sun, such as Mon..Fri or Sat,Sun.",
    "Bad year": "The year must be 1970 to 2199 or *, such as 2027 or 2027..2029.",
    "Bad month": "The month must be 1-12 or *, such as 1,7 or 1/3.",
    "Bad day-of-month": (
        "The day of the month must be 1-31 or *, such as 1..7; counted from the end, after ~, 1-28."
    ),
    "Bad hour": "The hour must be 0-23 or *, such as 2, 9..17 or 0/6.",
    "Bad minute": "The minute must be 0-59 or *, such as 30 or 0/5.",
    "Bad second": "The second must be 0-59 or *, such as 0 or 0/10.",
    "Bad time": "Enter the time as hours:minutes or hours:minutes:seconds, such as 09:00 or *:0/5.",
    "Bad date": "Enter the date as year-month-day or month-day, such as *-*-01 or 12-24.",
}


def on_calendar_lines(text: str) -> tuple[str, ...]:
    """Return the expressions in `text`, one a line, as people type them or copy them from a timer unit.

    "OnCalendar=", comments and blank lines are left out. As in a unit, an empty "OnCalendar=" drops those
    before it. May be empty.

    Raises:
        ScheduleError: a line is something else, or there are too many.
    """
    found: list[str] = []
    for typed in text.splitlines():
        line = " ".join(typed.split())
        if not line or line[0] in "#;" or line == "[Timer]":
            continue
        assigned = _ASSIGNMENT.match(line)
        if assigned:
            line = line[assigned.end() :].strip()
        elif _OTHER_SETTING.match(line):
            raise ScheduleError(f"Enter only the OnCalendar= lines of a timer, without “{_shortened(line)}”.")
        if line:
            found.append(line)
        else:
            found.clear()
    if len(found) > LINES_MAX:
        raise ScheduleError(f"Enter at most {LINES_MAX} expressions.")
    return tuple(found)


def on_calendar_times(text: str, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    """Yield the times after `start` of the expressions in `text`, in UTC; none after 2199.

    As systemd does it, a local time that does not exist is left out, and one that exists twice runs once, the
    first time.

    Args:
        zone: the time zone of expressions that don't name one.

    Raises:
        ScheduleError: an expression cannot be evaluated.
    """
    lines = on_calendar_lines(text)
    if not lines:
        raise ScheduleError(_FORMAT)
    if len(lines) > 1:
        lines = tuple(line for line in lines if _has_times(line, zone, start.year))
    latest = start
    for time in heapq.merge(*[_times(line, zone, start) for line in lines]):
        if time > latest:
            yield time
            latest = time


def zone_of(line: str) -> str:
    """Return the time zone that an expression names, or ""."""
    last = line.rsplit(" ", maxsplit=1)[-1]
    # systemd reads this one in any case.
    name = "UTC" if last.upper() == "UTC" else last
    return name if " " in line and is_time_zone(name) else ""


def in_zone(line: str, zone: str) -> str:
    """Return an expression with a time zone: its own or, if it names none, `zone`."""
    return line if zone_of(line) else f"{line} {zone}"


@lru_cache(maxsize=1000)
def _has_times(line: str, zone: ZoneInfo, year: int) -> bool:
    """Return whether one of several expressions has times from `year` on.

    One without, such as *-02-30, is searched for up to 50 ms. Beside others that do have times, it would be
    searched with every heartbeat.
    """
    try:
        return next(_times(line, zone, datetime(year - 1, 12, 31, tzinfo=UTC)), None) is not None
    except ScheduleError as error:
        raise ScheduleError(f"“{_shortened(line)}”: {error}") from error


def _times(line: str, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    zone = zone_named(name) if (name := zone_of(line)) else zone
    missing = 0
    for local_time in _parsed(line, start.astimezone(zone).replace(tzinfo=None)):
        time = local_time.replace(tzinfo=zone).astimezone(UTC)
        if time.astimezone(zone).replace(tzinfo=None) != local_time:
            missing += 1
            if missing > _MISSING_MOST:
                return
            continue
        missing = 0
        # In the repeated hour, these are times of the first pass.
        if time > start:
            yield time


def _parsed(line: str, start: datetime) -> BaseIterator:
    """Return the times of one expression after `start`, all local and without a time zone."""
    expression = line.rpartition(" ")[0] if zone_of(line) else line
    try:
        return BaseIterator(_SHORTHANDS.get(expression.lower(), _STEPS_OF_ONE.sub(r"\1", expression)), start)
    except OnCalendarError as error:
        raise ScheduleError(_sentence(expression, str(error))) from error
    except (ValueError, TypeError, AssertionError, LookupError, OverflowError) as error:
        raise ScheduleError(_FORMAT) from error


def _shortened(text: str) -> str:
    return text if len(text) <= _QUOTED_MOST else f"{text[:_QUOTED_MOST]}…"


def _sentence(expression: str, fault: str) -> str:
    """Return what is wrong with an expression, and what is allowed."""
    words = expression.split()
    if expression.startswith("@"):
        return "Seconds since 1970 are not supported. Enter a date and a time."
    if _FRACTION.search(expression):
        return "Fractions of a second are not supported. Enter whole seconds."
    if len(words) > 1 and words[-1][0].isalpha() and not _WEEKDAY.match(words[-1]):
        return f"Unknown time zone “{_shortened(words[-1])}”. Use one such as UTC or Asia/Jakarta."
    if len(words) == 1 and expression.replace("-", "").isalpha() and not _WEEKDAY.match(expression):
        return (
            "Unknown name. Use minutely, hourly, daily, weekly, monthly, quarterly, semiannually or yearly, "
            f"or enter weekdays, a date and a time, such as {_EXAMPLE}."
        )
    return _ALLOWED.get(fault, _FORMAT)
