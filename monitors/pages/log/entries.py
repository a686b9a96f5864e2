"""Rows of the activity, their order, and the filters."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from core.pagination import beyond, time_from_hex, time_in_hex
from monitors.domain.durations import MINUTE, about, exactly
from monitors.models import Monitor

_CURSOR = re.compile(r"([0-9a-f]{1,15})-([hsmcg])([0-9a-f]{1,15})")


class Kind(StrEnum):
    """The kinds of activity. At the same time, a later kind is the newer row: it follows from the other."""

    HEARTBEATS = "heartbeats"
    STATUS = "status"
    MESSAGES = "messages"
    CHANGES = "changes"
    GAPS = "gaps"

    @property
    def prefix(self) -> str:
        return self.value[0]


KINDS = tuple(Kind)
KIND_LABELS = {
    Kind.HEARTBEATS: _("Heartbeats"),
    Kind.STATUS: _("Status"),
    Kind.MESSAGES: _("Notifications"),
    Kind.CHANGES: _("Changes"),
    Kind.GAPS: _("Gaps"),
}
_RANKS = {kind: rank for rank, kind in enumerate(Kind)}
_BY_PREFIX = {kind.prefix: kind for kind in Kind}


class BadCursor(ValueError):
    """The cursor is not valid."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The position of a row: its time, kind and row id."""

    at: datetime
    kind: Kind
    pk: int

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Parse a cursor. Raises BadCursor."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise BadCursor(text)
        try:
            at = time_from_hex(match[1])
        except OverflowError as error:
            raise BadCursor(text) from error
        return cls(at, _BY_PREFIX[match[2]], int(match[3], 16))

    def __str__(self) -> str:
        return f"{time_in_hex(self.at)}-{self.kind.prefix}{self.pk:x}"

    @property
    def key(self) -> tuple[datetime, int, int]:
        return self.at, _RANKS[self.kind], self.pk

    def older(self, rows: QuerySet[Any], column: str, kind: Kind) -> QuerySet[Any]:
        """Return those of `rows`, of `kind` and with the time in `column`, that come after it."""
        if _RANKS[kind] < _RANKS[self.kind]:
            return rows.filter(**{f"{column}__lte": self.at})
        if _RANKS[kind] > _RANKS[self.kind]:
            return rows.filter(**{f"{column}__lt": self.at})
        return beyond(rows, column, self.at, self.pk)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which activity to show.

    `status` is "up", "down" or "" for both; `text` is searched for in messages and names; times are from
    `start` to before `end`. `incident` limits it to one incident, by public id.
    """

    kinds: tuple[Kind, ...] = KINDS
    status: str = ""
    text: str = ""
    start: datetime | None = None
    end: datetime | None = None
    incident: UUID | None = None

    @property
    def narrows(self) -> bool:
        """Whether it excludes anything."""
        return self != Filter()

    def within(self, rows: QuerySet[Any], column: str) -> QuerySet[Any]:
        """Return those of `rows` whose time is in the range."""
        if self.start is not None:
            rows = rows.filter(**{f"{column}__gte": self.start})
        if self.end is not None:
            rows = rows.filter(**{f"{column}__lt": self.end})
        return rows


@dataclass(frozen=True, slots=True)
class Fact:
    """A detail of a row: a text, or a time."""

    label: str
    text: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Notified:
    """A notification to a channel: the channel's name, and "sent", "failed", or another word for pending."""

    channel: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the activity, in the reader's language.

    `code` is `word` for programs, and `tone` the status that sets its colour, "" for none. `text` is the
    sentence or a heartbeat's message; `message` is the heartbeat's message if the sentence includes it.
    `with_` are rows that were merged into this one.
    """

    at: datetime
    kind: Kind
    pk: int
    code: str
    word: str
    text: str
    tone: str = ""
    message: str = ""
    value: float | None = None
    source: str = ""
    by: str = ""
    incident: UUID | None = None
    event: str = ""
    notified: tuple[Notified, ...] = ()
    facts: tuple[Fact, ...] = ()
    with_: tuple[Entry, ...] = ()

    @property
    def id(self) -> str:
        """Its stable id within a page."""
        return f"entry-{self.kind.prefix}{self.pk}"

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.at, self.kind, self.pk)

    @property
    def last(self) -> Cursor:
        """The position of the oldest row merged into it."""
        return min((self.cursor, *(entry.last for entry in self.with_)), key=lambda cursor: cursor.key)

    def taking(self, entry: Entry, **changes: Any) -> Entry:
        """Return a copy with `changes` and with `entry` merged into it."""
        return replace(self, with_=(*self.with_, entry), **changes)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and the cursor of the next page, "" if there is none."""

    rows: list[Entry]
    more: str = ""


# Returns the entries of one kind that come after a cursor, newest first, up to a limit.
Source = Callable[[Monitor, Filter, Cursor | None, int], list[Entry]]


def length(start: datetime, end: datetime) -> str:
    """Return the time from `start` to `end`: "66 s", "19 min"."""
    seconds = max((end - start).total_seconds(), 0)
    return exactly(int(seconds)) if seconds < 2 * MINUTE else about(seconds)
