"""Change the thresholds of a monitor or of a workspace; what is open is judged by them at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from accounts.models import Workspace
from core.clock import database_now
from core.sql import among
from monitors.domain.state_machine import Status, TimePassed
from monitors.domain.thresholds import Threshold
from monitors.heartbeats import sql, transitions
from monitors.locks import lock_down_states, lock_state
from monitors.models import WITH_DEFAULTS, Monitor, MonitorDefaults, MonitorState, ThresholdColumns


@dataclass(frozen=True, slots=True)
class OwnThresholds:
    """The thresholds of a monitor or a workspace itself; None is the default of the level above."""

    missed: Threshold | None = None
    reported: Threshold | None = None
    recovery: int | None = None


def own_of(row: ThresholdColumns | None) -> OwnThresholds:
    """Return the thresholds in a row, empty if there is no row."""
    if row is None:
        return OwnThresholds()
    return OwnThresholds(row.threshold("missed"), row.threshold("reported"), row.recovery_needed)


def columns_of(own: OwnThresholds) -> dict[str, Any]:
    """Return the columns of ThresholdColumns for `own`."""
    return {
        "missed_needed": own.missed.needed if own.missed else None,
        "missed_of": own.missed.of if own.missed else None,
        "reported_needed": own.reported.needed if own.reported else None,
        "reported_of": own.reported.of if own.reported else None,
        "recovery_needed": own.recovery,
    }


def change(*, monitor: Monitor, own: OwnThresholds) -> None:
    """Set the thresholds of `monitor`, and judge its open incident by them.

    It may be confirmed or resolved by that, and the signals are sent, in the same transaction.

    Raises:
        MonitorState.DoesNotExist: the monitor was deleted.
    """
    with transaction.atomic(), _judging([lock_state(monitor)]):
        Monitor.objects.filter(pk=monitor.pk).update(**columns_of(own))


def change_defaults(*, workspace: Workspace, own: OwnThresholds) -> None:
    """Set the defaults of `workspace`, and judge the open incidents of its monitors by them.

    The number of queries doesn't depend on the number of monitors.
    """
    with transaction.atomic(), _judging(lock_down_states(workspace)):
        if own == OwnThresholds():
            MonitorDefaults.objects.filter(pk=workspace.pk).delete()
        else:
            MonitorDefaults.objects.update_or_create(workspace=workspace, defaults=columns_of(own))


@contextmanager
def _judging(locked: Iterable[MonitorState]) -> Iterator[None]:
    """Judge the open incidents of locked states by the thresholds that the context changes.

    What was missed until then is counted before, so that a monitor that has fallen silent doesn't recover.
    """
    states = [state for state in locked if state.status == Status.DOWN]
    if not states:
        yield
        return
    now = database_now()
    book = transitions.Journal(now)
    book.know_open_incidents(states)
    monitors = _monitors_of(states)
    for state in states:
        passed = book.decide(state, monitors[state.pk], TimePassed(now))
        if passed.missed and passed.awaits:
            transitions.set_due_at(state, monitors[state.pk], now=now, counted=passed.missed)
    yield
    monitors = _monitors_of(states)
    for state in states:
        book.reconsider(state, monitors[state.pk])
    sql.write_states(states)
    book.write()


def _monitors_of(states: Iterable[MonitorState]) -> dict[int, Monitor]:
    found = Monitor.objects.select_related(WITH_DEFAULTS).filter(pk__in=among(state.pk for state in states))
    return {monitor.pk: monitor for monitor in found}
