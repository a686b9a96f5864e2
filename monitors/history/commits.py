"""Which rows may still be committed, though their times have passed."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

# Whoever reads this counts as no writer. Sessions of other roles don't show when they began.
_STATEMENT = """
    SELECT min(xact_start) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
"""


def all_committed_before() -> datetime | None:
    """Return when the oldest transaction began that still writes; None if there is none.

    A heartbeat's time is taken in its transaction, so all that are older than this have been committed.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_STATEMENT)
            began: datetime | None = cursor.fetchone()[0]
        return began
    # SQLite has one writer at a time: those that had begun have finished once it is our turn.
    with transaction.atomic():
        return None
