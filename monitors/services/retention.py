"""Old heartbeats, rollups and refusals go, in small batches that hold nobody up."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet

from core.clock import database_now
from monitors.heartbeats import rejections
from monitors.models import ROLLUP_DAYS, Heartbeat, Refusal, RolledUp, Rollup

BATCH = 1000


def delete_old_heartbeats(*, days: int | None = None, batch: int = BATCH) -> int:
    """Delete the heartbeats older than `days` (default TIANJI_RETENTION_DAYS); return how many.

    Walks the primary key from its oldest end, where the oldest rows are but for the moments by which
    two commits overtook each other, so that no index on the time is paid for with every push.
    """
    keep = timedelta(days=settings.TIANJI_RETENTION_DAYS if days is None else days)
    limit = database_now() - keep
    total = 0
    while True:
        oldest = list(Heartbeat.objects.order_by("pk").values_list("pk", "received_at")[:batch])
        old = [pk for pk, received_at in oldest if received_at < limit]
        # Each batch commits by itself, so that pushes get their turn between two of them.
        total += Heartbeat.objects.filter(pk__in=old).delete()[0]
        if len(old) < batch:
            return total


def delete_old_rollups(*, batch: int = BATCH) -> int:
    """Delete the rollups older than ROLLUP_DAYS, and that they were made; return how many."""
    limit = database_now() - timedelta(days=ROLLUP_DAYS)
    total = _delete_all(Rollup.objects.filter(start__lt=limit), batch)
    RolledUp.objects.filter(start__lt=limit).delete()
    return total


def delete_old_refusals(*, batch: int = BATCH) -> int:
    """Delete what is known of pushes that were refused long ago; return how many kinds."""
    limit = database_now() - timedelta(days=rejections.DAYS)
    return _delete_all(Refusal.objects.filter(last_at__lt=limit), batch)


def purge(*, monitor_id: int) -> None:
    """Delete what a deleted monitor left."""
    delete_heartbeats_of(monitor_id=monitor_id)
    delete_rollups_of(monitor_id=monitor_id)
    # At most a few dozen.
    Refusal.objects.filter(monitor_id=monitor_id).delete()


def delete_heartbeats_of(*, monitor_id: int, batch: int = BATCH) -> int:
    """Delete the heartbeats that a deleted monitor left; return how many."""
    return _delete_all(Heartbeat.objects.filter(monitor_id=monitor_id), batch)


def delete_rollups_of(*, monitor_id: int, batch: int = BATCH) -> int:
    """Delete the rollups that a deleted monitor left; return how many."""
    return _delete_all(Rollup.objects.filter(monitor_id=monitor_id), batch)


def _delete_all(rows: QuerySet[Heartbeat] | QuerySet[Rollup] | QuerySet[Refusal], batch: int) -> int:
    total = 0
    while ids := list(rows.values_list("pk", flat=True)[:batch]):
        total += rows.model._default_manager.filter(pk__in=ids).delete()[0]
    return total
