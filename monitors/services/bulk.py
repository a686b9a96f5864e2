"""One operation on many monitors: each on its own, and the outcomes of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum

from django.core.exceptions import ObjectDoesNotExist

from accounts.actors import Actor
from monitors.domain.state_machine import Status
from monitors.models import MAX_TAGS, Monitor, MonitorState
from monitors.services import monitors as monitor_service

# How often an edit is retried when someone else edits the same monitor at the same moment.
_TRIES = 3


class Outcome(StrEnum):
    """The outcome for one monitor: `SAME` had nothing to change, `FULL` has the maximum number of tags."""

    DONE = "done"
    SAME = "same"
    FULL = "full"
    BUSY = "busy"
    GONE = "gone"


Outcomes = Counter[Outcome]


def pause(monitors: Iterable[Monitor], *, by: Actor) -> Outcomes:
    """Pause each of `monitors`, loaded with their states."""
    return _each(monitors, lambda monitor: _turn(monitor, by, off=True))


def resume(monitors: Iterable[Monitor], *, by: Actor) -> Outcomes:
    """Resume those of `monitors`, loaded with their states, that are paused."""
    return _each(monitors, lambda monitor: _turn(monitor, by, off=False))


def add_tag(monitors: Iterable[Monitor], tag: str, *, by: Actor) -> Outcomes:
    """Add the tag `tag` to each of `monitors`."""

    def wanted(tags: list[str]) -> list[str]:
        return tags if tag in tags else [*tags, tag]

    return _each(monitors, lambda monitor: _retag(monitor, wanted, by))


def remove_tag(monitors: Iterable[Monitor], tag: str, *, by: Actor) -> Outcomes:
    """Remove the tag `tag` from each of `monitors`."""

    def wanted(tags: list[str]) -> list[str]:
        return [other for other in tags if other != tag]

    return _each(monitors, lambda monitor: _retag(monitor, wanted, by))


def set_urgency(monitors: Iterable[Monitor], urgency: str, *, by: Actor) -> Outcomes:
    """Give each of `monitors` this urgency."""

    def given(monitor: Monitor) -> Outcome:
        if Monitor.objects.values_list("urgency", flat=True).get(pk=monitor.pk) == urgency:
            return Outcome.SAME
        monitor_service.edit(monitor=monitor, by=by, urgency=urgency)
        return Outcome.DONE

    return _each(monitors, given)


def delete(monitors: Iterable[Monitor], *, by: Actor) -> Outcomes:
    """Delete each of `monitors` with all that belongs to it."""

    def gone(monitor: Monitor) -> Outcome:
        monitor_service.delete(monitor=monitor, by=by)
        return Outcome.DONE

    return _each(monitors, gone)


def _each(monitors: Iterable[Monitor], do: Callable[[Monitor], Outcome]) -> Outcomes:
    outcomes: Outcomes = Counter()
    for monitor in monitors:
        try:
            outcomes[do(monitor)] += 1
        except ObjectDoesNotExist:
            # Someone deleted it after it was looked up.
            outcomes[Outcome.GONE] += 1
    return outcomes


def _turn(monitor: Monitor, by: Actor, *, off: bool) -> Outcome:
    paused = MonitorState.objects.values_list("status", flat=True).get(monitor=monitor) == Status.PAUSED
    if paused is off:
        return Outcome.SAME
    (monitor_service.pause if off else monitor_service.resume)(monitor=monitor, by=by)
    return Outcome.DONE


def _retag(monitor: Monitor, wanted: Callable[[list[str]], list[str]], by: Actor) -> Outcome:
    for _try in range(_TRIES):
        tags = wanted(monitor.tags)
        if tags == monitor.tags:
            return Outcome.SAME
        if len(tags) > MAX_TAGS:
            return Outcome.FULL
        try:
            # Without the version check, someone else's tags would be lost.
            monitor_service.edit(monitor=monitor, by=by, version=monitor.version, tags=tags)
        except monitor_service.VersionConflict:
            # It was read again, so the next attempt uses the current version.
            continue
        return Outcome.DONE
    return Outcome.BUSY
