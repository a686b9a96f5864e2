"""From news to a channel's next message: the delivery about one monitor, or a digest of several."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core import sql
from notifications.integrations import kinds
from notifications.messages.events import Event
from notifications.models import Belief, Channel, Delivery
from notifications.rules.compare import Send
from notifications.transports.base import TOTAL_SECONDS

# Twice what an attempt may take, with room for a slow commit.
LEASE = timedelta(seconds=2 * TOTAL_SECONDS + 5)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make attempt `number` of a delivery, until the lease expires.

    `interrupted`: the previous attempt ended without a result.
    """

    delivery_id: int
    number: int
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """What a channel is to be sent about one monitor."""

    belief: Belief
    send: Send
    late_after: datetime | None

    @property
    def since(self) -> datetime:
        assert self.belief.check_at is not None, "it is due"
        return self.belief.check_at


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a monitor that was deleted; its delivery was written then."""

    delivery: Delivery

    @property
    def since(self) -> datetime:
        return self.delivery.created_at


def claim(channel: Channel, news: Sequence[News | Ended], now: datetime) -> Claim:
    """Write the message about `news`, a single one or a digest, and claim it."""
    rows = [each.delivery if isinstance(each, Ended) else _delivery(channel, each, now) for each in news]
    message = rows[0]
    if len(rows) > 1:
        message = Delivery(channel=channel, event=Event.DIGEST, created_at=now, planned_at=now)
    message.status, message.attempt_count = Delivery.Status.SENDING, 1
    message.next_attempt_at = now + LEASE
    if len(rows) > 1:
        sql.insert([message])
        for row in rows:
            row.status, row.digest, row.next_attempt_at = Delivery.Status.MERGED, message, None
    sql.insert([row for row in rows if row.pk is None])
    sql.update([each.delivery for each in news if isinstance(each, Ended)])
    beliefs = []
    for each, row in zip(news, rows, strict=True):
        if isinstance(each, News):
            each.belief.delivery, each.belief.check_at = row, None
            each.belief.outage, each.belief.sequence = row.outage, row.sequence
            beliefs.append(each.belief)
    sql.update(beliefs)
    return Claim(message.pk, 1)


def _delivery(channel: Channel, news: News, now: datetime) -> Delivery:
    belief, send = news.belief, news.send
    # What is late opens a record at a receiver that keeps one for each outage.
    kind = kinds().get(channel.kind)
    opens = send.event is not Event.LATE or (kind is not None and not kind.merges)
    outage = belief.outage or (uuid.uuid4() if opens else None)
    return Delivery(
        channel_id=belief.channel_id,
        monitor_id=belief.monitor_id,
        incident_id=send.outage,
        event=send.event.value,
        reason=send.reason.value if send.reason else "",
        outage=outage,
        sequence=(belief.sequence if belief.outage else 0) + 1,
        reminder=belief.reminders + 1 if send.event is Event.REMINDER else 0,
        # The end of what was late has no incident either.
        occasion=news.late_after if send.event is Event.LATE else None if send.outage else belief.late_after,
        created_at=now,
        planned_at=belief.check_at,
    )
