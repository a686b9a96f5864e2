"""When a heartbeat is expected, and when its absence means down; without a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

TIMEOUT_MIN, TIMEOUT_MAX = 1, 365 * 86_400
GRACE_MAX = 30 * 86_400
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
# A job whose clock is ahead, or that is quick, pushes before its time: a tenth of the grace period early, at
# least 5 s and at most 60 s, but never more than a quarter of the time to the next one.
_EARLY_ONE_IN, _EARLY_LEAST, _EARLY_MOST, _EARLY_OF_PERIOD = 10, 5, 60, 4
GRACE_ONE_IN, GRACE_LEAST, GRACE_MOST = 10, 1, 300


class ScheduleError(ValueError):
    """A schedule that can't be evaluated; the message tells the user why."""


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def is_time_zone(name: str) -> bool:
    """Return whether `name` is a time zone of the IANA database, such as Asia/Jakarta."""
    return name in _zones()


def default_grace(period: float) -> int:
    """Return the default grace period in seconds for a sender that is expected every `period` seconds.

    A tenth of it, at least 1 s and at most 300 s, so that a sender whose interval equals the timeout does
    not flap.
    """
    return int(min(max(period / GRACE_ONE_IN, GRACE_LEAST), GRACE_MOST))


@dataclass(frozen=True, slots=True)
class Due:
    """What is due after a heartbeat: UTC instants. `expected_by` <= `deadline`."""

    expected_by: datetime
    deadline: datetime


@dataclass(frozen=True, slots=True)
class IntervalSchedule:
    """A heartbeat at least every `timeout` s; the alert is sent `grace` s later."""

    timeout: int
    grace: int | None = None

    @property
    def effective_grace(self) -> int:
        return default_grace(self.timeout) if self.grace is None else self.grace

    def due_after(self, last_heartbeat: datetime) -> Due:
        expected = last_heartbeat + timedelta(seconds=self.timeout)
        return Due(expected, expected + timedelta(seconds=self.effective_grace))


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """A heartbeat at every time of the cron `expression` in `timezone`; the alert is sent `grace` s later."""

    expression: str
    timezone: str = "UTC"
    grace: int | None = None

    def due_after(self, last_heartbeat: datetime) -> Due:
        """Return what is due after `last_heartbeat`; one that is a little early counts for the next time.

        Raises:
            ScheduleError: the expression or the time zone can't be evaluated, or never matches.
        """
        times = self.times_after(last_heartbeat)
        expected, following = next(times, None), next(times, None)
        if expected is None:
            raise ScheduleError("This expression never matches a date.")
        if following is not None and expected - last_heartbeat <= self._early(expected, following):
            expected, following = following, next(times, None)
        return Due(expected, expected + self._grace(expected, following))

    def _grace(self, expected: datetime, following: datetime | None) -> timedelta:
        grace = self.grace
        if grace is None:
            grace = default_grace(
                (following - expected).total_seconds() if following else GRACE_MOST * GRACE_ONE_IN
            )
        return timedelta(seconds=grace)

    def _early(self, expected: datetime, following: datetime) -> timedelta:
        """Return how long before `expected` a heartbeat still counts for it."""
        tenth = self._grace(expected, following) / _EARLY_ONE_IN
        early = min(max(tenth, timedelta(seconds=_EARLY_LEAST)), timedelta(seconds=_EARLY_MOST))
        return min(early, (following - expected) / _EARLY_OF_PERIOD)

    def deadlines_after(self, start: datetime) -> Iterator[datetime]:
        """Yield the deadlines of the scheduled times after `start`, in order.

        Raises:
            ScheduleError: the expression or the time zone cannot be evaluated.
        """
        longest = timedelta(seconds=GRACE_MOST if self.grace is None else self.grace)
        for expected, following in pairwise(self.times_after(start - longest)):
            grace = self.grace
            if grace is None:
                grace = default_grace((following - expected).total_seconds())
            if (deadline := expected + timedelta(seconds=grace)) > start:
                yield deadline

    def times_after(self, start: datetime) -> Iterator[datetime]:
        """Yield the scheduled times after `start`, in UTC; none if there are none within 50 years.

        Daylight saving time is handled like Debian's cron: a local time that does not exist runs at the
        change, one that exists twice runs once.

        Raises:
            ScheduleError: the expression or the time zone cannot be evaluated.
        """
        expression = cron_fields(self.expression)
        try:
            zone = ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ScheduleError(f"Unknown time zone {self.timezone!r}.") from error
        latest = start
        try:
            for local_time in CronSim(expression, start.astimezone(zone)):
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
            return " ".join(fields)
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


Schedule = IntervalSchedule | CronSchedule
