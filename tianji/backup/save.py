"""Writes a backup: all tables as they were at one moment, while Tianji goes on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Model

from core import __version__
from core.clock import database_now
from tianji.backup import keys, tables
from tianji.backup.errors import BackupError
from tianji.backup.format import Header, Summary, Table, Writer

_AT_ONCE = 2000


def save(file: IO[bytes]) -> Summary:
    """Write a backup of the database to `file`; return what is in it.

    Raises:
        BackupError: there is nothing to back up, or it can't be done now.
    """
    _require_database()
    migrated = tables.Migrated()
    migrated.require_known()
    models = migrated.models()
    if not models:
        raise BackupError("The database is empty: there is nothing to back up.")
    with _one_moment(models.values()):
        if tables.Migrated().latest != migrated.latest:
            raise BackupError("The database is being migrated. Make the backup when that is done.")
        header = Header(
            tianji=__version__,
            database=connection.vendor,
            taken_at=database_now(),
            key=keys.probe(),
            migrations=migrated.latest,
            tables=tuple(Table(label, tables.columns_of(model)) for label, model in models.items()),
        )
        writer = Writer(file, header)
        for table in header.tables:
            model = models[table.name]
            # If writing fails, it ends here, and not when the database is closed.
            with closing(_rows(model, table.columns)) as rows:
                writer.table(table, rows, sequence=_last_number(model))
        writer.finish()
    return writer.summary


def _require_database() -> None:
    if connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        # Opening it would create it.
        raise BackupError(f"There is no database {connection.settings_dict['NAME']}.")


@contextmanager
def _one_moment(models: Iterable[type[Model]]) -> Iterator[None]:
    """Read the tables of `models` as they were at one moment, whatever is written in the block."""
    if connection.vendor == "postgresql":
        with _postgresql_moment([model._meta.db_table for model in models]):
            yield
        return
    with connection.cursor() as cursor:
        # Not Django's transaction, which would keep everyone else from writing.
        cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


@contextmanager
def _postgresql_moment(names: Sequence[str]) -> Iterator[None]:
    given = connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # Whoever reads the backup may be slow.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.connection.respond_within = None
        # No table is changed or dropped meanwhile, nor a day of heartbeats. This comes before the first
        # query, from which on everything stays as it is.
        quoted = ", ".join(connection.ops.quote_name(name) for name in names)
        cursor.execute(f"LOCK TABLE {quoted} IN ACCESS SHARE MODE")
        # Otherwise all rows of a table would be read into memory. Within a transaction, a pooler in between
        # is no obstacle.
        connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = False
        try:
            yield
        finally:
            connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = given


def _rows(model: type[Model], columns: Sequence[str]) -> Generator[tuple[Any, ...]]:
    yield from model._base_manager.order_by("pk").values_list(*columns).iterator(chunk_size=_AT_ONCE)


def _last_number(model: type[Model]) -> int | None:
    """Return the last row id that the database has given in this table; None if it gives none.

    Row ids are never given again: some rows say up to which others were looked at.
    """
    column = tables.numbered(model)
    if column is None:
        return None
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            statement = "SELECT pg_sequence_last_value(pg_get_serial_sequence(%s, %s)::regclass)"
            cursor.execute(statement, [connection.ops.quote_name(table), column])
        else:
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        row = cursor.fetchone()
    return row[0] if row else None


@contextmanager
def complete_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears at `path` when the block has ended well, and not before.

    Only its owner may read it. Until then it is beside it, as `<name>.part`.

    Raises:
        BackupError: another process writes it.
    """
    if path.exists() and not path.is_file():
        raise BackupError(f"{path} is not a file. Use - for standard output.")
    part = path.with_name(f"{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupError(f"Another backup is being written to {path}.") from None
        # It may be what an interrupted backup left.
        os.fchmod(descriptor, 0o600)
        file.truncate(0)
        try:
            yield file
            file.flush()
            os.fsync(descriptor)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names of files in `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def what_else_to_keep() -> str:
    """Return what a backup is worth little without, as a sentence."""
    file = settings.TIANJI_DATA / "secret-key"
    is_there = file.is_file() and file.read_text().strip() == settings.SECRET_KEY
    return f"Also keep SECRET_KEY{f', which is in {file}' if is_there else ''}. {keys.WITHOUT_IT}"
