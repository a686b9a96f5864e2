"""A monitor's heartbeats over time, in buckets for charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

from django.db import connection

from monitors.domain.recurrence import Stretch
from monitors.domain.time_slots import SPANS, edges
from monitors.history.days import days_of
from monitors.history.gaps import between
from monitors.history.rollups import HALF_HOUR, clamped, sums, with_workspaces
from monitors.history.uptimes import overlapping
from monitors.models import Heartbeat, Incident, Monitor, RolledUp, Rollup
from monitors.services.outdated_days import day_of, midnight

# More than this makes no visible difference in a picture of that size.
INCIDENTS = 500
_HALF_HOUR, _DAY = int(HALF_HOUR.total_seconds()), 86_400


@dataclass(frozen=True, slots=True)
class Range:
    """The time range of a chart, in `buckets` equal parts.

    `counted` ranges are read from the heartbeats themselves; the others from rollups, so their buckets are
    multiples of half an hour, or of a day of UTC.
    """

    slug: str
    span: timedelta
    buckets: int
    counted: bool = False


RANGES = {
    each.slug: each
    for each in (
        Range("1h", SPANS["1h"], 60, counted=True),
        Range("24h", SPANS["24h"], 144, counted=True),
        Range("7d", SPANS["7d"], 168),
        Range("30d", SPANS["30d"], 180),
        Range("90d", SPANS["90d"], 90),
        Range("1y", SPANS["1y"], 73),
    )
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """The heartbeats from `start` to `end`, `end` not included.

    `values` is how many of the `heartbeats` had a value; `low`, `mean` and `high` are theirs, None if there
    are none. `gaps` is how many gaps between two heartbeats ended in it; `gap_mean` and `gap_max` are theirs
    in seconds, None if unknown.
    """

    start: datetime
    end: datetime
    heartbeats: int = 0
    values: int = 0
    low: float | None = None
    mean: float | None = None
    high: float | None = None
    gaps: int = 0
    gap_mean: float | None = None
    gap_max: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """The buckets of one range, oldest first, `now` in the last; and the incidents in it, newest first.

    `gaps` are the stretches in which Tianji was not listening, in order and disjoint.
    """

    range: Range
    now: datetime
    buckets: list[Bucket]
    incidents: list[Incident]
    gaps: list[Stretch]


def series_of(monitor: Monitor, wanted: Range, *, now: datetime) -> Series:
    """Return the data for the charts of `monitor` up to `now`, the database's time.

    Three queries for a counted range, five for others, seven if buckets are of days. If gaps are not
    measured, their mean is estimated from the number of heartbeats and the longest is unknown. At most
    `INCIDENTS` incidents.
    """
    bounds = edges(now, span=wanted.span, slots=wanted.buckets)
    found = _counted(monitor, bounds) if wanted.counted else _added_up(monitor, bounds, now)
    buckets = [found.get(int(start.timestamp())) or Bucket(start, end) for start, end in pairwise(bounds)]
    if not wanted.counted:
        buckets = estimated(buckets, now)
    incidents = overlapping(Incident.objects.filter(monitor=monitor), start=bounds[0], end=bounds[-1])
    return Series(
        range=wanted,
        now=now,
        buckets=buckets,
        incidents=list(incidents.order_by("-started_at", "-pk")[:INCIDENTS]),
        gaps=between(max(bounds[0], monitor.created_at), now),
    )


def estimated(buckets: Sequence[Bucket], now: datetime) -> list[Bucket]:
    """Return `buckets`, oldest first, with the mean gap estimated from the number of heartbeats.

    From the end of one bucket with heartbeats to the end of the next, as many gaps ended as heartbeats
    arrived. Before the first such bucket nothing is known; the newest one only counts once half of its time
    has passed.
    """
    estimates: list[Bucket] = []
    before: datetime | None = None
    for bucket in buckets:
        mean = None
        if bucket.heartbeats and before is not None:
            passed = min(bucket.end, now) - before
            if passed * 2 >= bucket.end - bucket.start:
                mean = passed.total_seconds() / bucket.heartbeats
        gaps = bucket.heartbeats if mean is not None else 0
        estimates.append(replace(bucket, gaps=gaps, gap_mean=mean, gap_max=None))
        before = bucket.end if bucket.heartbeats else before
    return estimates


# --- From heartbeats --------------------------------------------------------------------------------


def _counted(monitor: Monitor, bounds: Sequence[datetime]) -> dict[int, Bucket]:
    """Return the buckets that have heartbeats, by their start in seconds since 1970. One query."""
    width = bounds[1] - bounds[0]
    start, end = _written((bounds[0], bounds[-1]))
    seconds = int(width.total_seconds())
    postgresql = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        by = [width] if postgresql else [seconds, seconds]
        ids = monitor.workspace_id, monitor.pk
        cursor.execute(_counted_statement(postgresql), [*by, *ids, *ids, start, start, end, start])
        rows = cursor.fetchall()
    return {
        epoch: Bucket(
            start=datetime.fromtimestamp(epoch, UTC),
            end=datetime.fromtimestamp(epoch + seconds, UTC),
            heartbeats=heartbeats,
            values=values,
            low=low,
            mean=_mean(total, values, low, high),
            high=high,
            gaps=gaps,
            gap_mean=gap_sum / gaps if gaps else None,
            gap_max=gap_max,
        )
        for epoch, heartbeats, values, low, high, total, gaps, gap_sum, gap_max in rows
    }


@cache
def _counted_statement(postgresql: bool) -> str:
    heartbeats = Heartbeat._meta.db_table
    if postgresql:
        bucket = "date_bin(%s, received_at, timestamptz '1970-01-01 00:00:00Z')"
        epoch, at = "extract(epoch FROM bucket)::bigint", "received_at"
        length = "extract(epoch FROM {}(gap))::float8"
    else:
        bucket = "CAST(strftime('%%s', received_at) AS INTEGER) / %s * %s"
        epoch, at = "bucket", "julianday(received_at)"
        length = "{}(gap) * 86400"
    # Starts with the last heartbeat before the range, so that the first gap is known too.
    return (
        f"SELECT {epoch}, count(*), count(value), min(value), max(value),"
        f" sum(CASE WHEN value IS NOT NULL THEN {clamped('value', postgresql)} END),"
        f" count(gap), {length.format('sum')}, {length.format('max')}"
        f" FROM (SELECT {bucket} AS bucket, received_at, value,"
        f" {at} - lag({at}) OVER (ORDER BY received_at) AS gap"
        f" FROM {heartbeats} WHERE workspace_id = %s AND monitor_id = %s AND received_at >= COALESCE("
        f"(SELECT received_at FROM {heartbeats} WHERE workspace_id = %s AND monitor_id = %s"
        " AND received_at < %s ORDER BY received_at DESC LIMIT 1), %s) AND received_at < %s) AS h"
        " WHERE received_at >= %s GROUP BY bucket"
    )


# --- From rollups -----------------------------------------------------------------------------------

# Start (seconds since 1970), number of heartbeats and of values, lowest, highest, sum.
_Part = tuple[int, int, int, float | None, float | None, float | None]


def _added_up(monitor: Monitor, bounds: Sequence[datetime], now: datetime) -> dict[int, Bucket]:
    """Like `_counted`, but without gaps, from rollups and from heartbeats not rolled up yet."""
    parts: list[_Part] = []
    seconds = int((bounds[1] - bounds[0]).total_seconds())
    if seconds % _DAY == 0:
        days = days_of([monitor], first=day_of(bounds[0]), now=now)
        for row in days.rows[monitor.pk]:
            start = int(midnight(row.day).timestamp())
            of_values = (row.value_count, row.value_min, row.value_max, row.value_sum)
            parts.append((start, row.ups + row.downs, *of_values))
        rest = midnight(days.until)
        bounds = [rest, *(bound for bound in bounds if bound > rest)]
    # Read before the rollups, and only these are used: those written in between would count twice.
    done = _rolled_up(bounds)
    parts += [part for part in _rollups(monitor, bounds) if part[0] in done]
    stretches = _not_rolled_up(bounds, done, now)
    for each in sums(with_workspaces([monitor]), stretches):
        start = int(stretches[each.stretch][0].timestamp())
        heartbeats = each.ups + each.downs
        parts.append((start, heartbeats, each.value_count, each.value_min, each.value_max, each.value_sum))
    grouped: dict[int, list[_Part]] = {}
    for part in parts:
        # Without heartbeats there is no bucket.
        if not part[1]:
            continue
        grouped.setdefault(part[0] // seconds * seconds, []).append(part)
    return {epoch: _merged(epoch, seconds, group) for epoch, group in grouped.items()}


def _merged(epoch: int, seconds: int, parts: Sequence[_Part]) -> Bucket:
    values = sum(part[2] for part in parts)
    low = min((part[3] for part in parts if part[3] is not None), default=None)
    high = max((part[4] for part in parts if part[4] is not None), default=None)
    return Bucket(
        start=datetime.fromtimestamp(epoch, UTC),
        end=datetime.fromtimestamp(epoch + seconds, UTC),
        heartbeats=sum(part[1] for part in parts),
        values=values,
        low=low,
        mean=_mean(sum(part[5] or 0.0 for part in parts), values, low, high),
        high=high,
    )


def _mean(total: float | None, values: int, low: float | None, high: float | None) -> float | None:
    if not values or total is None or low is None or high is None:
        return None
    # Sums with values beyond 1e300 are too small, and any sum is rounded.
    return min(max(total / values, low), high)


def _rolled_up(bounds: Sequence[datetime]) -> set[int]:
    """Return the half hours whose rollups are complete."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_epoch()} FROM {RolledUp._meta.db_table} WHERE start >= %s AND start < %s",
            _written((bounds[0], bounds[-1])),
        )
        return {epoch for (epoch,) in cursor.fetchall()}


def _rollups(monitor: Monitor, bounds: Sequence[datetime]) -> list[_Part]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_epoch()}, ups + downs, value_count, value_min, value_max, value_sum"
            f" FROM {Rollup._meta.db_table}"
            " WHERE workspace_id = %s AND monitor_id = %s AND start >= %s AND start < %s",
            [monitor.workspace_id, monitor.pk, *_written((bounds[0], bounds[-1]))],
        )
        return cursor.fetchall()


def _not_rolled_up(bounds: Sequence[datetime], done: set[int], now: datetime) -> list[Stretch]:
    """Return the stretches whose heartbeats have to be read, oldest first, each within one bucket."""
    found: list[tuple[int, int]] = []
    last = int(now.timestamp())
    for start, end in pairwise(int(bound.timestamp()) for bound in bounds):
        begun = len(found)
        for at in range(start, min(end, last + 1), _HALF_HOUR):
            if at in done:
                continue
            if len(found) > begun and found[-1][1] == at:
                found[-1] = (found[-1][0], at + _HALF_HOUR)
            else:
                found.append((at, at + _HALF_HOUR))
    return [(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)) for start, end in found]


def _epoch() -> str:
    """Return an expression for `start` in whole seconds since 1970, much cheaper to read than a time."""
    if connection.vendor == "postgresql":
        return "extract(epoch FROM start)::bigint"
    return "CAST(strftime('%%s', start) AS INTEGER)"


def _written(times: Iterable[datetime]) -> list[str | datetime | None]:
    """Return times as query parameters of this database."""
    return [connection.ops.adapt_datetimefield_value(at) for at in times]
