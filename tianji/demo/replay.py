"""Applies past pushes in order, with the product's own decisions.

Incidents, status changes and deliveries are written by the journal that the recorder and the sweep use, so
the result can only be what the product would have written.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitors.domain.state_machine import Cause, Event, HeartbeatArrived, PauseRequested, Status, TimePassed
from monitors.domain.thresholds import shifted
from monitors.heartbeats import transitions
from monitors.models import Monitor, MonitorState
from tianji.demo.past import Pushed

# How long after a deadline a sweep detects it.
_SWEPT_AFTER = timedelta(milliseconds=640)


@dataclass(slots=True)
class Watched:
    """A monitor, its changing state and its pushes; `paused_at` is when someone paused it."""

    monitor: Monitor
    state: MonitorState
    pushes: list[Pushed]
    paused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    """An event that may change something."""

    at: datetime
    watched: Watched
    event: Event
    message: str = ""
    value: float | None = None


def replay(all_watched: Iterable[Watched], *, now: datetime) -> None:
    """Apply all events of all monitors until `now`, in order; states are changed in memory."""
    walks = [_walk(watched, now) for watched in all_watched]
    # Each walk continues after its step was applied: the next step depends on the resulting status.
    for step in heapq.merge(*walks, key=lambda step: step.at):
        book = transitions.Journal(step.at)
        book.know_open_incidents([step.watched.state])
        book.decide(
            step.watched.state, step.watched.monitor, step.event, message=step.message, value=step.value
        )
        book.write()


def _walk(watched: Watched, now: datetime) -> Iterator[_Step]:
    state, rules = watched.state, watched.monitor.value_rules
    for pushed in watched.pushes:
        yield from _until(watched, pushed.at)
        came = HeartbeatArrived(pushed.at, pushed.report.up, rules.allow(pushed.report.value))
        if _is_quiet(state, came.fault):
            if state.status != Status.PAUSED:
                state.recent_outcomes = shifted(state.recent_outcomes, failed=came.fault is not None)
        else:
            yield _Step(pushed.at, watched, came, pushed.report.message, pushed.report.value)
        state.last_heartbeat_at = pushed.at
        state.last_message, state.last_value = pushed.report.message, pushed.report.value
        # Like the recorder: `due_at` may be before the deadline, and is moved when it is reached.
        if state.status == Status.UP and (state.due_at is None or state.due_at <= pushed.at):
            transitions.set_due_at(state, watched.monitor, now=pushed.at)
    yield from _until(watched, now)


def _until(watched: Watched, at: datetime) -> Iterator[_Step]:
    """Yield events between the last heartbeat and `at`: a missed deadline, a pause."""
    state = watched.state
    if state.due_at is not None and state.due_at < at:
        transitions.set_due_at(state, watched.monitor, now=at)
    if state.due_at is not None and (swept := state.due_at + _SWEPT_AFTER) < at:
        yield _Step(swept, watched, TimePassed(swept))
    if watched.paused_at is not None and watched.paused_at < at and state.status != Status.PAUSED:
        yield _Step(watched.paused_at, watched, PauseRequested(watched.paused_at))


def _is_quiet(state: MonitorState, fault: Cause | None) -> bool:
    """Return whether a heartbeat changes nothing, as is usual, and needs no decision."""
    match Status(state.status):
        case Status.PAUSED:
            return True
        case Status.UP:
            return fault is None
        case Status.DOWN:
            return fault is not None
    return False
