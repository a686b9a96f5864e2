"""Many rows in one statement whose text never changes: their number is not part of it.

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
    """Return the rows that `as_parameters` passes as a SELECT of `columns`.

    Args:
        columns: names with their PostgreSQL types; SQLite uses the JSON types.
    """
    if postgresql:
        arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
        return f"SELECT * FROM unnest({arrays}) AS given ({', '.join(columns)})"
    picked = ", ".join(f"json_extract(value, '$[{at}]') AS {name}" for at, name in enumerate(columns))
    return f"SELECT {picked} FROM json_each(%s)"


def as_parameters(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the parameters of `as_select` for `rows`, of which there must be one at least.

    Columns have text, numbers, booleans or None. For PostgreSQL that is an array for each column: of one row,
    they cost a fifth of what JSON costs.
    """
    if connection.vendor != "postgresql":
        return [json.dumps(rows)]
    return [as_array(column) for column in zip(*rows, strict=True)]


def as_array(values: Sequence[Any]) -> Any:
    """Return a parameter for an array of PostgreSQL: text, numbers, booleans or None.

    Numbers are written out, because psycopg's type for them depends on the largest, and PostgreSQL plans a
    statement again for each type.
    """
    if any(isinstance(value, str) for value in values):
        return list(values)
    return f"{{{','.join('NULL' if value is None else str(value) for value in values)}}}"


def run(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement built around `as_select` with `rows`; does nothing without rows."""
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(statement, as_parameters(rows))


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
