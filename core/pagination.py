"""Keyset pagination by time: fast however long the list is, and stable while it grows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import Http404

PAGE = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9a-f]{1,15})-([0-9a-f]{1,15})")

Row = TypeVar("Row", bound=Model)


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
    sign, beyond = ("-", "lt") if newest_first else ("", "gt")
    if cursor:
        at, pk = _read(cursor)
        # The first condition is redundant, but gives an index a range to scan.
        rows = rows.filter(
            Q(**{f"{column}__{beyond}e": at}),
            Q(**{f"{column}__{beyond}": at}) | Q(**{column: at, f"pk__{beyond}": pk}),
        )
    found = list(rows.order_by(f"{sign}{column}", f"{sign}pk")[: size + 1])
    if len(found) <= size:
        return Page(found)
    last = found[size - 1]
    return Page(found[:size], _write(getattr(last, column), last.pk))


def _write(at: datetime, pk: int) -> str:
    return f"{(at - _EPOCH) // timedelta(microseconds=1):x}-{pk:x}"


def _read(text: str) -> tuple[datetime, int]:
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise Http404
    try:
        return _EPOCH + timedelta(microseconds=int(match[1], 16)), int(match[2], 16)
    except OverflowError as error:
        raise Http404 from error
