"""The picture of the current window: arithmetic, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from monitors.domain.schedules import Schedule, ScheduleError, SetTimesSchedule

# Margins at both ends, as shares of the time between the first and the last mark.
_BEFORE, _AFTER = 0.05, 0.12
# In percent of the width: marks this close to an end have their label on the inner side; the width of a
# label on a phone; the minimum width of a stretch.
_NEAR_AN_END, _WORDS, _VISIBLE = 18, 34, 0.8
_EXPECTED_SHOWN = 3
# How far back to search for the scheduled time before the last heartbeat, in distances between two times.
_LOOKBACKS, _MOST_TIMES = (2, 8, 64, 400), 500


@dataclass(frozen=True, slots=True)
class Mark:
    """A time at the position `x`, in percent of the width. `labelled`: there is room for its label."""

    at: datetime
    x: float
    labelled: bool = True

    @property
    def left(self) -> str:
        return f"{self.x:.2f}%"

    @property
    def anchor(self) -> str:
        """The text-anchor of its label."""
        if self.x < _NEAR_AN_END:
            return "start"
        return "end" if self.x > 100 - _NEAR_AN_END else "middle"


@dataclass(frozen=True, slots=True)
class Stretch:
    """From one mark to another, in percent of the width."""

    x: float
    length: float

    @property
    def left(self) -> str:
        return f"{self.x:.2f}%"

    @property
    def width(self) -> str:
        return f"{max(self.length, _VISIBLE):.2f}%"


@dataclass(frozen=True, slots=True)
class Window:
    """The time from the last heartbeat until an alert is sent, on a line from `start` to `end`.

    `expected` is the end of the timeout or the scheduled time, `alert` when the alert is sent. `recommended`
    is when the sender should push again, `earlier` the scheduled time before the last heartbeat, if there
    are such times.
    """

    start: datetime
    end: datetime
    last: Mark
    now: Mark
    expected: Mark
    alert: Mark
    recommended: Mark | None = None
    earlier: Mark | None = None

    @property
    def waited(self) -> Stretch:
        return _between(self.last, self.now)

    @property
    def waits(self) -> Stretch:
        return _between(self.last, self.expected)

    @property
    def grace(self) -> Stretch | None:
        return _between(self.expected, self.alert) if self.alert.at > self.expected.at else None


def window(
    *,
    last: datetime,
    now: datetime,
    expected_by: datetime,
    deadline: datetime,
    interval: int | None = None,
    earlier: datetime | None = None,
) -> Window:
    """Return the picture of a window.

    Args:
        last: the time of the last heartbeat; not after `expected_by`, which is not after `deadline`.
        interval: the recommended interval in seconds; not shown if it ends after `expected_by`.
        earlier: the scheduled time before `last`.
    """
    first = min(last, earlier or last)
    length = max(deadline - first, timedelta(milliseconds=1))
    start, end = first - length * _BEFORE, deadline + length * _AFTER

    def at(moment: datetime) -> float:
        return min(max((moment - start) / (end - start), 0.0), 1.0) * 100

    expected = Mark(expected_by, at(expected_by))
    recommended = None
    if interval and last + timedelta(seconds=interval) < expected_by:
        x = at(last + timedelta(seconds=interval))
        recommended = Mark(last + timedelta(seconds=interval), x, labelled=expected.x - x > _WORDS)
    alert = Mark(deadline, at(deadline))
    return Window(
        start=start,
        end=end,
        last=Mark(last, at(last), labelled=alert.x - at(last) > 2 * _WORDS),
        now=Mark(now, at(now)),
        expected=expected,
        alert=alert,
        recommended=recommended,
        earlier=Mark(earlier, at(earlier), labelled=expected.x - at(earlier) > _WORDS) if earlier else None,
    )


def scheduled_around(schedule: Schedule, last: datetime) -> tuple[datetime | None, tuple[datetime, ...]]:
    """Return the scheduled time before `last`, if it is not long ago, and the next ones after it.

    None and an empty tuple for an interval, or for a schedule that can't be evaluated.
    """
    if not isinstance(schedule, SetTimesSchedule):
        return None, ()
    try:
        following = tuple(islice(schedule.times_after(last), _EXPECTED_SHOWN))
        return _before(schedule, last, following), following
    except ScheduleError:
        return None, ()


def _before(schedule: SetTimesSchedule, last: datetime, following: tuple[datetime, ...]) -> datetime | None:
    if len(following) < 2:
        return None
    distance = following[1] - following[0]
    for times in _LOOKBACKS:
        latest = None
        for time in islice(schedule.times_after(last - distance * times), _MOST_TIMES):
            if time > last:
                break
            latest = time
        if latest:
            return latest
    return None


def _between(start: Mark, end: Mark) -> Stretch:
    return Stretch(start.x, max(end.x - start.x, 0))
