"""The incidents of a workspace, page by page: open ones first, then the newest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db.models import QuerySet

from accounts.models import Workspace
from monitors.models import Incident

PAGE = 50
_OPEN, _OVER = "o", "r"
_CURSOR = re.compile(r"([or])([0-9a-f]{1,15})")


class BadCursor(ValueError):
    """The cursor is not valid."""


@dataclass(frozen=True, slots=True)
class IncidentPage:
    """Incidents with their monitors, and the cursor of the next page, "" if there is none."""

    rows: list[Incident]
    more: str = ""


def incidents_of(
    workspace: Workspace, *, only_open: bool = False, cursor: str = "", size: int = PAGE
) -> IncidentPage:
    """Return the page of incidents of `workspace` after `cursor`. At most two queries.

    In the order of detection, which is that of the row ids: the newest are found by walking an index from
    its end, however many there are.

    Args:
        cursor: `IncidentPage.more` of the previous page, "" for the first.

    Raises:
        BadCursor: the cursor is not valid.
    """
    state, below = _read(cursor)
    rows: list[Incident] = []
    if state == _OPEN:
        rows = _newest(workspace, below, open_=True, limit=size + 1)
        below = None
    if not only_open and len(rows) <= size:
        rows += _newest(workspace, below, open_=False, limit=size + 1 - len(rows))
    if len(rows) <= size:
        return IncidentPage(rows)
    last = rows[size - 1]
    return IncidentPage(rows[:size], f"{_OVER if last.resolved_at else _OPEN}{last.pk:x}")


def _newest(workspace: Workspace, below: int | None, *, open_: bool, limit: int) -> list[Incident]:
    rows: QuerySet[Incident] = Incident.objects.filter(
        monitor__workspace=workspace, resolved_at__isnull=open_
    )
    if below is not None:
        rows = rows.filter(pk__lt=below)
    return list(rows.select_related("monitor", "acknowledged_by").order_by("-pk")[:limit])


def _read(cursor: str) -> tuple[str, int | None]:
    if not cursor:
        return _OPEN, None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise BadCursor(cursor)
    return match[1], int(match[2], 16)
