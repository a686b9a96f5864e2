"""What waits to be compared or sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

from django.db import connection
from django.db.models import Exists, Min, OuterRef, QuerySet

from core.clock import database_now, sql_now
from notifications.models import Belief, Channel, Delivery, DeliveryAttempt

# More than `Channel.burst` messages in this time are a storm, in which a digest is sent as often.
STORM = timedelta(seconds=30)


def something_is_due() -> bool:
    """Return whether any message or comparison is due, even of a channel whose turn it isn't.

    One query on indexes, made every second; `channels_with_something_due` costs ten times as much.
    """
    with connection.cursor() as cursor:
        cursor.execute(_is_due_statement(connection.vendor), [])
        return bool(cursor.fetchone()[0])


@cache
def _is_due_statement(vendor: str) -> str:
    # In a SELECT of its own, the time is computed once, before the indexes are searched for it.
    now = f"(SELECT {sql_now()})"
    beliefs, channels = Belief._meta.db_table, Channel._meta.db_table
    return (
        f"SELECT EXISTS (SELECT 1 FROM {Delivery._meta.db_table} WHERE next_attempt_at <= {now})"
        # By channel, as in the index.
        f" OR EXISTS (SELECT 1 FROM {channels} AS c WHERE EXISTS"
        f" (SELECT 1 FROM {beliefs} AS b WHERE b.channel_id = c.id AND b.check_at <= {now}))"
    )


def channels_with_something_due() -> list[int]:
    """Return the row ids of channels whose turn it may be, the one that has waited longest first."""
    now = database_now()
    in_flight = Delivery.objects.filter(
        channel=OuterRef("pk"), status=Delivery.Status.SENDING, next_attempt_at__gt=now
    )
    free = Channel.objects.filter(~Exists(in_flight)).exclude(paused_until__gt=now)
    deliveries = Delivery.objects.filter(next_attempt_at__lte=now, channel__in=free)
    # During a storm, only the end of its window is a turn for news.
    calm = free.filter(enabled=True).exclude(digest_at__gt=now)
    beliefs = Belief.objects.filter(check_at__lte=now, channel__in=calm)
    since = _oldest(beliefs, deliveries)
    return sorted(since, key=lambda channel: (since[channel], channel))


def neglected_since(limit: datetime) -> datetime | None:
    """Return since when the oldest message has waited for a worker; None if none has since before `limit`.

    What waits for its receiver is not neglected: a channel that is paused, or in a storm. Nor is what waits
    for its turn while any channel is served: members can make as many channels that hang as it takes to keep
    all workers busy. That there are workers that deliver is not up to them.
    """
    working = Channel.objects.filter(enabled=True)
    idle = working.exclude(paused_until__gt=limit).exclude(digest_at__gt=limit)
    since = _oldest(
        Belief.objects.filter(check_at__lt=limit, channel__in=idle),
        Delivery.objects.filter(next_attempt_at__lt=limit, channel__in=idle),
    )
    return min(since.values()) if since and not _delivers(since=limit) else None


def _delivers(*, since: datetime) -> bool:
    """Return whether a worker has finished an attempt since then, or is making one."""
    newest = DeliveryAttempt.objects.order_by("-pk").values_list("finished_at", flat=True).first()
    if newest is not None and newest > since:
        return True
    claimed = Delivery.objects.filter(status=Delivery.Status.SENDING, next_attempt_at__gt=database_now())
    return claimed.exists()


def _oldest(beliefs: QuerySet[Belief], deliveries: QuerySet[Delivery]) -> dict[int, datetime]:
    """Return since when the oldest of these have waited, by the row id of their channel."""
    since: dict[int, datetime] = {}
    pairs = [
        *beliefs.values("channel").annotate(at=Min("check_at")).values_list("channel", "at"),
        *deliveries.values("channel").annotate(at=Min("next_attempt_at")).values_list("channel", "at"),
    ]
    for channel, at in pairs:
        since[channel] = min(at, since.get(channel, at))
    return since
