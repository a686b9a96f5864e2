"""How many examples Hypothesis tries."""

from __future__ import annotations

from django.db import connection


def examples(number: int) -> int:
    """Return `number`, or a third of it on PostgreSQL, where each of an example's statements takes longer.

    What fails with a rare example is nearly always our own code, which has all of them on SQLite.
    """
    return number if connection.vendor == "sqlite" else -(-number // 3)
