"""What a row of the log is, in which order rows stand, and what may be asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from monitors.models import Monitor
from monitors.words import MINUTE, about, exactly

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9a-f]{1,15})-([hsmc])([0-9a-f]{1,15})")


class Kind(StrEnum):
    """What the log tells of. Of one moment, what comes later here is the newer: what follows from it."""

    HEARTBEATS = "heartbeats"
    STATUS = "status"
    MESSAGES = "messages"
    CHANGES = "changes"

    @property
    def letter(self) -> str:
        return self.value[0]


KINDS = tuple(Kind)
KIND_LABELS = {
    Kind.HEARTBEATS: _("Heartbeats"),
    Kind.STATUS: _("Status"),
    Kind.MESSAGES: _("Notifications"),
    Kind.CHANGES: _("Changes"),
}
_RANKS = {kind: rank for rank, kind in enumerate(Kind)}
_BY_LETTER = {kind.letter: kind for kind in Kind}


class BadCursor(ValueError):
    """It is not one of ours."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place of one row among all: its time, its kind, its row id."""

    at: datetime
    kind: Kind
    pk: int

    @classmethod
    def read(cls, text: str) -> Cursor:
        """Return the cursor that was written as `text`. Raises BadCursor."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise BadCursor(text)
        try:
            at = _EPOCH + timedelta(microseconds=int(match[1], 16))
        except OverflowError as error:
            raise BadCursor(text) from error
        return cls(at, _BY_LETTER[match[2]], int(match[3], 16))

    def __str__(self) -> str:
        return f"{(self.at - _EPOCH) // timedelta(microseconds=1):x}-{self.kind.letter}{self.pk:x}"

    @property
    def key(self) -> tuple[datetime, int, int]:
        return self.at, _RANKS[self.kind], self.pk

    def older(self, rows: QuerySet[Any], column: str, kind: Kind) -> QuerySet[Any]:
        """Return those of `rows`, which are of `kind` and whose time is `column`, that come after it."""
        if _RANKS[kind] < _RANKS[self.kind]:
            return rows.filter(**{f"{column}__lte": self.at})
        if _RANKS[kind] > _RANKS[self.kind]:
            return rows.filter(**{f"{column}__lt": self.at})
        # The first condition alone would do for the result; it gives an index its range.
        return rows.filter(
            Q(**{f"{column}__lte": self.at}),
            Q(**{f"{column}__lt": self.at}) | Q(**{column: self.at, "pk__lt": self.pk}),
        )


@dataclass(frozen=True, slots=True)
class Filter:
    """What of the log is asked for.

    `status` is "up", "down" or "" for both; `text` is looked for in messages and names; the times
    reach from `start` on until before `end`. `incident` is a row id: only what belongs to it.
    """

    kinds: tuple[Kind, ...] = KINDS
    status: str = ""
    text: str = ""
    start: datetime | None = None
    end: datetime | None = None
    incident: UUID | None = None

    @property
    def narrows(self) -> bool:
        """Whether it leaves anything out."""
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
    """One thing more about a row: a text, or a moment."""

    label: str
    text: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A message to a channel: its name, and "sent", "failed", or anything else for on its way."""

    channel: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log, in the reader's language.

    `code` says for programs what `word` says for people, and `tone` is a status for its colour, "" for
    none. `text` is the sentence, of a heartbeat its message; `said` is the message of the heartbeat
    behind it where it is part of the sentence. `with_` are rows that were taken into this one.
    """

    at: datetime
    kind: Kind
    pk: int
    code: str
    word: str
    text: str
    tone: str = ""
    said: str = ""
    value: float | None = None
    source: str = ""
    by: str = ""
    incident: UUID | None = None
    event: str = ""
    told: tuple[Told, ...] = ()
    facts: tuple[Fact, ...] = ()
    with_: tuple[Entry, ...] = ()

    @property
    def id(self) -> str:
        """Its name within a page, the same in every answer."""
        return f"entry-{self.kind.letter}{self.pk}"

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.at, self.kind, self.pk)

    @property
    def last(self) -> Cursor:
        """The place of the oldest row that it stands for."""
        return min((self.cursor, *(entry.last for entry in self.with_)), key=lambda cursor: cursor.key)

    def taking(self, entry: Entry, **changes: Any) -> Entry:
        """Return it with `changes` and with `entry` as part of it."""
        return replace(self, with_=(*self.with_, entry), **changes)


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and the cursor of those after them, "" where there are none."""

    rows: list[Entry]
    more: str = ""


# Answers with the entries of one kind that come after a cursor, newest first, at most so many.
Source = Callable[[Monitor, Filter, Cursor | None, int], list[Entry]]


def length(start: datetime, end: datetime) -> str:
    """Return how long it was from `start` to `end`: "66 s", "19 min"."""
    seconds = max((end - start).total_seconds(), 0)
    return exactly(int(seconds)) if seconds < 2 * MINUTE else about(seconds)
