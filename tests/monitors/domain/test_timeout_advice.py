"""How a sender pushes, and whether the timeout fits it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitors.domain.schedules import IntervalSchedule
from monitors.domain.timeout_advice import Advice, Rhythm, advise, rhythm

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def times(*gaps: float) -> list[datetime]:
    found = [START]
    for gap in gaps:
        found.append(found[-1] + timedelta(seconds=gap))
    return found


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def seen(*gaps: float, covers: timedelta = timedelta(days=2)) -> Rhythm:
    return Rhythm(tuple(sorted(gaps)), covers)


def advice(rhythm, *, timeout=60, grace=None, interval=None, silences=()):
    return advise(rhythm, schedule=IntervalSchedule(timeout, grace), interval=interval, silences=silences)


# --- The rhythm ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_without_two_heartbeats_there_is_no_rhythm(number):
    assert rhythm(times()[:number]) is None


def test_the_gaps_lie_between_one_heartbeat_and_the_next():
    found = rhythm(times(30, 31, 29))
    assert found.gaps == (29, 30, 31)
    assert found.covers == timedelta(seconds=90)


def test_median_and_p99_are_gaps_that_were_seen():
    found = rhythm(times(*range(1, 101)))
    assert (found.median, found.p99) == (50, 99)
    assert rhythm(times(30)).p99 == 30


def test_a_gap_in_which_nothing_was_expected_does_not_count():
    found = rhythm(times(30, 600, 30), unwatched=[(at(100), at(200))])
    assert found.gaps == (30, 30)


def test_a_pause_that_ends_with_a_heartbeat_leaves_the_gap_after_it():
    found = rhythm(times(30, 40, 50), unwatched=[(at(0), at(30)), (at(70), at(80))])
    assert found.gaps == (40,)


def test_an_outage_is_no_rhythm():
    assert rhythm(times(30, 30, 4000, 30), agreed=66).gaps == (30, 30, 30)


def test_a_sender_that_is_always_slower_than_agreed_has_that_rhythm():
    assert rhythm(times(300, 300, 310), agreed=66).gaps == (300, 300, 310)


# --- The advice ----------------------------------------------------------------------------------


def test_a_longer_timeout_is_suggested_with_the_incidents_it_would_have_avoided():
    found = advice(seen(*[62.5] * 200), silences=[67, 70, 80, 100, 3600])
    assert found == Advice(timeout=95, mostly=63, avoided=4)


def test_a_short_timeout_that_cost_nothing_is_left_alone():
    assert advice(seen(*[50.0] * 200)) is None


def test_incidents_that_a_longer_timeout_would_not_avoid_are_no_reason():
    assert advice(seen(*[62.5] * 200), silences=[3600, 7200]) is None


def test_a_shorter_timeout_is_suggested_too():
    assert advice(seen(*[33.0] * 200), timeout=300) == Advice(timeout=50, mostly=33)


def test_a_timeout_is_shortened_only_to_what_no_gap_exceeded():
    assert advice(seen(*[33.0] * 200, 120.0), timeout=600).timeout == 120


def test_a_timeout_that_is_a_little_long_is_left_alone():
    assert advice(seen(*[33.0] * 200), timeout=60) is None


def test_a_shorter_timeout_leaves_room_for_the_recommended_interval():
    assert advice(seen(*[33.0] * 200), timeout=600, interval=120).timeout == 180


def test_no_shorter_timeout_is_suggested_after_a_short_history():
    assert advice(seen(*[1.0] * 2000, covers=timedelta(minutes=33))) is None


@pytest.mark.parametrize("gaps", [0, 49])
def test_few_gaps_give_no_advice(gaps):
    found = seen(*[62.5] * gaps) if gaps else None
    assert advice(found, silences=[70]) is None


def test_a_grace_of_its_own_counts_for_what_would_have_been_avoided():
    assert advice(seen(*[62.5] * 200), grace=0, silences=[95, 96]).avoided == 1
    assert advice(seen(*[62.5] * 200), grace=1, silences=[95, 96]).avoided == 2
