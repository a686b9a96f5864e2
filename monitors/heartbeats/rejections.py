"""Pushes that were not accepted, kept for people who look for a heartbeat that did not arrive.

Noting one must cost the push path nothing and give a wild sender no way to fill the database: notes are
added up in memory, bounded, and a thread writes them once a second while there are any. What cannot be
noted is lost; nothing but this page depends on it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction
from django.db.models import Count

from core.clock import database_now
from monitors.models import PushToken, Refusal

log = structlog.get_logger(__name__)

# So many kinds are kept of a monitor, and for so long.
KINDS_MOST = 50
DAYS = 30
# Of so many tokens a process adds up refusals between two writes; most of what comes beyond that is
# somebody who tries tokens.
_TOKENS_MOST = 500
_WRITE_EVERY_SECONDS = 1.0
_DETAIL_LENGTH = 200
# Any other word may be a method, and would be a kind of its own.
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
_OTHER_METHOD = "other"

Reason = Refusal.Reason


@dataclass(slots=True)
class _Noted:
    """What came of one kind since the last write; times are those of `time.monotonic`."""

    first: float
    last: float
    detail: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class _Kind:
    """Refusals that become one row are alike in this; `reason` is None for a token that does not work."""

    reason: str | None
    method: str
    source: str


_Notes = dict[str, dict[_Kind, _Noted]]


class Notebook:
    """Adds up refusals in memory and writes them. One for each process; its threads share it.

    Args:
        every: how many seconds are added up before they are written.
        by_itself: whether a thread writes; else only `write` does.
    """

    def __init__(self, *, every: float = _WRITE_EVERY_SECONDS, by_itself: bool = True) -> None:
        self.by_itself = by_itself
        self._every = every
        self._forget_all()
        # A child would write again what its parent noted, and its lock may be held by nobody.
        os.register_at_fork(after_in_child=self._forget_all)

    def _forget_all(self) -> None:
        self._mutex = threading.Lock()
        self._notes: _Notes = {}
        self._writer: threading.Thread | None = None

    def note(self, digest: str, reason: str | None, *, method: str, source: str | None, detail: str) -> None:
        """Note that a push was refused. Asks no database, waits for nobody and never raises.

        Args:
            digest: of the token it came with. Which monitor that names, if any, is found out later.
            reason: one of Refusal.Reason, or None where the token does not work, for whichever reason.
            detail: what the sender was told.
        """
        kind = _Kind(reason, method if method in _METHODS else _OTHER_METHOD, source or "")
        now = time.monotonic()
        with self._mutex:
            if digest not in self._notes and len(self._notes) >= _TOKENS_MOST:
                return
            kinds = self._notes.setdefault(digest, {})
            if kind not in kinds and len(kinds) >= KINDS_MOST:
                return
            noted = kinds.setdefault(kind, _Noted(now, now, detail))
            noted.last, noted.detail = now, detail
            noted.count += 1
            if self.by_itself and self._writer is None:
                self._start()

    def write(self) -> int:
        """Write what was noted since the last time; return how many rows that were.

        Raises:
            django.db.Error: it could not be written, and is forgotten.
        """
        with self._mutex:
            notes, self._notes = self._notes, {}
        return _write(notes) if notes else 0

    def _start(self) -> None:
        # No daemon: a process that ends waits for its threads, and so what was noted last is written.
        self._writer = threading.Thread(target=self._write_until_done, name="write-refusals", daemon=False)
        try:
            self._writer.start()
        except RuntimeError as error:  # no more threads, or the process ends
            self._writer = None
            log.warning("refusals not noted", error=str(error))

    def _write_until_done(self) -> None:
        while True:
            # Not for long once the process wants to end.
            _sleep_while_alive(self._every)
            try:
                self.write()
            except Exception as error:  # whatever it is, pushes go on
                log.warning("refusals not noted", error=str(error))
            with self._mutex:
                if not self._notes:
                    self._writer = None
                    break
        # Back to the pool, or closed: the next thread takes its own.
        connection.close()


def _sleep_while_alive(seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and threading.main_thread().is_alive():
        time.sleep(min(left, 0.1))


# --- Writing -------------------------------------------------------------------------------------

_FIELDS = [field for field in Refusal._meta.concrete_fields if not field.primary_key]
_TABLE = Refusal._meta.db_table
_Key = tuple[int, str, str, str, str]


def _write(notes: _Notes) -> int:
    tokens = list(PushToken.objects.filter(digest__in=notes))
    if not tokens:
        return 0
    rows = _rows(tokens, notes, database_now())
    # In one order everywhere, so that two processes that add to the same rows wait for each other once.
    rows.sort(key=lambda row: (row.monitor_id, row.reason, row.method, row.source, row.last_four))
    with transaction.atomic():
        _add(rows)
        prune({row.monitor_id for row in rows})
    return len(rows)


def _rows(tokens: Iterable[PushToken], notes: _Notes, now: datetime) -> list[Refusal]:
    """Return the rows to add: one a kind, though two tokens of a monitor may end in the same letters."""
    passed = time.monotonic()
    rows: dict[_Key, Refusal] = {}
    for token in tokens:
        for kind, noted in notes[token.digest].items():
            reason = kind.reason or _why_not(token, now)
            if reason is None:
                continue
            row = Refusal(
                monitor_id=token.monitor_id,
                reason=reason,
                method=kind.method,
                source=kind.source,
                last_four=token.last_four,
                detail=noted.detail[:_DETAIL_LENGTH],
                first_at=now - timedelta(seconds=passed - noted.first),
                last_at=now - timedelta(seconds=passed - noted.last),
                count=noted.count,
            )
            key = (row.monitor_id, row.reason, row.method, row.source, row.last_four)
            if (other := rows.get(key)) is not None:
                row.count += other.count
                row.first_at = min(row.first_at, other.first_at)
                row.last_at = max(row.last_at, other.last_at)
            rows[key] = row
    return list(rows.values())


def _why_not(token: PushToken, now: datetime) -> str | None:
    """Return why `token` does not work; None where it does by now, as one that was just imported."""
    if token.revoked_at is not None:
        return Reason.REVOKED
    if token.expires_at is not None and token.expires_at <= now:
        return Reason.EXPIRED
    return None


def _add(rows: Collection[Refusal]) -> None:
    """Add `rows` to the table: what is there of the same kind is counted on."""
    if not rows:
        return
    places = ", ".join(f"({', '.join(['%s'] * len(_FIELDS))})" for _ in rows)
    names = ", ".join(f'"{field.column}"' for field in _FIELDS)
    values = [
        field.get_db_prep_save(getattr(row, field.attname), connection) for row in rows for field in _FIELDS
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_TABLE} ({names}) VALUES {places}"
            " ON CONFLICT (monitor_id, reason, method, source, last_four) DO UPDATE SET"
            f' "count" = {_TABLE}."count" + excluded."count", detail = excluded.detail,'
            f" last_at = CASE WHEN excluded.last_at > {_TABLE}.last_at"
            f" THEN excluded.last_at ELSE {_TABLE}.last_at END",
            values,
        )


def prune(monitor_ids: Collection[int]) -> int:
    """Keep the newest KINDS_MOST kinds of each of these monitors; return how many rows went."""
    crowded = (
        Refusal.objects.filter(monitor_id__in=monitor_ids)
        .values("monitor_id")
        .annotate(kinds=Count("pk"))
        .filter(kinds__gt=KINDS_MOST)
        .values_list("monitor_id", flat=True)
    )
    gone = 0
    for monitor_id in list(crowded):
        newest = Refusal.objects.filter(monitor_id=monitor_id).order_by("-last_at", "-pk")
        gone += Refusal.objects.filter(
            pk__in=list(newest.values_list("pk", flat=True)[KINDS_MOST:])
        ).delete()[0]
    return gone
