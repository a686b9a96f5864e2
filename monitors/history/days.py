"""Reads daily rollups: long ranges need neither heartbeats, nor half hours, nor status changes.

A day is one of UTC, so that everyone reads the same rows. Whatever isn't calculated yet, or not any more, is
read from what days are made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q

from monitors.domain.daily_uptime import Part, added, part_of
from monitors.domain.recurrence import Stretch
from monitors.domain.state_machine import Status
from monitors.domain.uptime import Uptime
from monitors.history import current, gaps
from monitors.history.uptimes import onsets_of, unswept_since, uptimes
from monitors.models import DailyRollup, Monitor, OutdatedDays
from monitors.services import maintenance
from monitors.services.outdated_days import DAY, day_of, first_calculated, midnight

# From this on, ranges are read from days.
LONG = timedelta(days=31)


class Row(NamedTuple):
    """A daily rollup; the columns of DailyRollup."""

    monitor: int
    day: date
    ups: int
    downs: int
    last_message: str
    value_count: int
    value_min: float | None
    value_max: float | None
    value_sum: float | None
    intervals: str
    watched: int
    down: int
    gap: int
    maintenance: int
    paused: int
    incidents: int
    began_down: bool

    @property
    def worst(self) -> Status:
        """The worst status of the day, as `monitors/domain/time_slots.py` ranks them."""
        if self.incidents:
            return Status.DOWN
        if self.watched or self.gap or self.maintenance:
            return Status.UP
        return Status.PAUSED if self.paused else Status.NEW

    @property
    def part(self) -> Part:
        """The uptime of the day."""
        return Part(
            watched=timedelta(microseconds=self.watched),
            down=timedelta(microseconds=self.down),
            gap=timedelta(microseconds=self.gap),
            maintenance=timedelta(microseconds=self.maintenance),
            paused=timedelta(microseconds=self.paused),
            incidents=self.incidents,
            began_down=self.began_down,
        )


class Days(NamedTuple):
    """The rollups of monitors, by row id and in order. All days of theirs before `until` are there."""

    rows: dict[int, list[Row]]
    until: date


def days_of(monitors: Sequence[Monitor], *, first: date, now: datetime) -> Days:
    """Return the rollups of `monitors` from `first` on, up to the first day that isn't up to date.

    Two queries. A day on which a monitor has missed a deadline that isn't stored yet is not up to date, nor
    is one on which Tianji has not been listening since.

    Args:
        monitors: loaded with their states.
        now: the database's time.
    """
    until = min(day_of(now), day_of(current.settled(now)))
    for monitor in monitors:
        if (since := unswept_since(monitor, now)) is not None:
            until = min(until, day_of(since))
    ids = [monitor.pk for monitor in monitors]
    # Before the rows are read: days that become outdated afterwards were up to date.
    of_these = Q(monitor__in=ids) | Q(workspace__in={monitor.workspace_id for monitor in monitors})
    outdated = OutdatedDays.objects.filter(of_these | Q(monitor=None, workspace=None), last__gte=first)
    for begin in outdated.values_list("first", flat=True):
        until = min(until, max(begin, first))
    rows: dict[int, list[Row]] = {pk: [] for pk in ids}
    if until > first:
        found = DailyRollup.objects.filter(monitor__in=ids, day__gte=first, day__lt=until)
        for row in found.order_by("day").values_list(*Row._fields):
            rows[row[0]].append(Row(*row))
        for monitor in monitors:
            until = min(until, _missing_from(rows[monitor.pk], max(first, day_of(monitor.created_at)), until))
    until = max(until, first)
    return Days({pk: [row for row in found if row.day < until] for pk, found in rows.items()}, until)


def _missing_from(rows: Sequence[Row], first: date, until: date) -> date:
    """Return the first day from `first` to `until` that is not in `rows`, which are in order."""
    expected = first
    for row in rows:
        if row.day != expected:
            break
        expected += DAY
    return max(expected, first) if expected < until else until


def uptime_of(monitor: Monitor, *, start: datetime, end: datetime, now: datetime) -> Uptime:
    """Return the uptime of `monitor`, loaded with its state, as `uptimes` does.

    A range that begins more than `LONG` ago is read from days, and only what is left at its ends from status
    changes. Of days that can't be calculated any more, all is counted if the range begins in one.

    Args:
        now: the database's time.
    """
    end = min(end, now)
    if now - start <= LONG:
        return uptimes([monitor], start=start, end=end, now=now)[monitor.pk]
    start = max(start, midnight(day_of(monitor.created_at)))
    if day_of(start) < first_calculated(now):
        start = midnight(day_of(start))
    first = day_of(start) if start == midnight(day_of(start)) else day_of(start) + DAY
    days = days_of([monitor], first=first, now=now)
    last = min(days.until, day_of(end))
    if last <= first:
        return uptimes([monitor], start=start, end=end, now=now)[monitor.pk]
    parts = []
    if start < midnight(first):
        parts.append(_read(monitor, (start, midnight(first)), now))
    parts += [row.part for row in days.rows[monitor.pk] if row.day < last]
    if midnight(last) < end:
        parts.append(_read(monitor, (midnight(last), end), now))
    return added(parts)


def _read(monitor: Monitor, stretch: Stretch, now: datetime) -> Part:
    start, end = stretch
    onsets = onsets_of([monitor], start=start, end=end, now=now)[monitor.pk]
    windows = maintenance.of_monitors([monitor])
    return part_of(
        onsets,
        start=start,
        end=end,
        gaps=gaps.between(start, end),
        planned=windows.left_out([monitor], start=start, end=end).get(monitor.pk, ()),
    )
