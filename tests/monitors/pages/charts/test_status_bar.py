"""Heartbeat bars: how time is cut into slots, what is worst in each, and how it is drawn."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.template import Context, Template
from django.utils import timezone
from django.utils.safestring import SafeString
from hypothesis import given
from hypothesis import strategies as st

from monitors.domain.state_machine import Status
from monitors.domain.time_slots import Slot, edges, worst_of
from monitors.domain.uptime import Onset
from monitors.pages.charts.status_bar import bar_svg, in_words, spark_svg

ZERO = datetime(2026, 11, 22, 14, tzinfo=UTC)
NEW, UP, DOWN, PAUSED = Status.NEW, Status.UP, Status.DOWN, Status.PAUSED


def at(minutes):
    return ZERO + timedelta(minutes=minutes)


def slot(number=0, worst=UP, *, minutes=30, **facts):
    return Slot(at(number * minutes), at((number + 1) * minutes), worst, **facts)


def drawn(*slots, **how):
    """The SVG, parsed: it is well-formed XML too."""
    return ET.fromstring(bar_svg(slots, **how))


def tooltip(facts):
    (title,) = drawn(facts).iter("title")
    return title.text


# --- Slots -----------------------------------------------------------------------------------------


def test_the_last_slot_is_the_one_that_goes_on():
    bounds = edges(at(44), span=timedelta(hours=24), slots=48)
    assert len(bounds) == 49
    assert (bounds[-2], bounds[-1]) == (at(30), at(60))


def test_a_slot_begins_in_its_first_moment():
    assert edges(at(30), span=timedelta(hours=24), slots=48)[-2] == at(30)
    assert edges(at(30) - timedelta.resolution, span=timedelta(hours=24), slots=48)[-2] == at(0)


@given(
    st.integers(0, 4_000_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
    st.integers(1, 400),
    st.sampled_from([timedelta(minutes=1), timedelta(minutes=30), timedelta(hours=15), timedelta(days=1)]),
)
def test_slots_are_equal_without_gaps_and_aligned(now, number, width):
    bounds = edges(now, span=number * width, slots=number)
    assert bounds[-2] <= now < bounds[-1]
    assert {end - start for start, end in pairwise(bounds)} == {width}
    assert bounds == edges(bounds[-2], span=number * width, slots=number)


@pytest.mark.parametrize(
    ("onsets", "expected"),
    [
        ((), [None, None, None]),
        (((-5, UP),), [UP, UP, UP]),
        (((0, UP),), [UP, UP, UP]),
        (((15, NEW), (40, UP)), [NEW, UP, UP]),
        (((-5, UP), (10, DOWN), (11, UP)), [DOWN, UP, UP]),
        (((-5, UP), (10, DOWN), (30, UP)), [DOWN, UP, UP]),
        (((-5, UP), (30, DOWN)), [UP, DOWN, DOWN]),
        (((-5, UP), (29, DOWN), (61, UP)), [DOWN, DOWN, DOWN]),
        (((-5, UP), (45, PAUSED)), [UP, UP, PAUSED]),
        (((-5, PAUSED), (45, NEW), (46, UP)), [PAUSED, UP, UP]),
        (((-5, UP), (10, DOWN), (10, UP)), [DOWN, UP, UP]),
        (((-5, UP), (30, DOWN), (30, UP)), [UP, DOWN, UP]),
        (((-9, DOWN), (-5, UP)), [UP, UP, UP]),
        (((-5, UP), (95, DOWN)), [UP, UP, UP]),
    ],
)
def test_the_worst_of_a_slot_is_what_says_most(onsets, expected):
    bounds = [at(0), at(30), at(60), at(90)]
    assert worst_of([Onset(at(minute), status) for minute, status in onsets], bounds) == expected


@given(st.lists(st.tuples(st.integers(-20, 120), st.sampled_from(list(Status))), max_size=15))
def test_it_agrees_with_looking_minute_by_minute(history):
    history.sort(key=lambda change: change[0])
    badness = [None, NEW, PAUSED, UP, DOWN]
    expected = []
    for start in (0, 30, 60):
        seen = [next((status for when, status in reversed(history) if when <= start), None)]
        seen += [status for when, status in history if start <= when < start + 30]
        expected.append(max(seen, key=badness.index))
    bounds = [at(0), at(30), at(60), at(90)]
    assert worst_of([Onset(at(minute), status) for minute, status in history], bounds) == expected


# --- The picture -----------------------------------------------------------------------------------


def test_each_slot_is_a_pill_with_the_class_of_its_worst_status():
    svg = drawn(slot(0, None), slot(1, NEW), slot(2, PAUSED), slot(3, UP), slot(4, DOWN))
    assert [path.get("class") for path in svg.iter("path")] == [
        "slot-none",
        "slot-new",
        "slot-paused",
        "slot-up",
        "slot-down",
    ]


def test_a_slot_that_was_down_is_taller_than_the_others():
    up, down = drawn(slot(0, UP), slot(1, DOWN)).iter("path")
    height = [float(path.get("d").partition("v")[2]) for path in (up, down)]
    assert height[1] > height[0]


@pytest.mark.parametrize(("size", "width", "height"), [("", "384", "24"), ("large", "672", "40")])
def test_a_bar_is_as_wide_as_its_slots(size, width, height):
    svg = drawn(*(slot(number) for number in range(48)), size=size)
    assert (svg.get("width"), svg.get("height")) == (width, height)
    assert svg.get("viewBox") == f"0 0 {width} {height}"


def test_nothing_in_it_needs_a_weaker_content_security_policy():
    html = bar_svg([slot(), slot(1, DOWN, downs=1, last_message='"><script>alert(1)</script>')], size="large")
    assert isinstance(html, SafeString)
    assert "style" not in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_bar_is_one_picture_that_says_what_it_shows():
    slots = [slot(0, None), *(slot(number) for number in range(1, 45)), slot(45, DOWN), slot(46), slot(47)]
    svg = drawn(*slots)
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "Last 24 h in 48 parts: 1 down, 46 up, 1 no data"


@pytest.mark.parametrize(
    ("minutes", "number", "span"), [(1, 30, "30 min"), (1, 60, "1 h"), (60, 168, "7 d"), (1440, 90, "90 d")]
)
def test_the_span_is_named_as_people_name_it(minutes, number, span):
    assert in_words([slot(n, minutes=minutes) for n in range(number)]).startswith(f"Last {span} in {number} ")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (slot(ups=30, last_message="OK"), "22 Nov, 14:00–14:30 UTC · up · 30 heartbeats"),
        (slot(ups=1, last_message="batch 881"), "22 Nov, 14:00–14:30 UTC · up · 1 heartbeat: batch 881"),
        (
            slot(0, DOWN, ups=2, downs=1, last_message="disk full"),
            "22 Nov, 14:00–14:30 UTC · down · 3 heartbeats · 1 down: disk full",
        ),
        (slot(0, DOWN), "22 Nov, 14:00–14:30 UTC · down · no heartbeat"),
        (slot(0, UP), "22 Nov, 14:00–14:30 UTC · up · no heartbeat"),
        (slot(0, PAUSED), "22 Nov, 14:00–14:30 UTC · paused"),
        (slot(0, NEW), "22 Nov, 14:00–14:30 UTC · waiting for the first heartbeat"),
        (slot(0, None), "22 Nov, 14:00–14:30 UTC · no data"),
        (slot(19), "22 Nov, 23:30–00:00 UTC · up · no heartbeat"),
        (slot(minutes=15 * 60), "22 Nov, 14:00 – 23 Nov, 05:00 UTC · up · no heartbeat"),
    ],
)
def test_a_slots_tooltip_has_the_time_status_and_counts(facts, expected):
    assert tooltip(facts) == expected


def test_a_long_message_is_cut():
    text = tooltip(slot(ups=1, last_message="x" * 500))
    assert len(text) < 140
    assert text.endswith("x…")


def test_a_message_is_shown_verbatim():
    assert tooltip(slot(ups=1, last_message='5 < 6 & "so"')).endswith(': 5 < 6 & "so"')


def test_times_are_in_the_current_time_zone():
    with timezone.override("Asia/Jakarta"):
        assert tooltip(slot(ups=1)).startswith("22 Nov, 21:00–21:30 WIB ")
    assert tooltip(slot(ups=1)).startswith("22 Nov, 14:00–14:30 UTC ")


def test_without_slots_there_is_no_picture():
    assert bar_svg([]) == ""


def test_the_template_tag_draws_it():
    slots = [slot(0), slot(1, DOWN)]
    page = Template("{% load tianji %}{% bar slots %}|{% bar slots 'large' %}|{% bar nothing %}")
    assert page.render(Context({"slots": slots, "nothing": None})) == (
        f"{bar_svg(slots)}|{bar_svg(slots, size='large')}|"
    )


# --- The line of values ----------------------------------------------------------------------------


def spark(*means):
    """The points of the line, or nothing where none is drawn."""
    svg = spark_svg([slot(number, mean=mean) for number, mean in enumerate(means)])
    if not svg:
        return []
    (path,) = ET.fromstring(svg).iter("path")
    return re.findall(r"([ML])([\d.]+) ([\d.]+)", path.get("d"))


def test_a_line_goes_from_the_first_value_to_the_last_the_higher_the_larger():
    assert spark(0.0, 10.0, 5.0) == [("M", "0.0", "15.0"), ("L", "32.0", "1.0"), ("L", "64.0", "8.0")]


def test_a_line_breaks_where_there_was_no_value():
    assert [command for command, _x, _y in spark(1.0, None, 2.0, 3.0)] == ["M", "M", "L"]


def test_values_that_are_all_the_same_lie_in_the_middle():
    assert {y for _command, _x, y in spark(7.0, 7.0)} == {"8.0"}


@pytest.mark.parametrize("means", [(), (None, None), (None, 4.0)])
def test_of_fewer_than_two_values_there_is_no_line(means):
    assert spark(*means) == []


@given(st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=48))
def test_a_line_stays_in_its_box_whatever_the_values_are(means):
    for _command, x, y in spark(*means):
        assert 0 <= float(x) <= 64
        assert 1 <= float(y) <= 15


# --- Gaps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["", "large"])
@pytest.mark.parametrize("worst", [UP, DOWN])
def test_a_slot_in_a_gap_is_hatched_and_says_so(worst, size):
    svg = drawn(slot(worst=UP), slot(1, worst, in_gap=True), size=size)
    plain, group = list(svg)
    assert plain.get("class") == "slot-up"
    assert group.get("class") == f"slot-{worst} slot-gap"
    pill, hatching, title = list(group)
    assert pill.get("d").count("M") == 1
    assert hatching.get("d").count("M") >= 3
    assert title.text.endswith("Tianji was not listening")
    assert "no heartbeat" not in title.text


def test_the_hatching_stays_within_its_pill():
    group = drawn(slot(in_gap=True))[0]
    pill, hatching, _title = list(group)
    x, y, height = map(int, re.fullmatch(r"M(\d+) (\d+)v(\d+)", pill.get("d")).groups())
    for left, bottom, across, up in re.findall(r"M(\d+) (\d+)l(\d+) -(\d+)", hatching.get("d")):
        assert x - 3 < int(left) < int(left) + int(across) < x + 3
        assert y <= int(bottom) - int(up) < int(bottom) <= y + height


def test_a_bar_in_words_counts_the_slots_in_gaps():
    words = in_words([slot(), slot(1, in_gap=True), slot(2, in_gap=True)])
    assert words.endswith("3 up · Tianji was not listening in 2 of them")
    assert "listening" not in in_words([slot()])
