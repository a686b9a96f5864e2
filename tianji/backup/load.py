"""Loads the rows of a backup into tables that are in its state, in one transaction and in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import Model

from monitors.services import partitions
from tianji.backup import tables
from tianji.backup.aside import SCHEMA
from tianji.backup.errors import BackupError, Damaged
from tianji.backup.format import Contents, Reader, Summary
from tianji.backup.values import Convert, converters

_AT_ONCE = 5000


def load(reader: Reader) -> Summary:
    """Load everything that `reader` reads; return what it was.

    Raises:
        Damaged: the backup is not as it was written, and nothing was loaded.
    """
    models = tables.models_of(tables.state_of(reader.header.migrations))
    _require_columns(reader, models)
    summary = Summary(reader.header)
    # References are checked when it commits, so the order of tables does not matter.
    with transaction.atomic():
        _require_aside()
        _empty(models.values())
        partitions.drop_first_of_new()
        for contents in reader.tables():
            model = models[contents.table.name]
            loaded = sum(_insert(model, contents.table.columns, rows) for rows in _batches(contents, model))
            if loaded != contents.count:
                raise BackupError(f"{loaded:,} of {contents.count:,} rows are in {model._meta.db_table}.")
            _go_on_after(model, contents.sequence)
            summary.add(contents)
    return summary


def _require_columns(reader: Reader, models: dict[str, type[Model]]) -> None:
    given = {table.name: table.columns for table in reader.header.tables}
    expected = {label: tables.columns_of(model) for label, model in models.items()}
    if unknown := sorted(label for label in given if given[label] != expected.get(label)):
        raise Damaged(f"The backup is damaged: its tables don't fit its migrations ({', '.join(unknown)}).")


def _require_aside() -> None:
    """Raise BackupError if a pooler has given this transaction a connection that isn't ours."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            if cursor.fetchone()[0] != SCHEMA:
                raise BackupError(
                    "There is a pooler between Tianji and PostgreSQL. Let DATABASE_URL lead to PostgreSQL "
                    "itself."
                )


def _empty(models: Iterable[type[Model]]) -> None:
    """Delete what migrations have written; of what the backup has, only that counts."""
    with connection.cursor() as cursor:
        for model in models:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(model._meta.db_table)}")


def _batches(contents: Contents, model: type[Model]) -> Iterator[list[list[Any]]]:
    """Yield the rows of a table as the database takes them, and make the partitions that they need."""
    convert = list(converters(model, contents.table.columns).items())
    by_day = model._meta.db_table == partitions.TABLE
    place = contents.table.columns.index("received_at") if by_day else 0
    made: set[str] = set()
    while rows := list(islice(contents.rows, _AT_ONCE)):
        if by_day and (days := {row[place][:10] for row in rows} - made):
            partitions.make_of(sorted(days))
            made |= days
        yield [_converted(row, convert) for row in rows] if convert else rows


def _converted(row: list[Any], convert: Sequence[tuple[int, Convert]]) -> list[Any]:
    for place, function in convert:
        row[place] = function(row[place])
    return row


def _insert(model: type[Model], attributes: Sequence[str], rows: Sequence[list[Any]]) -> int:
    """Insert rows, and return how many are in the table now that were not before."""
    quote = connection.ops.quote_name
    columns = {field.attname: str(field.column) for field in model._meta.concrete_fields}
    table, names = quote(model._meta.db_table), ", ".join(quote(columns[name]) for name in attributes)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            places = ", ".join(["%s"] * len(attributes))
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)
        return int(cursor.rowcount)


def _go_on_after(model: type[Model], sequence: int | None) -> None:
    """Give no row id again that was given before: neither one that is there, nor one up to `sequence`."""
    column = tables.numbered(model)
    if column is None:
        return
    name = model._meta.db_table
    table, quoted = connection.ops.quote_name(name), connection.ops.quote_name(column)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT max({quoted}) FROM {table}")
        last = max(cursor.fetchone()[0] or 0, sequence or 0)
        if not last:
            return
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence(%s, %s)::regclass, %s)", [table, column, last]
            )
            return
        cursor.execute("UPDATE sqlite_sequence SET seq = %s WHERE name = %s", [last, name])
        if not cursor.rowcount:
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [name, last])
