"""How many examples are tried, by Hypothesis or from a list: all on SQLite, a third of them on PostgreSQL.

What fails with a rare example is nearly always our own code, which has all of them on SQLite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from django.db import connection

T = TypeVar("T")
_ONE_IN = 3


def examples(number: int) -> int:
    """Return `number`, or a third of it on PostgreSQL."""
    return number if connection.vendor == "sqlite" else -(-number // _ONE_IN)


def sampled(cases: Sequence[T]) -> Sequence[T]:
    """Return `cases`, or each third of them on PostgreSQL."""
    return cases if connection.vendor == "sqlite" else cases[::_ONE_IN]
