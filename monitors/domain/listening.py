"""Whether pushes can be received and committed, judged once a second; without a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# A shorter pause between two looks is a busy machine, and pushes waited rather than failed.
GAP_LEAST = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Pushes:
    """The pushes of some time: how many were answered, and how many failed with 503.

    `failing_since` is about when the first of them failed; None if none failed.
    """

    answered: int = 0
    failed: int = 0
    failing_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What a process finds when it looks whether pushes get through.

    Args:
        until: the watermark: until when that was so.
        held: whether the watermark stands still because too many pushes fail.
        now: the database's time.
        stepped: how far the database's clock moved since the process's last look beyond the time that passed;
            zero if it has not looked before.
        pushes: those of the last minute, and of shorter times: a monitor may be due sooner.
        tolerated: the share of any of them that may fail, 0 to 1.
    """

    until: datetime
    held: bool
    now: datetime
    stepped: timedelta = timedelta(0)
    pushes: tuple[Pushes, ...] = ()
    tolerated: float = 1.0

    @property
    def failing_since(self) -> list[datetime]:
        """Since when too many pushes fail, by each of the times in which they do."""
        return [
            those.failing_since
            for those in self.pushes
            if those.failing_since is not None
            and those.failed > self.tolerated * (those.answered + those.failed)
        ]


@dataclass(frozen=True, slots=True)
class Listening:
    """Pushes get through: the watermark moves to now."""


@dataclass(frozen=True, slots=True)
class Failing:
    """Too many pushes fail: the watermark stands still at `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class GapEnded:
    """Pushes get through again. `clock_step` is set if it was only the clock that was set forward."""

    started_at: datetime
    clock_step: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ClockSetBack:
    """The database's clock was set back: what is stored may be in the future."""

    clock_step: timedelta


Verdict = Listening | Failing | GapEnded | ClockSetBack


def judge(look: Look) -> Verdict:
    """Return what a look comes to.

    Pushes that failed during a gap are part of it: they are no reason to hold the watermark after it.
    """
    if look.until - look.now > GAP_LEAST:
        return ClockSetBack(look.now - look.until)
    silent = look.now - look.until
    if not look.held and silent > GAP_LEAST:
        forward = look.stepped > GAP_LEAST and silent - look.stepped <= GAP_LEAST
        return GapEnded(look.until, look.stepped if forward else None)
    if look.failing_since:
        return Failing(min(look.until, *look.failing_since))
    return GapEnded(look.until) if look.held else Listening()
