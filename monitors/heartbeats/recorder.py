"""The only write path of a heartbeat."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from django.db import connection, transaction

from core.clock import database_now
from monitors.domain.state_machine import HeartbeatArrived, Status
from monitors.heartbeats import sql, transitions
from monitors.heartbeats.parser import DEFAULT_MESSAGE, Push
from monitors.heartbeats.rate_limit import Limiter, Over
from monitors.heartbeats.sql import LockedToken
from monitors.locks import lock_state
from monitors.models import MESSAGE_LENGTH, WITH_DEFAULTS, Heartbeat, Monitor, MonitorState

# "Last used" is written at most this often per token, so that most pushes don't write a third row.
LAST_USED_EVERY_SECONDS = 60
# A statement that took longer than this waited for a lock, so the time it returned is stale.
_WAITED_SECONDS = 0.05
# A test heartbeat has no token and so no rate limit; this is how often a monitor accepts one.
TEST_HEARTBEAT_EVERY = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An incoming push: the digest of its token, its content and its source."""

    digest: str
    push: Push
    posted: bool = True
    source: str | None = None


class Outcome(Enum):
    """The outcome of one push."""

    RECORDED = auto()
    UNKNOWN_TOKEN = auto()
    POST_ONLY = auto()
    # Another transaction holds the monitor's state; nothing was recorded.
    LOCKED = auto()


@dataclass(frozen=True, slots=True)
class Limited:
    """The outcome of a push over the rate limit that would have changed nothing: it is not recorded.

    `retry_after` is when the sender may try again, in whole seconds, at least 1.
    """

    retry_after: int


Result = Outcome | Limited


class TooManyTestHeartbeats(Exception):
    """A test heartbeat was sent moments ago; nothing is recorded."""


def record(arrivals: Sequence[Arrival], *, limiter: Limiter | None = None, wait: bool = True) -> list[Result]:
    """Record `arrivals` in order in one transaction; return the outcome of each, committed.

    Three statements for the whole batch while no status changes. The whole batch has one time of receipt:
    the database's time after the locks were granted.

    Args:
        limiter: decides which pushes are over the rate limit. Of those, a good push is rejected if the
            monitor can do without it; a push that may change something is recorded.
        wait: whether to wait for states that are locked; otherwise their pushes are not recorded, so that
            one locked state does not delay the others. On SQLite there is nothing to wait for.

    Raises:
        django.db.Error: the database could not commit; nothing of the batch is recorded.
    """
    # Before the transaction, because this may be a network call.
    over = limiter.ask([arrival.digest for arrival in arrivals]) if limiter else [None] * len(arrivals)
    with transaction.atomic():
        digests = {arrival.digest for arrival in arrivals}
        started = time.monotonic()
        held, now = sql.lock_tokens(digests, use_is_old_after=LAST_USED_EVERY_SECONDS, wait=wait)
        if wait and time.monotonic() - started > _WAITED_SECONDS:
            # We waited for someone else's lock. Now that we hold it, read the current state again.
            held, now = sql.lock_tokens(digests, use_is_old_after=LAST_USED_EVERY_SECONDS)
        may_be_locked = not wait and connection.features.has_select_for_update
        missing = digests - held.keys() if may_be_locked else set[str]()
        locked = sql.active_tokens(missing) if missing else frozenset[str]()
        results = _admit(arrivals, over, held, locked)
        admitted = [
            (_explained(arrival, held[arrival.digest]), held[arrival.digest])
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
        sql.count_rate_limited(refused, at=now)
    if limiter:
        limiter.learn({digest: each.push_rate for digest, each in held.items()})
    return results


def record_test_heartbeat(*, monitor: Monitor, push: Push, source: str | None = None) -> Status:
    """Record a test heartbeat sent from a page, without a token; return the resulting status.

    It is treated like any other heartbeat: decided under the same lock, by the same rules, with the same
    notifications.

    Raises:
        TooManyTestHeartbeats: the last one was less than TEST_HEARTBEAT_EVERY ago.
        django.db.Error: the database could not commit; nothing is recorded.
    """
    with transaction.atomic():
        lock_state(monitor)
        now = database_now()
        lately = Heartbeat.objects.filter(monitor=monitor, received_at__gt=now - TEST_HEARTBEAT_EVERY)
        if lately.filter(token=None).exists():
            raise TooManyTestHeartbeats
        sql.insert_heartbeats([_row(monitor.pk, push, source, None)], received_at=now)
        states = _decide([(monitor.pk, push)], now)
    return Status(states[monitor.pk].status)


def _admit(
    arrivals: Sequence[Arrival],
    over: Sequence[Over | None],
    held: Mapping[str, LockedToken],
    locked: Collection[str],
) -> list[Result]:
    """Return the outcome for each of `arrivals`.

    Args:
        over: which of them are over the rate limit.
        locked: the digests of tokens whose monitors' states others hold.
    """
    results: list[Result] = []
    # Per monitor, whether it can do without a good push at this point of the batch.
    spare = {each.monitor_id: each.spare for each in held.values()}
    for arrival, too_fast in zip(arrivals, over, strict=True):
        mine = held.get(arrival.digest)
        if mine is None:
            results.append(Outcome.LOCKED if arrival.digest in locked else Outcome.UNKNOWN_TOKEN)
        elif mine.post_only and not arrival.posted:
            results.append(Outcome.POST_ONLY)
        elif (
            too_fast is not None
            and spare[mine.monitor_id]
            and mine.is_good(arrival.push)
            # Otherwise it was counted with a rate that is not, or no longer, the token's.
            and too_fast.push_rate == mine.push_rate
        ):
            results.append(Limited(max(1, math.ceil(too_fast.wait))))
        else:
            results.append(Outcome.RECORDED)
            spare[mine.monitor_id] = mine.is_good(arrival.push)
    return results


def _write(admitted: Sequence[tuple[Arrival, LockedToken]], now: datetime) -> None:
    rows = [_row(held.monitor_id, arrival.push, arrival.source, held.token_id) for arrival, held in admitted]
    sql.insert_heartbeats(rows, received_at=now)
    to_decide = {
        held.monitor_id for arrival, held in admitted if not (held.quiet and held.is_good(arrival.push))
    }
    numbers = Counter(held.monitor_id for _arrival, held in admitted)
    sql.touch(
        {
            held.monitor_id: (arrival.push.message, arrival.push.value, numbers[held.monitor_id])
            for arrival, held in admitted
            if held.monitor_id not in to_decide
        },
        at=now,
    )
    sql.note_use({held.token_id: arrival.source for arrival, held in admitted if held.use_is_old}, at=now)
    if to_decide:
        _decide(
            [(held.monitor_id, arrival.push) for arrival, held in admitted if held.monitor_id in to_decide],
            now,
        )


def _explained(arrival: Arrival, held: LockedToken) -> Arrival:
    """Return `arrival` with an unreadable value explained in its message, if a rule makes it matter."""
    push = arrival.push
    if not push.unreadable:
        return arrival
    if held.rules is None:
        return replace(arrival, push=replace(push, unreadable=""))
    reason = f"The value “{push.unreadable}” is not a number."
    said = "" if push.message == DEFAULT_MESSAGE[push.up] else f" {push.message}"
    return replace(arrival, push=replace(push, message=f"{reason}{said}"[:MESSAGE_LENGTH]))


def _row(
    monitor_id: int, push: Push, source: str | None, token_id: int | None
) -> tuple[int, str, float | None, str, str | None, int | None]:
    # An unreadable value under a rule is a failure, and its absence from the row would not show it.
    status = "up" if push.up and not push.unreadable else "down"
    return monitor_id, status, push.value, push.message, source, token_id


def _decide(pushes: Sequence[tuple[int, Push]], now: datetime) -> dict[int, MonitorState]:
    """Apply the pushes that may change something, each with its monitor's id, in order of arrival.

    States and schedules are read here, after the locks were granted, so that no edit is missed. Return
    the states as they are written.
    """
    monitor_ids = {monitor_id for monitor_id, _ in pushes}
    states = MonitorState.objects.in_bulk(monitor_ids)
    monitors = Monitor.objects.select_related(WITH_DEFAULTS).in_bulk(monitor_ids)
    book = transitions.Journal(now)
    book.know_open_incidents(list(states.values()))
    for monitor_id, push in pushes:
        state, monitor = states[monitor_id], monitors[monitor_id]
        good = monitor.value_rules.allow(push.value, readable=not push.unreadable)
        came = HeartbeatArrived(now, push.up, good)
        decision = book.decide(state, monitor, came, message=push.message, value=push.value)
        state.last_heartbeat_at = now
        state.last_message, state.last_value = push.message, push.value
        if decision.awaits and (state.due_at is None or state.due_at <= now):
            transitions.set_due_at(state, monitor, now=now)
    sql.write_states(states.values())
    book.write()
    return states
