"""Writing deliveries: thousands of rows at once, while a sweep holds its locks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import NamedTuple

from django.db import connection

from core import sql
from notifications.models import Delivery

_COLUMNS = {
    "public_id": "uuid",
    "monitor_id": "bigint",
    "incident_id": "bigint",
    "channel_id": "bigint",
    "event": "text",
    "sequence": "integer",
    "thread": "uuid",
    "created_at": "timestamptz",
    "planned_at": "timestamptz",
    "next_attempt_at": "timestamptz",
}


class NewDelivery(NamedTuple):
    """A delivery to write: of an incident, to a channel. `thread` is the incident's public id."""

    monitor_id: int
    incident_id: int
    channel_id: int
    event: str
    thread: uuid.UUID
    created_at: datetime
    planned_at: datetime
    sequence: int = 0


def write(owed: Iterable[NewDelivery]) -> None:
    """Write pending deliveries in one statement; rows that already exist stay unchanged."""
    times: dict[datetime, str | None] = {}

    def written(at: datetime) -> str | None:
        if at not in times:
            times[at] = sql.write_time(at)
        return times[at]

    sql.run(
        _statement(connection.vendor == "postgresql"),
        [
            (
                uuid.uuid4().hex,
                one.monitor_id,
                one.incident_id,
                one.channel_id,
                one.event,
                one.sequence,
                one.thread.hex,
                written(one.created_at),
                written(one.planned_at),
                written(one.planned_at),
            )
            for one in owed
        ],
    )


@cache
def _statement(postgresql: bool) -> str:
    names = ", ".join(_COLUMNS)
    return (
        f"INSERT INTO {Delivery._meta.db_table} ({names}, status, note, attempt_count)"
        f" SELECT {names}, 'pending', '', 0 FROM ({sql.as_select(_COLUMNS, postgresql)}) AS given"
        # Without a WHERE, SQLite parses ON as the start of a join.
        " WHERE true ON CONFLICT DO NOTHING"
    )
