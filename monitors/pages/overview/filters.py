"""Filters, counts and orders monitors by what a reader sees: current status, tag, text."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

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
from django.db.models.functions import Cast, Coalesce, Greatest, Least, Lower

from monitors.domain.schedules import GRACE_LEAST, GRACE_MOST, GRACE_ONE_IN
from monitors.domain.state_machine import Shown, Status
from monitors.history import current
from monitors.models import SCHEDULE_COLUMNS, Monitor, schedule_of

SORTS = ("status", "name", "-name", "last", "-last", "due", "-due")
_BY_THE_CLOCK = {Shown.UP, Shown.LATE, Shown.DOWN, Shown.RECOVERING}
_UP = Q(state__status=Status.UP.value)
_DOWN = Q(state__status=Status.DOWN.value)
# In the order in which they need attention; the rest are calm.
_URGENT = (Shown.DOWN, Shown.RECOVERING, Shown.LATE)
_CALM = len(_URGENT)


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


class Ordered(Protocol):
    """What `page_of` has to know of the query."""

    @property
    def statuses(self) -> tuple[Shown, ...]: ...

    @property
    def sort(self) -> str: ...


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
        _with_deadlines(monitors)
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
        When(_UP & seen[Shown.UP], then=Value("")),
        When(_UP & seen[Shown.DOWN], then=Value(Shown.DOWN.value)),
        When(_UP & seen[Shown.LATE], then=Value(Shown.LATE.value)),
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
        monitors, are = _with_deadlines(monitors), _seen(at_set_times, now)
        for status in wanted & _BY_THE_CLOCK:
            found |= are[status]
    return monitors.filter(found)


def _with_deadlines(monitors: QuerySet[Any]) -> QuerySet[Any]:
    automatic = Greatest(GRACE_LEAST, Least(GRACE_MOST, F("timeout") / GRACE_ONE_IN))
    last = _silent_since()
    return monitors.alias(
        expected_by=_SecondsAfter(last, F("timeout")),
        deadline=_SecondsAfter(last, F("timeout") + Coalesce(F("grace"), automatic)),
        newest_outcome=F("state__recent_outcomes").bitand(1),
    )


def _silent_since() -> Any:
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


def _seen(at_set_times: AtSetTimes, now: datetime) -> dict[Shown, Q]:
    """Return conditions for the current status of those stored as up or down; see `_with_deadlines`."""
    by_interval = _intervals_seen(now)
    # Not the negation of what is recovering, which is null where nothing is due.
    failing = _DOWN & (
        Q(newest_outcome=1) | Q(state__due_at=None) | Q(state__due_at__lt=current.settled(now))
    )
    on_time = ~Q(kind=Monitor.Kind.INTERVAL) & ~Q(pk__in=[*at_set_times.late, *at_set_times.overdue])
    return {
        Shown.UP: _UP & (by_interval[Shown.UP] | on_time),
        Shown.LATE: (_UP & by_interval[Shown.LATE]) | Q(pk__in=at_set_times.late),
        Shown.DOWN: failing | (_UP & by_interval[Shown.DOWN]) | Q(pk__in=at_set_times.overdue),
        Shown.RECOVERING: _recovering(now),
    }


def _at_set_times(monitors: QuerySet[Any], now: datetime) -> AtSetTimes:
    # `due_at` is never after the deadline, so before it minus the grace period nothing is late.
    candidates = (
        monitors.order_by()
        .alias(begins=Epoch(F("state__due_at")) - Coalesce(F("grace"), Value(GRACE_MOST)))
        # SQLite only reads milliseconds.
        .filter(_UP, ~Q(kind=Monitor.Kind.INTERVAL), begins__lt=now.timestamp() + 0.002)
        .annotate(silent_since=_silent_since())
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
    are = _seen(seen.at_set_times, now)
    rank = Case(*(When(are[shown], then=Value(at)) for at, shown in enumerate(_URGENT)), default=Value(_CALM))
    ranked = _with_deadlines(monitors).alias(rank=rank)
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
        When(_UP & Q(kind=Monitor.Kind.INTERVAL), then=Epoch(_silent_since()) + F("timeout")),
        When(
            _UP & ~Q(kind=Monitor.Kind.INTERVAL),
            then=Epoch(F("state__due_at")) - Coalesce(F("grace"), Value(0)),
        ),
        default=None,
        output_field=FloatField(),
    )
