"""The only write path of a heartbeat."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from django.db import transaction

from monitors import journal, statements
from monitors.limits import Limiter, Over
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


@dataclass(frozen=True, slots=True)
class Limited:
    """What became of a push that came too fast and would have changed nothing: it is not recorded.

    `retry_after` is in how many whole seconds the sender may try again, at least 1.
    """

    retry_after: int


Result = Outcome | Limited


def record(arrivals: Sequence[Arrival], *, limiter: Limiter | None = None) -> list[Result]:
    """Record `arrivals`, in that order, in one transaction; return what became of each, committed.

    Three statements for the whole batch while no status changes. All of the batch is received at one
    instant: the database's time after the locks were granted.

    Args:
        limiter: says which of them come too fast. Of those, an up push is refused where the monitor
            can do without it; whatever may change something is recorded.

    Raises:
        django.db.Error: the database could not commit; nothing of the batch is recorded.
    """
    # Before the transaction, because the answer may come over the network.
    over = limiter.ask([arrival.digest for arrival in arrivals]) if limiter else [None] * len(arrivals)
    with transaction.atomic():
        digests = {arrival.digest for arrival in arrivals}
        asked = time.monotonic()
        held, now = statements.hold(digests, use_is_old_after=_LAST_USED_EVERY_SECONDS)
        if time.monotonic() - asked > _WAITED_SECONDS:
            # Somebody else held a lock. It is ours now: ask again what holds since then.
            held, now = statements.hold(digests, use_is_old_after=_LAST_USED_EVERY_SECONDS)
        results = _admit(arrivals, over, held)
        admitted = [
            (arrival, held[arrival.digest])
            for arrival, result in zip(arrivals, results, strict=True)
            if result is Outcome.RECORDED
        ]
        if admitted:
            _write(admitted, now)
        refused = Counter(
            held[arrival.digest].token_id
            for arrival, result in zip(arrivals, results, strict=True)
            if isinstance(result, Limited)
        )
        statements.note_limited(refused, at=now)
    if limiter:
        limiter.learn({digest: each.push_rate for digest, each in held.items()})
    return results


def _admit(
    arrivals: Sequence[Arrival], over: Sequence[Over | None], held: Mapping[str, Held]
) -> list[Result]:
    """Return what is to become of each of `arrivals`; `over` says which of them come too fast."""
    results: list[Result] = []
    # By monitor, whether it can do without an up push, at this point of the batch.
    spare = {each.monitor_id: each.spare for each in held.values()}
    for arrival, too_fast in zip(arrivals, over, strict=True):
        mine = held.get(arrival.digest)
        if mine is None:
            results.append(Outcome.UNKNOWN_TOKEN)
        elif mine.post_only and not arrival.posted:
            results.append(Outcome.POST_ONLY)
        elif (
            too_fast is not None
            and arrival.push.up
            and spare[mine.monitor_id]
            # Else it was counted by a rate that is not, or no longer, the token's.
            and too_fast.push_rate == mine.push_rate
        ):
            results.append(Limited(max(1, math.ceil(too_fast.wait))))
        else:
            results.append(Outcome.RECORDED)
            spare[mine.monitor_id] = arrival.push.up
    return results


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
