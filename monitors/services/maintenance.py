"""Maintenance windows: times in which no notifications are sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from core.clock import database_now
from core.sql import among
from monitors import signals
from monitors.domain.expressions import is_time_zone
from monitors.domain.recurrence import Once, Plan, Stretch, Weekly, current, over_at, taken_together
from monitors.models import MaintenanceWindow, Monitor


def held_until(monitor_ids: Collection[int], now: datetime) -> dict[int, datetime]:
    """Return when the current maintenance ends, by row id, for monitors that are in a window at `now`.

    Adjacent and overlapping windows count as one. One query if no window is active, at most three, for
    any number of monitors.
    """
    if not monitor_ids:
        return {}
    windows = Windows(unfinished(MaintenanceWindow.objects.all(), now))
    if not windows.any_at(now):
        return {}
    of_these = Monitor.objects.filter(pk__in=among(monitor_ids), workspace_id__in=windows.workspaces)
    return windows.held_until(of_these.only("pk", "workspace_id", "tags"), now)


def unfinished(windows: QuerySet[MaintenanceWindow], now: datetime) -> QuerySet[MaintenanceWindow]:
    """Return those of `windows` that are active at `now` or upcoming."""
    return windows.filter(Q(ends_at=None) | Q(ends_at__gt=now))


def plan_of(window: MaintenanceWindow) -> Plan:
    """Return the plan of `window`: when it takes place, for `occurrences`."""
    if window.kind == MaintenanceWindow.Kind.ONCE:
        assert window.starts_at is not None
        assert window.ends_at is not None
        return Once(window.starts_at, window.ends_at)
    assert window.start_time is not None
    assert window.duration is not None
    return Weekly(
        weekdays=frozenset(window.weekdays),
        at=window.start_time,
        length=timedelta(seconds=window.duration),
        # A time zone unknown to this system must not block notifications.
        zone=window.timezone if is_time_zone(window.timezone) else "UTC",
        begins=window.starts_at,
        until=window.ends_at,
    )


@dataclass(slots=True)
class Windows:
    """Windows from a query. They and their monitors are only loaded when needed.

    Of monitors, the row id, workspace and tags are used.
    """

    queryset: QuerySet[MaintenanceWindow]
    # Only these monitors are asked for, by row id; None for any.
    of: Collection[int] | None = None
    _rows: list[MaintenanceWindow] | None = None
    _plans: dict[int, Plan] = field(default_factory=dict)
    _named: dict[int, set[int]] | None = None

    @property
    def rows(self) -> list[MaintenanceWindow]:
        if self._rows is None:
            self._rows = list(self.queryset)
            self._plans = {window.pk: plan_of(window) for window in self._rows}
        return self._rows

    @property
    def workspaces(self) -> set[int]:
        return {window.workspace_id for window in self.rows}

    def any_at(self, now: datetime) -> bool:
        """Return whether any of them is active at `now`."""
        return any(current(self._plans[window.pk], now) for window in self.rows)

    def held_until(self, monitors: Iterable[Monitor], now: datetime) -> dict[int, datetime]:
        """Return when maintenance ends, by row id, for those of `monitors` that are in a window at `now`."""
        if not self.any_at(now):
            return {}
        # Most monitors are in the same windows, so cache by the set of windows.
        known: dict[tuple[int, ...], datetime | None] = {}
        found = {}
        for monitor in monitors:
            mine = self._of(monitor, self.rows)
            if mine not in known:
                known[mine] = over_at([self._plans[pk] for pk in mine], now)
            if (end := known[mine]) is not None:
                found[monitor.pk] = end
        return found

    def left_out(
        self, monitors: Iterable[Monitor], *, start: datetime, end: datetime
    ) -> dict[int, Sequence[Stretch]]:
        """Return the times between `start` and `end` that are excluded from uptime, by the monitor's row id.

        Sorted and disjoint; monitors without excluded times are missing.
        """
        rows = [window for window in self.rows if window.excluded_from_uptime]
        if not rows:
            return {}
        known: dict[tuple[int, ...], Sequence[Stretch]] = {}
        found = {}
        for monitor in monitors:
            mine = self._of(monitor, rows)
            if mine not in known:
                known[mine] = taken_together([self._plans[pk] for pk in mine], start, end)
            if known[mine]:
                found[monitor.pk] = known[mine]
        return found

    def _of(self, monitor: Monitor, rows: Iterable[MaintenanceWindow]) -> tuple[int, ...]:
        """Return the row ids of those of `rows` that apply to `monitor`."""
        named = self._names()
        return tuple(
            window.pk
            for window in rows
            if window.workspace_id == monitor.workspace_id
            and (
                window.all_monitors
                or monitor.pk in named.get(window.pk, ())
                or not set(window.tags).isdisjoint(monitor.tags)
            )
        )

    def _names(self) -> dict[int, set[int]]:
        if self._named is None:
            self._named = {}
            with_monitors = [window.pk for window in self.rows if not window.all_monitors]
            through = MaintenanceWindow.monitors.through.objects.filter(maintenancewindow__in=with_monitors)
            if self.of is not None:
                # A window may have named tens of thousands, and a page shows a few dozen.
                through = through.filter(monitor__in=among(self.of))
            pairs = through.values_list("maintenancewindow_id", "monitor_id") if with_monitors else ()
            for window_id, monitor_id in pairs:
                self._named.setdefault(window_id, set()).add(monitor_id)
        return self._named


def of_monitors(monitors: Iterable[Monitor]) -> Windows:
    """Return all windows of the workspaces of `monitors`, including past ones."""
    monitors = list(monitors)
    workspaces = {monitor.workspace_id for monitor in monitors}
    windows = MaintenanceWindow.objects.filter(workspace_id__in=workspaces)
    return Windows(windows, of=[monitor.pk for monitor in monitors])


@contextmanager
def rescheduling_ends(workspace_id: int, monitors: Iterable[Monitor]) -> Iterator[None]:
    """Send `maintenance_moved` for monitors whose maintenance end is changed inside the context.

    Args:
        monitors: those of the workspace that may be affected; only read if a window is active.
    """
    now = database_now()
    windows = MaintenanceWindow.objects.filter(workspace=workspace_id)
    named = [monitor.pk for monitor in monitors] if isinstance(monitors, Sequence) else None

    def held() -> dict[int, datetime]:
        return Windows(windows.all(), of=named).held_until(monitors, now)

    before = held()
    yield
    after = held() if before else {}
    moved = [pk for pk, until in before.items() if after.get(pk, now) != until]
    if moved:
        signals.maintenance_moved.send(sender=MaintenanceWindow, monitors=moved)
