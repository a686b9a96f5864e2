"""Many rows in one statement whose text never changes: they are passed as one JSON parameter.

With the ORM, building such a statement takes several times as long as the database takes to run it.
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
        columns: names with their PostgreSQL types; SQLite uses the JSON types.
    """
    if postgresql:
        picked = ", ".join(
            f"(value->>{at})::{kind} AS {name}" for at, (name, kind) in enumerate(columns.items())
        )
        return f"SELECT {picked} FROM json_array_elements(%s::json)"
    picked = ", ".join(f"json_extract(value, '$[{at}]') AS {name}" for at, name in enumerate(columns))
    return f"SELECT {picked} FROM json_each(%s)"


def run(statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run a statement built around `as_select` with `rows`; does nothing without rows."""
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(statement, [json.dumps(rows)])


def write_time(value: datetime | None) -> str | None:
    """Return a time as the database stores it."""
    if value is None:
        return None
    return str(connection.ops.adapt_datetimefield_value(value))


def among(ids: Iterable[int]) -> Any:
    """Return a value for `...__in=` that takes one parameter for any number of `ids`.

    With one parameter each, sending thousands of ids takes longer than reading the rows.
    """
    given = list(ids)
    if connection.vendor != "postgresql":
        return given
    return RawSQL("SELECT unnest(%s::bigint[])", [given])
