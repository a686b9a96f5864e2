"""The times of a cron expression; without a database."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from monitors.domain.expressions import ScheduleError

# 5-5/2 is 5. The library takes it for 5/2, which has no end.
_STEPS_OF_ONE = re.compile(r"\b0*(\w+)-0*\1/0*[1-9]\d*\b", re.IGNORECASE)
# What crontabs accept instead of five fields.
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def cron_times(expression: str, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    """Yield the times of a cron `expression` in `zone` after `start`, in UTC.

    None if there are none within 50 years.

    Daylight saving time is handled like Debian's cron: a local time that does not exist runs at the
    change, one that exists twice runs once.

    Raises:
        ScheduleError: the expression cannot be evaluated.
    """
    fields, latest = cron_fields(expression), start
    try:
        for local_time in CronSim(fields, start.astimezone(zone)):
            time = local_time.astimezone(UTC)
            # In the repeated hour, the calculation returns times of the first pass again; one of
            # those would be a deadline that has already passed.
            if time > latest:
                yield time
                latest = time
    except CronSimError as error:
        raise ScheduleError(_cron_sentence(str(error))) from error
    except (ValueError, TypeError, AssertionError, LookupError, OverflowError) as error:
        # Accepted by the parser, but not by the calculation, such as "L/2".
        raise ScheduleError("This expression can't be evaluated.") from error


def cron_fields(expression: str) -> str:
    """Return the five fields of a cron expression, also for a nickname such as @daily.

    Raises:
        ScheduleError: there are not five, or there is no such nickname.
    """
    fields = expression.split()
    match fields:
        case [nickname] if nickname.lower() in _NICKNAMES:
            return _NICKNAMES[nickname.lower()]
        case [nickname] if nickname.lower() == "@reboot":
            raise ScheduleError("@reboot has no times: use a monitor with a timeout.")
        case [nickname] if nickname.startswith("@"):
            raise ScheduleError("Use @hourly, @daily, @weekly, @monthly or @yearly, or five fields.")
        case [_, _, _, _, _]:
            return _STEPS_OF_ONE.sub(r"\1", " ".join(fields))
        case [_, _, _, _, _, _]:
            raise ScheduleError(
                "Enter five fields: minute, hour, day of month, month, day of week. "
                "A sixth, for seconds or years, is not supported."
            )
    raise ScheduleError(_cron_sentence("Wrong number of fields"))


def _cron_sentence(fault: str) -> str:
    """Return what is wrong with a cron expression, and what is allowed."""
    match fault:
        case "Wrong number of fields":
            return "Enter five fields: minute, hour, day of month, month, day of week."
        case _:
            field = fault.removeprefix("Bad ")
            allowed = _ALLOWED.get(field, "numbers")
            return f"The {field.replace('-', ' ')} field must be {allowed}."


_ALLOWED = {
    "second": "0-59",
    "minute": "0-59, such as */5 or 0,30",
    "hour": "0-23, such as 2 or 9-17",
    "day-of-month": "1-31 or L, on a day that exists in the given months",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT",
}
