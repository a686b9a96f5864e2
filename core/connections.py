"""Give a database connection back while it is not needed."""

from __future__ import annotations

from django.db import connection


def let_go_of_the_connection() -> None:
    """Give the pooled database connection back; the next query takes one again.

    Whoever waits for somebody else's machine meanwhile must not use the pool up. Inside a
    transaction, and where there is no pool, nothing happens.
    """
    if "pool" in connection.settings_dict.get("OPTIONS", {}) and not connection.in_atomic_block:
        connection.close()
