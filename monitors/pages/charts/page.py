"""A monitor's charts page: pictures, text, tables and CSV files of one range."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from monitors.domain.recurrence import Stretch
from monitors.domain.schedules import ScheduleError
from monitors.domain.state_machine import Cause
from monitors.domain.time_slots import mostly_in
from monitors.domain.value_rules import ValueRules
from monitors.history.buckets import Bucket, Range, Series
from monitors.models import Incident, Monitor
from monitors.pages.charts import axes
from monitors.pages.charts.line_chart import Plot, Point, Shade, draw
from monitors.pages.charts.text import ChartText

LABELS = {
    "1h": gettext_lazy("1 hour"),
    "24h": gettext_lazy("24 hours"),
    "7d": gettext_lazy("7 days"),
    "30d": gettext_lazy("30 days"),
    "90d": gettext_lazy("90 days"),
    "1y": gettext_lazy("1 year"),
}
WHATS = ("value", "interval")
_CAUSES = {
    Cause.MISSED: gettext_lazy("missed heartbeat"),
    Cause.REPORTED: gettext_lazy("reported down"),
    Cause.VALUE: gettext_lazy("value out of range"),
}


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of the page. Without `plot` there is nothing to draw, and `summary` says so."""

    what: str
    title: str
    summary: str
    legend: str
    columns: list[str]
    rows: SafeString
    plot: Plot | None


def charts_of(monitor: Monitor, series: Series) -> list[Chart]:
    """Return the chart of values and the chart of intervals between heartbeats."""
    texts = ChartText()
    shades = [_shade(incident, series.now, texts) for incident in series.incidents]
    edges = [series.buckets[0].start, *(bucket.end for bucket in series.buckets)]
    frame = _Frame(
        series=series,
        texts=texts,
        at=[texts.span(bucket.start, bucket.end) for bucket in series.buckets],
        shades=shades,
        hatched=[_hatched(stretch, texts) for stretch in series.gaps],
        down=_down(series, shades),
        in_gap=mostly_in(series.gaps, edges),
        bridge=_agreed(monitor),
    )
    return [_values(frame, monitor.value_rules), _intervals(frame)]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Shared by both charts.

    `at`, `down` and `in_gap` are each bucket's: its time as text, whether an incident overlaps it, and
    whether Tianji was not listening for at least half of it.
    """

    series: Series
    texts: ChartText
    at: list[str]
    shades: list[Shade]
    hatched: list[Shade]
    down: list[bool]
    in_gap: list[bool]
    bridge: timedelta

    def tooltip(self, facts: Callable[[Bucket], str]) -> Iterator[tuple[Bucket, str]]:
        """Yield each bucket with its texts."""
        each = zip(self.series.buckets, self.at, self.down, self.in_gap, strict=True)
        for bucket, when, is_down, in_gap in each:
            yield bucket, self.texts.tooltip(when, facts(bucket), is_down=is_down, in_gap=in_gap)

    def draw(
        self,
        points: list[Point],
        scale: axes.Scale,
        what: str,
        title: str,
        bounds: Sequence[tuple[float, str]] = (),
    ) -> Plot:
        return draw(
            points,
            scale=scale,
            now=self.series.now,
            bridge=self.bridge,
            shades=self.shades,
            hatched=self.hatched,
            bounds=bounds,
            label=f"{title}, {LABELS[self.series.range.slug]}",
            name=what,
        )

    def legend(self, text: str) -> str:
        """Return `text`, and what the hatching means if there is any."""
        hatching = _("Hatched: Tianji was not listening.")
        return f"{text} {hatching}" if self.hatched else text

    def rows(self, cells: Callable[[Bucket], list[str]]) -> SafeString:
        """Return the table rows, newest first; buckets without `cells` are left out.

        Built here because a template would take longer than everything else together.
        """
        rows = [
            f'<tr><th scope="row">{escape(when)}</th>'
            + "".join(f'<td class="figure">{escape(cell)}</td>' for cell in found)
            + "</tr>"
            for bucket, when in zip(reversed(self.series.buckets), reversed(self.at), strict=True)
            if (found := cells(bucket))
        ]
        return mark_safe("".join(rows))  # noqa: S308


def _values(frame: _Frame, rules: ValueRules) -> Chart:
    title, texts = _("Value"), frame.texts
    limits = _bounds(rules, texts)
    filled = [bucket for bucket in frame.series.buckets if bucket.values]
    low = min((bucket.low for bucket in filled if bucket.low is not None), default=0.0)
    high = max((bucket.high for bucket in filled if bucket.high is not None), default=0.0)
    points = [
        Point(bucket.start, bucket.end, bucket.low, bucket.mean, bucket.high, tooltip)
        for bucket, tooltip in frame.tooltip(
            lambda bucket: texts.of_values(bucket.values, bucket.low, bucket.mean, bucket.high)
        )
    ]
    summary = _("No values in this range. Add &value=... to the push URL to chart one.")
    if filled:
        mean = _mean((bucket.mean, bucket.values) for bucket in filled)
        number = sum(bucket.values for bucket in filled)
        summary = texts.of_values(number, low, min(max(mean, low), high), high)
    return Chart(
        what="value",
        title=title,
        summary=summary,
        legend=frame.legend(
            _("Line: mean. Band: lowest to highest. Dashed: limits of the allowed range.")
            if limits
            else _("Line: mean. Band: lowest to highest.")
        ),
        columns=[_("Time"), _("Mean"), _("Min"), _("Max"), _("Values")],
        rows=frame.rows(
            lambda bucket: (
                [*map(texts.figure, (bucket.mean, bucket.low, bucket.high)), str(bucket.values)]
                if bucket.values
                else []
            )
        ),
        plot=frame.draw(points, axes.numbers(low, high), "value", title, limits) if filled else None,
    )


def _bounds(rules: ValueRules, texts: ChartText) -> list[tuple[float, str]]:
    named = (
        (rules.low, _("Lowest allowed value: %(value)s")),
        (rules.high, _("Highest allowed value: %(value)s")),
    )
    return [
        (value, tooltip % {"value": texts.figure(value)}) for value, tooltip in named if value is not None
    ]


def _intervals(frame: _Frame) -> Chart:
    title, texts, counted = _("Time between heartbeats"), frame.texts, frame.series.range.counted
    filled = [bucket for bucket in frame.series.buckets if bucket.gap_mean is not None]
    points = [
        Point(bucket.start, bucket.end, bucket.gap_mean, bucket.gap_mean, _longest(bucket), tooltip)
        for bucket, tooltip in frame.tooltip(
            lambda bucket: texts.of_gaps(bucket.heartbeats, bucket.gap_mean, bucket.gap_max)
        )
    ]
    longest = max((point.high for point in points if point.high is not None), default=0.0)
    summary = _("Not enough heartbeats in this range: at least two are needed.")
    if filled:
        mean = _mean((bucket.gap_mean, bucket.gaps) for bucket in filled)
        number = sum(bucket.heartbeats for bucket in frame.series.buckets)
        summary = texts.of_gaps(number, mean, longest if counted else None)
    measured = _("Line: mean. Band: mean to longest. Each gap is counted at its end.")
    guessed = _(
        "Line: mean, estimated from the number of heartbeats. Shorter ranges also show the longest gap."
    )

    def cells(bucket: Bucket) -> list[str]:
        gaps = [bucket.gap_mean, bucket.gap_max] if counted else [bucket.gap_mean]
        return [*map(texts.length, gaps), str(bucket.heartbeats)] if bucket.heartbeats else []

    return Chart(
        what="interval",
        title=title,
        summary=summary,
        legend=frame.legend(measured if counted else guessed),
        columns=[_("Time"), _("Mean"), *([_("Longest")] if counted else []), _("Heartbeats")],
        rows=frame.rows(cells),
        plot=frame.draw(points, axes.durations(longest), "interval", title) if filled else None,
    )


def _longest(bucket: Bucket) -> float | None:
    return bucket.gap_mean if bucket.gap_max is None else bucket.gap_max


def _mean(parts: Iterable[tuple[float | None, int]]) -> float:
    """Return the weighted mean of means."""
    known = [(mean, number) for mean, number in parts if mean is not None]
    whole = sum(number for _mean, number in known)
    # Divide first: the sum of huge values overflows a float.
    return sum(mean * (number / whole) for mean, number in known)


def _agreed(monitor: Monitor) -> timedelta:
    """Return the longest silence that the schedule allows."""
    last_heartbeat_at = monitor.state.last_heartbeat_at
    if last_heartbeat_at is None:
        return timedelta(0)
    try:
        return max(monitor.schedule.due_after(last_heartbeat_at).deadline - last_heartbeat_at, timedelta(0))
    except ScheduleError:
        return timedelta(0)


# --- Incidents and gaps ----------------------------------------------------------------------------


def _shade(incident: Incident, now: datetime, texts: ChartText) -> Shade:
    end = incident.resolved_at or now
    values = {
        "cause": _CAUSES[Cause(incident.cause)],
        "duration": axes.length(max((end - incident.started_at).total_seconds(), 0)),
        "times": texts.span(incident.started_at, end),
    }
    return Shade(incident.started_at, end, _("Down for %(duration)s: %(cause)s · %(times)s") % values)


def _hatched(stretch: Stretch, texts: ChartText) -> Shade:
    said = _("Tianji was not listening · %(times)s") % {"times": texts.span(*stretch)}
    return Shade(*stretch, said)


def _down(series: Series, shades: Sequence[Shade]) -> list[bool]:
    """Return for each bucket whether an incident overlaps it."""
    first, width = series.buckets[0].start, series.buckets[0].end - series.buckets[0].start
    found = [False] * len(series.buckets)
    for shade in shades:
        begin = max((shade.start - first) // width, 0)
        # An incident that ends exactly when a bucket begins does not overlap it.
        end = (max(shade.end - timedelta.resolution, shade.start) - first) // width
        for number in range(begin, min(end + 1, len(found))):
            found[number] = True
    return found


# --- Files -----------------------------------------------------------------------------------------


def records(series: Series, what: str) -> Iterator[list[str]]:
    """Yield the rows of a CSV file with a chart's data, header first.

    Times are in UTC, numbers in machine format, unknown values are empty: no cell is text that a
    spreadsheet could read as a formula.
    """
    if what == "interval":
        yield ["start", "end", "mean_seconds", "max_seconds", "heartbeats"]
    else:
        yield ["start", "end", "min", "mean", "max", "count"]
    for bucket in series.buckets:
        times = [_iso(bucket.start), _iso(bucket.end)]
        if what == "interval":
            gaps = (bucket.gap_mean, bucket.gap_max)
            yield [
                *times,
                *(_plain(None if gap is None else round(gap, 3)) for gap in gaps),
                str(bucket.heartbeats),
            ]
        else:
            yield [
                *times,
                *(_plain(value) for value in (bucket.low, bucket.mean, bucket.high)),
                str(bucket.values),
            ]


def filename(monitor: Monitor, wanted: Range, what: str) -> str:
    return f"{monitor.slug}-{what}-{wanted.slug}.csv"


def _plain(value: float | None) -> str:
    return "" if value is None else repr(value).removesuffix(".0")


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
