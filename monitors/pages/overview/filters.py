"""Monitors by what a reader sees of them: status as shown now, tag, text; their counts and their order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import (
    BigIntegerField,
    BooleanField,
    Case,
    Count,
    DateTimeField,
    F,
    FloatField,
    Func,
    Max,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Coalesce, Greatest, Least, Lower

from monitors.domain.schedules import GRACE_LEAST, GRACE_MOST, GRACE_ONE_IN
from monitors.domain.state_machine import Shown, Status
from monitors.history import current
from monitors.models import Monitor

SORTS = ("status", "name", "-name", "last", "-last", "due", "-due")
_BY_THE_CLOCK = {Shown.UP, Shown.LATE, Shown.DOWN}
_SCHEDULE = ("kind", "timeout", "grace", "cron", "timezone")
_UP = Q(state__status=Status.UP.value)


class Epoch(Func):
    """A time as seconds since 1970, so that times can be added up."""

    output_field = FloatField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "date_part('epoch', %(expressions)s)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "((julianday(%(expressions)s) - 2440587.5) * 86400.0)"
        return self.as_sql(compiler, connection, template=template, **context)


class _SecondsAfter(Func):
    """The time some seconds after another, which each database adds in its own way."""

    output_field = DateTimeField()
    template, arg_joiner = "(%(expressions)s * interval '1 second')", " + "

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # With as many digits as a stored time: they are compared as texts.
        after = "(strftime('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', %(expressions)s || ' seconds') || '000')"
        return self.as_sql(compiler, connection, template=after, arg_joiner=", '+' || ", **context)


@dataclass(frozen=True, slots=True)
class ByCron:
    """The row ids of those that go by a cron expression, are up as stored, and late or overdue as shown."""

    late: tuple[int, ...] = ()
    overdue: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """How the monitors of a list stand at one moment.

    `counts` has each status as shown, zeros included. `mark` is different whenever one of them changed
    its status, as stored or as shown, or was edited, and when one came or went.
    """

    counts: dict[Shown, int]
    by_cron: ByCron
    mark: tuple[Any, ...]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def standing(monitors: QuerySet[Any], now: datetime) -> Standing:
    """Return how `monitors` stand at `now`, in two queries that read few rows into memory."""
    by_cron = _by_cron(monitors, now)
    seen = _intervals_seen(now)
    stored = list(
        _with_deadlines(monitors)
        .order_by()
        .values("state__status")
        .annotate(
            number=Count("pk"),
            newest=Max("pk"),
            # A sum, not only the newest: of two changes, the earlier may be committed last.
            changed=Sum(_milliseconds("state__status_changed_at")),
            edited=Sum("version"),
            broken=Count("pk", filter=~Q(state__fault="")),
            late=Count("pk", filter=_UP & seen[Shown.LATE]),
            overdue=Count("pk", filter=_UP & seen[Shown.DOWN]),
            # When one comes and another goes, the numbers are the same.
            which_late=Sum("pk", filter=_UP & seen[Shown.LATE]),
            which_overdue=Sum("pk", filter=_UP & seen[Shown.DOWN]),
        )
        .order_by("state__status")
    )
    numbers = {row["state__status"]: row["number"] for row in stored}
    late = len(by_cron.late) + sum(row["late"] for row in stored)
    overdue = len(by_cron.overdue) + sum(row["overdue"] for row in stored)
    counts = {shown: numbers.get(shown.value, 0) for shown in current.SHOWN_LABELS}
    counts[Shown.UP] -= late + overdue
    counts[Shown.LATE] += late
    counts[Shown.DOWN] += overdue
    mark = (*(tuple(map(str, row.values())) for row in stored), by_cron)
    return Standing(counts, by_cron, mark)


def _milliseconds(column: str) -> Any:
    # Whole numbers, whose sum does not depend on the order in which they are added.
    return Cast(Epoch(F(column)) * Value(1000.0), BigIntegerField())


def by_status(
    monitors: QuerySet[Any], shown: Iterable[Shown], *, now: datetime, seen: Standing | None = None
) -> QuerySet[Any]:
    """Return those of `monitors` that a reader sees as one of `shown` at `now`.

    What is stored answers for most. Of those that are up, the clock says which are late or overdue:
    the database works it out for intervals, as presenting.read does, and cron is read one by one.

    Args:
        seen: how these monitors, or more, stand at `now`, where that is known.
    """
    wanted = set(shown)
    found = Q(pk__in=[])
    if stored := [status.value for status in wanted & {Shown.NEW, Shown.PAUSED, Shown.DOWN}]:
        found |= Q(state__status__in=stored)
    if wanted & _BY_THE_CLOCK:
        by_cron = seen.by_cron if seen else _by_cron(monitors, now)
        monitors, are = _with_deadlines(monitors), _seen(by_cron, now)
        for status in wanted & _BY_THE_CLOCK:
            found |= are[status]
    return monitors.filter(found)


def _with_deadlines(monitors: QuerySet[Any]) -> QuerySet[Any]:
    automatic = Greatest(GRACE_LEAST, Least(GRACE_MOST, F("timeout") / GRACE_ONE_IN))
    last = F("state__last_heartbeat_at")
    return monitors.alias(
        expected_by=_SecondsAfter(last, F("timeout")),
        deadline=_SecondsAfter(last, F("timeout") + Coalesce(F("grace"), automatic)),
    )


def _intervals_seen(now: datetime) -> dict[Shown, Q]:
    by_interval = Q(kind=Monitor.Kind.INTERVAL)
    return {
        Shown.UP: by_interval & Q(expected_by__gte=now),
        Shown.LATE: by_interval & Q(expected_by__lt=now, deadline__gte=now),
        Shown.DOWN: by_interval & Q(deadline__lt=now),
    }


def _seen(by_cron: ByCron, now: datetime) -> dict[Shown, Q]:
    """Return which of those that are up as stored are seen as what; they need `_with_deadlines`."""
    by_interval = _intervals_seen(now)
    on_time = Q(kind=Monitor.Kind.CRON) & ~Q(pk__in=[*by_cron.late, *by_cron.overdue])
    return {
        Shown.UP: _UP & (by_interval[Shown.UP] | on_time),
        Shown.LATE: (_UP & by_interval[Shown.LATE]) | Q(pk__in=by_cron.late),
        Shown.DOWN: (_UP & by_interval[Shown.DOWN]) | Q(pk__in=by_cron.overdue),
    }


def _by_cron(monitors: QuerySet[Any], now: datetime) -> ByCron:
    # `due_at` is never later than the deadline, so before it less the grace nothing is expected.
    candidates = (
        monitors.order_by()
        .alias(begins=Epoch(F("state__due_at")) - Coalesce(F("grace"), Value(GRACE_MOST)))
        # SQLite reads the milliseconds of a time and no further.
        .filter(_UP, kind=Monitor.Kind.CRON, begins__lt=now.timestamp() + 0.002)
        .values_list("pk", *_SCHEDULE, "state__last_heartbeat_at")
    )
    found: dict[Shown, list[int]] = {Shown.LATE: [], Shown.DOWN: [], Shown.UP: []}
    for pk, *schedule, heard in candidates.prefetch_related(None).iterator():
        found[current.seen_up(*schedule, heard=heard, now=now)].append(pk)
    return ByCron(tuple(found[Shown.LATE]), tuple(found[Shown.DOWN]))


def by_tag(monitors: QuerySet[Any], tag: str) -> QuerySet[Any]:
    """Return those of `monitors` that have `tag`."""
    if connection.vendor == "postgresql":
        return monitors.filter(tags__contains=[tag])
    # SQLite's JSON has no "contains".
    table = Monitor._meta.db_table
    has = f"EXISTS (SELECT 1 FROM json_each({table}.tags) WHERE value = %s)"
    return monitors.filter(RawSQL(has, [tag], output_field=BooleanField()))  # noqa: S611


def by_text(monitors: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Return those of `monitors` whose name, slug or description contains `text`, in any case."""
    return monitors.filter(Q(name__icontains=text) | Q(slug__icontains=text) | Q(description__icontains=text))


def in_order(monitors: QuerySet[Any], sort: str, seen: Standing, *, now: datetime) -> QuerySet[Any]:
    """Return `monitors` in the order `sort`, one of SORTS, and by name where that leaves it open.

    "status": down first, then late, then the rest. "last": those heard of latest first, "due": those
    due soonest first. A monitor without such a time comes last, and so it does the other way round.

    Args:
        seen: how these monitors, or more, stand at `now`.
    """
    by_name: tuple[Any, ...] = (Lower("name"), "name", "pk")
    match sort.removeprefix("-"):
        case "name":
            first = () if sort == "name" else (Lower("name").desc(), "-name", "-pk")
            return monitors.order_by(*(first or by_name))
        case "last":
            heard = F("state__last_heartbeat_at")
            newest = heard.desc(nulls_last=True) if sort == "last" else heard.asc(nulls_last=True)
            return monitors.order_by(newest, *by_name)
        case "due":
            due = _expected()
            soonest = due.asc(nulls_last=True) if sort == "due" else due.desc(nulls_last=True)
            return monitors.order_by(soonest, *by_name)
    are = _seen(seen.by_cron, now)
    rank = Case(
        When(Q(state__status=Status.DOWN.value) | are[Shown.DOWN], then=Value(0)),
        When(are[Shown.LATE], then=Value(1)),
        default=Value(2),
    )
    return _with_deadlines(monitors).order_by(rank, *by_name)


def _expected() -> Case:
    """Return when a heartbeat is expected, as an expression: null where none is.

    For a cron schedule it is about the time: the database cannot read what the schedule says.
    """
    return Case(
        When(_UP & Q(kind=Monitor.Kind.INTERVAL), then=Epoch(F("state__last_heartbeat_at")) + F("timeout")),
        When(
            _UP & Q(kind=Monitor.Kind.CRON), then=Epoch(F("state__due_at")) - Coalesce(F("grace"), Value(0))
        ),
        default=None,
        output_field=FloatField(),
    )
