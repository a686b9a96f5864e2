"""What follows from the pushes of the past: the product's own decisions, one event after the other.

Incidents, changes of status and what channels are owed are written by the journal that the recorder and
the sweep write with, so nothing of it can be what the product would not have done.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitors.domain.state_machine import Cause, Event, HeartbeatArrived, PauseRequested, Status, TimePassed
from monitors.heartbeats import transitions
from monitors.models import Monitor, MonitorState
from tianji.demo.past import Pushed

# How long after a deadline a sweep would have seen it.
_SWEPT_AFTER = timedelta(milliseconds=640)


@dataclass(slots=True)
class Watched:
    """A monitor, its state as it becomes, and what it was sent; `paused_at` is when somebody paused it."""

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
    """Apply what happened to all monitors until `now`, in its order; states are changed in memory."""
    walks = [_walk(watched, now) for watched in all_watched]
    # Each walk goes on when its step was applied: what comes next depends on the status then.
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
        if not _is_quiet(state, came.fault):
            yield _Step(pushed.at, watched, came, pushed.report.message, pushed.report.value)
        state.last_heartbeat_at = pushed.at
        state.last_message, state.last_value = pushed.report.message, pushed.report.value
        # As the recorder does: it may be due early, and is looked at again then.
        if state.status == Status.UP and (state.due_at is None or state.due_at <= pushed.at):
            transitions.set_due_at(state, watched.monitor, now=pushed.at)
    yield from _until(watched, now)


def _until(watched: Watched, at: datetime) -> Iterator[_Step]:
    """Yield what happened after the last heartbeat and before `at`: a deadline that passed, a pause."""
    state = watched.state
    if state.due_at is not None and state.due_at < at:
        transitions.set_due_at(state, watched.monitor, now=at)
    if state.due_at is not None and (swept := state.due_at + _SWEPT_AFTER) < at:
        yield _Step(swept, watched, TimePassed(swept))
    if watched.paused_at is not None and watched.paused_at < at and state.status != Status.PAUSED:
        yield _Step(watched.paused_at, watched, PauseRequested(watched.paused_at))


def _is_quiet(state: MonitorState, fault: Cause | None) -> bool:
    """Return whether a heartbeat changes nothing, as most do; the others are decided."""
    match Status(state.status):
        case Status.PAUSED:
            return True
        case Status.UP:
            return fault is None
        case Status.DOWN:
            return fault is not None
    return False
