"""What is known of one sample monitor: how it pushes, what it says, and what went wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from random import Random
from typing import Any

from monitors.models import Monitor
from monitors.status import Cause
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

    `note` is what somebody wrote about the incident; `acknowledged` by whoever wrote it.
    """

    cause: Cause
    days_ago: float
    beats: int = 1
    message: str = ""
    note: str = ""
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which nothing with `tag` could push."""

    tag: str
    days_ago: float
    minutes: float
    note: str


@dataclass(frozen=True, slots=True)
class Voice:
    """What heartbeats say: one of `messages`, in which {value} is the value and {took} some seconds.

    `bad` is a range of values that the monitor's rules do not allow; `troubles` are what a heartbeat that
    reports down says.
    """

    messages: tuple[str, ...] = ("OK",)
    curve: Curve | None = None
    digits: int = 1
    took: tuple[int, int] = (2, 9)
    troubles: tuple[str, ...] = ("Reported down",)
    bad: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Said:
    """What one heartbeat says."""

    up: bool
    message: str
    value: float | None


@dataclass(frozen=True, slots=True)
class Job:
    """One sample monitor. It pushes every so many seconds, or `took` seconds after the times of `cron`.

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

    def says(self, at: datetime, age: float, rng: Random, *, fault: Cause | None, message: str = "") -> Said:
        """Return what its heartbeat says at `at`, `age` days ago.

        Args:
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
            return Said(False, message or rng.choice(voice.troubles), None)
        took = rng.randint(*voice.took)
        shown = "" if value is None else f"{value:,.{voice.digits}f}"
        return Said(True, rng.choice(voice.messages).format(value=shown, took=took), value)
