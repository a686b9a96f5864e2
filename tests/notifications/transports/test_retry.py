"""When a delivery that failed is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.transports.retry import (
    GIVE_UP_AFTER,
    RETRY_AFTER_MOST,
    WAITS,
    next_attempt_at,
    parse_retry_after,
)

FIRST = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
seeds = st.integers(0, 2**32).map(Random)
waits = st.none() | st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=400))


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 5), (2, 30), (3, 120), (4, 600), (5, 1800), (6, 3600), (7, 3600), (20, 3600)],
)
def test_the_waits_are_those_of_the_table_give_or_take_a_tenth(attempts, seconds):
    for seed in range(50):
        time = next_attempt_at(first_at=FIRST, attempts=attempts, now=FIRST, rng=Random(seed))
        assert time is not None
        assert 0.9 * seconds <= (time - FIRST).total_seconds() <= 1.1 * seconds


@given(seeds, st.integers(1, 500), st.timedeltas(timedelta(0), timedelta(days=3)), waits)
def test_a_next_attempt_is_later_than_now_and_never_later_than_the_end(rng, attempts, age, retry_after):
    now = FIRST + age
    time = next_attempt_at(first_at=FIRST, attempts=attempts, now=now, rng=rng, retry_after=retry_after)
    if time is not None:
        assert now < time <= FIRST + GIVE_UP_AFTER


@given(seeds, st.integers(1, 10), waits)
def test_a_retry_is_never_earlier_than_retry_after_within_an_hour(rng, attempts, retry_after):
    time = next_attempt_at(first_at=FIRST, attempts=attempts, now=FIRST, rng=rng, retry_after=retry_after)
    assert time is not None
    assert time - FIRST >= min(retry_after or timedelta(0), RETRY_AFTER_MOST)
    assert time - FIRST <= WAITS[-1] * 1.1


def test_after_a_day_of_failures_it_is_given_up():
    now, attempts = FIRST, 1
    while (time := next_attempt_at(first_at=FIRST, attempts=attempts, now=now, rng=Random(1))) is not None:
        now, attempts = time, attempts + 1
    assert 25 <= attempts <= 35
    assert now - FIRST > timedelta(hours=22)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sun, 22 Nov 2026 12:01:00 GMT", 60),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
        ("99999999999999999999", 9_999_999_999),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert parse_retry_after(header, now=FIRST) == timedelta(seconds=seconds)


@pytest.mark.parametrize("header", ["", "soon", "-5", "1.5", "Sun, 99 Nov 2026", "١٢"])
def test_a_retry_after_that_says_nothing_is_none(header):
    assert parse_retry_after(header, now=FIRST) is None


@given(st.text(max_size=60))
def test_no_retry_after_raises(header):
    parse_retry_after(header, now=FIRST)
