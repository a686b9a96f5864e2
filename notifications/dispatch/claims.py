"""From news to a channel's next message: the delivery about one monitor, or a digest of several."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core import sql
from notifications.messages.events import Event
from notifications.models import Belief, Channel, Delivery
from notifications.rules.compare import Send, Truth
from notifications.transports.base import TOTAL_SECONDS

# Twice what an attempt may take, with room for a slow commit.
LEASE = timedelta(seconds=2 * TOTAL_SECONDS + 5)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make attempt `number` of a delivery of a workspace, until the lease expires.

    `interrupted`: the previous attempt ended without a result.
    """

    workspace_id: int
    delivery_id: int
    number: int
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """A message that a channel is to be sent about one monitor, and since when it waits.

    `belief` is None for the end of a monitor that was deleted; its delivery was written then.
    """

    delivery: Delivery
    since: datetime
    belief: Belief | None = None


def news_of(belief: Belief, send: Send, truth: Truth) -> News:
    """Return what the channel of `belief`, which is due, is to be sent."""
    assert belief.check_at is not None, "it is due"
    # What is late opens a record at a receiver that keeps one for each outage.
    opens = send.event is not Event.LATE or truth.keeps_records
    # The end of what was late has no incident either.
    late_after = truth.late_after if send.event is Event.LATE else belief.late_after
    delivery = Delivery(
        workspace_id=belief.workspace_id,
        channel_id=belief.channel_id,
        monitor_id=belief.monitor_id,
        incident_id=send.outage,
        event=send.event.value,
        reason=send.reason.value if send.reason else "",
        outage=belief.outage or (uuid.uuid4() if opens else None),
        sequence=(belief.sequence if belief.outage else 0) + 1,
        reminder=belief.reminders + 1 if send.event is Event.REMINDER else 0,
        occasion=None if send.outage else late_after,
        created_at=truth.now,
        planned_at=belief.check_at,
    )
    return News(delivery, belief.check_at, belief)


def claim(channel: Channel, news: Sequence[News], now: datetime) -> Claim:
    """Write the message about `news`, a single one or a digest, and claim it."""
    rows = [each.delivery for each in news]
    message = rows[0]
    if len(rows) > 1:
        message = Delivery(channel=channel, event=Event.DIGEST, created_at=now, planned_at=now)
    message.status, message.attempt_count = Delivery.Status.SENDING, 1
    message.next_attempt_at = now + LEASE
    if len(rows) > 1:
        sql.insert([message])
        for row in rows:
            row.status, row.digest, row.next_attempt_at = Delivery.Status.MERGED, message, None
    sql.insert([each.delivery for each in news if each.belief])
    sql.update([each.delivery for each in news if not each.belief])
    beliefs = [each.belief for each in news if each.belief]
    for each in news:
        if each.belief:
            each.belief.delivery, each.belief.check_at = each.delivery, None
            each.belief.outage, each.belief.sequence = each.delivery.outage, each.delivery.sequence
    sql.update(beliefs)
    return Claim(channel.workspace_id, message.pk, 1)
