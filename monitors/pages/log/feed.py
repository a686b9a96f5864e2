"""A monitor's activity: everything that happened to it in one timeline, newest first.

Other apps add their entries with `register`; this app does not depend on them.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import blake2s
from itertools import islice
from typing import Any

from django.db import OperationalError, connection, transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounts.models import AuditEntry
from monitors.heartbeats.parser import DEFAULT_MESSAGE
from monitors.models import Monitor
from monitors.pages.log import sources
from monitors.pages.log.entries import Cursor, Entry, Filter, Kind, Notified, Page, Source

ROWS = 50
NEWEST = 20
# How many more entries are read, so that those that belong to the last row are found.
_FOLLOWING = 12
CHUNK = 1000
# Channels are notified of the same within this time, each in its turn.
_TOGETHER = timedelta(seconds=30)
# Longer than this is too long for a page.
_SEARCH_MS = 5000

_sources: dict[Kind, Source] = {
    Kind.HEARTBEATS: sources.heartbeats,
    Kind.STATUS: sources.transitions,
    Kind.CHANGES: sources.changes,
    Kind.GAPS: sources.gaps,
}
_belongs_with: dict[str, Collection[str]] = {}


class TooSlow(Exception):
    """The search took longer than a reader would wait."""


def register(kind: Kind, source: Source, *, belongs_with: Mapping[str, Collection[str]]) -> None:
    """Use `source` for the entries of `kind`; called once, when an app is ready.

    Args:
        belongs_with: by the event of an entry, the codes of the status changes that it is merged into.
    """
    _sources[kind] = source
    _belongs_with.update(belongs_with)


def newest(monitor: Monitor, *, now: datetime) -> Page:
    """Return the newest activity of `monitor`, as many rows as its page shows. One query per kind.

    Args:
        now: the database's time; entries written after it belong to the next response.
    """
    return page(monitor, Filter(), size=NEWEST)


def page(monitor: Monitor, criteria: Filter, *, before: Cursor | None = None, size: int = ROWS) -> Page:
    """Return `size` rows that match `criteria` and come after `before`. One query per kind.

    Entries that belong together are merged: a status change includes the message of the heartbeat that
    caused it, and its notifications. The page's cursor is exact nevertheless.

    Raises:
        TooSlow: a search has too much to read.
    """
    # Most rows are one entry, so this is usually enough; else the page is a little shorter.
    wanted = size + _FOLLOWING
    if criteria.text:
        with patience():
            lists = _first(monitor, criteria, before, wanted)
    else:
        lists = _first(monitor, criteria, before, wanted)
    found = list(islice(_merged(lists), wanted))
    rows = fold(found)
    if len(found) < wanted and len(rows) <= size:
        return Page(rows)
    # The last ones may lack entries that belong to them.
    shown = rows[: min(size, max(len(rows) - 1, 1))]
    return Page(shown, str(shown[-1].last))


def entries(monitor: Monitor, criteria: Filter) -> Iterator[Entry]:
    """Yield all entries that match `criteria`, newest first and unmerged, in bounded memory.

    Nothing stays open between two chunks.
    """
    return _merged(_walk(monitor, criteria, kind) for kind in criteria.kinds if kind in _sources)


def version(shown: Page, *also: Any) -> str:
    """Return a version that changes whenever the page's content does. `also` is other content of the page."""
    return blake2s(repr((shown, also, get_language())).encode(), digest_size=12).hexdigest()


@contextmanager
def patience() -> Iterator[None]:
    """Cancel queries of the block after some seconds, on PostgreSQL only. Raises TooSlow."""
    if connection.vendor != "postgresql":
        yield
        return
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {_SEARCH_MS}")
            yield
    except OperationalError as error:
        # 57014: query_canceled, which is what a timeout raises.
        if getattr(error.__cause__, "sqlstate", None) != "57014":
            raise
        raise TooSlow from error


def _first(monitor: Monitor, criteria: Filter, before: Cursor | None, limit: int) -> list[list[Entry]]:
    return [_sources[kind](monitor, criteria, before, limit) for kind in criteria.kinds if kind in _sources]


def _merged(lists: Iterable[Iterable[Entry]]) -> Iterator[Entry]:
    return heapq.merge(*lists, key=lambda entry: entry.cursor.key, reverse=True)


def _walk(monitor: Monitor, criteria: Filter, kind: Kind) -> Iterator[Entry]:
    before: Cursor | None = None
    while chunk := _sources[kind](monitor, criteria, before, CHUNK):
        yield from chunk
        if len(chunk) < CHUNK:
            return
        before = chunk[-1].cursor


# --- Merging -------------------------------------------------------------------------------------

# The status that the heartbeat behind a change reported. One with a value out of range reported up.
_HEARTBEAT_STATUS = {"down": "down", "value": "up", "resolved": "up", "began": "up"}
_BY: dict[str, str] = {
    AuditEntry.Action.MONITOR_PAUSED: "paused",
    AuditEntry.Action.MONITOR_RESUMED: "resumed",
}


def fold(found: Iterable[Entry]) -> list[Entry]:
    """Return the rows for `found`, newest first, with neighbours that belong together merged.

    Entries merged into a row are in its `with_`.
    """
    rows: list[Entry] = []
    for entry in found:
        if rows and (one := _together(rows[-1], entry)):
            rows[-1] = one
        else:
            rows.append(entry)
    return [_in_words(row) for row in rows]


def _together(newer: Entry, older: Entry) -> Entry | None:
    """Return the two entries merged if they belong together, else None."""
    match newer.kind, older.kind:
        case Kind.MESSAGES, Kind.MESSAGES:
            same = (newer.incident, newer.event) == (older.incident, older.event)
            same = same and newer.at - older.at <= _TOGETHER
            # The older one was written first, so it is named first.
            notified, facts = older.notified + newer.notified, older.facts + newer.facts
            return newer.taking(older, notified=notified, facts=facts) if same else None
        case Kind.MESSAGES, Kind.STATUS:
            same = newer.incident == older.incident and older.code in _belongs_with.get(newer.event, ())
            return (
                older.taking(newer, notified=newer.notified, facts=older.facts + newer.facts)
                if same
                else None
            )
        case Kind.CHANGES, Kind.STATUS if _BY.get(newer.code) == older.code:
            by = _("%(what)s · by %(who)s") % {"what": older.text, "who": newer.by}
            return older.taking(newer, text=by, facts=(*older.facts, *newer.facts))
        case Kind.STATUS, Kind.HEARTBEATS if newer.at == older.at:
            return _with_its_heartbeat(newer, older)
    return None


def _with_its_heartbeat(change: Entry, heartbeat: Entry) -> Entry | None:
    if any(entry.kind is Kind.HEARTBEATS for entry in change.with_):
        return None
    if heartbeat.code != _HEARTBEAT_STATUS.get(change.code):
        return None
    if change.code != "began" and change.message != heartbeat.text:
        return None
    text = change.text
    if change.code == "began" and heartbeat.text != DEFAULT_MESSAGE[True]:
        text = f"{text} · “{heartbeat.text}”"
    return change.taking(
        heartbeat,
        text=text,
        message=heartbeat.text,
        value=heartbeat.value,
        source=heartbeat.source,
        facts=(*change.facts, *heartbeat.facts),
    )


def _in_words(row: Entry) -> Entry:
    if not row.notified:
        return row
    words = notified_text(row.notified)
    if row.kind is Kind.MESSAGES:
        # On its own it is a sentence, with a capital letter.
        return replace(row, text=words[:1].upper() + words[1:])
    return replace(row, text=f"{row.text} · {words}")


def notified_text(notified: Iterable[Notified]) -> str:
    """Return which channels were notified: "notified Ops Slack, on-call · not delivered to Pager"."""
    patterns = {
        "sent": _("notified %(channels)s"),
        "waiting": _("sending to %(channels)s"),
        "failed": _("not delivered to %(channels)s"),
    }
    names: dict[str, list[str]] = {outcome: [] for outcome in patterns}
    for one in notified:
        names[one.outcome if one.outcome in patterns else "waiting"].append(one.channel)
    return " · ".join(
        patterns[outcome] % {"channels": ", ".join(channels)}
        for outcome, channels in names.items()
        if channels
    )
