"""Rows as files: CSV for spreadsheets, NDJSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
}
# What a spreadsheet may take for a formula; some look past white space, and some read the full-width signs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def as_csv(chunks: Iterable[Sequence[dict[str, Any]]], columns: Sequence[str]) -> Iterator[bytes]:
    """Yield a header row and then the rows, a chunk of them at a time."""
    yield _lines([columns])
    for rows in chunks:
        yield _lines([_cell(row[column]) for column in columns] for row in rows)


def as_ndjson(chunks: Iterable[Sequence[dict[str, Any]]], columns: Sequence[str]) -> Iterator[bytes]:
    """Yield one JSON object a line, a chunk of them at a time."""
    for rows in chunks:
        yield "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


WRITERS: dict[str, Callable[..., Iterator[bytes]]] = {"csv": as_csv, "ndjson": as_ndjson}


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def _cell(value: Any) -> Any:
    """Return `value` as a cell. Text that a spreadsheet would calculate gets a ' before it."""
    if isinstance(value, str) and (value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)):
        return f"'{value}"
    return value
