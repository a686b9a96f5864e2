"""Many rows in one statement whose text never changes: their number is not part of it.

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
from django.db.models import Field, Model
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


def insert(rows: Sequence[Model]) -> None:
    """Insert new rows of one table, in one statement, and set their row ids."""
    if not rows:
        return
    fields, inserting, _updating = _statements(type(rows[0]), connection.vendor)
    values = [[_stored(field.pre_save(row, True)) for field in fields] for row in rows]
    with connection.cursor() as cursor:
        cursor.execute(inserting, as_parameters(values))
        # In the order of `rows`, as Django's bulk_create expects too.
        for row, (pk,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = pk


def update(rows: Sequence[Model]) -> None:
    """Write all columns of rows of one table, which the caller has locked, in one statement.

    Except for the workspace, which never changes, and by which the rows are found.
    """
    if not rows:
        return
    fields, _inserting, updating = _statements(type(rows[0]), connection.vendor)
    values = [[row.pk, *(_stored(getattr(row, field.attname)) for field in fields)] for row in rows]
    with connection.cursor() as cursor:
        cursor.execute(updating, as_parameters(values))


@cache
def _statements(model: type[Model], vendor: str) -> tuple[list[Field[Any, Any]], str, str]:
    """Return the columns of `model` without the id, and how to insert and to update them."""
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    # Without lengths, at which a cast would cut a text.
    types = {str(field.column): str(field.db_type(connection)).partition("(")[0] for field in fields}
    table, names, postgresql = model._meta.db_table, ", ".join(types), vendor == "postgresql"
    inserted = as_select(types, postgresql)
    updated = as_select({"id": "bigint"} | types, postgresql)
    keys = [name for name in ("id", "workspace_id") if name == "id" or name in types]
    assignments = ", ".join(f"{name} = given.{name}" for name in types if name not in keys)
    found = " AND ".join(f"{table}.{name} = given.{name}" for name in keys)
    return (
        fields,
        f"INSERT INTO {table} ({names}) SELECT {names} FROM ({inserted}) AS given RETURNING id",
        f"UPDATE {table} SET {assignments} FROM ({updated}) AS given WHERE {found}",
    )


def _stored(value: Any) -> Any:
    match value:
        case datetime():
            return write_time(value)
        case UUID():
            return value.hex
        case str():
            # Members of enums are no text to psycopg.
            return str(value)
        case dict() | list():
            return json.dumps(value)
    return value


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
