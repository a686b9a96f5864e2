"""The definition of a sample monitor: how often it pushes, what its heartbeats say, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from random import Random
from typing import Any

from monitors.domain.durations import MINUTE
from monitors.domain.schedules import CronSchedule, OnCalendarSchedule, SetTimesSchedule
from monitors.domain.state_machine import Cause
from monitors.models import Monitor
from tianji.demo.curves import Curve

# How often a flapping monitor reports down, in its bad hours.
FLAPS = 0.24


class Fate(Enum):
    """The state of a monitor when the sample data is created."""

    UP = auto()
    LATE = auto()
    # Down: missed heartbeat, reported, or a value out of range.
    MISSED = auto()
    REPORTED = auto()
    VALUE = auto()
    PAUSED = auto()
    NEW = auto()
    FLAPPING = auto()
    # Down without notifications: in maintenance, or snoozed.
    MAINTENANCE = auto()
    SNOOZED = auto()
    # Up, with rejected pushes; up, with senders that are switching to a new token.
    REJECTED = auto()
    ROTATING = auto()


@dataclass(frozen=True, slots=True)
class Mishap:
    """Something that went wrong in the past: it started `days_ago` and lasted for `beats` heartbeats.

    `note` is the note of the incident, `acknowledged` whether it was acknowledged. `rerun` is the number of
    hours after which the job was rerun by hand; 0 if it wasn't.
    """

    cause: Cause
    days_ago: float
    beats: int = 1
    message: str = ""
    note: str = ""
    acknowledged: bool = False
    rerun: float = 0.0


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which no monitor with `tag` got pushes; the incident of the monitor `noted_on` has `note`."""

    tag: str
    days_ago: float
    minutes: float
    noted_on: str
    note: str


@dataclass(frozen=True, slots=True)
class Voice:
    """What heartbeats say: one of `messages`, where {value} is the value and {count} a number from `count`.

    {seconds} and {minutes} are how long the run took, from `took`; the heartbeat is sent at its end. `bad` is
    a range of values that the monitor's rules don't allow; `troubles` are messages of down heartbeats.
    """

    messages: tuple[str, ...] = ("OK",)
    curve: Curve | None = None
    digits: int = 1
    count: tuple[int, int] = (0, 0)
    took: tuple[int, int] = (2, 9)
    troubles: tuple[str, ...] = ("Reported down",)
    bad: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Report:
    """The content of one heartbeat."""

    up: bool
    message: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """One sample monitor. It pushes every `every` seconds, or at the end of each run of `cron` or
    `calendar` (OnCalendar).

    `senders` are IP addresses. `down_for` is how many seconds ago its fate began, if that is a bad one.
    `settings` are further columns of Monitor. `described` is how many days ago the description was added.
    """

    name: str
    tags: tuple[str, ...]
    every: int = 0
    cron: str = ""
    calendar: str = ""
    timezone: str = "UTC"
    description: str = ""
    described: float = 0.0
    voice: Voice = Voice()
    senders: tuple[str, ...] = ("10.20.0.10",)
    fate: Fate = Fate.UP
    down_for: int = 0
    mishaps: tuple[Mishap, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of its monitor, except for the description."""
        schedule: dict[str, Any] = {"timeout": self.every * 3 // 2, "interval": self.every}
        if self.cron:
            schedule = {"kind": Monitor.Kind.CRON, "cron": self.cron, "timezone": self.timezone}
        elif self.calendar:
            schedule = {
                "kind": Monitor.Kind.ON_CALENDAR,
                "calendar": self.calendar,
                "timezone": self.timezone,
            }
        return {"name": self.name, "tags": list(self.tags), **schedule, **dict(self.settings)}

    @property
    def set_times(self) -> SetTimesSchedule | None:
        """The schedule of its runs, None if it pushes at an interval."""
        if self.cron:
            return CronSchedule(self.cron, self.timezone)
        return OnCalendarSchedule(self.calendar, self.timezone) if self.calendar else None

    def takes(self, rng: Random) -> int:
        """Return the duration of a run in seconds."""
        return rng.randint(*self.voice.took)

    def report(
        self,
        at: datetime,
        age: float,
        rng: Random,
        *,
        took: int | None = None,
        fault: Cause | None = None,
        message: str = "",
    ) -> Report:
        """Return the content of its heartbeat at `at`, `age` days ago.

        Args:
            took: the duration of the run in seconds, if known.
            fault: what is wrong; None or MISSED for a good heartbeat.
            message: the message of a down heartbeat; "" for one of its troubles.
        """
        voice = self.voice
        value = None if voice.curve is None else voice.curve(at, age, rng)
        if fault is Cause.VALUE:
            value = rng.uniform(*voice.bad)
        if value is not None:
            value = round(value, voice.digits)
        if fault is Cause.REPORTED:
            return Report(False, message or rng.choice(voice.troubles), None)
        return Report(True, self._words(rng.choice(voice.messages), value, took, rng), value)

    def _words(self, message: str, value: float | None, took: int | None, rng: Random) -> str:
        if "{" not in message:
            return message
        if "{value}" in message:
            message = message.replace("{value}", f"{value or 0:,.{self.voice.digits}f}")
        if "{count}" in message:
            message = message.replace("{count}", str(rng.randint(*self.voice.count)))
        if "{" in message:
            seconds = self.takes(rng) if took is None else took
            message = message.format(seconds=seconds, minutes=round(seconds / MINUTE))
        return message
