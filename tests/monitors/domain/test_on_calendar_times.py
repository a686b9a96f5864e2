"""OnCalendar expressions, evaluated as systemd does; compared with systemd itself where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitors.domain.on_calendar_times import LINES_MAX, in_zone, on_calendar_lines, zone_of
from monitors.domain.schedules import OnCalendarSchedule, ScheduleError

ANALYZE = shutil.which("systemd-analyze")
BASE = datetime(2026, 3, 27, 12, 0, tzinfo=UTC)

# What systemd 252 says: the next three times after BASE, in UTC.
SAID = {
    "minutely": "2026-03-27 12:01:00, 2026-03-27 12:02:00, 2026-03-27 12:03:00",
    "hourly": "2026-03-27 13:00:00, 2026-03-27 14:00:00, 2026-03-27 15:00:00",
    "DAILY": "2026-03-28 00:00:00, 2026-03-29 00:00:00, 2026-03-30 00:00:00",
    "daily Asia/Jakarta": "2026-03-27 17:00:00, 2026-03-28 17:00:00, 2026-03-29 17:00:00",
    "weekly": "2026-03-30 00:00:00, 2026-04-06 00:00:00, 2026-04-13 00:00:00",
    "monthly": "2026-04-01 00:00:00, 2026-05-01 00:00:00, 2026-06-01 00:00:00",
    "quarterly": "2026-04-01 00:00:00, 2026-07-01 00:00:00, 2026-10-01 00:00:00",
    "semiannually": "2026-07-01 00:00:00, 2027-01-01 00:00:00, 2027-07-01 00:00:00",
    "bi-annually": "2026-07-01 00:00:00, 2027-01-01 00:00:00, 2027-07-01 00:00:00",
    "anually": "2027-01-01 00:00:00, 2028-01-01 00:00:00, 2029-01-01 00:00:00",
    "yearly": "2027-01-01 00:00:00, 2028-01-01 00:00:00, 2029-01-01 00:00:00",
    "Mon": "2026-03-30 00:00:00, 2026-04-06 00:00:00, 2026-04-13 00:00:00",
    "Sat..Sun 10:00": "2026-03-28 10:00:00, 2026-03-29 10:00:00, 2026-04-04 10:00:00",
    "mon-wed,FRIDAY *-*-1..7 18:00": "2026-04-01 18:00:00, 2026-04-03 18:00:00, 2026-04-06 18:00:00",
    "10:00 utc": "2026-03-28 10:00:00, 2026-03-29 10:00:00, 2026-03-30 10:00:00",
    "*-*-* 9..17/4:00": "2026-03-27 13:00:00, 2026-03-27 17:00:00, 2026-03-28 09:00:00",
    "5..5/7,09..9/2:30": "2026-03-28 05:30:00, 2026-03-28 09:30:00, 2026-03-29 05:30:00",
    "*:0/15,3": "2026-03-27 12:03:00, 2026-03-27 12:15:00, 2026-03-27 12:30:00",
    "*:*:0/10": "2026-03-27 12:00:10, 2026-03-27 12:00:20, 2026-03-27 12:00:30",
    "27-1-1": "2027-01-01 00:00:00",
    "2027..2028-2-29": "2028-02-29 00:00:00",
    "*-*~1": "2026-03-31 00:00:00, 2026-04-30 00:00:00, 2026-05-31 00:00:00",
    "*-02~1..3": "2027-02-26 00:00:00, 2027-02-27 00:00:00, 2027-02-28 00:00:00",
    # The last Monday of May.
    "Mon *-05~07/1": "2026-05-25 00:00:00, 2027-05-31 00:00:00, 2028-05-29 00:00:00",
    # The night in which 02:30 does not exist is left out; in Cairo, 00:30 on 24 April.
    "02:30 Europe/Berlin": "2026-03-28 01:30:00, 2026-03-30 00:30:00, 2026-03-31 00:30:00",
    "Fri *-4-* 00:30 Africa/Cairo": "2026-04-02 22:30:00, 2026-04-09 22:30:00, 2026-04-16 22:30:00",
    "2026-4-24..25 00:30 Africa/Cairo": "2026-04-24 21:30:00",
    # The hour that exists twice runs once: after 02:30 comes 03:00, an hour and a half later.
    "2026-10-25 2..3:0/30 Europe/Berlin": "2026-10-25 00:00:00, 2026-10-25 00:30:00, 2026-10-25 02:00:00",
    "*-02-30": "",
    "2026-01-01": "",
}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times_of(expression: str, base: datetime = BASE, *, zone: str = "UTC", count: int = 3) -> list[datetime]:
    return list(islice(OnCalendarSchedule(expression, zone).times_after(base), count))


@pytest.mark.parametrize(("expression", "times"), SAID.items())
def test_the_times_are_those_of_systemd(expression: str, times: str):
    assert times_of(expression) == [utc(each) for each in times.split(", ") if each]


def test_an_expression_without_a_time_zone_is_in_the_given_one():
    assert times_of("02:00", zone="Asia/Jakarta")[0] == utc("2026-03-27 19:00")
    assert times_of("02:00 UTC", zone="Asia/Jakarta")[0] == utc("2026-03-28 02:00")
    assert in_zone("02:00", "Asia/Jakarta") == "02:00 Asia/Jakarta"
    assert in_zone("02:00 Europe/Berlin", "Asia/Jakarta") == "02:00 Europe/Berlin"
    assert zone_of("UTC") == zone_of("daily") == ""


def test_several_expressions_are_merged_and_a_time_of_both_comes_once():
    assert times_of("daily\nSat 00:00\n*-*-* 06:00 Asia/Jakarta", count=4) == [
        utc("2026-03-27 23:00"),
        utc("2026-03-28 00:00"),
        utc("2026-03-28 23:00"),
        utc("2026-03-29 00:00"),
    ]


def test_a_time_between_two_seconds_is_followed_by_the_next_full_one():
    assert times_of("*:*:*", BASE - timedelta(milliseconds=400))[0] == BASE


def test_a_heartbeat_in_the_hour_that_comes_again_waits_for_the_hour_after_it():
    # 02:15 for the second time; 02:30 was for the first time, and systemd has moved on from there.
    assert times_of("*:0/30", utc("2026-10-25 01:15"), zone="Europe/Berlin")[0] == utc("2026-10-25 02:00")


UNIT = """[Timer]
# Every working day
OnCalendar=Mon..Fri  09:00
; and
OnCalendar = Sat 12:00

"""


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (UNIT, ("Mon..Fri 09:00", "Sat 12:00")),
        ("  daily \r\n\r\n hourly", ("daily", "hourly")),
        ("oncalendar=daily", ("daily",)),
        # As in a drop-in: an empty assignment forgets the earlier ones.
        ("OnCalendar=daily\nOnCalendar=\nOnCalendar=hourly", ("hourly",)),
        ("# only a comment", ()),
        ("", ()),
    ],
)
def test_lines_of_a_unit_file_can_be_pasted(text: str, lines: tuple[str, ...]):
    assert on_calendar_lines(text) == lines


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("", "such as Mon..Fri"),
        ("nonsense", "Use minutely, hourly, daily"),
        ("fortnightly", "Use minutely, hourly, daily"),
        ("@1395716396", "Enter a date and a time"),
        ("*:*:0/0.5", "Enter whole seconds"),
        ("*:*:00.25", "Enter whole seconds"),
        ("10:00 Berlin", "Unknown time zone “Berlin”"),
        ("daily asia/jakarta", "Unknown time zone “asia/jakarta”"),
        ("10:00 ../../etc/passwd", "such as"),
        ("Sat..Mon 10:00", "Weekdays must be Mon to Sun"),
        ("Mond 10:00", "Weekdays must be Mon to Sun"),
        ("Mon Tue 10:00", "in this order"),
        ("10", "Weekdays must be"),
        ("1969-1-1", "The year must be 1970 to 2199"),
        ("2200-1-1", "The year must be 1970 to 2199"),
        ("*-13-1", "The month must be 1-12"),
        ("*-*-0", "The day of the month must be 1-31"),
        ("*-*~29", "after ~, 1-28"),
        ("1-2-3-4", "year-month-day"),
        ("24:00", "The hour must be 0-23"),
        ("*:60", "The minute must be 0-59"),
        ("*:0/0", "The minute must be 0-59"),
        ("*:*:60", "The second must be 0-59"),
        ("1:2:3:4", "hours:minutes"),
        ("٣:00", "The hour must be"),
        ("9" * 900 + ":00", "The hour must be"),
        ("OnCalendar=daily\nPersistent=true", "without “Persistent=true”"),
        ("[Service]\nOnCalendar=daily", "without “[Service]”"),
        ("OnUnitActiveSec=5min", "Enter only the OnCalendar= lines"),
        ("daily\nMon 25:00", "“Mon 25:00”: The hour must be 0-23"),
        ("\n".join(["daily"] * (LINES_MAX + 1)), "at most 10"),
    ],
)
def test_what_is_wrong_is_a_sentence_that_says_what_is_allowed(expression: str, error: str):
    with pytest.raises(ScheduleError) as raised:
        OnCalendarSchedule(expression).due_after(BASE)
    assert error in str(raised.value)
    assert str(raised.value).endswith(".")
    # Short enough for the column that keeps it.
    assert len(str(raised.value)) <= 200


@pytest.mark.parametrize(
    "expression",
    [
        "*-02-30",
        "2026-01-01",
        "Mon 2027-01-01",
        "\n".join(["*-02-30 *:*:*"] * LINES_MAX),
        # 02:00 to 03:00 on the last Sunday in March never exists, but each second of it is looked at.
        "\n".join(["Sun *-03-25..31 02:*:* Europe/Berlin"] * LINES_MAX),
    ],
)
def test_what_never_matches_is_found_out_soon(expression: str):
    started = time.process_time()
    with pytest.raises(ScheduleError, match="no date in the future"):
        OnCalendarSchedule(expression).due_after(BASE)
    # Each takes a small part of it, and seconds without a bound.
    assert time.process_time() - started < 3


def test_lines_that_never_match_cost_nothing_beside_others():
    never = ["Sun *-03-25..31 02:*:* Europe/Berlin"] * (LINES_MAX - 1)
    schedule = OnCalendarSchedule("\n".join([*never, "daily"]))
    assert schedule.due_after(BASE).expected_by == utc("2026-03-28 00:00")
    started = time.process_time()
    for hours in range(100):
        schedule.due_after(BASE + timedelta(hours=hours))
    # Each search for what never matches takes longer than this by itself, a hundred times over.
    assert time.process_time() - started < 1


def test_a_date_that_has_passed_is_ignored_beside_others():
    assert times_of("2026-03-27 11:00\n2020-01-01\ndaily")[0] == utc("2026-03-28 00:00")


@settings(deadline=None, max_examples=300)
@given(st.text("0123456789*.,/~:- \nMonTueadily=@[#UTC", max_size=40))
def test_any_text_has_times_or_a_reason(text: str):
    try:
        found = times_of(text)
    except ScheduleError as error:
        assert str(error).endswith(".")  # noqa: PT017
    else:
        assert found == sorted(set(found))
        assert all(each > BASE for each in found)


# --- Compared with systemd -------------------------------------------------------------------------

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# Before and in nights in which clocks change, and before a leap day.
BASES = ("2026-03-28 23:00", "2026-10-24 22:00", "2026-11-01 04:00", "2026-04-04 13:00", "2028-02-27 00:00")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Jakarta", "Africa/Cairo")


def component(low: int, high: int) -> st.SearchStrategy[str]:
    """Return numbers, ranges and steps from `low` to `high`, alone or in a list, or an asterisk.

    A step is short enough to be used at least once: systemd refuses longer ones, which the library allows.
    """
    number = st.integers(low, high)
    step = st.tuples(st.integers(low, (low + high) // 2), st.integers(1, max((high - low) // 3, 1)))
    item = st.one_of(
        number.map(str),
        number.map(lambda value: f"{value:02}"),
        st.lists(number, min_size=2, max_size=2, unique=True).map(
            lambda ends: "{}..{}".format(*sorted(ends))
        ),
        step.map("{0[0]}/{0[1]}".format),
    )
    return st.one_of(st.just("*"), st.lists(item, min_size=1, max_size=3).map(",".join))


def weekdays() -> st.SearchStrategy[str]:
    days = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted)
    return st.one_of(
        st.just(""),
        st.sampled_from(DAYS).map("{} ".format),
        days.map(lambda ends: f"{DAYS[ends[0]]}..{DAYS[ends[1]]} "),
        days.map(lambda ends: f"{DAYS[ends[0]]},{DAYS[ends[1]]} "),
    )


def dates() -> st.SearchStrategy[str]:
    year = st.sampled_from(["", "*-", "2026..2030-", "2026,2028-"])
    day = st.one_of(
        component(1, 31).map("-{}".format),
        st.integers(1, 28).map("~{}".format),
        st.integers(1, 9).map("~1..{}".format),
    )
    return st.one_of(st.just(""), st.tuples(year, component(1, 12), day).map("{0[0]}{0[1]}{0[2]} ".format))


EXPRESSIONS = st.tuples(
    weekdays(),
    dates(),
    component(0, 23),
    component(0, 59),
    st.one_of(st.just(""), component(0, 59).map(":{}".format)),
    st.sampled_from(ZONES),
).map("{0[0]}{0[1]}{0[2]}:{0[3]}{0[4]} {0[5]}".format)


def read_by_systemd(expression: str, base: datetime, count: int) -> list[datetime]:
    """Return the next times that systemd calculates."""
    assert ANALYZE
    options = ["--iterations", str(count), "--base-time", f"{base:%Y-%m-%d %H:%M:%S} UTC"]
    ran = subprocess.run(
        [ANALYZE, "calendar", *options, "--", expression],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "LC_ALL": "C"},
    )
    found = re.findall(r"(?:elapse|#\d+): \w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", ran.stdout)
    return [utc(each) for each in found]


@pytest.mark.parametrize("expression", SAID)
@pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed; the table above was written by it")
def test_the_table_is_what_systemd_says(expression: str):
    assert read_by_systemd(expression, BASE, 3) == [
        utc(each) for each in SAID[expression].split(", ") if each
    ]


@pytest.mark.slow
@pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not installed; the table above was written by it")
@settings(deadline=None, max_examples=150)
@given(EXPRESSIONS, st.sampled_from(BASES), st.integers(0, 4000))
def test_any_expression_has_the_times_that_systemd_says(expression: str, base: str, seconds: int):
    start = utc(base) + timedelta(seconds=seconds)
    assert times_of(expression, start, count=6) == read_by_systemd(expression, start, 6)
