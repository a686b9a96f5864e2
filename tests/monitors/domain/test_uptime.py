"""Uptime, against a table and against counting second by second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.domain.state_machine import Status
from monitors.domain.uptime import Onset, uptime

ZERO = datetime(2026, 11, 22, tzinfo=UTC)
NEW, UP, DOWN, PAUSED = Status.NEW, Status.UP, Status.DOWN, Status.PAUSED


def at(seconds):
    return ZERO + timedelta(seconds=seconds)


def measured(*onsets, start=0, end=100, without=()):
    """Return (watched seconds, down seconds, incidents) of (second, status) pairs."""
    found = uptime(
        [Onset(at(second), status) for second, status in onsets],
        start=at(start),
        end=at(end),
        without=[(at(first), at(last)) for first, last in without],
    )
    return found.watched.total_seconds(), found.down.total_seconds(), found.incidents


@pytest.mark.parametrize(
    ("onsets", "expected"),
    [
        ((), (0, 0, 0)),
        (((0, UP),), (100, 0, 0)),
        (((-50, UP),), (100, 0, 0)),
        (((0, NEW),), (0, 0, 0)),
        (((0, PAUSED),), (0, 0, 0)),
        (((40, NEW), (60, UP)), (40, 0, 0)),
        (((0, UP), (90, DOWN)), (100, 10, 1)),
        (((0, UP), (20, DOWN), (30, UP), (50, DOWN), (55, UP)), (100, 15, 2)),
        (((-10, DOWN), (10, UP)), (100, 10, 1)),
        (((-20, DOWN), (-10, UP)), (100, 0, 0)),
        (((0, UP), (20, DOWN), (30, PAUSED), (60, NEW), (70, UP)), (60, 10, 1)),
        (((0, UP), (100, DOWN)), (100, 0, 0)),
        (((0, UP), (150, DOWN)), (100, 0, 0)),
    ],
)
def test_time_counts_by_its_length(onsets, expected):
    assert measured(*onsets) == expected


def test_a_monitor_that_was_never_watched_has_no_uptime():
    assert uptime([Onset(at(0), NEW)], start=at(0), end=at(100)).share is None


def test_the_share_is_what_was_not_down_of_what_was_watched():
    onsets = [Onset(at(0), NEW), Onset(at(50), UP), Onset(at(90), DOWN)]
    assert uptime(onsets, start=at(0), end=at(100)).share == pytest.approx(0.8)


def test_a_deadline_that_is_known_twice_is_one_incident():
    assert measured((0, UP), (20, DOWN), (20, DOWN), (40, UP)) == (100, 20, 1)


def test_an_incident_that_ended_in_its_own_moment_is_counted():
    assert measured((0, UP), (20, DOWN), (20, UP)) == (100, 0, 1)


@st.composite
def histories(draw):
    seconds = sorted(draw(st.lists(st.integers(-30, 130), max_size=20)))
    statuses = draw(st.lists(st.sampled_from(list(Status)), min_size=len(seconds), max_size=len(seconds)))
    start = draw(st.integers(0, 60))
    return list(zip(seconds, statuses, strict=True)), start, draw(st.integers(start, 110))


@given(histories())
def test_it_agrees_with_counting_second_by_second(history):
    onsets, start, end = history
    watched = down = 0
    for second in range(start, end):
        status = next((status for at, status in reversed(onsets) if at <= second), None)
        watched += status in (UP, DOWN)
        down += status is DOWN
    assert measured(*onsets, start=start, end=end)[:2] == (watched, down)


@given(histories(), st.integers(0, 110))
def test_two_parts_of_a_time_add_up_to_the_whole(history, middle):
    onsets, start, end = history
    middle = min(max(middle, start), end)
    first = measured(*onsets, start=start, end=middle)
    second = measured(*onsets, start=middle, end=end)
    whole = measured(*onsets, start=start, end=end)
    assert (first[0] + second[0], first[1] + second[1]) == whole[:2]
    assert max(first[2], second[2]) <= whole[2] <= first[2] + second[2]


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ([(20, 40)], (80, 0, 1)),
        ([(0, 100)], (0, 0, 1)),
        ([(10, 30)], (80, 10, 1)),
        ([(-50, 10), (35, 200)], (25, 15, 1)),
        ([(-50, -10), (150, 200)], (100, 20, 1)),
    ],
)
def test_what_is_left_out_is_neither_watched_nor_down_and_its_incidents_are_incidents(without, expected):
    assert measured((0, UP), (20, DOWN), (40, UP), without=without) == expected


def test_a_time_of_which_all_is_left_out_has_no_uptime():
    found = uptime([Onset(at(0), DOWN)], start=at(0), end=at(100), without=[(at(-1), at(101))])
    assert found.share is None


stretches = st.lists(st.integers(-40, 140), max_size=12, unique=True).map(
    lambda seconds: list(zip(sorted(seconds)[::2], sorted(seconds)[1::2], strict=False))
)


@given(histories(), stretches)
def test_with_times_left_out_it_agrees_with_counting_second_by_second(history, without):
    onsets, start, end = history
    watched = down = 0
    for second in range(start, end):
        if any(first <= second < last for first, last in without):
            continue
        status = next((status for at, status in reversed(onsets) if at <= second), None)
        watched += status in (UP, DOWN)
        down += status is DOWN
    assert measured(*onsets, start=start, end=end, without=without)[:2] == (watched, down)


@given(histories(), stretches)
def test_leaving_times_out_never_adds_any(history, without):
    onsets, start, end = history
    less, whole = (measured(*onsets, start=start, end=end, without=part) for part in (without, ()))
    assert 0 <= less[1] <= less[0] <= whole[0]
    assert less[1] <= whole[1]
    assert less[2] == whole[2]
