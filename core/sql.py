"""Many rows in one statement whose text never changes: they are passed as one JSON parameter.

With the ORM, building such a statement takes several times as long as the database takes to run it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model
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


def insert(rows: Sequence[Model]) -> None:
    """Insert new rows of one table, in one statement, and set their row ids."""
    if not rows:
        return
    columns, inserting, _updating = _statements(type(rows[0]), connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(inserting, [_as_json(rows, columns)])
        # In the order of `rows`, as Django's bulk_create expects too.
        for row, (pk,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = pk


def update(rows: Sequence[Model]) -> None:
    """Write all columns of rows of one table, which the caller has locked, in one statement."""
    if not rows:
        return
    columns, _inserting, updating = _statements(type(rows[0]), connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(updating, [_as_json(rows, ("id", *columns))])


@cache
def _statements(model: type[Model], vendor: str) -> tuple[tuple[str, ...], str, str]:
    """Return the columns of `model` as attributes, without the id, and how to insert and to update them."""
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    # Without lengths, at which a cast would cut a text.
    types = {str(field.column): str(field.db_type(connection)).partition("(")[0] for field in fields}
    table, names, postgresql = model._meta.db_table, ", ".join(types), vendor == "postgresql"
    inserted = as_select(types, postgresql)
    updated = as_select({"id": "bigint"} | types, postgresql)
    assignments = ", ".join(f"{name} = given.{name}" for name in types)
    return (
        tuple(field.attname for field in fields),
        f"INSERT INTO {table} ({names}) SELECT {names} FROM ({inserted}) AS given RETURNING id",
        f"UPDATE {table} SET {assignments} FROM ({updated}) AS given WHERE {table}.id = given.id",
    )


def _as_json(rows: Sequence[Model], columns: Sequence[str]) -> str:
    return json.dumps([[getattr(row, name) for name in columns] for row in rows], default=_stored)


def _stored(value: object) -> str | None:
    return value.hex if isinstance(value, UUID) else write_time(value)  # type: ignore[arg-type]


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
