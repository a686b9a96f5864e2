"""The one clock: the database's."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connection
from django.utils.dateparse import parse_datetime


def sql_now() -> str:
    """Return the database's time as an expression of its SQL, comparable with a stored time."""
    if connection.vendor == "postgresql":
        return "clock_timestamp()"
    # Doubled, because the text goes through parameter formatting. With as many digits as a stored time:
    # they are compared as texts, and of two times of one millisecond the longer text is no later.
    return "(strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now') || '000')"


def database_now() -> datetime:
    """Return the database's time as an aware UTC datetime.

    Inside a transaction it is the time of this statement, not of the transaction's start, so that a
    time taken after a lock was granted lies after whatever the lock waited for.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql_now()}", [])
        (now,) = cursor.fetchone()
    if isinstance(now, str):
        parsed = parse_datetime(now)
        assert parsed is not None
        return parsed.replace(tzinfo=UTC)
    return now.astimezone(UTC)
