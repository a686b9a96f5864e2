"""Deletes old deliveries with their attempts, incidents and status changes, in small batches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from core.clock import database_now
from monitors.models import ROLLUP_DAYS, Incident, Transition
from notifications.models import Belief, Delivery

BATCH = 500
_FINISHED = (Delivery.Status.MERGED, Delivery.Status.SENT, Delivery.Status.FAILED, Delivery.Status.SKIPPED)


def delete_old_history(*, batch: int = BATCH) -> None:
    """Delete what is older than TIANJI_HISTORY_DAYS; 0 keeps everything."""
    if days := settings.TIANJI_HISTORY_DAYS:
        now = database_now()
        limit = now - timedelta(days=days)
        # In this order: an incident is kept as long as its deliveries.
        delete_old_deliveries(before=limit, batch=batch)
        delete_old_incidents(before=limit, batch=batch)
        # Uptimes are calculated from status changes, for as long as there are rollups.
        delete_old_transitions(before=now - timedelta(days=max(days, ROLLUP_DAYS)), batch=batch)


def delete_old_deliveries(*, before: datetime, batch: int = BATCH) -> int:
    """Delete the deliveries from `before` that are finished, with their attempts; return how many.

    A digest is deleted together with its members, and none that a belief refers to.
    """
    total = 0
    for ids in _oldest(Delivery.objects.filter(digest=None), "created_at", before, batch):
        together = Delivery.objects.filter(Q(pk__in=ids) | Q(digest__in=ids))
        kept = set()
        for pk, digest in together.exclude(status__in=_FINISHED).values_list("pk", "digest"):
            kept |= {pk, digest}
        beliefs = Belief.objects.filter(delivery__in=together.values("pk"))
        for pk, digest in beliefs.values_list("delivery", "delivery__digest"):
            kept |= {pk, digest}
        old = [pk for pk in ids if pk not in kept]
        total += Delivery.objects.filter(digest__in=old).count() + len(old)
        Delivery.objects.filter(Q(pk__in=old) | Q(digest__in=old)).delete()
    return total


def delete_old_incidents(*, before: datetime, batch: int = BATCH) -> int:
    """Delete the incidents that were resolved before `before`; return how many.

    Those stay that have deliveries, and those that a channel was notified of last. Status changes stay too,
    for as long as uptimes are calculated from them.
    """
    total = 0
    for ids in _oldest(Incident.objects.all(), "detected_at", before, batch):
        resolved = Incident.objects.filter(pk__in=ids, resolved_at__lt=before)
        needed = set(Belief.objects.filter(incident__in=ids).values_list("incident", flat=True))
        needed |= set(Delivery.objects.filter(incident__in=ids).values_list("incident", flat=True))
        old = [pk for pk in resolved.values_list("pk", flat=True) if pk not in needed]
        with transaction.atomic():
            Transition.objects.filter(incident__in=old).update(incident=None)
            Incident.objects.filter(pk__in=old).delete()
        total += len(old)
    return total


def delete_old_transitions(*, before: datetime, batch: int = BATCH) -> int:
    """Delete the status changes from before `before`; return how many.

    The last one of each monitor stays: it says in which status the monitor was at `before`.
    """
    total = 0
    for ids in _oldest(Transition.objects.all(), "at", before, batch):
        later = Transition.objects.filter(monitor=OuterRef("monitor"), at__gt=OuterRef("at"), at__lt=before)
        total += Transition.objects.filter(Exists(later), pk__in=ids).delete()[0]
    return total


def _oldest(rows: QuerySet[Any], time: str, before: datetime, batch: int) -> Iterator[list[int]]:
    """Yield the row ids of those of `rows` whose column `time` is before `before`, in batches.

    Walks the primary key from its oldest end, where the oldest rows are, so that no index on the time is
    needed.
    """
    last = 0
    while page := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", time)[:batch]):
        last = page[-1][0]
        old = [pk for pk, at in page if at < before]
        if not old:
            return
        yield old
