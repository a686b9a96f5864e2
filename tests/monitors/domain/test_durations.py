"""Durations and cron expressions in words; without a database."""

from __future__ import annotations

import pytest

from monitors.domain.durations import about, cron_in_words, exactly, parse_duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (309, "5 min 9 s"),
        (599, "9 min 59 s"),
        (600, "10 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (18_720, "5 h 12 min"),
        (86_400, "1 d"),
        (964_800, "11 d 4 h"),
        (30 * 86_400 + 3600, "30 d"),
    ],
)
def test_an_elapsed_time_is_shown_in_at_most_two_units(seconds, words):
    assert about(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (66, "66 s"),
        (119, "119 s"),
        (120, "2 min"),
        (330, "5 min 30 s"),
        (5400, "1 h 30 min"),
        (365 * 86_400, "365 d"),
    ],
)
def test_a_configured_duration_is_shown_exactly_and_parsed_back(seconds, words):
    assert exactly(seconds) == words
    assert parse_duration(words) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        (" 5 min ", 300),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        ("1.5 h", 5400),
        ("1,5 h", 5400),
        ("1 day, 2 hours", 93_600),
        ("2 Weeks", 1_209_600),
        ("0", 0),
    ],
)
def test_a_duration_is_understood_as_people_write_it(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "-5", "5 parsecs", "1 h 30", "1:30", "0.5 s", "min", "NaN", "1e3", "9" * 5000]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"\w"):
        parse_duration(text)


def test_a_cron_expression_is_described_in_words():
    assert cron_in_words("0 2 * * *") == "At 02:00"


@pytest.mark.parametrize("expression", ["", "nonsense", "99 99 * * *", "0 2 * * * * * * *"])
def test_where_words_for_a_cron_expression_fail_there_are_none(expression):
    assert isinstance(cron_in_words(expression), str)
