"""What waits to be compared or sent."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Exists, Min, OuterRef

from core.clock import database_now
from notifications.models import Belief, Channel, Delivery, DeliveryAttempt

# More than `Channel.burst` messages in this time are a storm, in which a digest is sent as often.
STORM = timedelta(seconds=30)


def channels_with_something_due() -> list[int]:
    """Return the row ids of channels whose turn it may be, the one that has waited longest first."""
    now = database_now()
    in_flight = Delivery.objects.filter(
        channel=OuterRef("pk"), status=Delivery.Status.SENDING, next_attempt_at__gt=now
    )
    free = Channel.objects.filter(~Exists(in_flight)).exclude(paused_until__gt=now)
    deliveries = Delivery.objects.filter(next_attempt_at__lte=now, channel__in=free)
    # During a storm, only the end of its window is a turn for news; a later one means a clock set back.
    calm = free.filter(enabled=True).exclude(digest_at__gt=now, digest_at__lte=now + STORM)
    beliefs = Belief.objects.filter(check_at__lte=now, channel__in=calm)
    since: dict[int, datetime] = {}
    for rows, column in ((deliveries, "next_attempt_at"), (beliefs, "check_at")):
        for channel, at in rows.values("channel").annotate(at=Min(column)).values_list("channel", "at"):
            since[channel] = min(at, since.get(channel, at))
    return sorted(since, key=lambda channel: (since[channel], channel))


def neglected_since(limit: datetime, now: datetime) -> datetime | None:
    """Return since when the oldest message has waited for us; None if none has since before `limit`.

    What waits for its receiver is not neglected: a channel that is paused, in a storm, or was served since
    `limit`.
    """
    served = Delivery.objects.filter(channel=OuterRef("pk"), created_at__gt=limit, attempt_count__gt=0)
    tried = DeliveryAttempt.objects.filter(delivery__channel=OuterRef("pk"), finished_at__gt=limit)
    idle = (
        Channel.objects.filter(~Exists(served), ~Exists(tried), enabled=True)
        .exclude(paused_until__gt=limit)
        .exclude(digest_at__gt=limit, digest_at__lte=now + STORM)
    )
    beliefs = Belief.objects.filter(check_at__lt=limit, channel__in=idle)
    deliveries = Delivery.objects.filter(next_attempt_at__lt=limit, channel__in=idle)
    oldest = (
        beliefs.aggregate(at=Min("check_at"))["at"],
        deliveries.aggregate(at=Min("next_attempt_at"))["at"],
    )
    return min((at for at in oldest if at is not None), default=None)
