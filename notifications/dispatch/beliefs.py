"""What channels believe: when to compare it, and what a message that arrived or was closed leaves behind."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from core import sql
from core.sql import among
from notifications.locks import lock_all, lock_beliefs
from notifications.messages.events import ENDS, Event
from notifications.models import Belief, Channel, Delivery

_TABLE = Belief._meta.db_table
_WOKEN = {
    "monitor_id": "bigint",
    "channel_id": "bigint",
    "after_incident": "bigint",
    "check_at": "timestamptz",
}


class Wake(NamedTuple):
    """Compare what a channel believes of a monitor; incidents up to `after_incident` are no news to it."""

    monitor_id: int
    channel_id: int
    after_incident: int


def wake(wanted: Iterable[Wake], *, at: datetime) -> None:
    """Set when beliefs are compared, unless they are compared earlier; create those that are missing."""
    check_at = sql.write_time(at)
    # In one order everywhere, so that no two transactions wait for each other.
    rows = [(*each, check_at) for each in sorted(wanted)]
    sql.run(_wake_statement(connection.vendor == "postgresql"), rows)


@cache
def _wake_statement(postgresql: bool) -> str:
    names = ", ".join(_WOKEN)
    least = "LEAST" if postgresql else "MIN"
    earlier = f"{least}(COALESCE({_TABLE}.check_at, excluded.check_at), excluded.check_at)"
    return (
        f"INSERT INTO {_TABLE} (workspace_id, {names}, state, sequence, reminders)"
        # Not a join, which might change the order.
        f" SELECT (SELECT workspace_id FROM {Channel._meta.db_table} WHERE id = given.channel_id), {names},"
        f" 'nothing', 0, 0 FROM ({sql.as_select(_WOKEN, postgresql)}) AS given"
        # Without a WHERE, SQLite parses ON as the start of a join.
        f" WHERE true ON CONFLICT (monitor_id, channel_id, workspace_id) DO UPDATE SET check_at = {earlier}"
    )


def skipped(belief: Belief, incident: int, note: str, now: datetime) -> Delivery:
    """Return the record of an outage that a channel is not notified of, not yet saved."""
    return Delivery(
        workspace_id=belief.workspace_id,
        monitor_id=belief.monitor_id,
        incident_id=incident,
        channel_id=belief.channel_id,
        event="incident.opened",
        status=Delivery.Status.SKIPPED,
        note=note,
        created_at=now,
        planned_at=belief.check_at,
    )


def about(deliveries: Collection[int], workspace_id: int) -> QuerySet[Belief]:
    """Return what is believed about what these deliveries of a workspace, single or digests, are about.

    Args:
        deliveries: their row ids.
    """
    return Belief.objects.filter(workspace_id=workspace_id).filter(
        Q(delivery__in=deliveries) | Q(delivery__digest__in=deliveries)
    )


def close(rows: Sequence[Delivery], note: Delivery.Note, *, check_at: datetime) -> None:
    """Close deliveries that were tried and are not sent any more; their monitors are compared again.

    What else is in a digest of which they are members stays in it.

    Raises:
        Locked: another transaction changes what is believed about one of them.
    """
    ids = [row.pk for row in rows]
    of_these = {"workspace_id__in": {row.workspace_id for row in rows}}
    closed = Delivery.objects.filter(pk__in=among(ids), **of_these)
    mine = Belief.objects.filter(delivery__in=among(ids), **of_these)
    lock_all(closed)
    lock_all(mine)
    skipped = {"status": Delivery.Status.SKIPPED, "note": note, "next_attempt_at": None}
    closed.update(**skipped)
    remaining = Delivery.objects.filter(
        digest=OuterRef("pk"), workspace_id=OuterRef("workspace_id"), status=Delivery.Status.MERGED
    )
    digests = Delivery.objects.filter(pk__in={row.digest_id for row in rows if row.digest_id}, **of_these)
    digests.filter(~Exists(remaining)).update(**skipped)
    # It may have arrived, and opened a record that ends when a heartbeat arrives.
    message = Delivery.objects.filter(pk=OuterRef("delivery"), workspace_id=OuterRef("workspace_id"))
    occasion = Subquery(message.values("occasion"))
    mine.filter(delivery__in=closed.filter(event=Event.LATE)).update(
        state=Belief.State.LATE, late_after=occasion
    )
    mine.update(delivery=None, check_at=check_at)


def believe(delivery: Delivery, *, arrived: bool, now: datetime) -> None:
    """Write what the channel believes after `delivery`, single or a digest, arrived or failed for good."""
    beliefs = lock_beliefs(about([delivery.pk], delivery.workspace_id))
    members = {row.pk: row for row in [delivery, *delivery.members.all()]}
    for belief in beliefs:
        message = members[belief.delivery_id or 0]
        belief.delivery = None
        belief.after_incident = max(belief.after_incident, message.incident_id or 0)
        event = Event(message.event)
        if not arrived and event not in (Event.LATE, Event.REMINDER):
            # Whether it is tried under another id depends on what happens next.
            continue
        # A reminder or a late monitor is next notified at its own time, whether or not this one arrived.
        belief.sent_at, belief.check_at = now, now
        if event in ENDS:
            belief.state, belief.outage, belief.incident_id, belief.reminders = Belief.State.UP, None, None, 0
        elif event is Event.REMINDER:
            belief.reminders = message.reminder
        elif event is Event.LATE:
            belief.state, belief.late_after = Belief.State.LATE, message.occasion
        else:
            down = event is Event.OPENED
            belief.state = Belief.State.DOWN if down else Belief.State.FLAPPING
            belief.incident_id, belief.reminders = message.incident_id, 0
    sql.update(beliefs)
