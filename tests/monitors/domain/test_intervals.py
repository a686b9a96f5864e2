"""Histograms of the times between heartbeats."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.domain import intervals

SECONDS = st.lists(st.floats(0.001, 4e7), min_size=1, max_size=60)


def counted(seconds):
    return Counter(intervals.bucket_of(each) for each in seconds)


@given(SECONDS, st.sampled_from([0, 0.01, 0.5, 0.9, 0.99, 1]))
def test_a_quantile_is_off_by_two_percent_at_most(seconds, share):
    exact = sorted(seconds)[max(math.ceil(share * len(seconds)), 1) - 1]
    found = intervals.quantile(counted(seconds), share)
    assert found == pytest.approx(exact, rel=intervals.ERROR * 1.0001)
    assert intervals.ERROR < 0.022


@given(SECONDS, SECONDS)
def test_histograms_add_up_exactly(one, other):
    written = f"{intervals.write(counted(one))} {intervals.write(counted(other))}"
    assert intervals.read(written) == counted(one + other)


@given(SECONDS)
def test_what_is_written_is_read(seconds):
    assert intervals.read(intervals.write(counted(seconds))) == counted(seconds)


def test_nothing_has_no_quantile():
    assert intervals.quantile(intervals.read(""), 0.5) is None
    assert intervals.write({}) == ""


def test_what_is_shorter_than_a_millisecond_counts_as_one():
    assert intervals.bucket_of(0) == intervals.bucket_of(0.001)
