"""Deletes old heartbeats, rollups, gaps and rejected pushes, in small batches that block nothing."""

from __future__ import annotations

import threading
import time
from collections import deque
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from core.clock import database_now
from monitors.models import GAP_DAYS, ROLLUP_DAYS, Gap, Heartbeat, RejectedPush, RolledUp, Rollup
from monitors.services import partitions

BATCH = 1000
# SQLite has one lock for all writers, and those that wait for it look for it ever more rarely.
_REST_SECONDS = 0.02

_to_purge: deque[int] = deque()
_purging = threading.Lock()


def delete_old_heartbeats(*, days: int | None = None, batch: int = BATCH) -> int:
    """Delete the heartbeats older than `days` (default TIANJI_RETENTION_DAYS).

    On PostgreSQL those of a day go together, once all of them are older: its partition is dropped. Where
    there are no partitions of days, they go row by row. Returns how many did.
    """
    keep = timedelta(days=settings.TIANJI_RETENTION_DAYS if days is None else days)
    limit = database_now() - keep
    partitions.drop_old(before=limit)
    return sum(_delete_oldest(table, limit, batch) for table in partitions.tables_without_days())


def _delete_oldest(table: str, before: datetime, batch: int) -> int:
    """Delete the heartbeats in `table` from before `before`; return how many.

    Walks the primary key from its oldest end. Apart from commits that overtook each other by moments, the
    oldest rows are there, so that pushes need not maintain an index on the time.
    """
    statement = (
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM"
        f" (SELECT id, received_at FROM {table} ORDER BY id LIMIT %s) AS oldest WHERE received_at < %s)"
    )
    total = 0
    while True:
        # Each batch commits on its own, so that pushes get their turn in between.
        with connection.cursor() as cursor:
            cursor.execute(statement, [batch, connection.ops.adapt_datetimefield_value(before)])
            total += cursor.rowcount
            if cursor.rowcount < batch:
                return total
        _let_others_write()


def delete_old_rollups(*, batch: int = BATCH) -> int:
    """Delete the rollups older than ROLLUP_DAYS, and their completion markers; return how many."""
    limit = database_now() - timedelta(days=ROLLUP_DAYS)
    total = _delete_all(Rollup.objects.filter(start__lt=limit), batch)
    RolledUp.objects.filter(start__lt=limit).delete()
    return total


def delete_old_gaps(*, batch: int = BATCH) -> int:
    """Delete the gaps that ended more than GAP_DAYS ago; return how many."""
    limit = database_now() - timedelta(days=GAP_DAYS)
    return _delete_all(Gap.objects.filter(ended_at__lt=limit), batch)


def delete_old_rejected_pushes(*, batch: int = BATCH) -> int:
    """Delete the rejected pushes older than TIANJI_REJECTED_DAYS; return how many rows."""
    limit = database_now() - timedelta(days=settings.TIANJI_REJECTED_DAYS)
    return _delete_all(RejectedPush.objects.filter(last_at__lt=limit), batch)


def purge_in_turn(*, monitor_id: int) -> None:
    """Delete what a deleted monitor has left behind, after what others have: one at a time in this process.

    Many may be deleted at once, and would keep all threads of a worker from checks and notifications. Returns
    immediately if another thread is at it, which does this one too. What is left when the process ends is
    deleted when it is old enough.
    """
    _to_purge.append(monitor_id)
    while _to_purge and _purging.acquire(blocking=False):
        try:
            while _to_purge:
                purge(monitor_id=_to_purge.popleft())
        finally:
            _purging.release()


def purge(*, monitor_id: int) -> None:
    """Delete what a deleted monitor has left behind."""
    delete_heartbeats_of(monitor_id=monitor_id)
    delete_rollups_of(monitor_id=monitor_id)
    # At most a few dozen.
    RejectedPush.objects.filter(monitor_id=monitor_id).delete()


def delete_heartbeats_of(*, monitor_id: int, batch: int = BATCH) -> int:
    """Delete the heartbeats of a deleted monitor; return how many."""
    rows = Heartbeat.objects.filter(monitor_id=monitor_id).order_by("received_at")
    total = 0
    while found := list(rows.values_list("pk", "received_at")[:batch]):
        # The times say in which partitions they are; the others are left alone.
        between = (found[0][1], found[-1][1])
        ids = [pk for pk, _received_at in found]
        total += Heartbeat.objects.filter(pk__in=ids, received_at__range=between).delete()[0]
        _let_others_write()
    return total


def delete_rollups_of(*, monitor_id: int, batch: int = BATCH) -> int:
    """Delete the rollups of a deleted monitor; return how many."""
    return _delete_all(Rollup.objects.filter(monitor_id=monitor_id), batch)


def _delete_all(rows: QuerySet[Any], batch: int) -> int:
    total = 0
    while ids := list(rows.values_list("pk", flat=True)[:batch]):
        total += rows.model._default_manager.filter(pk__in=ids).delete()[0]
        _let_others_write()
    return total


def _let_others_write() -> None:
    """Leave SQLite's lock to the pushes that wait for it, between two batches."""
    if connection.vendor == "sqlite":
        time.sleep(_REST_SECONDS)
