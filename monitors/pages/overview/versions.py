"""Polling of the overview: whether a page still shows the current version.

Look-ups are cached for a moment and shared by all polls that this process answers, so that many open tabs
cost little more than one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2s
from math import inf
from threading import Lock
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet, Subquery
from django.utils.encoding import force_bytes

from accounts.models import Workspace
from core.clock import database_now
from monitors.models import Monitor, MonitorState
from monitors.pages import gaps
from monitors.pages.gaps import Notice
from monitors.pages.overview import filters
from monitors.pages.overview.filters import StatusCounts
from monitors.pages.overview.order import page_of
from monitors.pages.overview.params import OverviewParams

ROWS = 40
CACHE_SECONDS = 0.5
_OLD_SECONDS = 2.0
# With tens of thousands of monitors, polls take at most about a tenth of the database's time.
_TIMES_ITS_COST, _FREE_COST, _KEPT_MOST = 10, 0.1, 5.0
_CACHE_MOST = 500
# Bars and uptimes only change with time, and may be this old.
_STALE_AFTER = 120


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The statuses of all monitors of a workspace at `now`; `taken` is that time by the process's clock.

    `notice` is what to say above them of a gap, if anything. Taking it took `cost` seconds.
    """

    workspace_id: UUID
    now: datetime
    whole: StatusCounts
    notice: Notice | None
    taken: float
    cost: float

    @property
    def keeps(self) -> float:
        """For how many seconds polls use it: the longer it took, the longer."""
        longer = (self.cost - _FREE_COST) * _TIMES_ITS_COST
        return max(CACHE_SECONDS, min(longer, _KEPT_MOST))


@dataclass(frozen=True, slots=True)
class Selection:
    """The monitors on a page.

    `ids` are their row ids in order. `number` is how many pass the filters, on `pages` pages of which this
    is `page`; `found` are the statuses of those that match the tag and the text.
    """

    ids: tuple[int, ...]
    page: int
    pages: int
    number: int
    found: StatusCounts


@dataclass(slots=True)
class _CachedPage:
    """A cached page, chosen while the standing had `mark`, and the version of the page at a snapshot."""

    mark: tuple[Any, ...]
    selection: Selection
    made: tuple[Snapshot, str] | None = None


_snapshots: dict[UUID, Snapshot] = {}
_pages: dict[tuple[UUID, OverviewParams], _CachedPage] = {}
_snapshot_lock = Lock()


def version(workspace_id: UUID, params: OverviewParams) -> str:
    """Return the version of the page for `params`. It changes whenever the page's content does.

    It may be out of date by CACHE_SECONDS, and with tens of thousands of monitors by `Snapshot.keeps`.

    Args:
        workspace_id: the public id of a workspace.
    """
    snapshot = _recent_snapshot(workspace_id)
    cached = _pages.get((workspace_id, params))
    if cached is not None and cached.made is not None and cached.made[0] is snapshot:
        return cached.made[1]
    return version_of(snapshot, select(snapshot, params), params)


def is_current(known_version: str, params: OverviewParams) -> bool:
    """Return whether `known_version`, the version of an open page, is still current.

    A version includes its workspace, and only this server can create one: whoever sends it was allowed to
    see that page less than two minutes ago, and only learns that it has not changed.
    """
    workspace, _, digest = known_version.partition("_")
    try:
        workspace_id = UUID(hex=workspace)
    except ValueError:
        return False
    # Strangers may ask, too: only look up pages that this process has shown to a member.
    known = len(digest) == _DIGEST_LENGTH and (workspace_id, params) in _pages
    return known and version(workspace_id, params) == known_version


def take_snapshot(workspace_id: UUID) -> Snapshot:
    """Return the current statuses of a workspace's monitors, and cache them for the next polls."""
    taken = time.monotonic()
    now = database_now()
    whole = filters.standing(_monitors_of(workspace_id), now)
    cost = time.monotonic() - taken
    snapshot = Snapshot(workspace_id, now, whole, gaps.notice_at(now), taken, cost)
    if len(_snapshots) >= _CACHE_MOST:
        _snapshots.clear()
    _snapshots[workspace_id] = snapshot
    return snapshot


def _monitors_of(workspace_id: UUID) -> QuerySet[Any]:
    # With a join, the database would not use the order of an index.
    return Monitor.objects.filter(workspace=_row_id_of(workspace_id))


def _row_id_of(workspace_id: UUID) -> Subquery:
    return Subquery(Workspace.objects.filter(public_id=workspace_id).order_by().values("pk"))


def _recent_snapshot(workspace_id: UUID) -> Snapshot:
    snapshot = _snapshots.get(workspace_id)
    age = inf if snapshot is None else time.monotonic() - snapshot.taken
    keeps = CACHE_SECONDS if snapshot is None else snapshot.keeps
    if snapshot is not None and age <= keeps:
        return snapshot
    # Other threads don't wait for it: they use the cached snapshot a moment longer, if it is not too old.
    too_old = snapshot is None or age > keeps + _OLD_SECONDS
    if not _snapshot_lock.acquire(blocking=too_old) and snapshot is not None:
        return snapshot
    try:
        newer = _snapshots.get(workspace_id)
        return newer if newer is not None and newer is not snapshot else take_snapshot(workspace_id)
    finally:
        _snapshot_lock.release()


def select(snapshot: Snapshot, params: OverviewParams) -> Selection:
    """Return the monitors on the page for `params`, or on the last page if it is beyond that."""
    key = (snapshot.workspace_id, params)
    cached = _pages.get(key)
    # Heartbeats only change the orders by time.
    if cached is not None and cached.mark == snapshot.whole.mark and not params.by_time:
        return cached.selection
    monitors = params.matching(_monitors_of(snapshot.workspace_id))
    found = filters.standing(monitors, snapshot.now) if params.tag or params.text else snapshot.whole
    number = sum(found.counts[shown] for shown in params.statuses) if params.statuses else found.total
    pages = max(-(-number // ROWS), 1)
    page = min(params.page, pages)
    start = (page - 1) * ROWS
    ids = page_of(monitors, params, now=snapshot.now, seen=found, start=start, size=ROWS)
    selection = Selection(ids, page, pages, number, found)
    if len(_pages) >= _CACHE_MOST:
        _pages.clear()
    _pages[key] = _CachedPage(snapshot.whole.mark, selection)
    return selection


def version_of(snapshot: Snapshot, selection: Selection, params: OverviewParams) -> str:
    """Return the version of a page that shows `selection`."""
    moment = int(snapshot.now.timestamp()) // _STALE_AFTER
    noticed = snapshot.notice and snapshot.notice.key
    heartbeats = _last_heartbeats(snapshot.workspace_id, selection.ids)
    shown = repr((snapshot.whole.mark, selection.ids, heartbeats, params.url, moment, noticed))
    digest = blake2s(shown.encode(), digest_size=_DIGEST_LENGTH // 2, key=_key()).hexdigest()
    made = f"{snapshot.workspace_id.hex}_{digest}"
    if (cached := _pages.get((snapshot.workspace_id, params))) and cached.selection is selection:
        cached.made = snapshot, made
    return made


_DIGEST_LENGTH = 24


def _last_heartbeats(workspace_id: UUID, ids: Sequence[int]) -> list[tuple[Any, ...]]:
    ours = MonitorState.objects.filter(workspace_id=_row_id_of(workspace_id))
    states = ours.filter(monitor_id__in=ids).order_by("monitor_id")
    return [
        (pk, last_heartbeat_at and last_heartbeat_at.timestamp(), fault)
        for pk, last_heartbeat_at, fault in states.values_list("monitor_id", "last_heartbeat_at", "fault")
    ]


def _key() -> bytes:
    return blake2s(force_bytes(settings.SECRET_KEY), person=b"overview").digest()
