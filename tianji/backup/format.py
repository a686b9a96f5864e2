"""The file of a backup: JSON lines, compressed with gzip. Knows no table and no database.

    {"format": "tianji-backup", "version": 1, ..., "tables": [{"name": ..., "columns": [...]}]}
    {"table": ...}
    [1, "anna@example.com", ...]                    one line for each row, by row id
    {"rows": 1, "sha256": "...", "sequence": 1}     of this table's rows, and the last row id it ever gave
    {"tables": 1, "rows": 1, "sha256": "..."}       of everything before this line

The digest of a table is the same whichever database its rows were read from.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import IO, Any

from django.utils.duration import duration_iso_string

from tianji.backup.errors import BackupError, Damaged

FORMAT, VERSION = "tianji-backup", 1
# Rows are mostly alike: a higher level takes twice as long and saves a few percent.
_LEVEL = 5
_GZIP = b"\x1f\x8b"
# No row of ours is nearly as long.
_LONGEST_LINE = 64 * 1024 * 1024
_AT_ONCE = 500
_NOT_OURS = "This file is not a backup that `tianji backup` made."
_INCOMPLETE = "The backup is incomplete: it ends in the middle."


@dataclass(frozen=True, slots=True)
class Table:
    """A table, by the label of its model, and the names of its columns as attributes of that."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """What a backup is of.

    Attributes:
        tianji: the version that made it.
        database: the vendor of the database.
        taken_at: the database's time at which everything in it was true.
        key: a text that was sealed with SECRET_KEY, to recognise that by.
        migrations: the latest migration of each app.
    """

    tianji: str
    database: str
    taken_at: datetime
    key: str
    migrations: dict[str, str]
    tables: tuple[Table, ...]


@dataclass(slots=True)
class Contents:
    """The rows of a table, to be read once; what else is known of it is set afterwards."""

    table: Table
    rows: Iterator[list[Any]]
    count: int = 0
    sha256: str = ""
    sequence: int | None = None


@dataclass(slots=True)
class Summary:
    """What is in a backup: how many rows of each table, and their digests."""

    header: Header
    counts: dict[str, int] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def add(self, contents: Contents) -> None:
        self.counts[contents.table.name] = contents.count
        self.digests[contents.table.name] = contents.sha256

    @property
    def rows(self) -> int:
        return sum(self.counts.values())

    def __str__(self) -> str:
        at = f"{self.header.taken_at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.rows:,} rows in {len(self.counts)} tables, as they were at {at}"


def _as_json(value: Any) -> str:
    """Return what JSON has no type for. Times are in UTC, with microseconds."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case date() | time():
            return value.isoformat()
        case timedelta():
            return str(duration_iso_string(value))
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
    return str(value)


# Sorted, because databases keep the keys of JSON in orders of their own.
_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True, default=_as_json).encode


class Writer:
    """Writes a backup of `header` to `file`, in constant memory. Call `finish` at the end."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._zipped = gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)
        self._all = hashlib.sha256()
        self.summary = Summary(header)
        self._write(_encode({"format": FORMAT, "version": VERSION, **asdict(header)}))

    def table(self, table: Table, rows: Iterable[Iterable[Any]], *, sequence: int | None) -> None:
        """Write the rows of a table, each with the values of its columns; tables as in the header."""
        digest, written, rows = hashlib.sha256(), Contents(table, iter(())), iter(rows)
        self._write(_encode({"table": table.name}))
        while lines := [_encode(list(row)) for row in islice(rows, _AT_ONCE)]:
            digest.update(self._write(*lines))
            written.count += len(lines)
        written.sha256 = digest.hexdigest()
        self._write(_encode({"rows": written.count, "sha256": written.sha256, "sequence": sequence}))
        self.summary.add(written)

    def finish(self) -> None:
        totals = {"tables": len(self.summary.counts), "rows": self.summary.rows}
        self._write(_encode({**totals, "sha256": self._all.hexdigest()}))
        self._zipped.close()

    def _write(self, *lines: str) -> bytes:
        written = ("\n".join(lines) + "\n").encode()
        self._all.update(written)
        self._zipped.write(written)
        return written


class Reader:
    """Reads a backup from `file`, compressed or not, and checks it on the way.

    Raises:
        BackupError: it is no backup, or of a later format.
        Damaged: it is not as it was written.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        zipped = file.peek(2)[:2] == _GZIP
        self._lines = io.BufferedReader(gzip.GzipFile(fileobj=file)) if zipped else file
        # Of everything before the line that was read last, which may be the one that has the digest.
        self._before, self._last = hashlib.sha256(), b""
        first = self._read()
        if not first.startswith(b"{"):
            raise BackupError(_NOT_OURS)
        self.header = _header(_whole(first))

    def tables(self) -> Iterator[Contents]:
        """Yield the tables in order; the rows of each must have been read before the next is asked for."""
        summary = Summary(self.header)
        for table in self.header.tables:
            if self._object() != {"table": table.name}:
                raise Damaged(f"The backup is damaged: the table {table.name} is not where it should be.")
            contents = Contents(table, iter(()))
            contents.rows = self._rows(contents)
            yield contents
            summary.add(contents)
        footer = self._object()
        totals = {"tables": len(self.header.tables), "rows": summary.rows}
        if footer != {**totals, "sha256": self._before.hexdigest()} or self._read():
            raise Damaged("The backup is damaged: it doesn't fit its checksum.")

    def check(self) -> Summary:
        """Read everything, and return what is in it."""
        summary = Summary(self.header)
        for contents in self.tables():
            for _row in contents.rows:
                pass
            summary.add(contents)
        return summary

    def check_the_rest(self) -> None:
        """Read what is left, whatever it is; raises Damaged if all of it doesn't fit its checksum."""
        while self._read():
            pass
        if _object(self._last).get("sha256") != self._before.hexdigest():
            raise Damaged("The backup is damaged: it doesn't fit its checksum.")

    def _rows(self, contents: Contents) -> Iterator[list[Any]]:
        digest, width = hashlib.sha256(), len(contents.table.columns)
        while (line := self._line())[:1] == b"[":
            digest.update(line)
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Damaged(f"The backup is damaged in the table {contents.table.name}.") from error
            if len(row) != width:
                raise Damaged(f"The backup is damaged in the table {contents.table.name}.")
            contents.count += 1
            yield row
        end = _object(line)
        contents.sha256, contents.sequence = digest.hexdigest(), end.get("sequence")
        if (end.get("rows"), end.get("sha256")) != (contents.count, contents.sha256):
            raise Damaged(f"The backup is damaged: the table {contents.table.name} doesn't fit its checksum.")

    def _object(self) -> dict[str, Any]:
        return _object(self._line())

    def _line(self) -> bytes:
        return _whole(self._read())

    def _read(self) -> bytes:
        """Return the next line, b"" at the end."""
        try:
            line = self._lines.readline(_LONGEST_LINE)
        except EOFError as error:
            raise Damaged(_INCOMPLETE) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Damaged("The backup is damaged: it can't be decompressed.") from error
        if line:
            self._before.update(self._last)
            self._last = line
        return line


def _whole(line: bytes) -> bytes:
    if not line.endswith(b"\n"):
        raise Damaged(_INCOMPLETE)
    return line


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Damaged("The backup is damaged: a line of it can't be read.")
    return found


def _header(line: bytes) -> Header:
    try:
        given = _object(line)
    except Damaged:
        given = {}
    if given.get("format") != FORMAT:
        raise BackupError(_NOT_OURS)
    version, made_by = given.get("version"), given.get("tianji")
    if not isinstance(version, int) or version > VERSION:
        raise BackupError(
            f"This backup has a later format ({version}) than this version of Tianji can read ({VERSION}): "
            f"restore it with Tianji {made_by} or newer."
        )
    try:
        return Header(
            tianji=str(made_by),
            database=str(given["database"]),
            taken_at=datetime.fromisoformat(given["taken_at"]),
            key=str(given["key"]),
            migrations=dict(given["migrations"]),
            tables=tuple(Table(each["name"], tuple(each["columns"])) for each in given["tables"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged("The backup is damaged: its first line can't be read.") from error
