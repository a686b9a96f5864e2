"""Deliveries that wait for the end of a snooze or of maintenance, when that end moves."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from core.sql import among
from notifications.locks import lock_delivery_ids
from notifications.models import Delivery


def reschedule_held(monitors: Collection[int], *, held_until: datetime, at: datetime) -> None:
    """Reschedule to `at` what waits for the end of a snooze or of maintenance that now ends at another time.

    Rows that a worker has locked are being judged right now, and are judged again at their own time.
    """
    waiting = Delivery.objects.filter(
        monitor__in=among(monitors),
        status=Delivery.Status.PENDING,
        attempt_count=0,
        next_attempt_at=held_until,
    )
    held = Delivery.objects.filter(pk__in=among(lock_delivery_ids(waiting)))
    # An outage that is over by its planned time is not sent.
    held.filter(planned_at=held_until).update(planned_at=at)
    held.update(next_attempt_at=at)
