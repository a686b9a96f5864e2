"""Writing beliefs: thousands of rows at once, while a sweep or a turn holds its locks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from django.db import connection
from django.db.models import Q

from core import sql
from notifications.locks import lock_all, lock_beliefs
from notifications.messages.events import ENDS, Event
from notifications.models import Belief, Delivery

_TABLE = Belief._meta.db_table
_WOKEN = {
    "monitor_id": "bigint",
    "channel_id": "bigint",
    "after_incident": "bigint",
    "check_at": "timestamptz",
}
_WRITTEN = {
    "id": "bigint",
    "state": "text",
    "outage": "uuid",
    "sequence": "integer",
    "incident_id": "bigint",
    "after_incident": "bigint",
    "reminders": "integer",
    "late_after": "timestamptz",
    "sent_at": "timestamptz",
    "delivery_id": "bigint",
    "check_at": "timestamptz",
}


_INSERTED = {
    "public_id": "uuid",
    "monitor_id": "bigint",
    "incident_id": "bigint",
    "channel_id": "bigint",
    "digest_id": "bigint",
    "event": "text",
    "sequence": "integer",
    "occasion": "timestamptz",
    "thread": "uuid",
    "reason": "text",
    "reminder": "integer",
    "status": "text",
    "note": "text",
    "created_at": "timestamptz",
    "planned_at": "timestamptz",
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
        f"INSERT INTO {_TABLE} ({names}, state, sequence, reminders)"
        f" SELECT {names}, 'nothing', 0, 0 FROM ({sql.as_select(_WOKEN, postgresql)}) AS given"
        # Without a WHERE, SQLite parses ON as the start of a join.
        f" WHERE true ON CONFLICT (monitor_id, channel_id) DO UPDATE SET check_at = {earlier}"
    )


def write(beliefs: Iterable[Belief]) -> None:
    """Write beliefs that the caller has locked, in one statement."""
    sql.run(
        _write_statement(connection.vendor == "postgresql"),
        [
            (
                row.pk,
                row.state,
                row.outage.hex if row.outage else None,
                row.sequence,
                row.incident_id,
                row.after_incident,
                row.reminders,
                sql.write_time(row.late_after),
                sql.write_time(row.sent_at),
                row.delivery_id,
                sql.write_time(row.check_at),
            )
            for row in beliefs
        ],
    )


@cache
def _write_statement(postgresql: bool) -> str:
    assignments = ", ".join(f"{name} = given.{name}" for name in _WRITTEN if name != "id")
    given = sql.as_select(_WRITTEN, postgresql)
    return f"UPDATE {_TABLE} SET {assignments} FROM ({given}) AS given WHERE {_TABLE}.id = given.id"


def insert(deliveries: Sequence[Delivery]) -> None:
    """Insert new deliveries, in one statement if there are many, and set their row ids."""
    if len(deliveries) == 1:
        deliveries[0].save(force_insert=True)
        return
    statement = _insert_statement(connection.vendor == "postgresql")
    rows = [
        [
            row.public_id.hex,
            row.monitor_id,
            row.incident_id,
            row.channel_id,
            row.digest_id,
            row.event,
            row.sequence,
            sql.write_time(row.occasion),
            row.outage.hex if row.outage else None,
            row.reason,
            row.reminder,
            row.status,
            row.note,
            sql.write_time(row.created_at),
            sql.write_time(row.planned_at),
        ]
        for row in deliveries
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, sql.as_parameters(rows))
        ids = {str(public_id).replace("-", ""): pk for pk, public_id in cursor.fetchall()}
    for row in deliveries:
        row.pk = ids[row.public_id.hex]


@cache
def _insert_statement(postgresql: bool) -> str:
    names = ", ".join(_INSERTED)
    return (
        f"INSERT INTO {Delivery._meta.db_table} ({names}, attempt_count)"
        f" SELECT {names}, 0 FROM ({sql.as_select(_INSERTED, postgresql)}) AS given"
        " RETURNING id, public_id"
    )


def skipped(belief: Belief, incident: int, note: str, now: datetime) -> Delivery:
    """Return the record of an outage that a channel is not notified of, not yet saved."""
    return Delivery(
        monitor_id=belief.monitor_id,
        incident_id=incident,
        channel_id=belief.channel_id,
        event="incident.opened",
        status=Delivery.Status.SKIPPED,
        note=note,
        created_at=now,
        planned_at=belief.check_at,
    )


def close(rows: Sequence[Delivery], note: Delivery.Note, *, check_at: datetime) -> None:
    """Close deliveries that were tried and are not sent any more; their monitors are compared again.

    Raises:
        Locked: another transaction changes what is believed about one of them.
    """
    ids = [row.pk for row in rows]
    members = Delivery.objects.filter(digest__in=ids)
    mine = Belief.objects.filter(Q(delivery__in=ids) | Q(delivery__digest__in=ids))
    lock_all(members)
    lock_all(mine)
    of_deleted = members.filter(monitor=None)
    of_deleted.update(status=Delivery.Status.PENDING, digest=None, next_attempt_at=check_at)
    for closed in (Delivery.objects.filter(pk__in=ids), members):
        closed.update(status=Delivery.Status.SKIPPED, note=note, next_attempt_at=None)
    for row in rows:
        if row.event == Event.LATE:
            # It may have arrived, and opened a record that ends when a heartbeat arrives.
            mine.filter(delivery=row).update(state=Belief.State.LATE, late_after=row.occasion)
    mine.update(delivery=None, check_at=check_at)


def believe(delivery: Delivery, *, arrived: bool, now: datetime) -> None:
    """Write what the channel believes after `delivery`, single or a digest, arrived or failed for good."""
    beliefs = list(lock_beliefs(Belief.objects.filter(Q(delivery=delivery) | Q(delivery__digest=delivery))))
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
    write(beliefs)
