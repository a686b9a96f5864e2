"""The current window as a picture: where its times lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.domain.schedules import CronSchedule, IntervalSchedule
from monitors.pages.charts.window import Window, scheduled_around, window

LAST = datetime(2026, 11, 22, 14, 4, 6, tzinfo=UTC)


def picture(*, passed: float = 20, timeout: float = 60, grace: float = 6, **more) -> Window:
    expected = LAST + timedelta(seconds=timeout)
    return window(
        last=LAST,
        now=LAST + timedelta(seconds=passed),
        expected_by=expected,
        deadline=expected + timedelta(seconds=grace),
        **more,
    )


def test_its_times_lie_in_their_order_within_the_picture():
    found = picture(interval=30)
    order = [found.last.x, found.now.x, found.recommended.x, found.expected.x, found.alert.x]
    assert order == sorted(order)
    assert 0 < order[0] < order[-1] < 100


def test_distances_are_in_proportion():
    found = picture(passed=33)
    assert found.now.x == pytest.approx((found.last.x + found.alert.x) / 2)


def test_what_was_waited_ends_where_now_is():
    found = picture()
    assert found.waited.x + found.waited.length == pytest.approx(found.now.x)
    assert found.waits.x + found.waits.length == pytest.approx(found.grace.x)


def test_without_a_grace_none_is_drawn():
    assert picture(grace=0).grace is None


def test_a_grace_that_is_short_beside_the_timeout_can_still_be_seen():
    assert picture(timeout=86_400, grace=1).grace.width == "0.80%"


def test_now_stays_in_the_picture_however_late_it_is():
    assert picture(passed=10_000).now.x == 100


@pytest.mark.parametrize("interval", [None, 60, 90])
def test_a_recommended_time_that_is_not_before_the_timeout_is_left_out(interval):
    assert picture(interval=interval).recommended is None


def test_words_that_would_run_into_others_are_left_to_the_list():
    assert picture(interval=20).recommended.labelled
    assert not picture(interval=55).recommended.labelled


def test_words_near_an_end_lie_inside():
    found = picture()
    assert (found.last.anchor, found.alert.anchor) == ("start", "end")


def test_places_are_written_without_the_commas_of_a_language():
    assert picture().last.left.endswith("%")
    assert "," not in picture().last.left


def test_the_scheduled_time_before_the_last_heartbeat_is_in_the_picture():
    earlier = LAST - timedelta(hours=1)
    found = picture(earlier=earlier)
    assert 0 < found.earlier.x < found.last.x


@given(
    passed=st.floats(-1, 1e8),
    timeout=st.floats(0, 3e7),
    grace=st.floats(0, 3e6),
    interval=st.none() | st.integers(1, 31_536_000),
    earlier=st.none() | st.floats(0, 1e7),
)
def test_everything_lies_in_the_picture_in_its_order(passed, timeout, grace, interval, earlier):
    found = picture(
        passed=passed,
        timeout=timeout,
        grace=grace,
        interval=interval,
        earlier=None if earlier is None else LAST - timedelta(seconds=earlier),
    )
    marks = [found.earlier, found.last, found.recommended, found.expected, found.alert]
    places = [mark.x for mark in marks if mark]
    assert all(before <= after + 1e-6 for before, after in pairwise(places))
    assert all(0 <= x <= 100 for x in [*places, found.now.x])


# --- Cron ----------------------------------------------------------------------------------------


def test_the_scheduled_times_around_a_heartbeat_are_those_of_its_zone():
    nightly = CronSchedule("0 2 * * *", "Asia/Jakarta")
    earlier, following = scheduled_around(nightly, LAST)
    assert earlier == datetime(2026, 11, 21, 19, 0, tzinfo=UTC)
    assert following == tuple(datetime(2026, 11, 22 + day, 19, 0, tzinfo=UTC) for day in range(3))


def test_a_scheduled_time_in_the_same_moment_is_the_one_before():
    assert scheduled_around(CronSchedule("4 14 * * *"), LAST.replace(second=0))[0] == LAST.replace(second=0)


def test_the_time_before_is_found_over_a_weekend():
    monday = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
    earlier, _ = scheduled_around(CronSchedule("*/10 9-17 * * 1-5"), monday)
    assert earlier == datetime(2026, 11, 20, 17, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    "schedule",
    [
        IntervalSchedule(60),
        CronSchedule("0 0 31 2 *"),
        CronSchedule("nonsense"),
        CronSchedule("* * * * *", "No/Where"),
    ],
)
def test_where_no_times_are_set_there_are_none(schedule):
    assert scheduled_around(schedule, LAST) == (None, ())
