"""The arithmetic of thresholds, against lists."""

from __future__ import annotations

from functools import reduce
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.domain.thresholds import (
    OUTCOMES,
    Threshold,
    failures,
    good_in_a_row,
    last_failed,
    shifted,
)

# Whether each outcome was a failure, oldest first.
histories = st.lists(st.booleans(), max_size=100)


def bits_of(history):
    return reduce(lambda bits, failed: shifted(bits, failed=failed), history, 0)


def newest_first(history):
    return ([False] * OUTCOMES + history)[::-1][:OUTCOMES]


@given(histories)
def test_the_outcomes_are_the_last_64_and_fit_into_a_column(history):
    bits = bits_of(history)
    assert -(2**63) <= bits < 2**63
    assert [bool(bits >> at & 1) for at in range(OUTCOMES)] == newest_first(history)


@given(histories, st.integers(1, 20), st.integers(1, 50))
def test_a_threshold_is_reached_by_as_many_failures_of_the_last_ones(history, needed, of):
    assert Threshold(needed, of).reached(bits_of(history)) == (sum(newest_first(history)[:of]) >= needed)


@given(histories, st.integers(1, OUTCOMES))
def test_failures_are_counted_among_the_last_ones(history, of):
    assert failures(bits_of(history), of) == sum(newest_first(history)[:of])


@given(histories)
def test_good_outcomes_are_counted_until_the_last_failure(history):
    good = list(takewhile(lambda failed: not failed, newest_first(history)))
    assert good_in_a_row(bits_of(history)) == len(good)
    assert last_failed(bits_of(history)) == (not good)


@pytest.mark.parametrize("history", [[], [True] * 64, [True] + [False] * 63, [True] + [False] * 64])
def test_the_oldest_outcome_is_the_sign(history):
    assert (bits_of(history) < 0) == newest_first(history)[-1]
