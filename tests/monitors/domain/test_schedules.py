"""When a monitor is expected to speak, and when its silence means down."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors.domain.schedules import (
    TIMEOUT_MAX,
    CronSchedule,
    IntervalSchedule,
    OnCalendarSchedule,
    ScheduleError,
    default_grace,
)


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


NOON = utc(2026, 11, 22, 12, 0)


@pytest.mark.parametrize(
    ("timeout", "grace"),
    [
        (1, 1),
        (10, 1),
        (19, 1),
        (20, 2),
        (60, 6),
        (3000, 300),
        (3600, 300),
        (TIMEOUT_MAX, 300),
    ],
)
def test_the_default_grace_is_a_tenth_between_one_second_and_five_minutes(timeout, grace):
    assert default_grace(timeout) == grace
    assert IntervalSchedule(timeout).effective_grace == grace


def test_the_deadline_of_an_interval_is_timeout_plus_grace_after_the_heartbeat():
    due = IntervalSchedule(60, 30).due_after(NOON)
    assert due.expected_by == NOON + timedelta(seconds=60)
    assert due.deadline == NOON + timedelta(seconds=90)


def test_a_grace_of_nothing_is_allowed():
    due = IntervalSchedule(60, 0).due_after(NOON)
    assert due.deadline == due.expected_by


def test_a_cron_is_expected_at_its_next_time_and_due_a_grace_later():
    due = CronSchedule("0 2 * * *", "UTC", 600).due_after(NOON)
    assert due.expected_by == utc(2026, 11, 23, 2, 0)
    assert due.deadline == utc(2026, 11, 23, 2, 10)


def test_a_heartbeat_at_the_scheduled_time_itself_is_followed_by_the_next_time():
    assert CronSchedule("0 * * * *").due_after(NOON).expected_by == utc(2026, 11, 22, 13, 0)


@pytest.mark.parametrize(
    ("expression", "grace"), [("* * * * *", 6), ("*/10 * * * *", 60), ("0 2 * * *", 300)]
)
def test_the_default_grace_of_a_cron_is_a_tenth_of_the_distance_of_its_times(expression, grace):
    due = CronSchedule(expression).due_after(NOON)
    assert due.deadline - due.expected_by == timedelta(seconds=grace)


@pytest.mark.parametrize(
    ("zone", "expression", "start", "expected"),
    [
        # Jakarta is seven hours ahead, all year.
        (
            "Asia/Jakarta",
            "0 2 * * *",
            utc(2026, 3, 28, 12, 0),
            [utc(2026, 3, 28, 19, 0), utc(2026, 3, 29, 19, 0), utc(2026, 3, 30, 19, 0)],
        ),
        # Berlin, an ordinary day in winter and in summer.
        ("Europe/Berlin", "0 2 * * *", utc(2026, 1, 10, 0, 0), [utc(2026, 1, 10, 1, 0)]),
        ("Europe/Berlin", "0 2 * * *", utc(2026, 7, 9, 12, 0), [utc(2026, 7, 10, 0, 0)]),
        # The clocks go forward: 02:30 does not exist on 29 March and runs at the change, 03:00.
        (
            "Europe/Berlin",
            "30 2 * * *",
            utc(2026, 3, 28, 0, 0),
            [utc(2026, 3, 28, 1, 30), utc(2026, 3, 29, 1, 0), utc(2026, 3, 30, 0, 30)],
        ),
        (
            "America/New_York",
            "30 2 * * *",
            utc(2026, 3, 8, 0, 0),
            [utc(2026, 3, 8, 7, 0), utc(2026, 3, 9, 6, 30)],
        ),
        # The clocks go back: 02:30 exists twice on 25 October and runs the first time.
        (
            "Europe/Berlin",
            "30 2 * * *",
            utc(2026, 10, 24, 12, 0),
            [utc(2026, 10, 25, 0, 30), utc(2026, 10, 26, 1, 30)],
        ),
        (
            "America/New_York",
            "30 1 * * *",
            utc(2026, 11, 1, 0, 0),
            [utc(2026, 11, 1, 5, 30), utc(2026, 11, 2, 6, 30)],
        ),
        # A job of each hour runs each hour, also in the one that is repeated or left out.
        (
            "Europe/Berlin",
            "0 * * * *",
            utc(2026, 10, 24, 23, 30),
            [utc(2026, 10, 25, 0, 0), utc(2026, 10, 25, 1, 0), utc(2026, 10, 25, 2, 0)],
        ),
        (
            "America/New_York",
            "0 * * * *",
            utc(2026, 3, 8, 5, 30),
            [utc(2026, 3, 8, 6, 0), utc(2026, 3, 8, 7, 0), utc(2026, 3, 8, 8, 0)],
        ),
    ],
)
def test_the_times_of_a_cron_are_those_of_its_time_zone(zone, expression, start, expected):
    times = CronSchedule(expression, zone).times_after(start)
    assert list(islice(times, len(expected))) == expected


@pytest.mark.parametrize(
    ("zone", "expression", "heartbeat", "expected"),
    [
        # 02:15 for the second time; 02:30 was an hour ago, for the first time.
        ("Europe/Berlin", "30 2 * * *", utc(2026, 10, 25, 1, 15), utc(2026, 10, 26, 1, 30)),
        ("America/New_York", "30 1 * * *", utc(2026, 11, 1, 6, 10), utc(2026, 11, 2, 6, 30)),
    ],
)
def test_a_heartbeat_in_the_repeated_hour_does_not_miss_a_time_that_was_before_it(
    zone, expression, heartbeat, expected
):
    assert CronSchedule(expression, zone, 60).due_after(heartbeat).expected_by == expected


def test_the_grace_is_counted_in_real_seconds_across_a_change_of_the_clocks():
    due = CronSchedule("30 1 * * *", "Europe/Berlin", 7200).due_after(utc(2026, 10, 24, 12, 0))
    assert due.expected_by == utc(2026, 10, 24, 23, 30)
    assert due.deadline == utc(2026, 10, 25, 1, 30)


def test_a_leap_day_is_found_years_ahead():
    assert CronSchedule("0 0 29 2 *").due_after(NOON).expected_by == utc(2028, 2, 29, 0, 0)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@hourly", utc(2026, 11, 22, 13, 0)),
        ("@daily", utc(2026, 11, 23, 0, 0)),
        ("@Midnight", utc(2026, 11, 23, 0, 0)),
        ("@weekly", utc(2026, 11, 29, 0, 0)),
        ("@monthly", utc(2026, 12, 1, 0, 0)),
        ("@yearly", utc(2027, 1, 1, 0, 0)),
        (" @annually ", utc(2027, 1, 1, 0, 0)),
        ("0\t3 *  * *", utc(2026, 11, 23, 3, 0)),
        ("0 3 * JAN mon", utc(2027, 1, 4, 3, 0)),
        ("30-30/5 3-03/2 * * *", utc(2026, 11, 23, 3, 30)),
        ("0 3 * * FRI-fri/2", utc(2026, 11, 27, 3, 0)),
        ("0 3 L * *", utc(2026, 11, 30, 3, 0)),
        ("0 3 LW * *", utc(2026, 11, 30, 3, 0)),
        ("0 3 * * 5L", utc(2026, 11, 27, 3, 0)),
        ("0 3 * * 5#3", utc(2026, 12, 18, 3, 0)),
    ],
)
def test_what_crontabs_accept_is_understood(expression, expected):
    assert CronSchedule(expression).due_after(NOON).expected_by == expected


@pytest.mark.parametrize(
    ("expression", "grace", "early", "counts"),
    [
        # A tenth of the grace period, from 5 s to 60 s.
        ("0 12 * * *", 300, 30, True),
        ("0 12 * * *", 300, 31, False),
        ("0 12 * * *", 0, 5, True),
        ("0 12 * * *", 0, 6, False),
        ("0 12 * * *", 3600, 60, True),
        ("0 12 * * *", 3600, 61, False),
        ("0 12 * * *", None, 30, True),
        # But at most a quarter of the way to the time before.
        ("* * * * *", 3600, 15, True),
        ("* * * * *", 3600, 16, False),
    ],
)
def test_a_heartbeat_a_little_before_its_time_counts_for_it(expression, grace, early, counts):
    schedule = CronSchedule(expression, "UTC", grace)
    following = NOON + (timedelta(days=1) if expression.startswith("0") else timedelta(minutes=1))
    due = schedule.due_after(NOON - timedelta(seconds=early))
    assert due.expected_by == (following if counts else NOON)


NOON_DAILY = [CronSchedule("0 12 * * *", "UTC"), OnCalendarSchedule("*-*-* 12:00:00", "UTC")]


@pytest.mark.parametrize("schedule", NOON_DAILY, ids=lambda schedule: type(schedule).__name__)
@pytest.mark.parametrize(
    ("early", "before", "counts"),
    [
        (30, 20, True),
        (30, 30, True),
        (10, 20, False),
        # None at all.
        (0, 1, False),
        (3600, 3600, True),
        (3600, 3601, False),
        # The default: a tenth of the grace period of 5 min.
        (None, 30, True),
        (None, 31, False),
    ],
)
def test_how_early_a_heartbeat_may_be_can_be_set(schedule, early, before, counts):
    due = replace(schedule, early=early).due_after(NOON - timedelta(seconds=before))
    assert due.expected_by == (NOON + timedelta(days=1) if counts else NOON)


def test_a_heartbeat_never_counts_for_the_farther_of_two_times():
    each_minute = OnCalendarSchedule("minutely", early=3600)
    assert each_minute.due_after(NOON - timedelta(seconds=30)).expected_by == NOON + timedelta(minutes=1)
    assert each_minute.due_after(NOON - timedelta(seconds=31)).expected_by == NOON


@pytest.mark.parametrize(
    ("early", "before", "counts"),
    [
        # Two times 5 min apart, once a day: the way to the next day's says nothing about the time before.
        (600, 299, False),
        (600, 151, False),
        (600, 150, True),
        (3600, 150, True),
        (120, 121, False),
        # The default of 30 s.
        (None, 31, False),
        (None, 30, True),
    ],
)
@pytest.mark.parametrize(
    "schedule",
    [CronSchedule("55,0 11,12 * * *"), OnCalendarSchedule("11:55\n12:00\n11:00")],
    ids=["cron", "calendar"],
)
def test_a_late_heartbeat_for_one_time_does_not_count_for_the_next(schedule, early, before, counts):
    due = replace(schedule, early=early, grace=300).due_after(NOON - timedelta(seconds=before))
    assert (due.expected_by != NOON) is counts


def test_a_heartbeat_at_one_time_never_counts_for_the_next():
    nightly = CronSchedule("0 2,3 * * *", early=3600)
    assert nightly.due_after(utc(2026, 11, 27, 2, 0, 5)).expected_by == utc(2026, 11, 27, 3, 0)
    two_minutes = CronSchedule("0,1 9 * * *")
    assert two_minutes.due_after(utc(2026, 11, 27, 9, 0, 40)).expected_by == utc(2026, 11, 27, 9, 1)


def test_two_kinds_of_schedules_are_not_the_same_one():
    assert CronSchedule("daily") != OnCalendarSchedule("daily")


def test_an_oncalendar_is_expected_at_its_next_time_and_due_a_grace_later():
    due = OnCalendarSchedule("Mon..Fri 09:00\nSat 12:00", "Asia/Jakarta", 600).due_after(NOON)
    assert due.expected_by == utc(2026, 11, 23, 2, 0)
    assert due.deadline == utc(2026, 11, 23, 2, 10)


@pytest.mark.parametrize(("expression", "grace"), [("*:*:0/10", 1), ("minutely", 6), ("hourly", 300)])
def test_the_default_grace_of_an_oncalendar_is_a_tenth_of_the_distance_of_its_times(expression, grace):
    due = OnCalendarSchedule(expression).due_after(NOON)
    assert due.deadline - due.expected_by == timedelta(seconds=grace)


def test_the_last_time_of_all_has_a_deadline_too():
    eves = OnCalendarSchedule("2026-12-24 18:00\n2026-12-31 18:00")
    assert list(eves.deadlines_after(NOON)) == [utc(2026, 12, 24, 18, 5), utc(2026, 12, 31, 18, 5)]
    assert eves.due_after(utc(2026, 12, 25)).deadline == utc(2026, 12, 31, 18, 5)
    with pytest.raises(ScheduleError, match="no date in the future"):
        eves.due_after(utc(2027, 1, 1))


@pytest.mark.parametrize("expression", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30-31 2 */7"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_an_expression_that_never_matches_is_refused_at_once(expression, zone):
    started = time.perf_counter()
    with pytest.raises(ScheduleError, match="on a day that exists in the given months"):
        CronSchedule(expression, zone).due_after(NOON)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "A sixth, for seconds or years, is not supported"),
        ("* * * * * * *", "five fields"),
        ("@reboot", "@reboot has no times"),
        ("@every 5m", "five fields"),
        ("@often", "Use @hourly, @daily"),
        ("60 * * * *", "minute field must be 0-59"),
        ("a * * * *", "minute field"),
        ("*/0 * * * *", "minute field"),
        ("5-1 * * * *", "minute field"),
        ("1,,2 * * * *", "minute field"),
        ("L/2 * * * *", "minute field"),
        ("-1 * * * *", "minute field"),
        ("٣ * * * *", "minute field"),
        ("0 24 * * *", "hour field must be 0-23"),
        ("0 0 0 * *", "day of month field must be 1-31 or L"),
        ("0 0 32 * *", "day of month field"),
        ("0 0 L-3 * *", "day of month field"),
        ("0 0 1 13 *", "month field must be 1-12 or JAN-DEC"),
        ("0 0 1 FOO *", "month field"),
        ("0 0 * * 8", "day of week field must be 0-7 or SUN-SAT"),
        ("0 0 * * MON#6", "day of week field"),
        ("0 0 * * ?", "day of week field"),
    ],
)
def test_what_is_wrong_with_an_expression_is_a_sentence_that_says_what_is_allowed(expression, error):
    with pytest.raises(ScheduleError) as raised:
        CronSchedule(expression).due_after(NOON)
    assert error in str(raised.value)
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize(
    "zone",
    [
        *("", " ", "Mars/Olympus", "europe/berlin", "America", "../../etc/passwd", "/etc/passwd", "a\0b"),
        *("\ud800", "Ü", "x" * 5000, "zone.tab", "tzdata.zi", "Europe/Berlin/", ".", "UTC\n"),
    ],
)
def test_an_unknown_time_zone_is_named_in_a_sentence(zone):
    with pytest.raises(ScheduleError, match="Unknown time zone"):
        CronSchedule("0 2 * * *", zone).due_after(NOON)


ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Jakarta", "Asia/Kathmandu", "Pacific/Apia"),
    # Half an hour, two hours, at midnight, a month of each year: where the clocks change oddly.
    *("Australia/Lord_Howe", "Antarctica/Troll", "America/Havana", "Asia/Beirut", "Africa/Casablanca"),
)


def field(low, high):
    numbers = st.integers(low, high).map(str)
    spans = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted).map("{0[0]}-{0[1]}".format)
    steps = st.integers(1, high).map("*/{}".format)
    terms = numbers | spans | steps
    return st.just("*") | terms | st.lists(terms, min_size=2, max_size=3).map(",".join)


expressions = st.tuples(field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 7)).map(" ".join)
starts = st.datetimes(datetime(2010, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)) | st.builds(  # noqa: DTZ001
    # Around changes of the clocks in Europe, America and Australia.
    lambda change, minutes: change + timedelta(minutes=minutes),
    st.sampled_from([utc(2026, 3, 29, 1), utc(2026, 10, 25, 1), utc(2026, 11, 1, 6), utc(2026, 4, 4, 15)]),
    st.integers(-300, 300),
)


@settings(deadline=None)
@given(expressions, st.sampled_from(ZONES), starts)
def test_the_times_of_any_cron_lie_after_the_start_and_only_go_forward(expression, zone, start):
    times = [start, *islice(CronSchedule(expression, zone).times_after(start), 5)]
    assert all(earlier < later for earlier, later in pairwise(times))


@settings(deadline=None)
@given(expressions, st.sampled_from(ZONES), starts, st.none() | st.integers(0, 86_400))
def test_a_deadline_is_never_before_what_is_expected_nor_that_before_the_heartbeat(
    expression, zone, start, grace
):
    try:
        due = CronSchedule(expression, zone, grace).due_after(start)
    except ScheduleError:
        return
    assert start < due.expected_by <= due.deadline


@settings(deadline=None)
@given(expressions, st.sampled_from(ZONES), starts, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_a_later_heartbeat_never_has_an_earlier_deadline(expression, zone, start, later):
    schedule = CronSchedule(expression, zone)
    try:
        first = schedule.due_after(start)
    except ScheduleError:
        return
    assert schedule.due_after(start + later).deadline >= first.deadline


cron_like = st.text("0123456789*/,-#LWlw ?MONJAFEB", max_size=40) | st.lists(
    st.text("0123456789*/,-#LW", min_size=1, max_size=6), min_size=5, max_size=6
).map(" ".join)


@pytest.mark.slow
@settings(deadline=timedelta(seconds=5), max_examples=200)
@given(cron_like | st.text(max_size=200), st.sampled_from(ZONES) | st.text(max_size=64), starts)
def test_whatever_is_typed_only_a_schedule_error_comes_out_and_soon(expression, zone, start):
    try:
        due = CronSchedule(expression, zone).due_after(start)
    except ScheduleError as error:
        assert str(error)  # noqa: PT017
    else:
        assert due.expected_by > start


def test_deadlines_follow_each_other_as_the_times_do():
    jobs = CronSchedule("0 9 * * 1-5", grace=600)
    friday, monday = utc(2026, 11, 20, 9, 10), utc(2026, 11, 23, 9, 10)
    found = jobs.deadlines_after(friday - timedelta(seconds=1))
    assert [next(found), next(found)] == [friday, monday]
    assert next(jobs.deadlines_after(friday)) == monday


@given(st.sampled_from(["*/7 * * * *", "0 9,10 * * *", "0 0 1 * *"]), st.sampled_from([None, 0, 90, 7200]))
def test_the_next_deadline_is_that_of_the_next_time(expression, grace):
    schedule = CronSchedule(expression, grace=grace)
    for expected in islice(schedule.times_after(NOON), 3):
        deadline = schedule.due_after(expected - timedelta(microseconds=1)).deadline
        assert deadline in list(islice(schedule.deadlines_after(NOON), 100))
