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
# What a spreadsheet may read as a formula; some skip white space, and some accept full-width characters.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def as_csv(chunks: Iterable[Sequence[dict[str, Any]]], columns: Sequence[str]) -> Iterator[bytes]:
    """Yield a header row and then the rows, one chunk at a time."""
    yield _lines([columns])
    for rows in chunks:
        yield _lines([_cell(row[column]) for column in columns] for row in rows)


def as_ndjson(chunks: Iterable[Sequence[dict[str, Any]]], columns: Sequence[str]) -> Iterator[bytes]:
    """Yield one JSON object per line, one chunk at a time."""
    for rows in chunks:
        yield "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


WRITERS: dict[str, Callable[..., Iterator[bytes]]] = {"csv": as_csv, "ndjson": as_ndjson}


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()


def _cell(value: Any) -> Any:
    """Return `value` as a cell: an object as JSON, and with a ' before what a spreadsheet would evaluate."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and (value.startswith(_FORMULA) or value.lstrip().startswith(_FORMULA)):
        return f"'{value}"
    return value
