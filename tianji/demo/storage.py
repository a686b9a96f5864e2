"""Heartbeats and rollups in bulk."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from itertools import islice

from django.db import connection

from core import sql
from monitors.history import rollups
from monitors.models import Heartbeat, RolledUp, Rollup
from tianji.demo.past import Pushed

_AT_ONCE = 5000
_HALF_HOURS_AT_ONCE = 48
_COLUMNS = {
    "workspace_id": "bigint",
    "monitor_id": "bigint",
    "received_at": "timestamptz",
    "status": "text",
    "value": "double precision",
    "message": "text",
    "source": "inet",
    "token_id": "bigint",
}


def insert_heartbeats(
    pushes: Iterable[tuple[datetime, int, Pushed]], token_of: Callable[[int, Pushed], int], workspace_id: int
) -> int:
    """Insert heartbeats; return how many.

    Args:
        pushes: time, the monitor's row id, and push; ordered by time, which retention and rollups rely on.
        token_of: returns the row id of the token that a push to a monitor was sent with.
    """
    given = (
        (
            workspace_id,
            monitor,
            sql.write_time(at),
            "up" if pushed.report.up else "down",
            pushed.report.value,
            pushed.report.message,
            pushed.sender,
            token_of(monitor, pushed),
        )
        for at, monitor, pushed in pushes
    )
    names = ", ".join(_COLUMNS)
    select = sql.as_select(_COLUMNS, connection.vendor == "postgresql")
    statement = f"INSERT INTO {Heartbeat._meta.db_table} ({names}) SELECT {names} FROM ({select}) AS given"
    total = 0
    while batch := list(islice(given, _AT_ONCE)):
        sql.run(statement, batch)
        total += len(batch)
    if connection.vendor == "postgresql":
        # Otherwise the planner assumes an empty table until the next autovacuum.
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {Heartbeat._meta.db_table}")
    return total


def roll_up(monitor_ids: Collection[int], workspace_id: int, *, start: datetime, now: datetime) -> int:
    """Write the rollups of monitors from `start` on; return how many.

    If other monitors have heartbeats too, the product marks the half hours as complete. Those that it had
    already marked would never get rollups of these monitors otherwise.
    """
    monitors = dict.fromkeys(monitor_ids, workspace_id)
    # A heartbeat is committed some moments after its time, and the product reads one more half hour.
    last = rollups.half_hour_of(now - rollups.CLOSED_AFTER)
    starts = list(_half_hours(rollups.half_hour_of(start) - rollups.HALF_HOUR, last))
    written = 0
    for first in range(0, len(starts), _HALF_HOURS_AT_ONCE):
        stretches = [(at, at + rollups.HALF_HOUR) for at in starts[first : first + _HALF_HOURS_AT_ONCE]]
        made = [
            Rollup(
                workspace_id=workspace_id,
                monitor_id=each.monitor_id,
                start=stretches[each.stretch][0],
                ups=each.ups,
                downs=each.downs,
                last_message=each.last_message,
                value_count=each.value_count,
                value_min=each.value_min,
                value_max=each.value_max,
                value_sum=each.value_sum,
            )
            for each in rollups.sums(monitors, stretches)
        ]
        Rollup.objects.bulk_create(made, ignore_conflicts=True, batch_size=_AT_ONCE)
        written += len(made)
    if not Heartbeat.objects.exclude(monitor__in=list(monitors)).exists():
        RolledUp.objects.bulk_create([RolledUp(start=at) for at in starts], ignore_conflicts=True)
    return written


def _half_hours(first: datetime, last: datetime) -> Iterator[datetime]:
    while first < last:
        yield first
        first += rollups.HALF_HOUR
