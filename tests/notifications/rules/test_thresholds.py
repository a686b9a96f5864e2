"""How many failures it takes: against counting them one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.dispatch.decide import RECHECK_AFTER
from notifications.rules.effective import Threshold
from notifications.rules.thresholds import after_reports, after_silence

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# Longer than any test looks ahead, in periods.
HORIZON = 60

TOLERANCES = st.integers(1, 12).flatmap(
    lambda of: st.integers(1, of).map(lambda needed: Threshold(needed, of))
)
FAILURES = st.lists(st.booleans(), max_size=15)


# --- Reports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needed", "of", "failures", "enough"),
    [
        (1, 1, [True], True),
        (1, 1, [False, True], False),
        (2, 2, [True], False),
        (2, 2, [True, True], True),
        (2, 2, [True, False, True], False),
        (3, 5, [True, False, True, False, True], True),
        (3, 5, [True, False, True, False, False, True], False),
        (3, 5, [], False),
    ],
)
def test_so_many_of_the_last_reports_are_enough(needed, of, failures, enough):
    recheck_at = after_reports(Threshold(needed, of), failures, now=NOW)
    assert (recheck_at is None) == enough
    assert recheck_at is None or recheck_at == NOW + RECHECK_AFTER


@given(TOLERANCES, FAILURES)
def test_reports_are_counted_one_by_one(allowed, failures):
    count = 0
    for index, failed in enumerate(failures):
        if index < allowed.of and failed:
            count += 1
    recheck_at = after_reports(allowed, failures, now=NOW)
    assert (recheck_at is None) == (count >= allowed.needed)


def test_silence_after_a_report_is_not_waited_for():
    allowed = Threshold(3, 3)
    assert after_reports(allowed, [True], now=NOW, silent_at=NOW + MINUTE) == NOW + RECHECK_AFTER
    assert after_reports(allowed, [True], now=NOW, silent_at=NOW) is None


@given(TOLERANCES, FAILURES)
def test_a_failure_more_never_makes_it_fewer(allowed, failures):
    """Where the newest of all is a failure in place of a good one."""
    if failures and after_reports(allowed, [False, *failures[1:]], now=NOW) is None:
        assert after_reports(allowed, [True, *failures[1:]], now=NOW) is None


# --- Silence ---------------------------------------------------------------------------------------


def each(first, period=MINUTE):
    return [first + number * period for number in range(HORIZON)]


def counted(allowed, *, periods, before):
    """Whether `needed` are missing of the last `of`, that many whole `periods` into the silence."""
    slots = [True] * (1 + periods) + list(before)
    return sum(slots[: allowed.of]) >= allowed.needed


@given(TOLERANCES, FAILURES, st.integers(0, 20), st.integers(1, 59))
def test_what_is_missing_is_counted_one_by_one(allowed, before, periods, seconds):
    started_at = NOW - periods * MINUTE - timedelta(seconds=seconds)
    recheck_at = after_silence(allowed, missed_at=each(started_at), ended_at=None, now=NOW, before=before)
    assert (recheck_at is None) == counted(allowed, periods=periods, before=before)


@given(TOLERANCES, FAILURES, st.integers(0, 20))
def test_a_silence_that_ended_counts_as_long_as_it_was(allowed, before, periods):
    started_at = NOW - 3 * HORIZON * MINUTE
    ended_at = started_at + periods * MINUTE + timedelta(seconds=30)
    recheck_at = after_silence(allowed, missed_at=each(started_at), ended_at=ended_at, now=NOW, before=before)
    assert (recheck_at is None) == counted(allowed, periods=periods, before=before)


@given(TOLERANCES, FAILURES, st.integers(0, 59))
def test_rechecking_at_the_given_time_never_delays_a_notification(allowed, before, seconds):
    """Follow the times at which it wants to be asked again: none lies beyond the first that is enough."""
    started_at = NOW - timedelta(seconds=seconds)
    enough = next(p for p in range(HORIZON) if counted(allowed, periods=p, before=before))
    right = max(started_at + enough * MINUTE, NOW)
    now = NOW
    for _ in range(HORIZON):
        recheck_at = after_silence(allowed, missed_at=each(started_at), ended_at=None, now=now, before=before)
        if recheck_at is None:
            break
        assert recheck_at >= now + RECHECK_AFTER
        now = recheck_at
    assert right <= now <= right + RECHECK_AFTER


@given(TOLERANCES, FAILURES, st.integers(1, 10_000))
def test_every_silence_is_enough_in_the_end(allowed, before, seconds):
    started_at = NOW - timedelta(days=30)
    period = timedelta(seconds=seconds)
    assert (
        after_silence(allowed, missed_at=each(started_at, period), ended_at=None, now=NOW, before=before)
        is None
    )


def test_a_deadline_that_lies_ahead_of_the_clock_is_the_first_that_is_missing():
    """Two servers may differ by a tick; a silence is never shorter than nothing."""
    recheck_at = after_silence(
        Threshold(1, 1), missed_at=each(NOW + timedelta(seconds=1)), ended_at=None, now=NOW
    )
    assert recheck_at is None
