"""The overview: what is asked for in its address, and what of all monitors it shows then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2s
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils.translation import get_language

from accounts.models import Workspace
from monitors import listing, presenting
from monitors.bars import bars_of
from monitors.history import onsets_of
from monitors.listing import Standing
from monitors.models import Monitor
from monitors.presenting import Reading
from monitors.push import DEFAULT_MESSAGE
from monitors.slots import Slot
from monitors.status import Shown, Status
from monitors.uptime import uptime
from tianji.clock import database_now

ROWS = 100
DAY, MONTH = timedelta(days=1), timedelta(days=30)
_COUNTED = (Shown.DOWN, Shown.LATE, Shown.UP, Shown.PAUSED, Shown.NEW)
_LONGEST_TEXT = 100
_LONGEST_NUMBER = 6
# Polls of one process share what they look up for so long.
KEPT_SECONDS = 0.5
_KEPT_MOST = 500
# Bars and uptimes move with the time alone, and need not be newer than this.
_STALE_AFTER = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """Which monitors, in which order, which page of them: what the address of the overview says."""

    statuses: tuple[Shown, ...] = ()
    tag: str = ""
    text: str = ""
    sort: str = "status"
    page: int = 1

    @classmethod
    def of(cls, query: QueryDict) -> Asked:
        """Read an address. What it says that is not understood is as if it were not there."""
        named = set(query.get("status", "").split(","))
        sort, page = query.get("sort", ""), query.get("page", "")
        is_number = page.isascii() and page.isdigit() and len(page) <= _LONGEST_NUMBER
        return cls(
            statuses=tuple(shown for shown in presenting.SHOWN_LABELS if shown.value in named),
            tag=_text(query.get("tag", "")),
            text=_text(query.get("q", "")),
            sort=sort if sort in listing.SORTS else "status",
            page=max(int(page), 1) if is_number else 1,
        )

    @property
    def query(self) -> dict[str, str]:
        """What the address says, without what goes without saying."""
        said = {
            "status": ",".join(self.statuses),
            "tag": self.tag,
            "q": self.text,
            "sort": self.sort if self.sort != "status" else "",
            "page": str(self.page) if self.page > 1 else "",
        }
        return {name: value for name, value in said.items() if value}

    @property
    def url(self) -> str:
        query = urlencode(self.query, safe=",")
        return f"{reverse('monitors:overview')}{'?' if query else ''}{query}"

    @property
    def filters(self) -> bool:
        return bool(self.statuses or self.tag or self.text)

    def other(self, **changes: Any) -> Asked:
        """Return the same with `changes`, from its first page on."""
        return replace(self, **{"page": 1, **changes})

    def toggled(self, shown: Shown) -> Asked:
        chosen = set(self.statuses) ^ {shown}
        return self.other(statuses=tuple(status for status in presenting.SHOWN_LABELS if status in chosen))

    def choose(self, monitors: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of `monitors` with the tag and the text, of any status."""
        if self.tag:
            monitors = listing.by_tag(monitors, self.tag)
        if self.text:
            monitors = listing.by_text(monitors, self.text)
        return monitors


def _text(value: str) -> str:
    return value.replace("\0", "").strip()[:_LONGEST_TEXT]


@dataclass(frozen=True, slots=True)
class Row:
    """One monitor: how it stands, its bar of 24 h, and its uptimes as words.

    `watched` is whether it was up or down at any time of the last 30 days; `said_down` is the message
    of the heartbeat that reported it down.
    """

    reading: Reading
    slots: list[Slot]
    day: str
    month: str
    watched: bool
    said_down: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many monitors are shown as `shown`; `url` is the overview with that filter on, or off again."""

    shown: Shown
    number: int
    chosen: bool
    url: str


@dataclass(frozen=True, slots=True)
class Heading:
    """A column to sort by; `direction` is "ascending", "descending", or "" where it is not sorted by."""

    url: str
    direction: str


@dataclass(frozen=True, slots=True)
class Overview:
    """A page of the overview at one moment.

    `total` counts all monitors of the workspace and `matching` those that the filters let through,
    of which `rows` are those from the `first` to the `last`. `down` are those of the workspace.
    """

    asked: Asked
    rows: list[Row]
    counts: list[Count]
    total: int
    matching: int
    down: int
    pages: int
    version: str

    @property
    def first(self) -> int:
        return (self.asked.page - 1) * ROWS + 1

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1

    @property
    def without_text(self) -> str:
        return self.asked.other(text="").url

    @property
    def without_tag(self) -> str:
        return self.asked.other(tag="").url

    @property
    def before(self) -> str:
        return self.asked.other(page=self.asked.page - 1).url if self.asked.page > 1 else ""

    @property
    def after(self) -> str:
        return self.asked.other(page=self.asked.page + 1).url if self.asked.page < self.pages else ""

    @property
    def hidden(self) -> dict[str, str]:
        """What the search keeps of the address."""
        return {name: value for name, value in self.asked.query.items() if name not in ("q", "page")}

    @property
    def headings(self) -> dict[str, Heading]:
        return {name: self._heading(name) for name in ("status", "name", "last", "due")}

    def _heading(self, name: str) -> Heading:
        turned = f"-{name}" if self.asked.sort == name and name != "status" else name
        directions = {name: "ascending", f"-{name}": "descending"}
        if name == "last":
            # The newest time is the largest.
            directions = {name: "descending", f"-{name}": "ascending"}
        return Heading(self.asked.other(sort=turned).url, directions.get(self.asked.sort, ""))


def overview(workspace: Workspace, asked: Asked, *, now: datetime) -> Overview:
    """Return the page of `workspace` that is `asked` for, or its last one where there are not so many.

    The number of queries depends on what is asked for, not on how many monitors there are.

    Args:
        now: the database's time.
    """
    monitors = Monitor.objects.in_workspace(workspace)
    whole = _look(workspace, now)
    matching = asked.choose(monitors)
    found = listing.standing(matching, now) if asked.tag or asked.text else whole
    number = sum(found.counts[shown] for shown in asked.statuses) if asked.statuses else found.total
    pages = max(-(-number // ROWS), 1)
    current = _version(whole, asked, now)
    asked = replace(asked, page=min(asked.page, pages))
    if asked.statuses:
        matching = listing.by_status(matching, asked.statuses, now=now, seen=found)
    start = (asked.page - 1) * ROWS
    # Of the description and the like a row shows nothing, and they may be long.
    ordered = (
        listing.in_order(matching, asked.sort, found, now=now).defer("description").select_related("state")
    )
    return Overview(
        asked=asked,
        rows=_rows(list(ordered[start : start + ROWS]), now),
        counts=[
            Count(shown, found.counts[shown], shown in asked.statuses, asked.toggled(shown).url)
            for shown in _COUNTED
        ],
        total=whole.total,
        matching=number,
        down=whole.counts[Shown.DOWN],
        pages=pages,
        version=current,
    )


def _rows(monitors: Sequence[Monitor], now: datetime) -> list[Row]:
    if not monitors:
        return []
    bars = bars_of(monitors, now=now)
    onsets = onsets_of(monitors, start=now - MONTH, end=now, now=now)
    rows = []
    for monitor in monitors:
        reading = presenting.read(monitor, now)
        stood = onsets[monitor.pk]
        month = uptime(stood, start=now - MONTH, end=now)
        rows.append(
            Row(
                reading=reading,
                slots=bars[monitor.pk],
                day=presenting.percent(uptime(stood, start=now - DAY, end=now).share),
                month=presenting.percent(month.share),
                watched=month.share is not None,
                said_down=_said_down(reading),
            )
        )
    return rows


def _said_down(reading: Reading) -> str:
    """Return what the sender said of the fault: the message of a heartbeat that reported down."""
    state = reading.state
    if state.status != Status.DOWN or state.last_heartbeat_at is None:
        return ""
    reported = state.last_heartbeat_at >= state.status_changed_at
    return state.last_message if reported and state.last_message != DEFAULT_MESSAGE[False] else ""


# --- Versions ------------------------------------------------------------------------------------

_kept: dict[int, tuple[float, datetime, Standing]] = {}


def version(workspace: Workspace, asked: Asked) -> str:
    """Return the version of the page that is `asked` for: another one, when the page shows anything else.

    It may be older by KEPT_SECONDS, so that many open tabs cost little more than one.
    """
    kept = _kept.get(workspace.pk)
    if kept is None or time.monotonic() - kept[0] > KEPT_SECONDS:
        now = database_now()
        return _version(_look(workspace, now), asked, now)
    return _version(kept[2], asked, kept[1])


def _look(workspace: Workspace, now: datetime) -> Standing:
    """Return how the monitors of `workspace` stand at `now`, and keep it for the next polls."""
    began = time.monotonic()
    seen = listing.standing(Monitor.objects.in_workspace(workspace), now)
    if len(_kept) >= _KEPT_MOST:
        _kept.clear()
    _kept[workspace.pk] = (began, now, seen)
    return seen


def _version(seen: Standing, asked: Asked, now: datetime) -> str:
    minute = int(now.timestamp()) // _STALE_AFTER
    shown = repr((seen.mark, asked.url, get_language(), minute))
    return blake2s(shown.encode(), digest_size=8).hexdigest()
