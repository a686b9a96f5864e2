"""Quiet hours, over midnight and on days on which the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.rules.quiet_hours import QuietHours

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(time(22), time(7), BERLIN)
LUNCH = QuietHours(time(12), time(13, 30), BERLIN)


def at(hour: int, minute: int = 0, second: int = 0, *, day: date = date(2026, 11, 22)) -> datetime:
    return datetime.combine(day, time(hour, minute, second), BERLIN).astimezone(UTC)


TOMORROW = date(2026, 11, 23)


@pytest.mark.parametrize(
    ("hours", "now", "until"),
    [
        (NIGHT, at(21, 59, 59), None),
        (NIGHT, at(22), at(7, day=TOMORROW)),
        (NIGHT, at(23, 59), at(7, day=TOMORROW)),
        (NIGHT, at(0), at(7)),
        (NIGHT, at(6, 59, 59), at(7)),
        (NIGHT, at(7), None),
        (LUNCH, at(11, 59), None),
        (LUNCH, at(12), at(13, 30)),
        (LUNCH, at(13, 30), None),
        # From and until the same time is all day.
        (QuietHours(time(8), time(8), BERLIN), at(8), at(8, day=TOMORROW)),
        (QuietHours(time(8), time(8), BERLIN), at(7), at(8)),
    ],
)
def test_they_last_from_their_beginning_to_their_end(hours, now, until):
    assert hours.until(now) == until


def test_they_follow_the_clock_of_their_time_zone():
    jakarta = QuietHours(time(22), time(7), ZoneInfo("Asia/Jakarta"))
    assert jakarta.until(datetime(2026, 11, 22, 15, 0, tzinfo=UTC)) == datetime(
        2026, 11, 23, 0, 0, tzinfo=UTC
    )
    assert jakarta.until(datetime(2026, 11, 22, 14, 59, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        # The clocks go forward, and the night is an hour shorter; they go back, and it is longer.
        (date(2026, 3, 29), 8),
        (date(2026, 10, 25), 10),
    ],
)
def test_a_night_in_which_the_clocks_change_ends_in_the_morning(day, hours):
    evening = at(22, day=day - timedelta(days=1))
    until = NIGHT.until(evening)
    assert until == at(7, day=day)
    assert until - evening == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("now", "ended_at"),
    [
        (at(7), at(7)),
        (at(21), at(7)),
        (at(6, 59), at(7, day=date(2026, 11, 21))),
        (at(0), at(7, day=date(2026, 11, 21))),
    ],
)
def test_the_last_end_is_that_of_today_or_of_yesterday(now, ended_at):
    assert NIGHT.ended_at(now) == ended_at


clocks = st.times().map(lambda clock: clock.replace(second=0, microsecond=0))


moments = st.integers(0, 10 * 365 * 86_400).map(lambda seconds: at(0) + timedelta(seconds=seconds))


@given(clocks, clocks, moments)
def test_they_end_in_the_future_and_are_over_then(start, end, now):
    hours = QuietHours(start, end, BERLIN)
    until = hours.until(now)
    if until is None:
        assert hours.ended_at(now) <= now
        return
    assert now < until <= now + timedelta(hours=25)
    assert hours.ended_at(until) == until
    if start != end:
        assert hours.until(until) is None
