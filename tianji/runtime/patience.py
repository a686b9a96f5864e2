"""For commands that may take long: without the time limits of requests, and one at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

# Any number will do, as long as all containers use the same.
_ADVISORY_LOCK = 7_215_001
_ASK_AGAIN_SECONDS = 0.2


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Make commands that change the schema of one PostgreSQL database run one after the other."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        # Another container's migrations may take longer than any request may wait.
        cursor.execute(
            "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"
        )
        connection.connection.respond_within = None
        # Asked again and again: a statement that waits would keep the other container from creating an index
        # concurrently, which waits for all others.
        while not _has_lock(cursor):
            time.sleep(_ASK_AGAIN_SECONDS)
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_LOCK])


def _has_lock(cursor: Any) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ADVISORY_LOCK])
    return bool(cursor.fetchone()[0])
