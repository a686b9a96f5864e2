"""Keyset pagination by time: fast however long the list is, and stable while it grows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import Http404

PAGE = 50
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9a-f]{1,15})-([0-9a-f]{1,15})")

Row = TypeVar("Row", bound=Model)
Rows = TypeVar("Rows", bound=QuerySet[Any, Any])


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """The rows of a page in order, and the cursor of the next page, or "" if it is the last."""

    rows: list[Row]
    more: str = ""


def page_of(
    rows: QuerySet[Row], column: str, *, cursor: str = "", size: int = PAGE, newest_first: bool = True
) -> Page[Row]:
    """Return the page of `rows` that follows `cursor`, ordered by time and row id.

    Args:
        column: the name of the time column.
        cursor: `Page.more` of the previous page, "" for the first.

    Raises:
        Http404: the cursor is invalid.
    """
    sign = "-" if newest_first else ""
    if cursor:
        at, pk = _read(cursor)
        rows = beyond(rows, column, at, pk, newest_first=newest_first)
    found = list(rows.order_by(f"{sign}{column}", f"{sign}pk")[: size + 1])
    if len(found) <= size:
        return Page(found)
    last = found[size - 1]
    return Page(found[:size], _write(getattr(last, column), last.pk))


def beyond(rows: Rows, column: str, at: datetime, pk: int, *, newest_first: bool = True) -> Rows:
    """Return those of `rows` that follow the one with the time `at` in `column` and the row id `pk`."""
    way = "lt" if newest_first else "gt"
    # The first condition is redundant, but gives an index a range to scan.
    return rows.filter(
        Q(**{f"{column}__{way}e": at}),
        Q(**{f"{column}__{way}": at}) | Q(**{column: at, f"pk__{way}": pk}),
    )


def time_in_hex(at: datetime) -> str:
    """Return a time as a part of a cursor; one before 1970 as 1970."""
    return f"{max((at - EPOCH) // timedelta(microseconds=1), 0):x}"


def time_from_hex(digits: str) -> datetime:
    """Return the time that `time_in_hex` wrote. Raises OverflowError if there is none such."""
    return EPOCH + timedelta(microseconds=int(digits, 16))


def _write(at: datetime, pk: int) -> str:
    return f"{time_in_hex(at)}-{pk:x}"


def _read(text: str) -> tuple[datetime, int]:
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise Http404
    try:
        return time_from_hex(match[1]), int(match[2], 16)
    except OverflowError as error:
        raise Http404 from error
