"""Return a database connection to the pool while it is not needed."""

from __future__ import annotations

from django.db import connection


def release_connection() -> None:
    """Return the pooled database connection; the next query takes one again.

    Waiting for a remote server must not use up the pool. Does nothing inside a transaction or without a
    pool.
    """
    if "pool" in connection.settings_dict.get("OPTIONS", {}) and not connection.in_atomic_block:
        connection.close()
