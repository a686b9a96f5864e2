"""A place beside the database where a backup is restored, and that takes the database's place at the end.

So a restore that fails, or is killed, has changed nothing: until the last step the database is as it was.
On SQLite the place is a file beside the database's, on PostgreSQL a schema in the database.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from django.db import Error, connection, transaction

from tianji.backup import tables
from tianji.backup.errors import BackupError
from tianji.backup.save import sync_folder

SCHEMA = "tianji_restore"
_IN_USE = "Tianji is running on this database. Stop its processes first."
# What may be in a schema beside tables, which take their indexes and sequences with them.
_FUNCTIONS = (
    "SELECT format('%%I(%%s)', proname, pg_get_function_identity_arguments(oid))"
    " FROM pg_proc WHERE pronamespace = %s::regnamespace"
)
_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p')"
    " AND NOT (%s AND relispartition) ORDER BY relispartition, relname"
)

Settle = Callable[[], None]


def aside() -> AbstractContextManager[Settle]:
    """Lead Django's connection to an empty place beside the database, for the length of the block.

    Yields what puts the place where the database was, at the end of the block. It raises BackupError, and
    does nothing, if there are data by now or processes use the database.
    """
    return _schema_aside() if connection.vendor == "postgresql" else _file_aside()


# --- SQLite ----------------------------------------------------------------------------------------


@contextmanager
def _file_aside() -> Iterator[Settle]:
    target = Path(connection.settings_dict["NAME"])
    beside = target.with_name(f"{target.name}.restoring")
    connection.close()
    _remove(beside)
    os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection.settings_dict["NAME"] = str(beside)
    try:
        with connection.cursor() as cursor:
            # It either becomes the database as a whole, or is thrown away.
            cursor.execute("PRAGMA journal_mode=MEMORY")
            cursor.execute("PRAGMA synchronous=OFF")
        yield lambda: _replace_file(beside, target)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = str(target)
        _remove(beside)


def _replace_file(beside: Path, target: Path) -> None:
    connection.close()
    with beside.open("rb") as file:
        os.fsync(file.fileno())
    with closing(sqlite3.connect(target, timeout=1, isolation_level=None)) as old:
        try:
            # Leaves nothing of it in another file. It fails if anyone else has it open.
            old.execute("PRAGMA journal_mode=DELETE")
            old.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise BackupError(_IN_USE) from error
        tables.require_empty(tables.filled(old.cursor()))
        beside.replace(target)
    sync_folder(target.parent)


def _remove(file: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)


# --- PostgreSQL ------------------------------------------------------------------------------------


@contextmanager
def _schema_aside() -> Iterator[Settle]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        (home,) = cursor.fetchone()
        if home is None:
            raise BackupError("The database has no schema for Tianji's tables: see search_path.")
        # An interrupted restore may have left it.
        cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        cursor.execute(f"CREATE SCHEMA {SCHEMA}")
        try:
            cursor.execute(f"SET search_path TO {SCHEMA}")
            yield lambda: _replace_schema(home)
        finally:
            # If the server is gone, the next restore removes it.
            with suppress(Error, psycopg.Error):
                cursor.execute("RESET search_path")
                cursor.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def _replace_schema(home: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        there = set(_names(cursor, home))
        ours = [f'"{home}"."{name}"' for name in _names(cursor, SCHEMA) if name in there]
        if ours:
            try:
                with transaction.atomic():
                    cursor.execute(f"LOCK TABLE {', '.join(ours)} IN ACCESS EXCLUSIVE MODE")
            except Error as error:
                raise BackupError(_IN_USE) from error
            tables.require_empty(tables.filled(cursor, schema=home))
            cursor.execute(f"DROP TABLE {', '.join(ours)} CASCADE")
        for name in _names(cursor, SCHEMA, with_partitions=True):
            cursor.execute(f'ALTER TABLE {SCHEMA}."{name}" SET SCHEMA "{home}"')
        cursor.execute(_FUNCTIONS, [SCHEMA])
        for (function,) in cursor.fetchall():
            # The triggers that used it went with their tables.
            cursor.execute(f'DROP FUNCTION IF EXISTS "{home}".{function}')
            cursor.execute(f'ALTER FUNCTION {SCHEMA}.{function} SET SCHEMA "{home}"')
        # Without CASCADE: it fails if anything was left behind.
        cursor.execute(f"DROP SCHEMA {SCHEMA}")


def _names(cursor: Any, schema: str, *, with_partitions: bool = False) -> list[str]:
    cursor.execute(_TABLES, [f'"{schema}"', not with_partitions])
    return [name for (name,) in cursor.fetchall()]
