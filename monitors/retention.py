"""Old heartbeats go, in small batches that hold nobody up."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet

from monitors.models import Heartbeat
from tianji.clock import database_now

BATCH = 1000


def delete_old_heartbeats(*, days: int | None = None, batch: int = BATCH) -> int:
    """Delete the heartbeats older than `days` (default TIANJI_RETENTION_DAYS); return how many."""
    keep = timedelta(days=settings.TIANJI_RETENTION_DAYS if days is None else days)
    old = Heartbeat.objects.filter(received_at__lt=database_now() - keep).order_by("received_at")
    return _delete(old, batch)


def delete_heartbeats_of(*, monitor_id: int, batch: int = BATCH) -> int:
    """Delete the heartbeats that a deleted monitor left; return how many."""
    return _delete(Heartbeat.objects.filter(monitor_id=monitor_id), batch)


def _delete(heartbeats: QuerySet[Heartbeat], batch: int) -> int:
    total = 0
    while True:
        ids = list(heartbeats.values_list("pk", flat=True)[:batch])
        if not ids:
            return total
        # Each batch commits by itself, so that pushes get their turn between two of them.
        total += Heartbeat.objects.filter(pk__in=ids).delete()[0]
