"""Many rows in one statement whose text never changes: their number is not part of it.

With the ORM, building such a statement takes several times as long as the database takes to run it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import CharField, DateTimeField, Field, JSONField, Model, UUIDField
from django.db.models.expressions import RawSQL

_Store = Callable[[Any], Any]


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
        return _array_of_texts(values)
    return f"{{{','.join('NULL' if value is None else str(value) for value in values)}}}"


def _array_of_texts(values: Sequence[str | None]) -> str:
    # Written out, too: psycopg takes several times as long, value by value.
    if None not in values:
        inner = '","'.join(values)  # type: ignore[arg-type]
        if "\\" not in inner and inner.count('"') == 2 * (len(values) - 1):
            return f'{{"{inner}"}}'
    return f"{{{','.join('NULL' if value is None else _quoted(value) for value in values)}}}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def run(statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement built around `as_select` with `rows`; does nothing without rows."""
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(statement, as_parameters(rows))


def insert(rows: Sequence[Model]) -> None:
    """Insert new rows of one table, in one statement, and set their row ids.

    A default that the database has is not used: each column has a value, which may be None.
    """
    if not rows:
        return
    columns, inserting, _updating = _statements(type(rows[0]), connection.vendor)
    with connection.cursor() as cursor:
        cursor.execute(inserting, _parameters(rows, columns))
        # In the order of `rows`, as Django's bulk_create expects too.
        for row, (pk,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = pk


def update(rows: Sequence[Model], *, only: Sequence[str] = ()) -> None:
    """Write rows of one table in one statement.

    Args:
        only: the columns to write, by their attributes; by default all, for which the caller must have locked
            the rows.
    """
    if not rows:
        return
    columns, _inserting, updating = _statements(type(rows[0]), connection.vendor, tuple(only))
    with connection.cursor() as cursor:
        cursor.execute(updating, _parameters(rows, {"id": None, **columns}))


@cache
def _statements(
    model: type[Model], vendor: str, only: tuple[str, ...] = ()
) -> tuple[dict[str, _Store | None], str, str]:
    """Return the columns of `model` without the id, and how to insert and to update them.

    The columns are named by their attributes, each with how its values are stored if not as they are.
    """
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    if only:
        fields = [field for field in fields if field.attname in only]
    # Without lengths, at which a cast would cut a text.
    types = {str(field.column): str(field.db_type(connection)).partition("(")[0] for field in fields}
    table, names, postgresql = model._meta.db_table, ", ".join(types), vendor == "postgresql"
    inserted = as_select(types, postgresql)
    updated = as_select({"id": "bigint"} | types, postgresql)
    assignments = ", ".join(f"{name} = given.{name}" for name in types)
    return (
        {field.attname: _store_of(field, postgresql) for field in fields},
        f"INSERT INTO {table} ({names}) SELECT {names} FROM ({inserted}) AS given RETURNING id",
        f"UPDATE {table} SET {assignments} FROM ({updated}) AS given WHERE {table}.id = given.id",
    )


def _store_of(field: Field[Any, Any], postgresql: bool) -> _Store | None:
    match field:
        case DateTimeField():
            return str if postgresql else write_time
        case UUIDField():
            return lambda value: value.hex
        case JSONField():
            return json.dumps
        case CharField():
            # Members of enums are no text to psycopg, nor to JSON.
            return str
    return None


def _parameters(rows: Sequence[Model], columns: Mapping[str, _Store | None]) -> list[Any]:
    """Return the parameters of `as_select` for `rows`, column by column, which takes the least time."""
    stored = []
    for name, store in columns.items():
        values = [getattr(row, name) for row in rows]
        if store is not None:
            values = [None if value is None else store(value) for value in values]
        stored.append(values)
    if connection.vendor != "postgresql":
        return [json.dumps(list(zip(*stored, strict=True)))]
    return [as_array(values) for values in stored]


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
