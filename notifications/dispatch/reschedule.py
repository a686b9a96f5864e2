"""What waits for the end of a snooze or of maintenance, where that is moved."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from core.sql import among
from notifications.dispatch import reminders
from notifications.models import Delivery


def ask_again(monitors: Collection[int], *, held_until: datetime, at: datetime) -> None:
    """Judge at `at` what waits for the end of a snooze or of maintenance that does not end then any more.

    What a worker holds at this moment is being judged; it is found at its own time.
    """
    waiting = Delivery.objects.filter(
        monitor__in=among(monitors),
        status=Delivery.Status.PENDING,
        attempt_count=0,
        next_attempt_at=held_until,
    )
    held = Delivery.objects.filter(pk__in=among(reminders.free(waiting)))
    # What is over by the time for which it is planned is not told.
    held.filter(planned_at=held_until).update(planned_at=at)
    held.update(next_attempt_at=at)
