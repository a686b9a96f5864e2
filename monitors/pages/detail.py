"""A monitor's page: the data it shows, and the version that tells open pages whether it has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2s
from typing import Any

from django.db.models import Count, Max, OuterRef, QuerySet, Subquery, Sum
from django.utils.formats import number_format
from django.utils.translation import get_language, gettext

from accounts.models import AuditEntry
from monitors.domain.daily_uptime import added, part_of
from monitors.domain.durations import MINUTE, about, units
from monitors.domain.recurrence import together
from monitors.domain.schedules import IntervalSchedule
from monitors.domain.state_machine import Shown, Status
from monitors.domain.time_slots import DEFAULT_SPAN, SPANS, Slot
from monitors.domain.timeout_advice import Advice, Rhythm, advise
from monitors.domain.uptime import Onset, Uptime, uptime
from monitors.history import current, gaps, rhythm
from monitors.history.current import Reading
from monitors.history.days import days_of
from monitors.history.rejected import rejected_since
from monitors.history.rhythm import Usual
from monitors.history.status_bars import bar_of
from monitors.history.uptimes import onsets_of
from monitors.models import Gap, Heartbeat, Incident, Monitor, RejectedPush, Transition
from monitors.pages.charts.window import Window, scheduled_around, window
from monitors.services import maintenance
from monitors.services.maintenance import Windows
from monitors.services.outdated_days import day_of, midnight

_MONTH, _YEAR = SPANS["30d"], SPANS["1y"]
# Content that only changes with time may be this old, in seconds.
_STALE_AFTER = 60
# Here rejected pushes may be why.
_SILENT = (Shown.LATE, Shown.DOWN)


@dataclass(frozen=True, slots=True)
class Range:
    """A time range of the page: its name in the URL, and the number of slots in its bar."""

    name: str
    span: timedelta
    slots: int

    @property
    def words(self) -> str:
        if self.name == "1y":
            return gettext("1 y")
        day, hour, _minute, _second = units()
        return f"{self.name[:-1]} {day if self.name.endswith('d') else hour}"


# From a day up, slots are multiples of half an hour, so that rollups can be used; of long ranges, of a day.
_SLOTS = {"1h": 60, "24h": 48, "7d": 56, "30d": 60, "90d": 45, "1y": 73}
RANGES = {name: Range(name, span, _SLOTS[name]) for name, span in SPANS.items()}


def range_named(name: str) -> Range:
    """Return the range named in a URL, or the default."""
    return RANGES.get(name, RANGES[DEFAULT_SPAN])


@dataclass(frozen=True, slots=True)
class Figure:
    """An uptime as text, and the time it covers; `perfect` means that it was never down."""

    span: str
    words: str
    perfect: bool


@dataclass(frozen=True, slots=True)
class Intervals:
    """How far apart heartbeats were in the last `span`, as text: at the median, and 99 % of them at most."""

    median: str
    p99: str
    span: str


@dataclass(frozen=True, slots=True)
class DetailPage:
    """One monitor at the moment `now`.

    `maintenance_until` is when the current maintenance window ends, None if there is none. `window` is the
    picture of the time until an alert is sent, None if no heartbeat is expected. `times` are the next set
    times, if the schedule has any. `incidents` and `down` (total downtime) are those of the last 30 days.
    `intervals` are those of the range, or of 30 days if it had too few heartbeats; None if these had, too.
    `rejected` says how many pushes were rejected since the last heartbeat, "" if none were or the monitor is
    not late or down.
    """

    reading: Reading
    now: datetime
    maintenance_until: datetime | None
    range: Range
    slots: list[Slot]
    window: Window | None
    times: Sequence[datetime]
    uptimes: list[Figure]
    incidents: int
    down: str
    intervals: Intervals | None
    advice: Advice | None
    rejected: str


def close_up(monitor: Monitor, selected: Range, *, now: datetime) -> DetailPage:
    """Return what the page of `monitor`, loaded with its state, shows at `now` (the database's time).

    Thirteen queries, two more for a bar of whole days, one more for an interval whose timeout may be badly
    chosen, one more if the workspace has maintenance windows, and one more while it is late or down.
    """
    reading = current.read(monitor, now)
    windows = maintenance.of_monitors([monitor])
    watched = _Watched(monitor, windows, now)
    onsets = watched.onsets
    month = watched.since(now - _MONTH)
    times_of_heartbeats = rhythm.newest_times(monitor, now=now)
    seen = rhythm.rhythm_of(monitor, times_of_heartbeats, onsets, now=now)
    bar = bar_of(monitor, now=now, span=selected.span, slots=selected.slots)
    in_range = rhythm.usual_in(monitor, bar, times_of_heartbeats, onsets, now=now)
    picture, times = _window(reading, now)
    return DetailPage(
        reading=reading,
        now=now,
        maintenance_until=windows.held_until([monitor], now).get(monitor.pk),
        range=selected,
        slots=bar.slots,
        window=picture,
        times=times,
        uptimes=[_figure(watched, one, now) for one in RANGES.values() if one.span >= SPANS["24h"]],
        incidents=month.incidents,
        down=about(month.down.total_seconds()),
        intervals=_intervals(in_range, selected) or _intervals(rhythm.usual(seen), RANGES["30d"]),
        advice=_advice(monitor, seen, now),
        rejected=(
            rejected_since(monitor, monitor.state.last_heartbeat_at) if reading.shown in _SILENT else ""
        ),
    )


class _Watched:
    """The uptimes of one monitor up to `now`: from status changes up to a month, and else from days."""

    def __init__(self, monitor: Monitor, windows: Windows, now: datetime) -> None:
        days = days_of([monitor], first=day_of(now - _YEAR), now=now)
        self._rows, self._rest, self._now = days.rows[monitor.pk], midnight(days.until), now
        start = min(now - _MONTH, self._rest)
        self.onsets: Sequence[Onset] = onsets_of([monitor], start=start, end=now, now=now)[monitor.pk]
        self._gaps = gaps.between(start, now)
        self._planned = windows.left_out([monitor], start=start, end=now).get(monitor.pk, ())

    def since(self, start: datetime) -> Uptime:
        """Return the uptime since `start`; if that is more than a month ago, since its day began."""
        if self._now - start <= _MONTH:
            without = together([*self._gaps, *self._planned])
            return uptime(self.onsets, start=start, end=self._now, without=without)
        first = midnight(day_of(start))
        rest = part_of(
            self.onsets,
            start=max(first, self._rest),
            end=self._now,
            gaps=self._gaps,
            planned=self._planned,
        )
        return added([*(row.part for row in self._rows if row.day >= first.date()), rest])


def _figure(watched: _Watched, of: Range, now: datetime) -> Figure:
    share = watched.since(now - of.span).share
    return Figure(of.words, current.percent(share), share == 1)


def _window(reading: Reading, now: datetime) -> tuple[Window | None, Sequence[datetime]]:
    last, monitor = reading.state.last_heartbeat_at, reading.monitor
    if last is None or reading.expected_by is None or reading.deadline is None:
        return None, scheduled_around(monitor.schedule, now)[1]
    earlier, times = scheduled_around(monitor.schedule, last)
    picture = window(
        last=last,
        now=now,
        expected_by=reading.expected_by,
        deadline=reading.deadline,
        interval=monitor.interval,
        earlier=earlier,
    )
    return picture, times


def _intervals(usual: Usual | None, of: Range) -> Intervals | None:
    if usual is None:
        return None
    median, p99 = (_seconds(each, exact=usual.exact) for each in (usual.median, usual.p99))
    return Intervals(median, p99, of.words)


def _seconds(seconds: float, *, exact: bool) -> str:
    """Return the length of a gap, with tenths of a second if it is short and they are known: "30.1 s"."""
    if seconds >= 2 * MINUTE:
        return about(seconds)
    places = 2 if seconds < 1 else 1 if exact or seconds < 10 else 0
    # Which cuts, and doesn't round.
    return f"{number_format(round(seconds, places), places)}\u00a0{units()[3]}"


def _advice(monitor: Monitor, seen: Rhythm | None, now: datetime) -> Advice | None:
    schedule = monitor.schedule
    if seen is None or not isinstance(schedule, IntervalSchedule):
        return None
    return advise(
        seen,
        schedule=schedule,
        interval=monitor.interval,
        silences=rhythm.silences_of(monitor, now=now),
    )


def version(monitor: Monitor, selected: Range, *, now: datetime, may_change: bool) -> str:
    """Return the version of a page, which changes whenever its content does. Two queries.

    Args:
        monitor: loaded with its state.
        now: the database's time.
        may_change: whether the reader may change `monitor`, and therefore sees more.
    """
    state = monitor.state
    newest = dict(_newest(monitor) or {})
    shown = current.read(monitor, now).shown
    rejected = newest.pop("rejected", None)
    facts = (
        *(monitor.version, state.status, state.status_changed_at, state.last_heartbeat_at, state.fault),
        *(shown, rejected if shown in _SILENT else None),
        # What counts towards a threshold; of a monitor that is up, each heartbeat changes it.
        state.recent_outcomes if state.status == Status.DOWN else None,
        *newest.values(),
        *_notification_version(newest.get("incident")),
        *(selected.name, may_change, get_language(), int(now.timestamp()) // _STALE_AFTER),
    )
    return blake2s(repr(facts).encode(), digest_size=12).hexdigest()


def _newest(monitor: Monitor) -> Mapping[str, Any] | None:
    """Return the latest row of each kind, each from one index lookup."""
    of_it = {"monitor": OuterRef("pk")}
    incidents = Incident.objects.filter(**of_it).order_by("-started_at")
    audit = AuditEntry.objects.filter(subject=OuterRef("public_id")).order_by("-at")
    return (
        Monitor.objects.filter(pk=monitor.pk)
        .values(
            heartbeat=_first(Heartbeat.objects.filter(**of_it).order_by("-received_at")),
            transition=_first(Transition.objects.filter(**of_it).order_by("-at")),
            change=_first(audit),
            gap=_first(Gap.objects.order_by("-ended_at", "-pk")),
            incident=_first(incidents),
            rejected=Subquery(
                RejectedPush.objects.filter(**of_it).order_by("-last_at").values("last_at")[:1]
            ),
            acknowledged=Subquery(incidents.values("acknowledged_at")[:1]),
            note=Subquery(incidents.values("note")[:1]),
            confirmed=Subquery(incidents.values("confirmed_at")[:1]),
        )
        .first()
    )


def _first(rows: QuerySet[Any]) -> Subquery:
    return Subquery(rows.values("pk")[:1])


def _notification_version(incident: int | None) -> tuple[object, ...]:
    """Return values that change with every delivery attempt for an incident."""
    if incident is None:
        return ()
    totals = Incident.objects.filter(pk=incident).aggregate(
        number=Count("deliveries"),
        attempts=Sum("deliveries__attempt_count"),
        sent=Max("deliveries__sent_at"),
    )
    return tuple(totals.values())
