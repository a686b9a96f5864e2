"""Calculates daily rollups, from half hours, status changes, gaps and maintenance windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import cache
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from monitors.domain import intervals
from monitors.domain.daily_uptime import Part, part_of
from monitors.domain.recurrence import Stretch
from monitors.history import gaps
from monitors.history.rollups import GIVEN, Monitors, given, with_workspaces
from monitors.history.uptimes import stored_onsets
from monitors.models import DailyRollup, Monitor, OutdatedDays, Rollup
from monitors.services import maintenance
from monitors.services.outdated_days import DAY, day_of, midnight

# Monitors times days that are calculated at once: their rows are written in a few dozen milliseconds.
CELLS = 500
_MICROSECOND = timedelta(microseconds=1)
_KEY = ("monitor_id", "day")
_HEARTBEATS = (
    *("ups", "downs", "last_message", "value_count", "value_min", "value_max", "value_sum", "intervals"),
)
_UPTIME = ("watched", "down", "gap", "maintenance", "paused", "incidents", "began_down")
_CALCULATED = (*_HEARTBEATS, *_UPTIME)
_NO_HEARTBEATS = (0, 0, "", 0, None, None, None, "")


def calculate_some(*, until: date, check: Callable[[], None]) -> bool:
    """Calculate some of the days that are noted as outdated, the latest noted first; return whether any were.

    At most `CELLS` days of monitors, written in one transaction. An entry stays until all of its days have
    been calculated, and its first day moves on as they are.

    Args:
        until: the last day that is over.
        check: called in the transaction; raises what keeps it from being written.
    """
    waiting = list(OutdatedDays.objects.order_by("-pk")[:CELLS])
    if not waiting:
        return False
    latest = waiting[0]
    if latest.monitor_id is None:
        monitors = _next_monitors(latest)
        left = len(monitors) == CELLS
        # A part of the monitors is calculated day by day, so that the entry can say how far it is.
        days = 1 if left or latest.after else max(CELLS // max(len(monitors), 1), 1)
        same = [latest]
    else:
        same = [each for each in waiting if each.monitor_id and _days(each) == _days(latest)]
        monitors = list(_with_state().filter(pk__in=[each.monitor_id for each in same]))
        left, days = False, max(CELLS // len(same), 1)
    through = min(latest.first + DAY * (days - 1), latest.last, until)
    rows = changed(monitors, latest.first, through) if monitors and through >= latest.first else []
    entries = OutdatedDays.objects.filter(pk__in=[each.pk for each in same])
    with transaction.atomic():
        check()
        save(rows)
        if left:
            entries.update(after=monitors[-1].pk)
        elif through >= min(latest.last, until):
            entries.delete()
        else:
            entries.update(first=through + DAY, after=0)
    return True


def _next_monitors(entry: OutdatedDays) -> list[Monitor]:
    monitors = _with_state().filter(pk__gt=entry.after).order_by("pk")
    if entry.workspace_id is not None:
        monitors = monitors.filter(workspace=entry.workspace_id)
    return list(monitors[:CELLS])


def _with_state() -> QuerySet[Monitor]:
    return Monitor.objects.select_related("state").defer("description")


def _days(entry: OutdatedDays) -> tuple[date, date]:
    return entry.first, entry.last


def changed(monitors: Sequence[Monitor], first: date, last: date) -> list[DailyRollup]:
    """Return the rollups of `monitors` from `first` to `last` that are missing or not as stored, not saved.

    Seven queries, for any number of monitors and days. The half hours of these days must be rolled up. A
    deadline that has passed but was not swept changes the day when it is.

    Args:
        monitors: loaded with their states.
    """
    stretch = midnight(first), midnight(last + DAY)
    stored = {
        row[:2]: row[2:]
        for row in DailyRollup.objects.filter(monitor__in=monitors, day__range=(first, last)).values_list(
            *_KEY, *_CALCULATED
        )
    }
    workspaces = with_workspaces(monitors)
    heartbeats = _heartbeats(workspaces, stretch)
    return [
        DailyRollup(
            workspace_id=workspaces[pk],
            monitor_id=pk,
            day=day,
            **dict(zip(_CALCULATED, figures, strict=True)),
        )
        for pk, day, part in _parts(monitors, stretch)
        if stored.get((pk, day)) != (figures := (*heartbeats.get((pk, day), _NO_HEARTBEATS), *_figures(part)))
    ]


def save(rows: Sequence[DailyRollup]) -> None:
    """Insert `rows`, or replace those that are there."""
    DailyRollup.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["monitor", "day", "workspace_id"],
        update_fields=_CALCULATED,
    )


def _parts(monitors: Sequence[Monitor], stretch: Stretch) -> Iterator[tuple[int, date, Part]]:
    """Yield the uptime of each monitor on each day on which it existed."""
    start, end = stretch
    onsets = stored_onsets(monitors, start=start, end=end)
    ours = gaps.stored(start, end)
    planned = maintenance.of_monitors(monitors).left_out(monitors, start=start, end=end)
    for monitor in monitors:
        at = max(start, midnight(day_of(monitor.created_at)))
        while at < end:
            part = part_of(
                onsets[monitor.pk],
                start=at,
                end=at + DAY,
                gaps=ours,
                planned=planned.get(monitor.pk, ()),
            )
            yield monitor.pk, day_of(at), part
            at += DAY


def _figures(part: Part) -> tuple[int | bool, ...]:
    lengths = (part.watched, part.down, part.gap, part.maintenance, part.paused)
    return (*(length // _MICROSECOND for length in lengths), part.incidents, part.began_down)


def _heartbeats(monitors: Monitors, stretch: Stretch) -> dict[tuple[int, date], tuple[Any, ...]]:
    """Return the totals of monitors' half hours on each day that has any. One query."""
    postgresql = connection.vendor == "postgresql"
    start, end = (connection.ops.adapt_datetimefield_value(at) for at in stretch)
    found: dict[tuple[int, date], tuple[Any, ...]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_statement(postgresql), [*given(monitors), start, end])
        for pk, day, *totals, written in cursor.fetchall():
            on = day if isinstance(day, date) else date.fromisoformat(day)
            found[pk, on] = (*totals, intervals.write(intervals.read(written or "")))
    return found


@cache
def _statement(postgresql: bool) -> str:
    rollups = Rollup._meta.db_table
    totals = "sum(r.value_count), min(r.value_min), max(r.value_max), sum(r.value_sum)"
    if postgresql:
        # OFFSET fixes the join order, as for half hours.
        return (
            "SELECT r.monitor_id, (r.start AT TIME ZONE 'UTC')::date, sum(r.ups), sum(r.downs),"
            " (array_agg(r.last_message ORDER BY r.downs > 0 DESC, r.start DESC))[1],"
            f" {totals}, string_agg(r.intervals, ' ')"
            f" FROM {GIVEN} CROSS JOIN LATERAL ("
            f"SELECT * FROM {rollups} WHERE monitor_id = given.id AND workspace_id = given.workspace"
            " AND start >= %s::timestamptz AND start < %s::timestamptz OFFSET 0) AS r GROUP BY 1, 2"
        )
    return (
        "SELECT r.monitor_id, date(r.start), sum(r.ups), sum(r.downs),"
        f" (SELECT l.last_message FROM {rollups} l WHERE l.monitor_id = r.monitor_id"
        " AND l.start >= date(r.start) AND l.start < date(r.start, '+1 day')"
        " ORDER BY l.downs > 0 DESC, l.start DESC LIMIT 1),"
        f" {totals}, group_concat(r.intervals, ' ')"
        f" FROM json_each(%s) AS given CROSS JOIN {rollups} r"
        " WHERE r.monitor_id = given.value AND r.start >= %s AND r.start < %s GROUP BY 1, 2"
    )
