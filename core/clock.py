"""The only clock is the database's; what is measured within a process, by one that is never set."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from django.db import connection
from django.utils.dateparse import parse_datetime


def sql_now() -> str:
    """Return an SQL expression for the database's time, comparable with a stored time."""
    if connection.vendor == "postgresql":
        return "clock_timestamp()"
    # Percent signs are doubled for parameter formatting. Times are compared as text, so this has as many
    # digits as a stored time.
    return "(strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now') || '000')"


def database_now() -> datetime:
    """Return the database's time as an aware UTC datetime.

    Inside a transaction it is the time of this statement, not of the transaction's start. A time taken after
    a lock was granted is therefore later than whatever the lock waited for.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql_now()}", [])
        (now,) = cursor.fetchone()
    if isinstance(now, str):
        parsed = parse_datetime(now)
        assert parsed is not None
        return parsed.replace(tzinfo=UTC)
    return now.astimezone(UTC)


def steady_seconds() -> float:
    """Return the seconds of a clock that is never set, and that includes the time the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
