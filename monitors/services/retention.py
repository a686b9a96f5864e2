"""Deletes old heartbeats, rollups, gaps and rejected pushes, in small batches that block nothing."""

from __future__ import annotations

import threading
from collections import deque
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet

from core.clock import database_now
from monitors.heartbeats import rejections
from monitors.models import (
    GAP_DAYS,
    ROLLUP_DAYS,
    DailyRollup,
    Gap,
    Heartbeat,
    RejectedPush,
    RolledUp,
    Rollup,
)

BATCH = 1000

_to_purge: deque[int] = deque()
_purging = threading.Lock()


def delete_old_heartbeats(*, days: int | None = None, batch: int = BATCH) -> int:
    """Delete the heartbeats older than `days` (default TIANJI_RETENTION_DAYS); return how many.

    Walks the primary key from its oldest end. Apart from commits that overtook each other by moments, the
    oldest rows are there, so that pushes need not maintain an index on the time.
    """
    keep = timedelta(days=settings.TIANJI_RETENTION_DAYS if days is None else days)
    limit = database_now() - keep
    total = 0
    while True:
        oldest = list(Heartbeat.objects.order_by("pk").values_list("pk", "received_at")[:batch])
        old = [pk for pk, received_at in oldest if received_at < limit]
        # Each batch commits on its own, so that pushes get their turn in between.
        total += Heartbeat.objects.filter(pk__in=old).delete()[0]
        if len(old) < batch:
            return total


def delete_old_rollups(*, batch: int = BATCH) -> int:
    """Delete the rollups older than ROLLUP_DAYS, and their completion markers; return how many."""
    limit = database_now() - timedelta(days=ROLLUP_DAYS)
    total = _delete_all(Rollup.objects.filter(start__lt=limit), batch)
    RolledUp.objects.filter(start__lt=limit).delete()
    return total


def delete_old_daily_rollups(*, batch: int = BATCH) -> int:
    """Delete the daily rollups older than TIANJI_DAILY_ROLLUP_DAYS; return how many."""
    limit = (database_now() - timedelta(days=settings.TIANJI_DAILY_ROLLUP_DAYS)).date()
    return _delete_all(DailyRollup.objects.filter(day__lt=limit), batch)


def delete_old_gaps(*, batch: int = BATCH) -> int:
    """Delete the gaps that ended more than GAP_DAYS ago; return how many."""
    limit = database_now() - timedelta(days=GAP_DAYS)
    return _delete_all(Gap.objects.filter(ended_at__lt=limit), batch)


def delete_old_rejected_pushes(*, batch: int = BATCH) -> int:
    """Delete old rejected pushes; return how many rows."""
    limit = database_now() - timedelta(days=rejections.DAYS)
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
    return _delete_all(Heartbeat.objects.filter(monitor_id=monitor_id), batch)


def delete_rollups_of(*, monitor_id: int, batch: int = BATCH) -> int:
    """Delete the rollups of a deleted monitor; return how many."""
    days = _delete_all(DailyRollup.objects.filter(monitor_id=monitor_id), batch)
    return days + _delete_all(Rollup.objects.filter(monitor_id=monitor_id), batch)


def _delete_all(rows: QuerySet[Any], batch: int) -> int:
    total = 0
    while ids := list(rows.values_list("pk", flat=True)[:batch]):
        total += rows.model._default_manager.filter(pk__in=ids).delete()[0]
    return total
