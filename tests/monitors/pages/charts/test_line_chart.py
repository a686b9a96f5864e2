"""Charts as SVG: axes with round figures and times, lines with gaps, text that is escaped."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st

from monitors.pages.charts import axes
from monitors.pages.charts.line_chart import Point, Shade, draw
from monitors.pages.charts.text import ChartText

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
STEP = timedelta(minutes=10)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def labels(scale):
    return [text for _, text in scale.ticks]


def points(*values):
    """A point every ten minutes; a value may be (low, mean, high)."""
    found = []
    for number, value in enumerate(values):
        low, mean, high = value if isinstance(value, tuple) else (value, value, value)
        start = START + number * STEP
        found.append(Point(start, start + STEP, low, mean, high, f"point {number}"))
    return found


def drawn(*values, bridge=timedelta(0), shades=(), now=None, label="Value"):
    there = points(*values)
    known = [each for point in there for each in (point.low, point.high) if each is not None]
    scale = axes.numbers(min(known), max(known))
    return draw(there, scale=scale, now=now or there[-1].end, bridge=bridge, shades=shades, label=label)


def paths(plot, kind):
    return re.findall(rf'<path class="{kind}[^"]*" d="([^"]+)"', plot.plot)


# --- Figures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, ["0", "50", "100"]),
        (3, 17, ["0", "5", "10", "15", "20"]),
        (-3, 3, ["−4", "−2", "0", "2", "4"]),
        (0.1, 0.4, ["0.1", "0.2", "0.3", "0.4"]),
        (123, 123, ["110", "120", "130", "140"]),
        (0, 0, ["0", "0.5", "1"]),
        (9_000, 21_000, ["5,000", "10,000", "15,000", "20,000", "25,000"]),
        (0, 4e300, ["0", "1e300", "2e300", "3e300", "4e300"]),
        (0, 4e-9, ["0", "1e-9", "2e-9", "3e-9", "4e-9"]),
    ],
)
def test_ticks_are_round(low, high, expected):
    found = [text.replace("e−", "e-") for text in labels(axes.numbers(low, high))]
    assert found == expected


@given(st.tuples(FINITE, FINITE).map(sorted))
def test_any_two_numbers_have_a_scale_that_holds_them(pair):
    low, high = pair
    scale = axes.numbers(low, high)
    assert 3 <= len(scale.ticks) <= 7
    assert 0 <= scale.share(low) <= scale.share(high) <= 1
    # Twelve digits tell two ticks apart, but for neighbours among the floats.
    if high - low > abs(high) * 1e-9:
        assert len(set(labels(scale))) == len(scale.ticks)


@pytest.mark.parametrize(
    ("longest", "expected"),
    [
        (0, ["0 s", "0.5 s", "1 s"]),
        (0.3, ["0 s", "0.1 s", "0.2 s", "0.3 s"]),
        (63, ["0 s", "30 s", "60 s", "90 s"]),
        (4 * 3600, ["0 s", "1 h", "2 h", "3 h", "4 h"]),
        (86_400, ["0 s", "6 h", "12 h", "18 h", "1 d"]),
        (300 * 86_400, ["0 s", "100 d", "200 d", "300 d"]),
    ],
)
def test_durations_are_round_for_people(longest, expected):
    assert labels(axes.durations(longest)) == expected


@given(st.floats(0, 1e12))
def test_any_duration_has_a_scale_that_holds_it(longest):
    scale = axes.durations(longest)
    assert 2 <= len(scale.ticks) <= 7
    assert 0 <= scale.share(longest) <= 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(123.0, "123"), (1234.5, "1,234.5"), (0.1 + 0.2, "0.3"), (-5.0, "−5"), (1.5e16, "1.5e16"), (-0.0, "0")],
)
def test_a_figure_is_written_as_people_write_it(value, expected):
    assert axes.figure(value) == expected


def test_figures_fit_the_language():
    with translation.override("id"):
        assert axes.figure(1234.5) == "1.234,5"


# --- Times ------------------------------------------------------------------------------------------


def shown(start, span, zone="UTC"):
    with timezone.override(ZoneInfo(zone)):
        return [text for _, text in axes.times(start, start + span)]


def test_an_hour_has_every_ten_minutes():
    start = datetime(2026, 1, 15, 12, 3, tzinfo=UTC)
    assert shown(start, timedelta(hours=1)) == ["12:10", "12:20", "12:30", "12:40", "12:50", "13:00"]


def test_a_day_has_every_three_hours_of_the_clock_on_the_wall():
    # 16:45 there.
    start = datetime(2026, 1, 15, 11, tzinfo=UTC)
    assert shown(start, timedelta(hours=12), "Asia/Kathmandu") == ["18:00", "21:00", "00:00", "03:00"]


def test_a_week_has_its_midnights():
    found = shown(START, timedelta(days=7), "Asia/Jakarta")
    assert found == ["16 Jan", "17 Jan", "18 Jan", "19 Jan", "20 Jan", "21 Jan", "22 Jan"]


def test_a_month_has_its_mondays():
    assert shown(START, timedelta(days=30)) == ["19 Jan", "26 Jan", "2 Feb", "9 Feb"]


def test_a_quarter_has_every_other_monday():
    assert len(shown(START, timedelta(days=90))) in (6, 7)


def test_a_year_has_the_first_of_each_month():
    found = shown(START, timedelta(days=365))
    assert (len(found), found[0], found[-1]) == (12, "1 Feb", "1 Jan")


def test_an_hour_that_the_clock_skips_has_no_label():
    # In Berlin the clock goes from 02:00 to 03:00 on 29 March 2026.
    start = datetime(2026, 3, 29, 0, 45, tzinfo=UTC)
    found = shown(start, timedelta(hours=1), "Europe/Berlin")
    assert found == ["01:50", "03:00", "03:10", "03:20", "03:30", "03:40"]


def test_a_span_says_both_days_where_it_has_two():
    span = ChartText().span
    assert span(START, START + STEP) == "15 Jan, 12:00–12:10 UTC"
    assert span(START, START + timedelta(hours=12)) == "15 Jan, 12:00–00:00 UTC"
    assert span(START, START + timedelta(days=1)) == "15 Jan, 12:00 – 16 Jan, 12:00 UTC"


# --- The picture ------------------------------------------------------------------------------------


def test_a_line_goes_through_the_means_and_a_band_around_it():
    plot = drawn((0, 1, 2), (1, 2, 4))
    assert paths(plot, "chart-line") == ["M250.0 750.0L750.0 500.0"]
    assert paths(plot, "chart-band") == ["M250.0 500.0L750.0 0.0L750.0 750.0L250.0 1000.0Z"]


def test_where_nothing_is_there_is_a_gap():
    assert len(paths(drawn(1, 2, None, 3, 4), "chart-line")) == 2


def test_a_gap_that_was_agreed_on_is_bridged():
    assert len(paths(drawn(1, 2, None, 3, 4, bridge=STEP), "chart-line")) == 1
    assert len(paths(drawn(1, 2, None, None, 3, bridge=STEP), "chart-line")) == 2


def test_a_lone_point_is_a_dot():
    plot = drawn(None, (1, 2, 4), None)
    (line,) = paths(plot, "chart-line")
    assert line.endswith("h0")
    assert "chart-alone" in plot.plot


def test_without_a_spread_there_is_no_band():
    assert paths(drawn(5, 5, 5), "chart-band") == []


def test_now_is_at_the_right_in_the_middle_of_the_last_point():
    plot = drawn(1, 1, now=START + STEP + STEP / 2)
    assert 'x="66.667%" width="33.333%"' in plot.plot
    assert plot.below.endswith('text-anchor="end">now</text></svg>')


def test_each_point_says_what_it_is():
    titles = re.findall(r'chart-target"[^>]*><title>([^<]*)', drawn(1, None, 3).plot)
    assert titles == ["point 0", "point 1", "point 2"]


def test_a_shade_is_cut_off_at_the_edges():
    shade = Shade(START - STEP, START + STEP, "Incident")
    plot = drawn(1, 2, shades=[shade])
    assert '<rect class="chart-shade" x="0.000%" width="50.000%" height="100%"><title>Incident' in plot.plot


def test_tooltips_are_escaped():
    plot = drawn(1, shades=[Shade(START, START + STEP, "<b>&")], label='"><script>')
    assert "<b>" not in plot.plot
    assert "<script" not in plot.plot


def test_labels_near_now_and_every_other_one_are_left_out_on_a_phone():
    plot = drawn(*range(144), now=START + 144 * STEP)
    texts = re.findall(r"<text([^>]*)>([^<]*)</text>", plot.below)
    narrow = [text for attributes, text in texts if "chart-wide" not in attributes]
    assert narrow == ["12:00", "18:00", "00:00", "06:00", "now"]
    assert "15:00" in [text for _, text in texts]


@given(
    st.lists(
        st.none() | st.tuples(FINITE, FINITE, FINITE).map(sorted).map(tuple), min_size=1, max_size=40
    ).filter(any),
    st.integers(0, 3),
)
def test_any_values_make_a_picture_without_styles_and_with_real_numbers(values, bridged):
    values = [(None, None, None) if value is None else value for value in values]
    plot = drawn(*values, bridge=bridged * STEP)
    for part in (plot.left, plot.plot, plot.below):
        ElementTree.fromstring(part)
        assert "style" not in part
    for path in re.findall(r'd="([^"]+)"', plot.plot):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+|nan|inf", path)]
        assert all(math.isfinite(number) and 0 <= number <= 1000 for number in numbers)


def test_drawing_a_quarter_is_quick():
    values = [(number - 1.5, number + 0.1, number + 2.25) for number in range(180)]
    shades = [Shade(START + number * STEP, START + number * STEP + STEP / 3, "x") for number in range(50)]
    took = []
    for _ in range(5):
        began = time.process_time()
        drawn(*values, shades=shades)
        took.append(time.process_time() - began)
    assert min(took) < 0.03
