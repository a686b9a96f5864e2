"""The query string of the overview: filters, search, order and page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse

from monitors.domain.state_machine import Shown
from monitors.history import current
from monitors.pages.overview import filters as overview_filters
from monitors.pages.overview.order import SORTS

_LONGEST_TEXT = 100
_LONGEST_NUMBER = 6


@dataclass(frozen=True, slots=True)
class OverviewParams:
    """The filters, order and page that the overview's URL asks for."""

    statuses: tuple[Shown, ...] = ()
    tag: str = ""
    text: str = ""
    sort: str = "status"
    page: int = 1

    @classmethod
    def of(cls, query: QueryDict) -> OverviewParams:
        """Parse a query string. Invalid parameters are ignored."""
        named = set(query.get("status", "").split(","))
        sort, page = query.get("sort", ""), query.get("page", "")
        is_number = page.isascii() and page.isdigit() and len(page) <= _LONGEST_NUMBER
        return cls(
            statuses=tuple(shown for shown in current.SHOWN_LABELS if shown.value in named),
            tag=_text(query.get("tag", "")),
            text=_text(query.get("q", "")),
            sort=sort if sort in SORTS else "status",
            page=max(int(page), 1) if is_number else 1,
        )

    @property
    def query(self) -> dict[str, str]:
        """The query parameters, without defaults."""
        values = {
            "status": ",".join(self.statuses),
            "tag": self.tag,
            "q": self.text,
            "sort": self.sort if self.sort != "status" else "",
            "page": str(self.page) if self.page > 1 else "",
        }
        return {name: value for name, value in values.items() if value}

    @property
    def url(self) -> str:
        query = urlencode(self.query, safe=",")
        return f"{reverse('monitors:overview')}{'?' if query else ''}{query}"

    @property
    def filters(self) -> bool:
        return bool(self.statuses or self.tag or self.text)

    @property
    def by_time(self) -> bool:
        """Whether heartbeats change the order."""
        return self.sort.removeprefix("-") in ("last", "due")

    def other(self, **changes: Any) -> OverviewParams:
        """Return a copy with `changes`, back on the first page."""
        return replace(self, **{"page": 1, **changes})

    def toggled(self, shown: Shown) -> OverviewParams:
        statuses = set(self.statuses) ^ {shown}
        return self.other(statuses=tuple(status for status in current.SHOWN_LABELS if status in statuses))

    def matching(self, monitors: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of `monitors` that match the tag and the text, with any status."""
        if self.tag:
            monitors = overview_filters.by_tag(monitors, self.tag)
        if self.text:
            monitors = overview_filters.by_text(monitors, self.text)
        return monitors


def _text(value: str) -> str:
    return value.replace("\0", "").strip()[:_LONGEST_TEXT]
