"""When a heartbeat is expected, and when its absence means down; without a database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from monitors.domain.cron_times import cron_times
from monitors.domain.expressions import ScheduleError, zone_named
from monitors.domain.on_calendar_times import on_calendar_times

TIMEOUT_MIN, TIMEOUT_MAX = 1, 365 * 86_400
GRACE_MAX = 30 * 86_400
EARLY_MAX = 3600
# A job whose clock is ahead, or that is quick, pushes before its time: a tenth of the grace period early, at
# least 5 s and at most 60 s, but never more than a quarter of the time to its neighbours.
_EARLY_ONE_IN, _EARLY_LEAST, _EARLY_MOST, _EARLY_OF_PERIOD = 10, 5, 60, 4
# What people set may be up to half of the time to its neighbours: a heartbeat counts for the nearer time.
_EARLY_OF_PERIOD_IF_SET = 2
GRACE_ONE_IN, GRACE_LEAST, GRACE_MOST = 10, 1, 300


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

    def deadlines_after(self, start: datetime) -> Iterator[datetime]:
        """Yield the deadlines after the deadline `start`, if the silence goes on: one for each timeout."""
        return (start + number * timedelta(seconds=self.timeout) for number in count(1))


@dataclass(frozen=True, slots=True)
class SetTimesSchedule(ABC):
    """A heartbeat at every time of `expression` in `timezone`; the alert is sent `grace` s later.

    A heartbeat up to `early` s before a time counts for it; None for a default that depends on the grace
    period. The kinds of schedules differ in how an expression is written.
    """

    expression: str
    timezone: str = "UTC"
    grace: int | None = None
    early: int | None = None

    @abstractmethod
    def _times(self, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
        """Yield the times after `start` in UTC, in order, each once. Raises ScheduleError."""

    def times_after(self, start: datetime) -> Iterator[datetime]:
        """Yield the scheduled times after `start`, in UTC, in order; none if there are none for decades.

        Raises:
            ScheduleError: the expression or the time zone cannot be evaluated.
        """
        yield from self._times(zone_named(self.timezone), start)

    def due_after(self, last_heartbeat: datetime) -> Due:
        """Return what is due after `last_heartbeat`; one that is a little early counts for the next time.

        Raises:
            ScheduleError: the expression or the time zone can't be evaluated, or never matches.
        """
        times = self.times_after(last_heartbeat)
        expected, following = next(times, None), next(times, None)
        if expected is None:
            raise ScheduleError("This expression matches no date in the future.")
        if following is not None and self._counts_for(expected, following, last_heartbeat):
            expected, following = following, next(times, None)
        return Due(expected, expected + self._grace(expected, following))

    def _grace(self, expected: datetime, following: datetime | None) -> timedelta:
        grace = self.grace
        if grace is None:
            grace = default_grace((following - expected).total_seconds()) if following else GRACE_MOST
        return timedelta(seconds=grace)

    def _counts_for(self, expected: datetime, following: datetime, heartbeat: datetime) -> bool:
        """Return whether a heartbeat before `expected` is early for it, not late for the time before."""
        before = expected - heartbeat
        if before > self._early(expected, following):
            return False
        # The time before is only searched for where it would be too near.
        return next(self.times_after(expected - before * self._part_of_period), None) == expected

    @property
    def _part_of_period(self) -> int:
        return _EARLY_OF_PERIOD if self.early is None else _EARLY_OF_PERIOD_IF_SET

    def _early(self, expected: datetime, following: datetime) -> timedelta:
        """Return how long before `expected` a heartbeat still counts for it, as far as `following` allows."""
        most = (following - expected) / self._part_of_period
        if self.early is not None:
            return min(timedelta(seconds=self.early), most)
        tenth = self._grace(expected, following) / _EARLY_ONE_IN
        return min(max(tenth, timedelta(seconds=_EARLY_LEAST)), timedelta(seconds=_EARLY_MOST), most)

    def deadlines_after(self, start: datetime) -> Iterator[datetime]:
        """Yield the deadlines of the scheduled times after `start`, in order.

        Raises:
            ScheduleError: the expression or the time zone cannot be evaluated.
        """
        longest = timedelta(seconds=GRACE_MOST if self.grace is None else self.grace)
        times = self.times_after(start - longest)
        expected = next(times, None)
        while expected is not None:
            following = next(times, None)
            if (deadline := expected + self._grace(expected, following)) > start:
                yield deadline
            expected = following


@dataclass(frozen=True, slots=True)
class CronSchedule(SetTimesSchedule):
    """At every time of a five-field cron expression."""

    def _times(self, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
        return cron_times(self.expression, zone, start)


@dataclass(frozen=True, slots=True)
class OnCalendarSchedule(SetTimesSchedule):
    """At every time of systemd's OnCalendar expressions, one a line.

    `timezone` is for those that don't name a time zone themselves.
    """

    def _times(self, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
        return on_calendar_times(self.expression, zone, start)


Schedule = IntervalSchedule | SetTimesSchedule
