"""The only write path of a heartbeat."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from django.db import transaction

from monitors import journal, statements
from monitors.models import Monitor, MonitorState
from monitors.push import Push
from monitors.statements import Held
from monitors.status import HeartbeatCame, Status

# "Last used" is written at most this often for a token, so that a push costs no third row.
_LAST_USED_EVERY_SECONDS = 60
# A statement that took longer than this waited for a lock, and what it says of the time is old.
_WAITED_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Arrival:
    """A push at the door: the digest of its token, what it says and where it came from."""

    digest: str
    push: Push
    posted: bool = True
    source: str | None = None


class Outcome(Enum):
    """What became of one push."""

    RECORDED = auto()
    UNKNOWN_TOKEN = auto()
    POST_ONLY = auto()


def record(arrivals: Sequence[Arrival]) -> list[Outcome]:
    """Record `arrivals`, in that order, in one transaction; return an outcome for each, committed.

    Three statements for the whole batch while no status changes. All of the batch is received at one
    instant: the database's time after the locks were granted.

    Raises:
        django.db.Error: the database could not commit; nothing of the batch is recorded.
    """
    with transaction.atomic():
        digests = {arrival.digest for arrival in arrivals}
        asked = time.monotonic()
        held, now = statements.hold(digests, use_is_old_after=_LAST_USED_EVERY_SECONDS)
        if time.monotonic() - asked > _WAITED_SECONDS:
            # Somebody else held a lock. It is ours now: ask again what holds since then.
            held, now = statements.hold(digests, use_is_old_after=_LAST_USED_EVERY_SECONDS)
        outcomes = [_admit(arrival, held.get(arrival.digest)) for arrival in arrivals]
        admitted = [
            (arrival, held[arrival.digest])
            for arrival, outcome in zip(arrivals, outcomes, strict=True)
            if outcome is Outcome.RECORDED
        ]
        if admitted:
            _write(admitted, now)
    return outcomes


def _admit(arrival: Arrival, held: Held | None) -> Outcome:
    if held is None:
        return Outcome.UNKNOWN_TOKEN
    if held.post_only and not arrival.posted:
        return Outcome.POST_ONLY
    return Outcome.RECORDED


def _write(admitted: Sequence[tuple[Arrival, Held]], now: datetime) -> None:
    rows = [
        (
            held.monitor_id,
            "up" if arrival.push.up else "down",
            arrival.push.value,
            arrival.push.message,
            arrival.source,
            held.token_id,
        )
        for arrival, held in admitted
    ]
    statements.insert_heartbeats(rows, received_at=now)
    to_decide = {held.monitor_id for arrival, held in admitted if not (held.quiet and arrival.push.up)}
    statements.touch(
        {
            held.monitor_id: (arrival.push.message, arrival.push.value)
            for arrival, held in admitted
            if held.monitor_id not in to_decide
        },
        at=now,
    )
    statements.note_use(
        {held.token_id: arrival.source for arrival, held in admitted if held.use_is_old}, at=now
    )
    if to_decide:
        _decide([pair for pair in admitted if pair[1].monitor_id in to_decide], to_decide, now)


def _decide(admitted: Sequence[tuple[Arrival, Held]], monitor_ids: set[int], now: datetime) -> None:
    """Apply the pushes that may change something, in order of arrival.

    States and schedules are read here, after the locks were granted, so that no edit is missed.
    """
    states = MonitorState.objects.in_bulk(monitor_ids)
    monitors = Monitor.objects.in_bulk(monitor_ids)
    book = journal.Journal(now)
    book.know_open_incidents(list(states.values()))
    for arrival, held in admitted:
        state, monitor, push = states[held.monitor_id], monitors[held.monitor_id], arrival.push
        book.decide(state, monitor, HeartbeatCame(now, push.up), message=push.message, value=push.value)
        state.last_heartbeat_at = now
        state.last_message, state.last_value = push.message, push.value
        if state.status == Status.UP and (state.due_at is None or state.due_at <= now):
            journal.arm(state, monitor, now=now)
    statements.write_states(states.values())
    book.write()
