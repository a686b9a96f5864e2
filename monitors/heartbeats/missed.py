"""The sweep: from a deadline that has passed to an incident."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from accounts.models import Workspace
from core.clock import database_now
from core.sql import among
from monitors.domain.state_machine import TimePassed
from monitors.heartbeats import sql, transitions
from monitors.locks import lock_due_states
from monitors.models import Monitor, MonitorState

BATCH = 500


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of a sweep: how many monitors it declared down, and how many it only re-armed."""

    missed: int = 0
    rearmed: int = 0


def declare_missed(*, batch: int = BATCH, until: datetime | None = None) -> Swept:
    """Check all states that are due: open incidents for deadlines that have passed, re-arm the others.

    Only deadlines until the watermark count: a heartbeat that could not be received is not missed.
    Each batch of at most `batch` states is one transaction. Safe to run twice at once: the second sweep
    skips what the first has locked if the database supports that, else it waits.

    Args:
        until: look only at what was due then, for a watermark that moves now.
    """
    missed = rearmed = 0
    while True:
        looked_at, down = _sweep_batch(batch, until)
        missed, rearmed = missed + down, rearmed + looked_at - down
        if looked_at < batch:
            return Swept(missed, rearmed)


def _monitors_of(states: list[MonitorState]) -> dict[int, Monitor]:
    """Return the monitors by row id, with the workspaces and defaults that their thresholds need."""
    theirs = Monitor.objects.filter(workspace_id__in={state.workspace_id for state in states})
    found = list(theirs.filter(pk__in=among(state.monitor_id for state in states)))
    if len(found) < len(states):
        # One row with a wrong workspace must not keep all others from being checked.
        found = list(Monitor.objects.filter(pk__in=among(state.monitor_id for state in states)))
    # Not joined, as most share one.
    workspaces = Workspace.objects.select_related("monitor_defaults").in_bulk(
        {monitor.workspace_id for monitor in found}
    )
    for monitor in found:
        monitor.workspace = workspaces[monitor.workspace_id]
    return {monitor.pk: monitor for monitor in found}


def _sweep_batch(batch: int, until: datetime | None) -> tuple[int, int]:
    # A watermark that has moved by the time of the locks only means that the next sweep finds more.
    horizon = until or transitions.horizon(database_now())
    # An idle sweep must not take SQLite's only write lock.
    if not connection.features.has_select_for_update and not MonitorState.objects.due(horizon).exists():
        return 0, 0
    with transaction.atomic():
        states = lock_due_states(horizon, limit=batch)
        if not states:
            return 0, 0
        # Read after the locks: an edit holds the state's lock while it changes the schedule.
        monitors = _monitors_of(states)
        now = database_now()
        book = transitions.Journal(now, horizon=horizon)
        book.know_open_incidents(states)
        down = 0
        for state in states:
            monitor = monitors[state.monitor_id]
            decision = book.decide(state, monitor, TimePassed(now))
            if decision.awaits:
                transitions.set_due_at(state, monitor, now=now, counted=decision.missed)
            down += decision.opens is not None
        sql.write_states(states)
        book.write()
    return len(states), down
