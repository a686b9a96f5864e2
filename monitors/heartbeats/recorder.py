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
from monitors.heartbeats.quiet import record_quiet
from monitors.heartbeats.rate_limit import Limiter, Over
from monitors.heartbeats.sql import FoundToken
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


class PartlyRecorded(Exception):
    """Of a batch, those that have no result were not recorded, because of `error`."""

    def __init__(self, results: Sequence[Result | None], error: Exception) -> None:
        super().__init__(str(error))
        self.results = results
        self.error = error


class TooManyTestHeartbeats(Exception):
    """A test heartbeat was sent moments ago; nothing is recorded."""


def record(arrivals: Sequence[Arrival], *, limiter: Limiter | None = None, wait: bool = True) -> list[Result]:
    """Record `arrivals` in order; return the outcome of each, committed.

    On PostgreSQL, one statement records those that change no status; the others take one transaction. On
    SQLite all take it together, and it has three statements while no status changes. What is recorded
    together has one time of receipt: the database's time after the locks were granted.

    Args:
        limiter: decides which pushes are over the rate limit. Of those, a good push is rejected if the
            monitor can do without it; a push that may change something is recorded.
        wait: whether to wait for states that stay locked; otherwise their pushes are not recorded, so that
            one locked state does not delay the others. On SQLite there is nothing to wait for.

    Raises:
        PartlyRecorded: some were recorded, the others not.
        django.db.Error: the database could not commit; nothing is recorded.
    """
    # Before the transaction, because this may be a network call.
    over = limiter.ask([arrival.digest for arrival in arrivals]) if limiter else [None] * len(arrivals)
    results: list[Result | None] = [None] * len(arrivals)
    if connection.vendor == "postgresql":
        results = _reject_limited(arrivals, over)
        _record_quiet(arrivals, over, results, limiter)
    rest = [place for place, result in enumerate(results) if result is None]
    if rest:
        try:
            others = _record_others(
                [arrivals[place] for place in rest], [over[place] for place in rest], limiter, wait=wait
            )
        except Exception as error:
            if len(rest) == len(arrivals):
                raise
            raise PartlyRecorded(results, error) from error
        for place, result in zip(rest, others, strict=True):
            results[place] = result
    return [result for result in results if result is not None]


def _reject_limited(arrivals: Sequence[Arrival], over: Sequence[Over | None]) -> list[Result | None]:
    """Return the outcomes of pushes over the rate limit to monitors that can do without all their pushes.

    Nothing is locked, so that a runaway sender holds up nothing. What a push may change is decided by what
    was committed before it.
    """
    results: list[Result | None] = [None] * len(arrivals)
    if not any(over):
        return results
    found, _now = _find({arrival.digest for arrival in arrivals}, sql.Lock.NONE)
    limited = _admit(arrivals, over, found, ())
    needed = {
        found[arrival.digest].monitor_id
        for arrival, result in zip(arrivals, limited, strict=True)
        if result is Outcome.RECORDED
    }
    for place, (arrival, result) in enumerate(zip(arrivals, limited, strict=True)):
        if isinstance(result, Limited) and found[arrival.digest].monitor_id not in needed:
            results[place] = result
    return results


def _record_quiet(
    arrivals: Sequence[Arrival],
    over: Sequence[Over | None],
    results: list[Result | None],
    limiter: Limiter | None,
) -> None:
    """Record the pushes that change no status, of those without a result; add the results known then."""
    places = [place for place, result in enumerate(results) if result is None]
    chosen = [arrivals[place] for place in places]
    good = [
        arrivals[place].push.up and not arrivals[place].push.unreadable and over[place] is None
        for place in places
    ]
    found = record_quiet(chosen, good, use_is_old_after=LAST_USED_EVERY_SECONDS) if any(good) else None
    if found is None:
        return
    if limiter:
        limiter.learn(found.push_rates)
    for position, place in enumerate(places):
        if position not in found.recorded:
            results[place] = Outcome.UNKNOWN_TOKEN
        elif found.recorded[position]:
            results[place] = Outcome.RECORDED


def _record_others(
    arrivals: Sequence[Arrival], over: Sequence[Over | None], limiter: Limiter | None, *, wait: bool
) -> list[Result]:
    """Record `arrivals` in one transaction, whatever they change."""
    with transaction.atomic():
        digests = {arrival.digest for arrival in arrivals}
        started = time.monotonic()
        held, now = _find(digests, sql.Lock.WAIT if wait else sql.Lock.SKIP)
        if wait and time.monotonic() - started > _WAITED_SECONDS:
            # We waited for someone else's lock. Now that we hold it, read the current state again.
            held, now = _find(digests, sql.Lock.WAIT)
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
    if limiter:
        limiter.learn({digest: each.push_rate for digest, each in held.items()})
    return results


def _find(digests: Collection[str], lock: sql.Lock) -> tuple[dict[str, FoundToken], datetime]:
    return sql.find_tokens(digests, use_is_old_after=LAST_USED_EVERY_SECONDS, lock=lock)


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
        ids = monitor.workspace_id, monitor.pk
        sql.insert_heartbeats([(*ids, *_values(push), source, None)], received_at=now)
        states = _decide([(ids, push)], now)
    return Status(states[monitor.pk].status)


def _admit(
    arrivals: Sequence[Arrival],
    over: Sequence[Over | None],
    held: Mapping[str, FoundToken],
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


def _write(admitted: Sequence[tuple[Arrival, FoundToken]], now: datetime) -> None:
    rows = [(*held.key, *_values(arrival.push), arrival.source, held.token_id) for arrival, held in admitted]
    sql.insert_heartbeats(rows, received_at=now)
    to_decide = {
        held.monitor_id for arrival, held in admitted if not (held.quiet and held.is_good(arrival.push))
    }
    numbers = Counter(held.monitor_id for _arrival, held in admitted)
    sql.touch(
        {
            held.key: (arrival.push.message, arrival.push.value, numbers[held.monitor_id])
            for arrival, held in admitted
            if held.monitor_id not in to_decide
        },
        at=now,
    )
    used = [(arrival, held) for arrival, held in admitted if held.use_is_old]
    sql.note_use({(held.workspace_id, held.token_id): arrival.source for arrival, held in used}, at=now)
    if to_decide:
        _decide(
            [(held.key, arrival.push) for arrival, held in admitted if held.monitor_id in to_decide],
            now,
        )


def _explained(arrival: Arrival, held: FoundToken) -> Arrival:
    """Return `arrival` with an unreadable value explained in its message, if a rule makes it matter."""
    push = arrival.push
    if not push.unreadable:
        return arrival
    if held.rules is None:
        return replace(arrival, push=replace(push, unreadable=""))
    reason = f"The value “{push.unreadable}” is not a number."
    said = "" if push.message == DEFAULT_MESSAGE[push.up] else f" {push.message}"
    return replace(arrival, push=replace(push, message=f"{reason}{said}"[:MESSAGE_LENGTH]))


def _values(push: Push) -> tuple[str, float | None, str]:
    # An unreadable value under a rule is a failure, and its absence from the row would not show it.
    status = "up" if push.up and not push.unreadable else "down"
    return status, push.value, push.message


def _decide(pushes: Sequence[tuple[tuple[int, int], Push]], now: datetime) -> dict[int, MonitorState]:
    """Apply the pushes that may change something, each with its workspace's and monitor's id, in order.

    States and schedules are read here, after the locks were granted, so that no edit is missed. Return
    the states as they are written.
    """
    monitor_ids = {monitor_id for (_workspace, monitor_id), _push in pushes}
    among = {"workspace_id__in": {workspace_id for (workspace_id, _monitor), _push in pushes}}
    states = MonitorState.objects.filter(**among).in_bulk(monitor_ids)
    monitors = Monitor.objects.filter(**among).select_related(WITH_DEFAULTS).in_bulk(monitor_ids)
    book = transitions.Journal(now)
    book.know_open_incidents(list(states.values()))
    for (_workspace, monitor_id), push in pushes:
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
