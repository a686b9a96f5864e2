"""Whether the sweep has anything to do: one query, made every second, that mostly says no."""

from __future__ import annotations

from functools import cache

from django.db import connection

from core.clock import sql_now
from monitors.models import MonitorState, Watermark


def something_is_due() -> bool:
    """Return whether a state is due, by the database's clock and the watermark, as for the sweep.

    One query on the index of `due_at`. It takes no lock, which on SQLite would be the only one.
    """
    with connection.cursor() as cursor:
        cursor.execute(_statement(connection.vendor), [])
        return bool(cursor.fetchone()[0])


@cache
def _statement(vendor: str) -> str:
    earlier = "least" if vendor == "postgresql" else "min"
    # In a SELECT of its own, the time is computed once, before the index is searched for it.
    horizon = (
        f"SELECT {earlier}(now, coalesce((SELECT until FROM {Watermark._meta.db_table}), now))"
        f" FROM (SELECT {sql_now()} AS now) AS clock"
    )
    return f"SELECT EXISTS (SELECT 1 FROM {MonitorState._meta.db_table} WHERE due_at <= ({horizon}))"
