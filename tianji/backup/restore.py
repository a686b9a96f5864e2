"""Restores a backup into an empty database: all of it or nothing. See `restore`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor

from core.clock import database_now
from monitors.models import Watermark
from monitors.services import partitions
from notifications.dispatch.restored import hold
from tianji.backup import keys, tables
from tianji.backup.aside import aside
from tianji.backup.errors import BackupError, Damaged, one_line
from tianji.backup.format import Header, Reader, Summary
from tianji.backup.load import load
from tianji.runtime.data_folder import locked
from tianji.runtime.patience import one_at_a_time

# Most monitors have pushed by then, so that what waited is compared with how things are.
QUIET = timedelta(minutes=10)
# What loading may fail with because of what is in the file.
_REFUSED = (BackupError, Error, psycopg.Error, ValueError, TypeError, KeyError, IndexError, OverflowError)


@dataclass(frozen=True, slots=True)
class Options:
    """How a backup is restored. `with_another_key`: also if SECRET_KEY is not that of the backup."""

    with_another_key: bool = False


def restore(file: io.BufferedReader, options: Options) -> Summary:
    """Restore a backup; return what was in it.

    1. The file must be one that this version can read, with a SECRET_KEY that fits.
    2. The database must be empty.
    3. Aside, tables are made as they were in the version of the backup,
    4. filled with its rows, in one transaction that also checks them,
    5. and migrated to this version.
    6. What happened since the backup is unknown: that time is a gap, and what waited to be sent waits.
    7. Only then does the result take the place of the database.

    Raises:
        BackupError: it was not restored, and the database is as it was.
    """
    reader = Reader(file)
    tables.require_migrations(reader.header)
    if not options.with_another_key:
        keys.require_fit(reader.header.key)
    with _alone():
        _require_empty()
        with aside() as put_in_place:
            MigrationExecutor(connection).migrate(list(reader.header.migrations.items()))
            summary = _load(reader)
            # They have other ids now.
            ContentType.objects.clear_cache()
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
            partitions.make_ahead()
            _begin_gap(reader.header)
            hold(until=database_now() + QUIET)
            put_in_place()
    return summary


@contextmanager
def _alone() -> Iterator[None]:
    """Keep `tianji up`, `prepare` and another restore from using the database."""
    if connection.vendor == "postgresql":
        with one_at_a_time():
            yield
        return
    database = Path(connection.settings_dict["NAME"])
    if ":" in database.name:
        raise BackupError(f"A backup can't be restored into {database}, which is not a file.")
    for folder in (database.parent, settings.TIANJI_DATA):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(settings.TIANJI_DATA):
        yield


def _require_empty() -> None:
    if connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists():
        return
    tables.Migrated().require_known()
    with connection.cursor() as cursor:
        tables.require_empty(tables.filled(cursor, schema=_schema(cursor)))
    if connection.vendor == "sqlite":
        connection.close()


def _schema(cursor: Any) -> str:
    if connection.vendor != "postgresql":
        return ""
    cursor.execute("SELECT current_schema()")
    return str(cursor.fetchone()[0])


def _load(reader: Reader) -> Summary:
    try:
        return load(reader)
    except Damaged:
        raise
    except _REFUSED as error:
        # A file that was changed on the way may lead to any error. It is known at its end only.
        reader.check_the_rest()
        raise BackupError(f"The backup is whole, but can't be loaded: {one_line(error)}") from error


def _begin_gap(header: Header) -> None:
    """Make the time since the backup one in which Tianji was not listening, as if it had been stopped then.

    That is what the watermark of the backup does. Earlier versions had none.
    """
    Watermark.objects.get_or_create(pk=Watermark.ROW, defaults={"until": header.taken_at})
