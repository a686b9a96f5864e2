"""Rejected pushes, kept for troubleshooting a heartbeat that did not arrive.

Recording one must not slow down other pushes, and a runaway sender must not fill the database: they are
counted in memory, bounded, and a thread writes the counts once a second while there are any. What can't be
written is lost; only the troubleshooting page depends on it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import connection, transaction
from django.db.models import Count, F

from core.clock import database_now
from monitors.models import REJECTION_DETAIL_LENGTH, PushToken, RejectedPush

log = structlog.get_logger(__name__)

# How many kinds are kept per monitor.
KINDS_MOST = 50
# For how many tokens a process counts rejected pushes between two writes. With more than that, someone is
# most likely guessing tokens.
_TOKENS_MOST = 500
_WRITE_EVERY_SECONDS = 1.0
# A request may have any word as its method, and each would become a kind.
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
_OTHER_METHOD = "other"

Reason = RejectedPush.Reason
# The error in the response: the same for revoked and expired tokens, of which only the monitor's page tells.
UNKNOWN = "Unknown push token."


@dataclass(slots=True)
class _Noted:
    """The rejected pushes of one kind since the last write; times are those of `time.monotonic`."""

    first: float
    last: float
    detail: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class _Kind:
    """What the rejected pushes of one row have in common; `reason` is None for a token that is not active."""

    reason: str | None
    method: str
    source: str


_Notes = dict[str, dict[_Kind, _Noted]]


class RejectionLog:
    """Counts rejected pushes in memory and writes the counts. One per process, shared by its threads.

    Args:
        every: seconds between two writes.
        by_itself: whether a thread writes automatically; otherwise only `write` does.
    """

    def __init__(self, *, every: float = _WRITE_EVERY_SECONDS, by_itself: bool = True) -> None:
        self.by_itself = by_itself
        self._every = every
        self._forget_all()
        # A forked child would write its parent's counts again, and its lock may never be released.
        os.register_at_fork(after_in_child=self._forget_all)

    def _forget_all(self) -> None:
        self._mutex = threading.Lock()
        self._notes: _Notes = {}
        self._writer: threading.Thread | None = None

    def note(self, digest: str, reason: str | None, *, method: str, source: str | None, detail: str) -> None:
        """Note a rejected push. Does not use the database, does not block and never raises.

        Args:
            digest: of the token it came with. The token's monitor, if any, is looked up later.
            reason: one of RejectedPush.Reason, or None if the token is not active for whatever reason.
            detail: the error in the response.
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
        """Write what was noted since the last write; return how many rows that were.

        Raises:
            django.db.Error: it could not be written, and is lost.
        """
        with self._mutex:
            notes, self._notes = self._notes, {}
        return _write(notes) if notes else 0

    def _start(self) -> None:
        # Not a daemon: a process waits for this thread when it exits, so the last notes are written.
        self._writer = threading.Thread(target=self._write_until_done, name="write-rejections", daemon=False)
        try:
            self._writer.start()
        except RuntimeError as error:  # no more threads, or the process is exiting
            self._writer = None
            log.warning("rejected pushes not noted", error=str(error))

    def _write_until_done(self) -> None:
        while True:
            # Returns early once the process exits.
            _sleep_while_alive(self._every)
            try:
                self.write()
            except Exception as error:  # never let it affect pushes
                log.warning("rejected pushes not noted", error=str(error))
            with self._mutex:
                if not self._notes:
                    self._writer = None
                    break
        # Back to the pool, or closed: the next thread opens its own.
        connection.close()


def _sleep_while_alive(seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and threading.main_thread().is_alive():
        time.sleep(min(left, 0.1))


# --- Writing -------------------------------------------------------------------------------------

_FIELDS = [field for field in RejectedPush._meta.concrete_fields if not field.primary_key]
_TABLE = RejectedPush._meta.db_table
_Key = tuple[int, str, str, str, str]


def _write(notes: _Notes) -> int:
    tokens = list(PushToken.objects.filter(digest__in=notes))
    if not tokens:
        return 0
    now = database_now()
    _count_limited(tokens, notes, now)
    rows = _rows(tokens, notes, now)
    # Always in the same order, so that two processes updating the same rows don't deadlock.
    rows.sort(key=lambda row: (row.monitor_id, row.reason, row.method, row.source, row.last_four))
    with transaction.atomic():
        _add(rows)
        prune({row.monitor_id: row.workspace_id for row in rows})
    return len(rows)


def _count_limited(tokens: Iterable[PushToken], notes: _Notes, now: datetime) -> None:
    """Add what the rate limit rejected to each token's count. No two rows are locked at once."""
    passed = time.monotonic()
    for token in tokens:
        limited = [noted for kind, noted in notes[token.digest].items() if kind.reason == Reason.LIMIT]
        if limited:
            PushToken.objects.filter(pk=token.pk, workspace_id=token.workspace_id).update(
                limited_count=F("limited_count") + sum(noted.count for noted in limited),
                limited_at=now - timedelta(seconds=passed - max(noted.last for noted in limited)),
            )


def _rows(tokens: Iterable[PushToken], notes: _Notes, now: datetime) -> list[RejectedPush]:
    """Return the rows to add: one per kind, even if two tokens of a monitor end in the same letters."""
    passed = time.monotonic()
    rows: dict[_Key, RejectedPush] = {}
    for token in tokens:
        for kind, noted in notes[token.digest].items():
            reason = kind.reason or _why_not(token, now)
            if reason is None:
                continue
            row = RejectedPush(
                workspace_id=token.workspace_id,
                monitor_id=token.monitor_id,
                reason=reason,
                method=kind.method,
                source=kind.source,
                last_four=token.last_four,
                detail=noted.detail[:REJECTION_DETAIL_LENGTH],
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
    """Return why `token` is not active; None if it is by now, for example because it was just imported."""
    if token.revoked_at is not None:
        return Reason.REVOKED
    if token.expires_at is not None and token.expires_at <= now:
        return Reason.EXPIRED
    return None


def _add(rows: Collection[RejectedPush]) -> None:
    """Insert `rows`, adding to the count of a row of the same kind."""
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
            " ON CONFLICT (monitor_id, reason, method, source, last_four, workspace_id) DO UPDATE SET"
            f' "count" = {_TABLE}."count" + excluded."count", detail = excluded.detail,'
            f" last_at = CASE WHEN excluded.last_at > {_TABLE}.last_at"
            f" THEN excluded.last_at ELSE {_TABLE}.last_at END",
            values,
        )


def prune(monitors: Mapping[int, int]) -> int:
    """Keep the newest KINDS_MOST kinds of each of these monitors; return how many rows were deleted.

    Args:
        monitors: by row id, the workspace's.
    """
    crowded = (
        RejectedPush.objects.filter(monitor_id__in=monitors, workspace_id__in=set(monitors.values()))
        .values("monitor_id")
        .annotate(kinds=Count("pk"))
        .filter(kinds__gt=KINDS_MOST)
        .values_list("monitor_id", flat=True)
    )
    gone = 0
    for monitor_id in list(crowded):
        its = RejectedPush.objects.filter(workspace_id=monitors[monitor_id], monitor_id=monitor_id)
        newest = its.order_by("-last_at", "-pk").values_list("pk", flat=True)
        gone += its.filter(pk__in=list(newest[KINDS_MOST:])).delete()[0]
    return gone
