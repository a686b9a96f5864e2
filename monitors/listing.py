"""Monitors by what a reader sees of them: status as shown now, tag, text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import BooleanField, DateTimeField, F, Func, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, Greatest, Least

from monitors import presenting
from monitors.models import Monitor
from monitors.schedules import GRACE_LEAST, GRACE_MOST, GRACE_ONE_IN
from monitors.status import Shown, Status

_BY_THE_CLOCK = {Shown.UP, Shown.LATE, Shown.DOWN}


class _SecondsAfter(Func):
    """The time some seconds after another, which each database adds in its own way."""

    output_field = DateTimeField()
    template, arg_joiner = "(%(expressions)s * interval '1 second')", " + "

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # With as many digits as a stored time: they are compared as texts.
        after = "(strftime('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f', %(expressions)s || ' seconds') || '000')"
        return self.as_sql(compiler, connection, template=after, arg_joiner=", '+' || ", **context)


def by_status(monitors: QuerySet[Any], shown: Iterable[Shown], *, now: datetime) -> QuerySet[Any]:
    """Return those of `monitors` that a reader sees as one of `shown` at `now`.

    What is stored answers for most. Of those that are up, the clock says which are late or overdue:
    the database works it out for intervals, as presenting.read does, and cron is read one by one.
    """
    wanted = set(shown)
    found = Q(pk__in=[])
    if stored := [status.value for status in wanted & {Shown.NEW, Shown.PAUSED, Shown.DOWN}]:
        found |= Q(state__status__in=stored)
    if not wanted & _BY_THE_CLOCK:
        return monitors.filter(found)
    automatic = Greatest(GRACE_LEAST, Least(GRACE_MOST, F("timeout") / GRACE_ONE_IN))
    last = F("state__last_heartbeat_at")
    monitors = monitors.alias(
        expected_by=_SecondsAfter(last, F("timeout")),
        deadline=_SecondsAfter(last, F("timeout") + Coalesce(F("grace"), automatic)),
    )
    seen = {
        Shown.UP: Q(expected_by__gte=now),
        Shown.LATE: Q(expected_by__lt=now, deadline__gte=now),
        Shown.DOWN: Q(deadline__lt=now),
    }
    up = Q(state__status=Status.UP.value)
    cron = _cron_by_the_clock(monitors, now)
    for status in wanted & _BY_THE_CLOCK:
        found |= up & Q(kind=Monitor.Kind.INTERVAL) & seen[status]
        found |= Q(pk__in=cron[status])
    return monitors.filter(found)


def _cron_by_the_clock(monitors: QuerySet[Any], now: datetime) -> dict[Shown, list[int]]:
    """Return by what is shown the row ids of those that go by a cron expression and are up as stored."""
    found: dict[Shown, list[int]] = {status: [] for status in _BY_THE_CLOCK}
    rows = monitors.filter(kind=Monitor.Kind.CRON, state__status=Status.UP.value)
    for monitor in rows.select_related("state").prefetch_related(None).order_by().iterator():
        found[presenting.read(monitor, now).shown].append(monitor.pk)
    return found


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
