"""The orders of the overview: the monitors of one page, with as little sorting as possible."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Protocol

from django.db.models import Case, F, FloatField, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Lower

from monitors.domain.state_machine import Shown
from monitors.models import Monitor
from monitors.pages.overview.filters import (
    UP,
    Epoch,
    StatusCounts,
    by_status,
    conditions,
    silent_since_expression,
    with_deadlines,
)

SORTS = ("status", "name", "-name", "last", "-last", "due", "-due")
# In the order in which they need attention; the rest are calm.
_URGENT = (Shown.DOWN, Shown.RECOVERING, Shown.LATE)
_CALM = len(_URGENT)


class Ordered(Protocol):
    """What `page_of` has to know of the query."""

    @property
    def statuses(self) -> tuple[Shown, ...]: ...

    @property
    def sort(self) -> str: ...


def page_of(
    monitors: QuerySet[Any],
    params: Ordered,
    *,
    now: datetime,
    seen: StatusCounts,
    start: int,
    size: int,
) -> tuple[int, ...]:
    """Return the row ids of `size` of `monitors` from the index `start` on.

    The order "status" is down first, then recovering, then late, then the rest. "last": latest heartbeat
    first. "due": due soonest first. A monitor without such a time comes last, in reverse order too. For ties
    they are in the order of their names.

    Args:
        params: `statuses`, the current ones to keep, all if empty, and `sort`, one of SORTS.
        seen: the statuses of these monitors at `now`.
    """
    if params.sort == "status":
        return _by_urgency(monitors, params.statuses, now=now, seen=seen, start=start, size=size)
    if params.statuses:
        monitors = by_status(monitors, params.statuses, now=now, seen=seen)
    ordered = monitors.order_by(*_order(params.sort), *_name_order(params.sort == "-name"))
    return tuple(ordered.values_list("pk", flat=True)[start : start + size])


def _by_urgency(
    monitors: QuerySet[Any],
    statuses: Collection[Shown],
    *,
    now: datetime,
    seen: StatusCounts,
    start: int,
    size: int,
) -> tuple[int, ...]:
    """Return the row ids of a page in the order "status".

    In two parts, so that the database doesn't sort all monitors: those that need attention are few, and the
    rest follows in the order of an index.
    """
    are = conditions(seen.at_set_times, now)
    rank = Case(*(When(are[shown], then=Value(at)) for at, shown in enumerate(_URGENT)), default=Value(_CALM))
    ranked = with_deadlines(monitors).alias(rank=rank)
    # Not those of which there are none: whether a monitor is late is calculated for each one that is up.
    wanted = [shown for shown in _URGENT if seen.counts[shown] and (not statuses or shown in statuses)]
    urgent = sum(seen.counts[shown] for shown in wanted)
    found: list[int] = []
    if start < urgent:
        first = by_status(ranked, wanted, now=now, seen=seen).order_by("rank", *_name_order())
        found = list(first.values_list("pk", flat=True)[start : start + size])
    calm = set(statuses) - set(_URGENT)
    if len(found) < size and (calm or not statuses):
        rest = ranked.filter(rank=_CALM)
        if calm:
            rest = by_status(rest, calm, now=now, seen=seen)
        after = max(start - urgent, 0)
        ordered = rest.order_by(*_name_order()).values_list("pk", flat=True)
        found += ordered[after : after + size - len(found)]
    return tuple(found)


def _name_order(reverse: bool = False) -> tuple[Any, ...]:
    # As the index monitor_lower_name has it.
    return (Lower("name").desc(), "-name", "-pk") if reverse else (Lower("name"), "name", "pk")


def _order(sort: str) -> list[Any]:
    match sort:
        case "last":
            return [F("state__last_heartbeat_at").desc(nulls_last=True)]
        case "-last":
            return [F("state__last_heartbeat_at").asc(nulls_last=True)]
        case "due":
            return [_expected().asc(nulls_last=True)]
        case "-due":
            return [_expected().desc(nulls_last=True)]
    return []


def _expected() -> Case:
    """Return an expression for when a heartbeat is expected: null if none is.

    Approximate for set times, which the database can't evaluate.
    """
    return Case(
        When(UP & Q(kind=Monitor.Kind.INTERVAL), then=Epoch(silent_since_expression()) + F("timeout")),
        When(
            UP & ~Q(kind=Monitor.Kind.INTERVAL),
            then=Epoch(F("state__due_at")) - Coalesce(F("grace"), Value(0)),
        ),
        default=None,
        output_field=FloatField(),
    )
