"""The overview: the data of one page of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from accounts.models import Workspace
from monitors.domain.state_machine import Shown, Status
from monitors.domain.time_slots import Slot
from monitors.domain.uptime import uptime
from monitors.heartbeats.parser import DEFAULT_MESSAGE
from monitors.history import current, gaps
from monitors.history.current import Reading
from monitors.history.status_bars import bars_of
from monitors.history.uptimes import onsets_of
from monitors.models import Monitor
from monitors.pages.gaps import Notice
from monitors.pages.overview import versions
from monitors.pages.overview.params import OverviewParams
from monitors.services import maintenance

DAY, MONTH = timedelta(days=1), timedelta(days=30)
_COUNTED = (Shown.DOWN, Shown.RECOVERING, Shown.LATE, Shown.UP, Shown.PAUSED, Shown.NEW)
# Counted only if there are any: most workspaces have no recovery threshold.
_RARE = {Shown.RECOVERING}


@dataclass(frozen=True, slots=True)
class Row:
    """One monitor: its current status, its bar of 24 h, and its uptimes as text.

    `watched` is whether it was up or down at any time in the last 30 days; `down_message` is the message of
    the heartbeat that reported it down.
    """

    reading: Reading
    slots: list[Slot]
    day: str
    month: str
    watched: bool
    down_message: str
    in_maintenance: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How many monitors have the status `shown`; `url` toggles that filter."""

    shown: Shown
    number: int
    selected: bool
    url: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A sortable column; `direction` is "ascending", "descending", or "" if it is not the sort key."""

    url: str
    direction: str


@dataclass(frozen=True, slots=True)
class Overview:
    """A page of the overview at one moment.

    `total` counts all monitors of the workspace, `matching` those that pass the filters; `rows` are those
    from `first` to `last`. `down` counts the whole workspace, and those that recover too. `notice` is what to
    say above it of a gap, if anything. `now` is the database's time.
    """

    params: OverviewParams
    rows: list[Row]
    counts: list[Count]
    total: int
    matching: int
    down: int
    pages: int
    version: str
    notice: Notice | None
    now: datetime

    @property
    def first(self) -> int:
        return (self.params.page - 1) * versions.ROWS + 1

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    @property
    def without_text(self) -> str:
        return self.params.other(text="").url

    @property
    def without_tag(self) -> str:
        return self.params.other(tag="").url

    @property
    def before(self) -> str:
        return self.params.other(page=self.params.page - 1).url if self.params.page > 1 else ""

    @property
    def after(self) -> str:
        return self.params.other(page=self.params.page + 1).url if self.params.page < self.pages else ""

    @property
    def hidden(self) -> dict[str, str]:
        """The query parameters that a search keeps."""
        return {name: value for name, value in self.params.query.items() if name not in ("q", "page")}

    @property
    def headings(self) -> dict[str, Heading]:
        return {name: self._heading(name) for name in ("status", "name", "last", "due")}

    def _heading(self, name: str) -> Heading:
        turned = f"-{name}" if self.params.sort == name and name != "status" else name
        directions = {name: "ascending", f"-{name}": "descending"}
        if name == "last":
            # The newest time is the largest value.
            directions = {name: "descending", f"-{name}": "ascending"}
        return Heading(self.params.other(sort=turned).url, directions.get(self.params.sort, ""))


def overview(workspace: Workspace, params: OverviewParams) -> Overview:
    """Return the page of `workspace` for `params`, or the last page if it is beyond that.

    The number of queries depends on the filters, not on the number of monitors.
    """
    snapshot = versions.take_snapshot(workspace.public_id)
    # Before the rows are read: later changes have another version, and are shown next time.
    selection = versions.select(snapshot, params)
    version = versions.version_of(snapshot, selection, params)
    counts = selection.found.counts
    return Overview(
        params=replace(params, page=selection.page),
        rows=_rows(_in_order(workspace, selection.ids), snapshot.now),
        counts=[
            Count(shown, counts[shown], shown in params.statuses, params.toggled(shown).url)
            for shown in _COUNTED
            if counts[shown] or shown in params.statuses or shown not in _RARE
        ],
        total=snapshot.whole.total,
        matching=selection.number,
        down=snapshot.whole.counts[Shown.DOWN] + snapshot.whole.counts[Shown.RECOVERING],
        pages=selection.pages,
        version=version,
        notice=snapshot.notice,
        now=snapshot.now,
    )


def _in_order(workspace: Workspace, ids: Sequence[int]) -> list[Monitor]:
    # A row doesn't show the description, which may be long.
    ours = Monitor.objects.in_workspace(workspace).defer("description")
    monitors = ours.select_related("state").in_bulk(ids)
    # Some may have been deleted in the meantime.
    return [monitors[pk] for pk in ids if pk in monitors]


def _rows(monitors: Sequence[Monitor], now: datetime) -> list[Row]:
    if not monitors:
        return []
    bars = bars_of(monitors, now=now)
    onsets = onsets_of(monitors, start=now - MONTH, end=now, now=now)
    windows = maintenance.of_monitors(monitors)
    left_out = gaps.left_out(windows, monitors, start=now - MONTH, end=now)
    held = windows.held_until(monitors, now)
    rows = []
    for monitor in monitors:
        reading = current.read(monitor, now)
        stood, without = onsets[monitor.pk], left_out[monitor.pk]
        day = uptime(stood, start=now - DAY, end=now, without=without)
        month = uptime(stood, start=now - MONTH, end=now, without=without)
        rows.append(
            Row(
                reading=reading,
                slots=bars[monitor.pk],
                day=current.percent(day.share),
                month=current.percent(month.share),
                watched=month.share is not None,
                down_message=_down_message(reading),
                in_maintenance=monitor.pk in held,
            )
        )
    return rows


def _down_message(reading: Reading) -> str:
    """Return what the sender reported: a value out of range, or the message of its down report."""
    state = reading.state
    if fault := current.fault_text(reading):
        return fault
    if state.status != Status.DOWN or state.is_recovering or state.last_heartbeat_at is None:
        return ""
    is_recent = state.last_heartbeat_at >= state.status_changed_at
    return state.last_message if is_recent and state.last_message not in DEFAULT_MESSAGE.values() else ""
