"""Which monitors keep going down and recovering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime

from django.db.models import Q

from monitors.models import Incident, Monitor
from notifications.rules.compare import FLAP_WINDOW
from notifications.rules.effective import DEFAULT


def is_flapping(monitors: Collection[Monitor], now: datetime) -> set[int]:
    """Return the row ids of those of `monitors` that are flapping at `now`. One query.

    A monitor is flapping after more changes, down or recovered, within FLAP_WINDOW than its rules allow.
    """
    start = now - FLAP_WINDOW
    lately = Incident.objects.filter(
        Q(confirmed_at__gt=start) | Q(resolved_at__gt=start),
        monitor__in=monitors,
        confirmed_at__isnull=False,
    ).values_list(
        "monitor",
        "confirmed_at",
        "resolved_at",
        "monitor__rules__flap_changes",
        "monitor__workspace__rules__flap_changes",
    )
    changes: Counter[int] = Counter()
    allowed: dict[int, int] = {}
    for monitor, down_at, up_at, own, default in lately:
        changes[monitor] += sum(at is not None and start < at <= now for at in (down_at, up_at))
        allowed[monitor] = next(
            (number for number in (own, default) if number is not None), DEFAULT.flap_changes
        )
    return {monitor for monitor, number in changes.items() if allowed[monitor] and number > allowed[monitor]}
