"""The uptime of parts adds up to that of the whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.domain.daily_uptime import Part, added, part_of
from monitors.domain.recurrence import together
from monitors.domain.state_machine import Status
from monitors.domain.uptime import Onset, uptime

ZERO = datetime(2026, 11, 22, tzinfo=UTC)
NEW, UP, DOWN, PAUSED = Status.NEW, Status.UP, Status.DOWN, Status.PAUSED


def at(seconds):
    return ZERO + timedelta(seconds=seconds)


def stretches(pairs):
    return together((at(min(pair)), at(max(pair))) for pair in pairs if pair[0] != pair[1])


MOMENTS = st.integers(0, 60)
PAIRS = st.lists(st.tuples(MOMENTS, MOMENTS), max_size=4)


@given(
    changes=st.lists(st.tuples(st.integers(-10, 70), st.sampled_from(list(Status))), max_size=12),
    cuts=st.sets(st.integers(1, 59), max_size=5),
    gaps=PAIRS,
    planned=PAIRS,
)
def test_parts_add_up_to_the_whole(changes, cuts, gaps, planned):
    onsets = [Onset(at(second), status) for second, status in sorted(changes, key=lambda each: each[0])]
    left_out = {"gaps": stretches(gaps), "planned": stretches(planned)}
    bounds = [0, *sorted(cuts), 60]
    parts = [part_of(onsets, start=at(start), end=at(end), **left_out) for start, end in pairwise(bounds)]
    whole = uptime(
        onsets, start=at(0), end=at(60), without=together([*left_out["gaps"], *left_out["planned"]])
    )
    assert added(parts) == whole


@pytest.mark.parametrize(
    ("onsets", "expected"),
    [
        ((), Part()),
        (((0, UP),), Part(watched=timedelta(seconds=60))),
        (((0, NEW),), Part()),
        (((0, PAUSED), (10, NEW)), Part(paused=timedelta(seconds=10))),
        (
            ((-5, DOWN), (10, UP)),
            Part(
                watched=timedelta(seconds=60),
                down=timedelta(seconds=10),
                incidents=1,
                began_down=True,
            ),
        ),
        (((0, DOWN), (0, UP)), Part(watched=timedelta(seconds=60), incidents=1)),
        (((-5, DOWN), (0, UP)), Part(watched=timedelta(seconds=60))),
    ],
)
def test_a_part_is_what_happened_in_it(onsets, expected):
    given_ = [Onset(at(second), status) for second, status in onsets]
    assert part_of(given_, start=at(0), end=at(60)) == expected


def test_a_gap_comes_before_maintenance_and_neither_counts_while_paused():
    onsets = [Onset(at(0), DOWN), Onset(at(30), PAUSED)]
    found = part_of(
        onsets,
        start=at(0),
        end=at(60),
        gaps=[(at(5), at(10)), (at(40), at(50))],
        planned=[(at(8), at(20))],
    )
    assert found == Part(
        watched=timedelta(seconds=15),
        down=timedelta(seconds=15),
        gap=timedelta(seconds=5),
        maintenance=timedelta(seconds=10),
        paused=timedelta(seconds=30),
        incidents=1,
    )
