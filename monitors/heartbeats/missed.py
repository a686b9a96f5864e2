"""The sweep: from a deadline that has passed to an incident."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection, transaction

from core.clock import database_now
from monitors.domain.state_machine import Status, TimePassed
from monitors.heartbeats import sql, transitions
from monitors.locks import lock_due_states
from monitors.models import Monitor, MonitorState

BATCH = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of a sweep: how many monitors it declared down, and how many it only re-armed."""

    missed: int = 0
    rearmed: int = 0


def declare_missed(*, batch: int = BATCH) -> Swept:
    """Check all states that are due: open incidents for deadlines that have passed, re-arm the others.

    Each batch of at most `batch` states is one transaction. Safe to run twice at once: the second sweep
    skips what the first has locked if the database supports that, else it waits.
    """
    missed = rearmed = 0
    while True:
        looked_at, down = _sweep_batch(batch)
        missed, rearmed = missed + down, rearmed + looked_at - down
        if looked_at < batch:
            return Swept(missed, rearmed)


def _sweep_batch(batch: int) -> tuple[int, int]:
    # An idle sweep must not take SQLite's only write lock.
    if not connection.features.has_select_for_update and not _anything_due():
        return 0, 0
    with transaction.atomic():
        states = lock_due_states(database_now(), limit=batch)
        if not states:
            return 0, 0
        # Read after the locks: an edit holds the state's lock while it changes the schedule.
        monitors = Monitor.objects.in_bulk([state.monitor_id for state in states])
        now = database_now()
        book = transitions.Journal(now)
        down = 0
        for state in states:
            monitor = monitors[state.monitor_id]
            decision = book.decide(state, monitor, TimePassed(now))
            if decision.status is Status.UP:
                transitions.set_due_at(state, monitor, now=now)
            down += decision.opens is not None
        sql.write_states(states)
        book.write()
    return len(states), down


def _anything_due() -> bool:
    return MonitorState.objects.due(database_now()).exists()
