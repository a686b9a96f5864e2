"""Totals of heartbeats per half hour, so that bars and charts don't have to read every heartbeat."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import islice

from django.db import connection

from core.clock import database_now
from monitors.domain import intervals
from monitors.domain.recurrence import Stretch
from monitors.domain.time_slots import begin_of_slot
from monitors.history import commits
from monitors.models import ROLLUP_DAYS, Heartbeat, Monitor, RolledUp, Rollup

HALF_HOUR = timedelta(minutes=30)
BATCH = 500
# A heartbeat is committed some moments after its timestamp; statements longer than 15 s are cancelled.
CLOSED_AFTER = timedelta(minutes=1)
# The limit of one call, so that it finishes before the next tick and leaves the database to pushes.
_AT_MOST = 48
_SECONDS = 10.0
_CALCULATED = [
    *("ups", "downs", "last_message", "value_count", "value_min", "value_max", "value_sum", "intervals")
]
# A sum of any number of these does not overflow.
_HUGE = "1e300"


@dataclass(frozen=True, slots=True)
class Sum:
    """Totals of a monitor's heartbeats in the stretch of time with index `stretch`.

    There was at least one. `last_message` is that of the last down heartbeat, else of the last up one.
    """

    monitor_id: int
    stretch: int
    ups: int
    downs: int
    last_message: str
    value_count: int
    value_min: float | None
    value_max: float | None
    value_sum: float | None


def roll_up(*, now: datetime | None = None, at_most: int = _AT_MOST, batch: int = BATCH) -> int:
    """Roll up the half hours that are over and not yet rolled up, newest first; return how many.

    A half hour is left for later while a transaction is under way that began before its end: its heartbeats
    may not be committed yet. At most `at_most`, and no new one after some seconds: the next call continues.
    Safe to run twice at once: both read the same heartbeats, and the first to write a row wins. Heartbeats
    are read outside transactions, and each batch of `batch` monitors is written in its own transaction, so
    that no push waits for it.

    Args:
        now: the database's time, if the caller knows it.
    """
    began = time.monotonic()
    rolled = 0
    missing = list(islice(missing_half_hours(now or database_now()), at_most))
    over = commits.all_committed_before() if missing else None
    for start in missing:
        if over is not None and start + HALF_HOUR > over:
            continue
        _roll_up_from(start, batch)
        rolled += 1
        if time.monotonic() - began > _SECONDS:
            break
    return rolled


def roll_up_again(monitor_ids: Sequence[int], start: datetime, *, batch: int = BATCH) -> None:
    """Roll up the half hour from `start` again for monitors whose heartbeats came late.

    All of its heartbeats must still be there.
    """
    for first in range(0, len(monitor_ids), batch):
        Rollup.objects.bulk_create(
            _rollups_of(monitor_ids[first : first + batch], start),
            update_conflicts=True,
            unique_fields=["monitor", "start"],
            update_fields=_CALCULATED,
        )


def half_hour_of(at: datetime) -> datetime:
    """Return the start of the half hour that contains `at`."""
    return begin_of_slot(at, HALF_HOUR)


def closed_until(now: datetime) -> datetime:
    """Return the end of the newest half hour that is over for good, if no transaction takes longer."""
    return half_hour_of(now - CLOSED_AFTER)


def missing_half_hours(now: datetime) -> Iterator[datetime]:
    """Yield the half hours that have to be rolled up, newest first."""
    # The oldest row has the oldest time, apart from commits that overtook each other by moments.
    oldest = Heartbeat.objects.order_by("pk").values_list("received_at", flat=True).first()
    if oldest is None:
        return
    first = max(half_hour_of(oldest) - HALF_HOUR, half_hour_of(now - timedelta(days=ROLLUP_DAYS)) + HALF_HOUR)
    done = set(RolledUp.objects.filter(start__gte=first).values_list("start", flat=True))
    start = closed_until(now) - HALF_HOUR
    while start >= first:
        if start not in done:
            yield start
        start -= HALF_HOUR


def _roll_up_from(start: datetime, batch: int) -> None:
    after = 0
    while ids := list(
        Monitor.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:batch]
    ):
        after = ids[-1]
        # An earlier run saw the same heartbeats, or more: since then old ones may have been deleted, but
        # ones that were added late are rolled up again.
        Rollup.objects.bulk_create(_rollups_of(ids, start), ignore_conflicts=True)
    RolledUp.objects.bulk_create([RolledUp(start=start)], ignore_conflicts=True)


def _rollups_of(monitor_ids: Sequence[int], start: datetime) -> list[Rollup]:
    """Return the rollups of monitors in the half hour from `start`, not saved. Two queries."""
    found = sums(monitor_ids, [(start, start + HALF_HOUR)])
    counts = intervals_in([sum_.monitor_id for sum_ in found], (start, start + HALF_HOUR))
    return [
        Rollup(
            monitor_id=sum_.monitor_id,
            start=start,
            ups=sum_.ups,
            downs=sum_.downs,
            last_message=sum_.last_message,
            value_count=sum_.value_count,
            value_min=sum_.value_min,
            value_max=sum_.value_max,
            value_sum=sum_.value_sum,
            intervals=intervals.write(counts.get(sum_.monitor_id, {})),
        )
        for sum_ in found
    ]


def intervals_in(monitor_ids: Sequence[int], stretch: Stretch) -> dict[int, dict[int, int]]:
    """Return how many intervals between heartbeats ended in `stretch`, by the monitor's row id and bucket.

    One query; the buckets are those of `monitors/domain/intervals.py`. What came before the oldest heartbeat
    that is kept is not known.
    """
    if not monitor_ids:
        return {}
    postgresql = connection.vendor == "postgresql"
    start, end = (connection.ops.adapt_datetimefield_value(at) for at in stretch)
    given = list(monitor_ids) if postgresql else json.dumps(list(monitor_ids))
    found: dict[int, dict[int, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_intervals_statement(postgresql), [given, start, start, end, start])
        for monitor_id, bucket, number in cursor.fetchall():
            found.setdefault(monitor_id, {})[int(bucket)] = number
    return found


def sums(monitor_ids: Sequence[int], stretches: Sequence[Stretch]) -> list[Sum]:
    """Return the totals of monitors' heartbeats in each of `stretches` that has any.

    One query; it only reads a range of the index for each monitor and stretch. A stretch is (from, to),
    `to` not included.
    """
    if not (monitor_ids and stretches):
        return []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            starts, ends = zip(*stretches, strict=True)
            cursor.execute(_sums_statement(True), [list(monitor_ids), list(starts), list(ends)])
        else:
            written = [
                [str(connection.ops.adapt_datetimefield_value(at)) for at in pair] for pair in stretches
            ]
            cursor.execute(_sums_statement(False), [json.dumps(list(monitor_ids)), json.dumps(written)])
        return [Sum(*row) for row in cursor.fetchall()]


def rollups_in(
    monitor_ids: Sequence[int], stretch: Stretch, *, with_intervals: bool = False
) -> list[tuple[int, int, int, int, str, int, float | None, str | None]]:
    """Return the rollups of monitors that start in `stretch`.

    Each is (epoch, monitor id, ups, downs, message, number of values, their sum or None, intervals).

    The start is in whole seconds since 1970, because parsing thousands of times would cost the most.
    One query; it reads a range of the index for each monitor.
    """
    write = connection.ops.adapt_datetimefield_value
    postgresql = connection.vendor == "postgresql"
    given = list(monitor_ids) if postgresql else json.dumps(list(monitor_ids))
    with connection.cursor() as cursor:
        statement = _rollups_statement(postgresql, with_intervals)
        cursor.execute(statement, [given, *(write(at) for at in stretch)])
        return cursor.fetchall()


@cache
def _rollups_statement(postgresql: bool, with_intervals: bool) -> str:
    rollups = Rollup._meta.db_table
    counts = "r.intervals" if with_intervals else "NULL"
    if postgresql:
        # OFFSET fixes the join order: otherwise the planner reads that time range of all monitors.
        return (
            "SELECT extract(epoch FROM r.start)::bigint, r.monitor_id, r.ups, r.downs, r.last_message,"
            f" r.value_count, r.value_sum, {counts}"
            " FROM unnest(%s::bigint[]) AS given(id) CROSS JOIN LATERAL ("
            f"SELECT * FROM {rollups} WHERE monitor_id = given.id"
            " AND start >= %s::timestamptz AND start < %s::timestamptz OFFSET 0) AS r"
        )
    return (
        "SELECT CAST(strftime('%%s', r.start) AS INTEGER), r.monitor_id, r.ups, r.downs, r.last_message,"
        f" r.value_count, r.value_sum, {counts}"
        f" FROM json_each(%s) AS given CROSS JOIN {rollups} r"
        " WHERE r.monitor_id = given.value AND r.start >= %s AND r.start < %s"
    )


def clamped(column: str, postgresql: bool) -> str:
    """Return an SQL expression for the value in `column`, changed so that a sum of many does not overflow."""
    if postgresql:
        return f"greatest(least({column}, {_HUGE}), -{_HUGE})"
    return f"max(min({column}, {_HUGE}), -{_HUGE})"


@cache
def _sums_statement(postgresql: bool) -> str:
    heartbeats = Heartbeat._meta.db_table
    if postgresql:
        # LATERAL, else the planner may prefer a full join and read the whole table.
        return (
            "SELECT given.id, stretch.number - 1, said.*"
            " FROM unnest(%s::bigint[]) AS given(id)"
            " CROSS JOIN unnest(%s::timestamptz[], %s::timestamptz[])"
            " WITH ORDINALITY AS stretch(starts, ends, number)"
            " CROSS JOIN LATERAL ("
            "SELECT count(*) FILTER (WHERE h.status = 'up'), count(*) FILTER (WHERE h.status = 'down'),"
            " (array_agg(h.message ORDER BY h.status, h.received_at DESC, h.id DESC))[1],"
            " count(h.value), min(h.value), max(h.value),"
            f" sum({clamped('h.value', postgresql)}) FILTER (WHERE h.value IS NOT NULL)"
            f" FROM {heartbeats} h WHERE h.monitor_id = given.id"
            " AND h.received_at >= stretch.starts AND h.received_at < stretch.ends"
            " HAVING count(*) > 0) AS said"
        )
    # CROSS JOIN fixes the join order.
    among = (
        "{0}.monitor_id = given.value AND {0}.received_at >= json_extract(stretch.value, '$[0]')"
        " AND {0}.received_at < json_extract(stretch.value, '$[1]')"
    )
    return (
        "SELECT given.value, stretch.key, sum(h.status = 'up'), sum(h.status = 'down'),"
        f" (SELECT l.message FROM {heartbeats} l WHERE {among.format('l')}"
        " ORDER BY l.status, l.received_at DESC, l.id DESC LIMIT 1),"
        f" count(h.value), min(h.value), max(h.value), sum({clamped('h.value', postgresql)})"
        " FROM json_each(%s) AS given CROSS JOIN json_each(%s) AS stretch"
        f" CROSS JOIN {heartbeats} h WHERE {among.format('h')}"
        " GROUP BY given.value, stretch.key"
    )


@cache
def _intervals_statement(postgresql: bool) -> str:
    heartbeats = Heartbeat._meta.db_table
    # Each monitor's heartbeats, beginning with the last one before the stretch.
    among = (
        "h.monitor_id = given.{id} AND h.received_at >= COALESCE("
        f"(SELECT b.received_at FROM {heartbeats} b WHERE b.monitor_id = given.{{id}}"
        " AND b.received_at < %s ORDER BY b.received_at DESC LIMIT 1), %s) AND h.received_at < %s"
    )
    bucket = f"CAST(floor(ln({{}}({{}}, {intervals.LEAST})) * {intervals.SCALE!r}) AS integer)"
    if postgresql:
        length = bucket.format("greatest", "extract(epoch FROM said.length)::float8")
        return (
            f"SELECT given.id, {length} AS bucket, count(*)"
            " FROM unnest(%s::bigint[]) AS given(id) CROSS JOIN LATERAL ("
            "SELECT h.received_at, h.received_at - lag(h.received_at) OVER (ORDER BY h.received_at) AS length"
            f" FROM {heartbeats} h WHERE {among.format(id='id')}) AS said"
            " WHERE said.received_at >= %s AND said.length IS NOT NULL GROUP BY 1, 2"
        )
    length = bucket.format("max", "said.length * 86400")
    return (
        f"SELECT said.id, {length} AS bucket, count(*) FROM ("
        "SELECT given.value AS id, h.received_at, julianday(h.received_at) - lag(julianday(h.received_at))"
        " OVER (PARTITION BY given.value ORDER BY h.received_at) AS length"
        f" FROM json_each(%s) AS given CROSS JOIN {heartbeats} h WHERE {among.format(id='value')}) AS said"
        " WHERE said.received_at >= %s AND said.length IS NOT NULL GROUP BY 1, 2"
    )
