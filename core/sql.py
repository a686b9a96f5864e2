"""Many rows in one statement, always with the same text: they travel as one JSON parameter.

Through the ORM, putting such a statement together costs several times what the database takes to run it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models.expressions import RawSQL


def as_select(columns: Mapping[str, str], postgresql: bool) -> str:
    """Return the rows of a JSON array of arrays as a SELECT of `columns`.

    Args:
        columns: names with their PostgreSQL types; SQLite takes what JSON gives.
    """
    if postgresql:
        picked = ", ".join(
            f"(value->>{at})::{kind} AS {name}" for at, (name, kind) in enumerate(columns.items())
        )
        return f"SELECT {picked} FROM json_array_elements(%s::json)"
    picked = ", ".join(f"json_extract(value, '$[{at}]') AS {name}" for at, name in enumerate(columns))
    return f"SELECT {picked} FROM json_each(%s)"


def run(statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run a statement around `as_select` with `rows`; nothing where there are none."""
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(statement, [json.dumps(rows)])


def write_time(value: datetime | None) -> str | None:
    """Return a time as the database's column writes it."""
    if value is None:
        return None
    return str(connection.ops.adapt_datetimefield_value(value))


def among(ids: Iterable[int]) -> Any:
    """Return what `...__in=` takes for `ids`, one parameter however many they are.

    As a parameter each, thousands of them take longer to send than the rows take to read.
    """
    given = list(ids)
    if connection.vendor != "postgresql":
        return given
    return RawSQL("SELECT unnest(%s::bigint[])", [given])
