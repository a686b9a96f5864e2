"""Heartbeats in one partition a day on PostgreSQL: made ahead, and dropped whole. SQLite has one table.

What has no partition goes to the default one, which should be empty: `fault` says so if it isn't, and
`make_ahead` makes partitions of it. Days are in UTC.

Pushes never wait for longer than a moment. Making a day locks only the new table and the default partition
against them. Dropping one locks the whole table, but a wait for that lock ends after _LOCK_MS, and is tried
again: whoever comes after a statement that waits for a lock waits behind it. (DETACH CONCURRENTLY needs no
such lock, but PostgreSQL refuses it for a table with a default partition.) Each change is one statement,
which commits without another round trip.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import OperationalError, connection, transaction
from django.utils.translation import gettext as _

from core.clock import database_now
from monitors.models import Heartbeat

log = structlog.get_logger(__name__)

TABLE = Heartbeat._meta.db_table
DEFAULT = f"{TABLE}_default"
DAYS_AHEAD = 7
DAY = timedelta(days=1)

_NEXT_DEFAULT = f"{TABLE}_next"
_CHECK = f"{DEFAULT}_time"
_LOCK_MS = 15
_TRIES, _PAUSE_SECONDS = 60, 0.25
# PostgreSQL's codes for a lock that was not available in time, and for a deadlock.
_BUSY = ("55P03", "40P01")

_PARTITIONS = (
    "SELECT c.relname, (regexp_match(bound, $r$ FROM \\('([^']+)'\\)$r$))[1]::timestamptz AS starts_at,"
    " (regexp_match(bound, $r$ TO \\('([^']+)'\\)$r$))[1]::timestamptz AS ends_at"
    " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS bound"
    f" WHERE i.inhparent = '{TABLE}'::regclass"
)


@dataclass(frozen=True, slots=True)
class Partition:
    """The heartbeats from `start` until before `end`. The first has no start, the default one neither."""

    name: str
    start: datetime | None
    end: datetime | None

    @property
    def is_of_one_day(self) -> bool:
        return self.start is not None and self.end is not None and self.end - self.start <= DAY


def partitions() -> list[Partition]:
    """Return all partitions, oldest first and the default one last. None on SQLite."""
    if connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"{_PARTITIONS} ORDER BY ends_at NULLS LAST")
        return [Partition(*row) for row in cursor.fetchall()]


def make_ahead(*, now: datetime | None = None, days: int = DAYS_AHEAD) -> None:
    """Make the partitions of today and of the next `days` days, and empty the default partition.

    Safe to run twice at once. Does nothing on SQLite.

    Args:
        now: the database's time, if the caller knows it.

    Raises:
        django.db.OperationalError: a lock was not available in many tries; the next run goes on.
    """
    if connection.vendor != "postgresql":
        return
    today = _day_of(now or database_now())
    _empty_default(today)
    there = partitions()
    for number in range(days + 1):
        start = today + number * DAY
        if not any(_overlap(each, start, start + DAY) for each in there):
            _make(start)


def make_of(days: Iterable[str]) -> None:
    """Make the partitions of `days` in UTC, as in ISO 8601, that are missing. Does nothing on SQLite.

    For rows that are about to be loaded: so the default partition takes none of them.
    """
    there = partitions()
    if not there:
        # Also the one table of the version before partitions.
        return
    for day in days:
        start = datetime.fromisoformat(day).replace(tzinfo=UTC)
        if not any(_overlap(each, start, start + DAY) for each in there):
            _make(start)


def drop_first_of_new() -> None:
    """Drop the partition without a start of a table that was just made: all days are to have their own.

    It is made for the rows of the version before partitions. Nothing may be in it.
    """
    with connection.cursor() as cursor:
        for each in partitions():
            if each.end is None or each.start is not None:
                continue
            cursor.execute(f"SELECT EXISTS (SELECT FROM {each.name})")
            assert not cursor.fetchone()[0], "it has rows"
            _drop(each.name)


def drop_old(*, before: datetime) -> list[str]:
    """Drop the partitions that end by `before`; return their names. It takes as long with any number of rows.

    Raises:
        django.db.OperationalError: a lock was not available in many tries; the next run goes on.
    """
    old = [each.name for each in partitions() if each.end is not None and each.end <= before]
    for name in old:
        _drop(name)
        log.info("heartbeats of a partition deleted", partition=name)
    return old


def tables_without_days() -> list[str]:
    """Return the tables whose old rows have to be deleted row by row: they are not of one day."""
    if connection.vendor != "postgresql":
        return [TABLE]
    return [each.name for each in partitions() if not each.is_of_one_day]


def fault() -> str:
    """Return what is wrong with the partitions, as a sentence for people, or "". One query."""
    if connection.vendor != "postgresql":
        return ""
    tomorrow = "date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '1 day'"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {DEFAULT}), coalesce(max(ends_at) > {tomorrow}, false)"
            f" FROM ({_PARTITIONS}) AS each"
        )
        default_is_used, tomorrow_is_there = cursor.fetchone()
    if default_is_used:
        return _("Heartbeats arrive that no partition was made for.")
    return "" if tomorrow_is_there else _("There is no partition for tomorrow's heartbeats.")


def _make(start: datetime) -> None:
    """Make the partition of the day from `start`. The default one is empty, so that nothing is read."""
    name = f"{TABLE}_{start:%Y%m%d}"
    _briefly(
        # One at a time; whoever comes second finds it made.
        f"LOCK TABLE ONLY {TABLE} IN SHARE UPDATE EXCLUSIVE MODE;"
        f" IF to_regclass('{name}') IS NOT NULL THEN RETURN; END IF;"
        f" {_create(name)}"
        f" ALTER TABLE {TABLE} ATTACH PARTITION {name} {_bounds(start, start + DAY)};"
    )


def _drop(name: str) -> None:
    # The whole table last, which pushes wait for. The file is removed after the locks were released.
    _briefly(
        f"IF to_regclass('{name}') IS NULL THEN RETURN; END IF;"
        f" LOCK TABLE ONLY {name} IN ACCESS EXCLUSIVE MODE;"
        f" LOCK TABLE ONLY {DEFAULT} IN ACCESS EXCLUSIVE MODE;"
        f" LOCK TABLE ONLY {TABLE} IN ACCESS EXCLUSIVE MODE;"
        f" DROP TABLE {name};"
    )


def _empty_default(today: datetime) -> None:
    """Turn the default partition into one of the days of its rows, and put an empty one in its place.

    No row is copied or deleted, and none is ever invisible: the table gets another name and other bounds.
    A constraint that is checked before, while pushes go on, saves reading it under a lock.
    """
    if not _default_is_used():
        return
    with connection.cursor() as cursor, _for_as_long_as_it_takes():
        cursor.execute(f"SELECT min(received_at), max(received_at) FROM {DEFAULT}")
        oldest, newest = cursor.fetchone()
    if oldest is None:
        return
    start, end = _day_of(oldest), _day_of(newest) + DAY
    between = [each.name for each in partitions() if _overlap(each, start, end)]
    log.error(
        "heartbeats arrived that no partition was made for",
        oldest=oldest.isoformat(),
        newest=newest.isoformat(),
        partitions_between=between,
    )
    if between:
        # Only if partitions were removed by hand. The rows stay where they are, and are read as all others.
        return
    if newest >= today:
        end = _room_for_midnight(end)
    name = f"{TABLE}_{start:%Y%m%d}_to_{end - DAY:%Y%m%d}"
    _briefly(
        f"DROP TABLE IF EXISTS {_NEXT_DEFAULT};"
        f" {_create(_NEXT_DEFAULT)}"
        f" ALTER TABLE {DEFAULT} DROP CONSTRAINT IF EXISTS {_CHECK}, ADD CONSTRAINT {_CHECK}"
        f" CHECK (received_at >= '{start.isoformat()}' AND received_at < '{end.isoformat()}') NOT VALID;"
    )
    with connection.cursor() as cursor, _for_as_long_as_it_takes():
        cursor.execute(f"ALTER TABLE {DEFAULT} VALIDATE CONSTRAINT {_CHECK}")
    _briefly(
        f"LOCK TABLE ONLY {DEFAULT} IN ACCESS EXCLUSIVE MODE;"
        f" LOCK TABLE ONLY {TABLE} IN ACCESS EXCLUSIVE MODE;"
        f" ALTER TABLE {TABLE} DETACH PARTITION {DEFAULT};"
        f" ALTER TABLE {DEFAULT} RENAME TO {name};"
        f" ALTER TABLE {TABLE} ATTACH PARTITION {name} {_bounds(start, end)};"
        f" ALTER TABLE {name} DROP CONSTRAINT {_CHECK};"
        f" ALTER TABLE {_NEXT_DEFAULT} RENAME TO {DEFAULT};"
        f" ALTER TABLE {TABLE} ATTACH PARTITION {DEFAULT} DEFAULT;"
    )
    log.info("the default partition is empty again", partition=name)


def _room_for_midnight(end: datetime) -> datetime:
    """Return a later end for a partition that takes heartbeats now, if there is none of the next day."""
    return end if any(_overlap(each, end, end + DAY) for each in partitions()) else end + DAY


def _default_is_used() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {DEFAULT})")
        return bool(cursor.fetchone()[0])


def _create(name: str) -> str:
    # PostgreSQL 17 and later don't attach a table with an identity column of its own.
    return f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL EXCLUDING IDENTITY);"


def _bounds(start: datetime, end: datetime) -> str:
    return f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"


def _overlap(partition: Partition, start: datetime, end: datetime) -> bool:
    if partition.end is None:
        return False
    return partition.end > start and (partition.start is None or partition.start < end)


def _day_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _briefly(statements: str) -> None:
    """Run statements as one, in one transaction; if it waits for a lock for _LOCK_MS, try again."""
    block = f"DO $do$ BEGIN PERFORM set_config('lock_timeout', '{_LOCK_MS}', true); {statements} END $do$"
    for tries_left in reversed(range(_TRIES)):
        try:
            # A failure must not end a transaction around this; without one, none is begun.
            with transaction.atomic() if connection.in_atomic_block else nullcontext():
                _execute(block)
            return
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in _BUSY or not tries_left:
                raise
        time.sleep(_PAUSE_SECONDS)


def _execute(statement: str) -> Any:
    with connection.cursor() as cursor:
        return cursor.execute(statement)


@contextmanager
def _for_as_long_as_it_takes() -> Iterator[None]:
    """Lift the time limits of the connection, for statements that read a whole table and block nothing."""
    with transaction.atomic():
        raw = connection.connection
        limit = raw.respond_within
        _execute("SET LOCAL statement_timeout = 0")
        raw.respond_within = None
        try:
            yield
        finally:
            raw.respond_within = limit
