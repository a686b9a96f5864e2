"""Charts over time as SVG, drawn by the server: no script, no style attribute, so the strict CSP holds.

A chart consists of three pictures that the page's CSS puts together: the labels at the left, the plot, and
the labels below. Each takes the available width; only lines and areas are stretched, so text keeps its
size and lines their width on phones and wide screens alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from monitors.pages.charts.axes import Scale, times

# The plot's own coordinate system, which is stretched to its size.
_UNITS = 1000
# Pixels: width of a letter at the left, and margin beside the longest label.
_CHARACTER_WIDTH, _BESIDE = 7, 10
# Percent of the width from which a label would overlap "now"; the second is for phones.
_NEAR_NOW, _NEAR_NOW_NARROW = 93, 82


@dataclass(frozen=True, slots=True)
class Point:
    """What a chart shows from `start` to `end`, and its tooltip.

    The line goes through `mean`, the band from `low` to `high`; all three are None if there is no data.
    """

    start: datetime
    end: datetime
    low: float | None
    mean: float | None
    high: float | None
    tooltip: str


@dataclass(frozen=True, slots=True)
class Shade:
    """A highlighted time, such as an incident, and its tooltip."""

    start: datetime
    end: datetime
    tooltip: str


@dataclass(frozen=True, slots=True)
class Plot:
    """The three pictures of a chart."""

    left: SafeString
    plot: SafeString
    below: SafeString


def draw(
    points: Sequence[Point],
    *,
    scale: Scale,
    now: datetime,
    bridge: timedelta,
    shades: Sequence[Shade] = (),
    hatched: Sequence[Shade] = (),
    bounds: Sequence[tuple[float, str]] = (),
    label: str,
    name: str = "chart",
) -> Plot:
    """Return the chart of `points`, oldest first, from the start of the first one to `now`.

    Args:
        scale: covers every point.
        bridge: how long data may be missing without a gap in the line.
        shades: in any order; cut off at the edges of the chart.
        hatched: like `shades`, behind them, and hatched.
        bounds: values to draw a line at, each with its tooltip; those outside the scale are left out.
        label: what the chart shows, for screen readers.
        name: another one for each chart of a page.
    """
    frame = _Frame(points[0].start, now, scale)
    parts = [
        *(f'<line class="chart-grid" x1="0" x2="100%" y1="{y}%" y2="{y}%"/>' for y, _text in frame.ticks()),
        *(_hatching(hatched, frame, f"{name}-hatching") if hatched else ()),
        *_shades(shades, frame, "chart-shade", "100%"),
        f'<svg viewBox="0 0 {_UNITS} {_UNITS}" width="100%" height="100%" preserveAspectRatio="none">',
        *_paths(points, frame, bridge),
        "</svg>",
        *_bounds(bounds, frame),
        *_targets(points, frame),
        # Above the targets, so that it can be hovered.
        *_shades(hatched, frame, "chart-mark chart-mark-hatched", "6"),
        *_shades(shades, frame, "chart-mark", "6"),
        '<line class="chart-cursor" x1="0" x2="0" y1="0" y2="100%"/>',
    ]
    # Everything in it is a number, or escaped.
    plot = f'<svg class="chart-plot" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    return Plot(_left(frame), mark_safe(plot), _below(frame))  # noqa: S308


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps times and values to positions in the picture."""

    start: datetime
    end: datetime
    scale: Scale

    def x(self, at: datetime) -> float:
        """Return the position of `at` as a share of the width, clamped to 0 to 1."""
        whole = self.end - self.start
        return min(max((at - self.start) / whole, 0.0), 1.0) if whole else 1.0

    def middle(self, point: Point) -> float:
        return (self.x(point.start) + self.x(point.end)) / 2

    def y(self, value: float) -> float:
        """Return the position of `value` as a share of the height, from the top."""
        return 1 - self.scale.share(value)

    def at(self, x: float, value: float) -> str:
        """Return a position in the plot's own coordinates."""
        return f"{x * _UNITS:.1f} {self.y(value) * _UNITS:.1f}"

    def ticks(self) -> list[tuple[str, str]]:
        """Return the position (percent from the top) and text of each label at the left."""
        return [(f"{(1 - self.scale.share(tick)) * 100:.2f}", text) for tick, text in self.scale.ticks]


def _paths(points: Sequence[Point], frame: _Frame, bridge: timedelta) -> list[str]:
    """Return the bands and lines, one of each per run of points without a gap."""
    found: list[str] = []
    for run in _runs(points, bridge):
        places = [(frame.middle(point), point) for point in run]
        highs = [frame.at(x, point.high) for x, point in places if point.high is not None]
        lows = [frame.at(x, point.low) for x, point in reversed(places) if point.low is not None]
        means = [frame.at(x, point.mean) for x, point in places if point.mean is not None]
        # A lone point is a dot on a vertical line: a path of length zero has round ends.
        alone = " chart-alone" if len(run) == 1 else ""
        if highs != lows[::-1]:
            found.append(f'<path class="chart-band{alone}" d="M{"L".join(highs + lows)}Z"/>')
        line = "L".join(means) if len(means) > 1 else f"{means[0]}h0"
        found.append(f'<path class="chart-line{alone}" d="M{line}"/>')
    return found


def _runs(points: Sequence[Point], bridge: timedelta) -> list[list[Point]]:
    runs: list[list[Point]] = []
    for point in points:
        if point.mean is None:
            continue
        if runs and point.start - runs[-1][-1].end <= bridge:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _targets(points: Sequence[Point], frame: _Frame) -> list[str]:
    """Return the hover targets: a vertical stripe with a tooltip for each point."""
    found = []
    for point in points:
        left, right = frame.x(point.start), frame.x(point.end)
        found.append(
            f'<rect class="chart-target" x="{left * 100:.3f}%" width="{(right - left) * 100:.3f}%"'
            f' height="100%"><title>{escape(point.tooltip)}</title></rect>'
        )
    return found


def _shades(shades: Sequence[Shade], frame: _Frame, kind: str, height: str, *, fill: str = "") -> list[str]:
    found = []
    for shade in shades:
        left, right = frame.x(shade.start), frame.x(shade.end)
        found.append(
            f'<rect class="{kind}" x="{left * 100:.3f}%" width="{(right - left) * 100:.3f}%"'
            f' height="{height}"{fill}><title>{escape(shade.tooltip)}</title></rect>'
        )
    return found


def _hatching(shades: Sequence[Shade], frame: _Frame, pattern: str) -> list[str]:
    # The plot itself is not stretched, so the lines keep their width and slant.
    return [
        f'<pattern id="{pattern}" width="7" height="7" patternUnits="userSpaceOnUse"',
        ' patternTransform="rotate(45)"><path class="chart-hatch" d="M3.5 0v7"/></pattern>',
        *_shades(shades, frame, "chart-hatched", "100%", fill=f' fill="url(#{pattern})"'),
    ]


def _bounds(bounds: Sequence[tuple[float, str]], frame: _Frame) -> list[str]:
    found = []
    for value, tooltip in bounds:
        y = frame.y(value)
        if 0 <= y <= 1:
            found.append(
                f'<line class="chart-bound" x1="0" x2="100%" y1="{y * 100:.2f}%" y2="{y * 100:.2f}%">'
                f"<title>{escape(tooltip)}</title></line>"
            )
    return found


def _left(frame: _Frame) -> SafeString:
    ticks = frame.ticks()
    width = max(len(text) for _y, text in ticks) * _CHARACTER_WIDTH + _BESIDE
    labels = "".join(
        f'<text x="{width - _BESIDE}" y="{y}%" dy=".35em" text-anchor="end">{escape(text)}</text>'
        for y, text in ticks
    )
    picture = f'<svg class="chart-left" width="{width}" aria-hidden="true">{labels}</svg>'
    return mark_safe(picture)  # noqa: S308


def _below(frame: _Frame) -> SafeString:
    """Return the time labels; every other one, and those near "now", only if there is room."""
    labels = []
    labelled = 0
    for at, text in times(frame.start, frame.end):
        x = frame.x(at) * 100
        if x > _NEAR_NOW:
            continue
        narrow = x <= _NEAR_NOW_NARROW and labelled % 2 == 0
        labelled += 1
        shown = "" if narrow else ' class="chart-wide"'
        labels.append(f'<text{shown} x="{x:.2f}%" y="12" text-anchor="middle">{escape(text)}</text>')
    labels.append(f'<text x="100%" y="12" text-anchor="end">{escape(_("now"))}</text>')
    picture = f'<svg class="chart-below" aria-hidden="true">{"".join(labels)}</svg>'
    return mark_safe(picture)  # noqa: S308
