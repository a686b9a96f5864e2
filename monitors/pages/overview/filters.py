"""Filters and counts monitors by what a reader sees: current status, tag, text."""

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
    CharField,
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
from django.db.models.functions import Cast, Coalesce, Greatest, Least

from monitors.domain.schedules import GRACE_LEAST, GRACE_MOST, GRACE_ONE_IN
from monitors.domain.state_machine import Shown, Status
from monitors.history import current
from monitors.models import SCHEDULE_COLUMNS, Monitor, schedule_of

_BY_THE_CLOCK = {Shown.UP, Shown.LATE, Shown.DOWN, Shown.RECOVERING}
UP = Q(state__status=Status.UP.value)
_DOWN = Q(state__status=Status.DOWN.value)


class Epoch(Func):
    """A time as seconds since 1970, so that times can be summed."""

    output_field = FloatField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "date_part('epoch', %(expressions)s)"
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = "((julianday(%(expressions)s) - 2440587.5) * 86400.0)"
        return self.as_sql(compiler, connection, template=template, **context)


class _SecondsAfter(Func):
    """A time plus some seconds, in each database's own syntax."""

    output_field = DateTimeField()
    template, arg_joiner = "(%(expressions)s * interval '1 second')", " + "

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # With as many digits as a stored time: they are compared as text.
        after = "(strftime('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', %(expressions)s || ' seconds') || '000')"
        return self.as_sql(compiler, connection, template=after, arg_joiner=", '+' || ", **context)


@dataclass(frozen=True, slots=True)
class AtSetTimes:
    """Row ids of monitors with set times that are stored as up but currently late or overdue."""

    late: tuple[int, ...] = ()
    overdue: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StatusCounts:
    """The statuses of a list of monitors at one moment.

    `counts` has every current status, including zeros. `mark` changes whenever a monitor's stored or
    current status changes, or a monitor is edited, added or removed.
    """

    counts: dict[Shown, int]
    at_set_times: AtSetTimes
    mark: tuple[Any, ...]

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def standing(monitors: QuerySet[Any], now: datetime) -> StatusCounts:
    """Return the statuses of `monitors` at `now`, in two queries that read few rows into memory."""
    at_set_times = _at_set_times(monitors, now)
    stored = list(
        with_deadlines(monitors)
        .order_by()
        # Grouped by it, the database calculates with each deadline once.
        .annotate(differs=_differs(now))
        .values("state__status", "differs")
        .annotate(
            number=Count("pk"),
            newest=Max("pk"),
            # If one is added and another removed, the counts stay the same.
            which=Sum("pk"),
            # A sum, not just the newest: of two changes, the earlier one may be committed last.
            changed=Sum(_milliseconds("state__status_changed_at")),
            edited=Sum("version"),
            broken=Count("pk", filter=~Q(state__fault="")),
        )
        .order_by("state__status", "differs")
    )
    counts = dict.fromkeys(current.SHOWN_LABELS, 0)
    for row in stored:
        shown = Shown(row["differs"] or row["state__status"]) if row["state__status"] else None
        if shown is not None:
            counts[shown] += row["number"]
    for shown, which in ((Shown.LATE, at_set_times.late), (Shown.DOWN, at_set_times.overdue)):
        counts[shown] += len(which)
        counts[Shown.UP] -= len(which)
    mark = (*(tuple(map(str, row.values())) for row in stored), at_set_times)
    return StatusCounts(counts, at_set_times, mark)


def _differs(now: datetime) -> Case:
    """Return an expression for the current status where it isn't the stored one, apart from set times."""
    seen = _intervals_seen(now)
    return Case(
        # Most of them, so that nothing else is calculated for these.
        When(UP & seen[Shown.UP], then=Value("")),
        When(UP & seen[Shown.DOWN], then=Value(Shown.DOWN.value)),
        When(UP & seen[Shown.LATE], then=Value(Shown.LATE.value)),
        When(_recovering(now), then=Value(Shown.RECOVERING.value)),
        default=Value(""),
        output_field=CharField(),
    )


def _milliseconds(column: str) -> Any:
    # Integers, whose sum does not depend on the order of summation.
    return Cast(Epoch(F(column)) * Value(1000.0), BigIntegerField())


def by_status(
    monitors: QuerySet[Any], shown: Iterable[Shown], *, now: datetime, seen: StatusCounts | None = None
) -> QuerySet[Any]:
    """Return those of `monitors` whose current status at `now` is one of `shown`.

    Mostly that is the stored status. Of those that are up, time decides which are late or overdue: the
    database computes it for intervals, like history.current.read, and set times are evaluated one by one.
    Those that are down may be recovering.

    Args:
        seen: the statuses of these monitors, or more, at `now`, if known.
    """
    wanted = set(shown)
    found = Q(pk__in=[])
    if stored := [status.value for status in wanted & {Shown.NEW, Shown.PAUSED}]:
        found |= Q(state__status__in=stored)
    if wanted & _BY_THE_CLOCK:
        at_set_times = seen.at_set_times if seen else _at_set_times(monitors, now)
        monitors, are = with_deadlines(monitors), conditions(at_set_times, now)
        for status in wanted & _BY_THE_CLOCK:
            found |= are[status]
    return monitors.filter(found)


def with_deadlines(monitors: QuerySet[Any]) -> QuerySet[Any]:
    automatic = Greatest(GRACE_LEAST, Least(GRACE_MOST, F("timeout") / GRACE_ONE_IN))
    last = silent_since_expression()
    return monitors.alias(
        expected_by=_SecondsAfter(last, F("timeout")),
        deadline=_SecondsAfter(last, F("timeout") + Coalesce(F("grace"), automatic)),
        newest_outcome=F("state__recent_outcomes").bitand(1),
    )


def silent_since_expression() -> Any:
    """Return an expression for MonitorState.silent_since."""
    last, excused = F("state__last_heartbeat_at"), F("state__excused_until")
    return Case(When(state__excused_until__gt=last, then=excused), default=last)


def _intervals_seen(now: datetime) -> dict[Shown, Q]:
    by_interval = Q(kind=Monitor.Kind.INTERVAL)
    settled = current.settled(now)
    return {
        Shown.UP: by_interval & Q(expected_by__gte=now),
        Shown.LATE: by_interval & Q(expected_by__lt=now, deadline__gte=settled),
        # `due_at` is never after the deadline, and has an index.
        Shown.DOWN: by_interval & Q(state__due_at__lt=now, deadline__lt=settled),
    }


def _recovering(now: datetime) -> Q:
    """Return the condition of `current.read` for a monitor that is recovering."""
    return _DOWN & Q(newest_outcome=0, state__due_at__gte=current.settled(now))


def conditions(at_set_times: AtSetTimes, now: datetime) -> dict[Shown, Q]:
    """Return conditions for the current status of those stored as up or down; see `with_deadlines`."""
    by_interval = _intervals_seen(now)
    # Not the negation of what is recovering, which is null where nothing is due.
    failing = _DOWN & (
        Q(newest_outcome=1) | Q(state__due_at=None) | Q(state__due_at__lt=current.settled(now))
    )
    on_time = ~Q(kind=Monitor.Kind.INTERVAL) & ~Q(pk__in=[*at_set_times.late, *at_set_times.overdue])
    return {
        Shown.UP: UP & (by_interval[Shown.UP] | on_time),
        Shown.LATE: (UP & by_interval[Shown.LATE]) | Q(pk__in=at_set_times.late),
        Shown.DOWN: failing | (UP & by_interval[Shown.DOWN]) | Q(pk__in=at_set_times.overdue),
        Shown.RECOVERING: _recovering(now),
    }


def _at_set_times(monitors: QuerySet[Any], now: datetime) -> AtSetTimes:
    # `due_at` is never after the deadline, so before it minus the grace period nothing is late.
    candidates = (
        monitors.order_by()
        .alias(begins=Epoch(F("state__due_at")) - Coalesce(F("grace"), Value(GRACE_MOST)))
        # SQLite only reads milliseconds.
        .filter(UP, ~Q(kind=Monitor.Kind.INTERVAL), begins__lt=now.timestamp() + 0.002)
        .annotate(silent_since=silent_since_expression())
        .values_list("pk", "silent_since", *SCHEDULE_COLUMNS)
    )
    found: dict[Shown, list[int]] = {Shown.LATE: [], Shown.DOWN: [], Shown.UP: []}
    for pk, since, *columns in candidates.prefetch_related(None).iterator():
        schedule = schedule_of(**dict(zip(SCHEDULE_COLUMNS, columns, strict=True)))
        found[current.seen_up(schedule, silent_since=since, now=now)].append(pk)
    return AtSetTimes(tuple(found[Shown.LATE]), tuple(found[Shown.DOWN]))


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
