"""Reads back the history of monitors: statuses over time, uptime, heartbeats and incidents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import OuterRef, Q, QuerySet, Subquery

from core.pagination import beyond
from monitors.domain.state_machine import Shown, Status
from monitors.domain.uptime import Onset, Uptime, uptime
from monitors.history import current, gaps
from monitors.models import Monitor, Transition
from monitors.services import maintenance

_EXPORT_ROWS = 2000


def uptimes(
    monitors: Sequence[Monitor], *, start: datetime, end: datetime, now: datetime
) -> dict[int, Uptime]:
    """Return the uptime of each of `monitors` from `start` to `end` by row id.

    Three queries for any number of monitors, and up to two for maintenance windows. Gaps are excluded, and
    maintenance windows that are set to be. Time after `now` (the database's time) is excluded; an incident
    that is open then counts until then, and so does a deadline that passed but was not swept yet.

    Args:
        monitors: loaded with their states.
    """
    end = min(end, now)
    onsets = onsets_of(monitors, start=start, end=end, now=now)
    windows = maintenance.of_monitors(monitors)
    without = gaps.left_out(windows, monitors, start=start, end=end)
    return {
        monitor.pk: uptime(onsets[monitor.pk], start=start, end=end, without=without[monitor.pk])
        for monitor in monitors
    }


def onsets_of(
    monitors: Sequence[Monitor], *, start: datetime, end: datetime, now: datetime
) -> dict[int, list[Onset]]:
    """Return the statuses of each of `monitors` from `start` to `end`, by row id. Two queries.

    For several ranges of the same monitors, call it once for the longest. The status at `start` begins just
    before it, so that a change at `start` is a change.
    """
    stored = stored_onsets(monitors, start=start, end=end)
    for monitor in monitors:
        stored[monitor.pk] += _unswept(monitor, stored[monitor.pk], now)
    return stored


def stored_onsets(monitors: Sequence[Monitor], *, start: datetime, end: datetime) -> dict[int, list[Onset]]:
    """Like `onsets_of`, but a deadline that passed counts only once it was swept. Two queries."""
    ids = [monitor.pk for monitor in monitors]
    before = Transition.objects.filter(
        monitor=OuterRef("pk"), workspace_id=OuterRef("workspace_id"), at__lt=start
    ).order_by("-at", "-pk")
    at_start = dict(
        Monitor.objects.filter(pk__in=ids, workspace_id__in={each.workspace_id for each in monitors})
        .annotate(status_at_start=Subquery(before.values("target")[:1]))
        .values_list("pk", "status_at_start")
    )
    changes: dict[int, list[tuple[datetime, str, str]]] = {pk: [] for pk in ids}
    during = Transition.objects.filter(monitor__in=monitors, at__gte=start, at__lt=end).order_by("at", "pk")
    for pk, at, source, target in during.values_list("monitor", "at", "source", "target"):
        changes[pk].append((at, source, target))
    return {
        monitor.pk: list(_stored(monitor, at_start.get(monitor.pk), changes[monitor.pk], start))
        for monitor in monitors
    }


def _stored(
    monitor: Monitor, at_start: str | None, changes: list[tuple[datetime, str, str]], start: datetime
) -> Iterator[Onset]:
    if at_start is not None:
        yield Onset(start - timedelta.resolution, Status(at_start))
    elif changes:
        _at, source, _target = changes[0]
        yield Onset(monitor.created_at, Status(source))
    else:
        # It never changed, so its status has always been the current one.
        yield Onset(monitor.state.status_changed_at, Status(monitor.state.status))
    for at, _source, target in changes:
        yield Onset(at, Status(target))


def unswept_since(monitor: Monitor, now: datetime) -> datetime | None:
    """Return the deadline that `monitor`, loaded with its state, has missed if that is not stored yet."""
    reading = current.read(monitor, now)
    return reading.since if monitor.state.status == Status.UP and reading.shown is Shown.DOWN else None


def _unswept(monitor: Monitor, stored: Sequence[Onset], now: datetime) -> list[Onset]:
    since = unswept_since(monitor, now)
    # A later change was written between reading the state and reading the changes.
    if since is not None and (not stored or stored[-1].at < since):
        return [Onset(since, Status.DOWN)]
    return []


def in_chunks(rows: QuerySet[Any, dict[str, Any]], *, time: str, size: int = _EXPORT_ROWS) -> Iterator[Any]:
    """Yield lists of up to `size` of `rows`, newest first, each from its own query.

    So neither memory nor a transaction grows with the number of rows, and concurrent writes don't shift
    the pages.

    Args:
        rows: a `values()` queryset that includes "pk" and the column `time`.
    """
    rows = rows.order_by(f"-{time}", "-pk")
    page = rows
    while chunk := list(page[:size]):
        yield chunk
        if len(chunk) < size:
            return
        page = beyond(rows, time, chunk[-1][time], chunk[-1]["pk"])


def overlapping(rows: QuerySet[Any], *, start: datetime | None, end: datetime | None) -> QuerySet[Any]:
    """Return those incidents of `rows` that were open at any time from `start` to `end`."""
    if start is not None:
        rows = rows.filter(Q(resolved_at=None) | Q(resolved_at__gt=start))
    if end is not None:
        rows = rows.filter(started_at__lt=end)
    return rows
