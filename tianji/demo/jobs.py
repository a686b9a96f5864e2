"""What is known of one sample monitor: how it pushes, what it says, and what went wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from random import Random
from typing import Any

from monitors.domain.state_machine import Cause
from monitors.models import Monitor
from tianji.demo.curves import Curve

MINUTE, HOUR, DAY = 60, 3600, 86_400


class Fate(Enum):
    """How a monitor stands when the data is made."""

    UP = auto()
    LATE = auto()
    # Down: silent, reported, or a value out of range.
    MISSED = auto()
    REPORTED = auto()
    VALUE = auto()
    PAUSED = auto()
    NEW = auto()
    FLAPPING = auto()
    # Silent, and nobody is notified: because of maintenance, or because somebody snoozed it.
    MAINTENANCE = auto()
    SNOOZED = auto()
    # Up, with pushes that are rejected; up, while senders move from one token to the next.
    REJECTED = auto()
    ROTATING = auto()


@dataclass(frozen=True, slots=True)
class Mishap:
    """What went wrong in the past: from so many days ago on, for so many heartbeats.

    `note` is what somebody wrote about the incident; `acknowledged` by whoever wrote it. `rerun` is after how
    many hours somebody let it run again by hand, where it does not run again soon by itself.
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
    """A time in which nothing with `tag` could push; `note` is on the incident of the monitor `noted_on`."""

    tag: str
    days_ago: float
    minutes: float
    noted_on: str
    note: str


@dataclass(frozen=True, slots=True)
class Voice:
    """What heartbeats say: one of `messages`, in which {value} is the value, and {count} one of `count`.

    {seconds} and {minutes} are what the run took, `took` seconds: the heartbeat comes at its end. `bad` is a
    range of values that the monitor's rules do not allow; `troubles` are what a report of down says.
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
    """What one heartbeat says."""

    up: bool
    message: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """One sample monitor. It pushes every so many seconds, or at the end of a run that `cron` starts.

    `senders` are addresses. `down_for` is for how many seconds it has had its fate, where that is a bad one.
    `settings` are further columns of Monitor. `described` is when the description was added, in days ago.
    """

    name: str
    tags: tuple[str, ...]
    every: int = 0
    cron: str = ""
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
        """The columns of its monitor, but for the description."""
        schedule = (
            {"kind": Monitor.Kind.CRON, "cron": self.cron, "timezone": self.timezone}
            if self.cron
            else {"timeout": self.every * 3 // 2, "interval": self.every}
        )
        return {"name": self.name, "tags": list(self.tags), **schedule, **dict(self.settings)}

    def takes(self, rng: Random) -> int:
        """Return how many seconds a run of it takes."""
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
        """Return what its heartbeat says at `at`, `age` days ago.

        Args:
            took: for how many seconds it ran, where that is known.
            fault: what is wrong; None or MISSED for a good heartbeat.
            message: what a report of down says; "" for one of its troubles.
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
