"""Converts cron expressions to systemd's OnCalendar; without a database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

# Any time will do: only the fields are parsed, no times are computed.
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


def cron_to_on_calendar(expression: str, zone: str) -> tuple[str, ...]:
    """Return the OnCalendar= values of a systemd timer for a five-field cron expression in `zone`.

    Each is a line of its own; together they cover all times. Empty if systemd can't express it ("the
    second Monday", "the last weekday of the month"), or if the expression is not valid.
    """
    if len(expression.split()) != 5:
        return ()
    try:
        cron = CronSim(expression, _SOME_DAY)
    except (CronSimError, ValueError, TypeError, AssertionError):
        return ()
    if any(isinstance(day, tuple) for day in cron.weekdays) or CronSim.LAST_WEEKDAY in cron.days:
        return ()
    months = _field(cron.months, range(1, 13))
    time = f"{_field(cron.hours, range(24))}:{_field(cron.minutes, range(60))}:00 {zone}"
    # Sunday is 0 and 7.
    weekdays = sorted({int(day) % 7 for day in cron.weekdays if isinstance(day, int)})
    named = "" if len(weekdays) == 7 else ",".join(_WEEKDAYS[day] for day in weekdays) + " "
    numbered = [day for day in cron.days if day != CronSim.LAST]
    dates = [f"*-{months}-{_field(numbered, range(1, 32))}"] if numbered else []
    if CronSim.LAST in cron.days:
        dates.append(f"*-{months}~01")
    if cron.day_and or not named:
        return tuple(f"{named}{date} {time}" for date in dates)
    # With both days given, cron runs on either; systemd would only run on days that match both.
    return (*(f"{date} {time}" for date in dates), f"{named}*-{months}-* {time}")


def _field(values: Iterable[int], every: range) -> str:
    """Return the field for `values`, out of `every`: "*", "00/5" or "02,14"."""
    found = sorted(values)
    if found == list(every):
        return "*"
    if len(found) > 2:
        step = found[1] - found[0]
        if found == list(range(found[0], every.stop, step)):
            return f"{found[0]:02}/{step}"
    return ",".join(f"{value:02}" for value in found)
