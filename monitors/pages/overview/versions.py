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
from django.utils.encoding import force_bytes

from core.clock import database_now
from monitors.models import Monitor, MonitorState
from monitors.pages import gaps
from monitors.pages.gaps import Notice
from monitors.pages.overview import filters
from monitors.pages.overview.filters import StatusCounts
from monitors.pages.overview.params import OverviewParams

ROWS = 40
KEPT_SECONDS = 0.5
_OLD_SECONDS = 2.0
_KEPT_MOST = 500
# Bars and uptimes only change with time, and may be this old.
_STALE_AFTER = 120


@dataclass(frozen=True, slots=True)
class Look:
    """The statuses of all monitors of a workspace at `now`; `taken` is that time by the process's clock.

    `notice` is what to say above them of a gap, if anything.
    """

    workspace_id: UUID
    now: datetime
    whole: StatusCounts
    notice: Notice | None
    taken: float


@dataclass(frozen=True, slots=True)
class Chosen:
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
class _Kept:
    """A cached page, chosen while the standing had `mark`, and the version of the page at a look."""

    mark: tuple[Any, ...]
    chosen: Chosen
    made: tuple[Look, str] | None = None


_looks: dict[UUID, Look] = {}
_pages: dict[tuple[UUID, OverviewParams], _Kept] = {}
_looking = Lock()


def version(workspace_id: UUID, asked: OverviewParams) -> str:
    """Return the version of the page that is `asked` for. It changes whenever the page's content does.

    It may be out of date by KEPT_SECONDS.

    Args:
        workspace_id: the public id of a workspace.
    """
    look = _kept_look(workspace_id)
    kept = _pages.get((workspace_id, asked))
    if kept is not None and kept.made is not None and kept.made[0] is look:
        return kept.made[1]
    return version_of(look, choose(look, asked), asked)


def is_current(said: str, asked: OverviewParams) -> bool:
    """Return whether `said`, the version of an open page, is still current.

    A version includes its workspace, and only this server can create one: whoever sends it was allowed to
    see that page less than two minutes ago, and only learns that it has not changed.
    """
    workspace, _, digest = said.partition("_")
    try:
        workspace_id = UUID(hex=workspace)
    except ValueError:
        return False
    # Strangers may ask, too: only look up pages that this process has shown to a member.
    known = len(digest) == _DIGEST_LETTERS and (workspace_id, asked) in _pages
    return known and version(workspace_id, asked) == said


def look_at(workspace_id: UUID) -> Look:
    """Return the current statuses of a workspace's monitors, and cache them for the next polls."""
    taken = time.monotonic()
    now = database_now()
    monitors = Monitor.objects.filter(workspace__public_id=workspace_id)
    look = Look(workspace_id, now, filters.standing(monitors, now), gaps.notice_at(now), taken)
    if len(_looks) >= _KEPT_MOST:
        _looks.clear()
    _looks[workspace_id] = look
    return look


def _kept_look(workspace_id: UUID) -> Look:
    look = _looks.get(workspace_id)
    age = inf if look is None else time.monotonic() - look.taken
    if look is not None and age <= KEPT_SECONDS:
        return look
    # Other threads don't wait for it: they use the cached look a moment longer, if it is not too old.
    if not _looking.acquire(blocking=look is None or age > _OLD_SECONDS) and look is not None:
        return look
    try:
        newer = _looks.get(workspace_id)
        return newer if newer is not None and newer is not look else look_at(workspace_id)
    finally:
        _looking.release()


def choose(look: Look, asked: OverviewParams) -> Chosen:
    """Return the monitors on the page that is `asked` for, or on the last page if it is beyond that."""
    key = (look.workspace_id, asked)
    kept = _pages.get(key)
    # Heartbeats only change the orders by time.
    if kept is not None and kept.mark == look.whole.mark and not asked.by_time:
        return kept.chosen
    monitors = asked.choose(Monitor.objects.filter(workspace__public_id=look.workspace_id))
    found = filters.standing(monitors, look.now) if asked.tag or asked.text else look.whole
    number = sum(found.counts[shown] for shown in asked.statuses) if asked.statuses else found.total
    pages = max(-(-number // ROWS), 1)
    page = min(asked.page, pages)
    if asked.statuses:
        monitors = filters.by_status(monitors, asked.statuses, now=look.now, seen=found)
    ordered = filters.in_order(monitors, asked.sort, found, now=look.now)
    start = (page - 1) * ROWS
    ids = tuple(ordered.values_list("pk", flat=True)[start : start + ROWS])
    chosen = Chosen(ids, page, pages, number, found)
    if len(_pages) >= _KEPT_MOST:
        _pages.clear()
    _pages[key] = _Kept(look.whole.mark, chosen)
    return chosen


def version_of(look: Look, chosen: Chosen, asked: OverviewParams) -> str:
    """Return the version of a page that shows `chosen`."""
    moment = int(look.now.timestamp()) // _STALE_AFTER
    noticed = look.notice and look.notice.key
    shown = repr((look.whole.mark, chosen.ids, _heard(chosen.ids), asked.url, moment, noticed))
    digest = blake2s(shown.encode(), digest_size=_DIGEST_LETTERS // 2, key=_key()).hexdigest()
    made = f"{look.workspace_id.hex}_{digest}"
    if (kept := _pages.get((look.workspace_id, asked))) and kept.chosen is chosen:
        kept.made = look, made
    return made


_DIGEST_LETTERS = 24


def _heard(ids: Sequence[int]) -> list[tuple[Any, ...]]:
    states = MonitorState.objects.filter(monitor_id__in=ids).order_by("monitor_id")
    return [
        (pk, heard and heard.timestamp(), fault)
        for pk, heard, fault in states.values_list("monitor_id", "last_heartbeat_at", "fault")
    ]


def _key() -> bytes:
    return blake2s(force_bytes(settings.SECRET_KEY), person=b"overview").digest()
