"""Notes which daily rollups are no longer true, in the transaction that changes what they are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta

from core.clock import database_now
from monitors.domain.recurrence import Stretch, taken_together
from monitors.models import ROLLUP_DAYS, MaintenanceWindow, Monitor, OutdatedDays
from monitors.services import maintenance

DAY = timedelta(days=1)


def day_of(at: datetime) -> date:
    """Return the UTC day that contains `at`."""
    return at.astimezone(UTC).date()


def midnight(day: date) -> datetime:
    """Return when a UTC day begins."""
    return datetime.combine(day, time(0), tzinfo=UTC)


def first_calculated(now: datetime) -> date:
    """Return the first day that is still calculated: what older ones are made of is being deleted."""
    return day_of(now - timedelta(days=ROLLUP_DAYS)) + 2 * DAY


def note(
    first: date,
    last: date,
    *,
    now: datetime,
    monitors: Iterable[int] | None = None,
    workspace_id: int | None = None,
) -> None:
    """Have the rollups of the days from `first` to `last` calculated again, as far as they can be.

    Args:
        monitors: row ids of those whose days they are; None for all of the workspace, or of all.
    """
    first, last = max(first, first_calculated(now)), min(last, day_of(now))
    if first > last:
        return
    each = [None] if monitors is None else monitors
    OutdatedDays.objects.bulk_create(
        OutdatedDays(monitor_id=pk, workspace_id=workspace_id, first=first, last=last) for pk in each
    )


@contextmanager
def noting_maintenance(workspace_id: int) -> Iterator[None]:
    """Note the days of a workspace on which other times are maintenance after the context than before."""
    now = database_now()
    before = _planned(workspace_id, now)
    yield
    if different := before ^ _planned(workspace_id, now):
        first, last = _span({stretch for _monitors, stretch in different})
        note(first, last, now=now, workspace_id=workspace_id)


@contextmanager
def noting_tags(monitors: Sequence[Monitor]) -> Iterator[None]:
    """Note the days of `monitors` whose maintenance changes with their tags inside the context."""
    if not monitors:
        yield
        return
    now = database_now()
    before = _left_out(monitors, now)
    yield
    after = _left_out(monitors, now)
    for monitor in monitors:
        if different := set(before.get(monitor.pk, ())) ^ set(after.get(monitor.pk, ())):
            first, last = _span(different)
            note(first, last, now=now, monitors=[monitor.pk])


def _span(stretches: set[Stretch]) -> tuple[date, date]:
    return day_of(min(begin for begin, _end in stretches)), day_of(max(end for _begin, end in stretches))


def _left_out(monitors: Sequence[Monitor], now: datetime) -> dict[int, Sequence[Stretch]]:
    start = midnight(first_calculated(now))
    return maintenance.of_monitors(monitors).left_out(monitors, start=start, end=now)


def _planned(workspace_id: int, now: datetime) -> set[tuple[object, Stretch]]:
    """Return the times that windows have excluded from uptime, each with whom that applies to."""
    start = midnight(first_calculated(now))
    rows = MaintenanceWindow.objects.filter(workspace_id=workspace_id, excluded_from_uptime=True)
    found: set[tuple[object, Stretch]] = set()
    # Their row ids only: there may be tens of thousands.
    named: dict[int, set[int]] = {}
    through = MaintenanceWindow.monitors.through.objects.filter(maintenancewindow__in=rows)
    for window_id, monitor_id in through.values_list("maintenancewindow_id", "monitor_id"):
        named.setdefault(window_id, set()).add(monitor_id)
    for window in rows:
        applies_to = (window.all_monitors, frozenset(window.tags), frozenset(named.get(window.pk, ())))
        times = taken_together([maintenance.plan_of(window)], start, now)
        found.update((applies_to, stretch) for stretch in times)
    return found
