"""What charts show of heartbeats: buckets counted one by one, and buckets from rollups."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitors.history import rollups
from monitors.history.buckets import INCIDENTS, RANGES, Bucket, estimated, series_of
from monitors.models import Heartbeat, Incident, RolledUp, Rollup
from tests.support.examples import examples
from tests.support.factories import make_monitor

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 15, 14, 15, tzinfo=UTC)
COUNTED = [name for name, each in RANGES.items() if each.counted]
ADDED_UP = [name for name, each in RANGES.items() if not each.counted]


def beat(monitor, at, value=None, *, up=True):
    return Heartbeat(monitor=monitor, received_at=at, status="up" if up else "down", value=value)


def beats(monitor, *ages_and_values):
    # Rolling up begins where the oldest row does.
    oldest_first = sorted(ages_and_values, key=lambda each: each[0], reverse=True)
    Heartbeat.objects.bulk_create(beat(monitor, NOW - age, value) for age, value in oldest_first)


def make_old_monitor():
    """Return a monitor that was there before its heartbeats."""
    monitor = make_monitor()
    monitor.created_at = NOW - timedelta(days=500)
    monitor.save(update_fields=["created_at"])
    return monitor


def of(monitor, slug, now=NOW):
    return series_of(monitor, RANGES[slug], now=now)


def minutes(number):
    return timedelta(minutes=number)


def figures(bucket):
    return (bucket.heartbeats, bucket.values, bucket.low, bucket.mean, bucket.high)


@pytest.mark.parametrize("slug", RANGES)
def test_a_range_is_at_most_180_equal_buckets_with_now_in_the_last(slug):
    buckets = of(make_monitor(), slug).buckets
    assert len(buckets) == RANGES[slug].buckets <= 180
    assert len({bucket.end - bucket.start for bucket in buckets}) == 1
    assert all(one.end == following.start for one, following in pairwise(buckets))
    assert buckets[-1].start <= NOW < buckets[-1].end
    assert abs(buckets[-1].end - buckets[0].start - RANGES[slug].span) < minutes(1)


@pytest.mark.parametrize("slug", RANGES)
def test_a_bucket_has_the_lowest_the_mean_and_the_highest_value(slug):
    monitor = make_monitor()
    beats(monitor, (timedelta(0), 4.0), (timedelta(seconds=1), -2.5), (timedelta(seconds=2), None))
    # Those of one second ago are in the bucket before.
    found = of(monitor, slug, NOW + timedelta(seconds=2)).buckets
    whole = [bucket for bucket in found if bucket.heartbeats]
    assert sum(bucket.heartbeats for bucket in whole) == 3
    assert min(bucket.low for bucket in whole if bucket.values) == -2.5
    assert max(bucket.high for bucket in whole if bucket.values) == 4.0


@pytest.mark.parametrize("slug", RANGES)
def test_without_values_there_are_none_and_not_zeros(slug):
    monitor = make_monitor()
    beats(monitor, (timedelta(0), None))
    assert figures(of(monitor, slug).buckets[-1]) == (1, 0, None, None, None)
    assert figures(of(monitor, slug).buckets[0]) == (0, 0, None, None, None)


@pytest.mark.parametrize("slug", RANGES)
def test_huge_values_have_a_mean_between_the_lowest_and_the_highest(slug):
    monitor = make_monitor()
    beats(monitor, *((timedelta(seconds=number), 1.7e308) for number in range(-3, 1)))
    *_, last = of(monitor, slug, NOW + timedelta(seconds=4)).buckets
    assert figures(last) == (4, 4, 1.7e308, 1.7e308, 1.7e308)


@pytest.mark.parametrize("slug", RANGES)
def test_other_monitors_do_not_count(slug):
    beats(make_monitor(), (timedelta(0), 1.0))
    assert not any(bucket.heartbeats for bucket in of(make_monitor(), slug).buckets)


@pytest.mark.parametrize("slug", COUNTED)
def test_a_gap_counts_in_the_bucket_in_which_it_ends(slug):
    monitor = make_monitor()
    beats(monitor, (timedelta(seconds=-30), None), (timedelta(0), None), (minutes(45), None))
    *_, last = of(monitor, slug).buckets
    assert (last.gaps, last.gap_mean, last.gap_max) == (
        2,
        pytest.approx((45 * 60 + 30) / 2),
        pytest.approx(45 * 60),
    )


@pytest.mark.parametrize("slug", COUNTED)
def test_the_first_gap_reaches_back_before_the_range(slug):
    monitor = make_monitor()
    beats(monitor, (timedelta(days=40), 7.0), (timedelta(0), None))
    series = of(monitor, slug)
    assert series.buckets[-1].gap_max == pytest.approx(40 * 86_400)
    assert sum(bucket.heartbeats for bucket in series.buckets) == 1


@pytest.mark.parametrize("slug", COUNTED)
def test_one_heartbeat_alone_has_no_gap(slug):
    monitor = make_monitor()
    beats(monitor, (timedelta(0), None))
    *_, last = of(monitor, slug).buckets
    assert (last.gaps, last.gap_mean, last.gap_max) == (0, None, None)


# --- Against a model --------------------------------------------------------------------------------


def model(heartbeats, buckets):
    """What each bucket has, by the definition."""
    ordered = sorted(heartbeats)
    gaps = [None, *((later - sooner).total_seconds() for (sooner, _), (later, _) in pairwise(ordered))]
    gaps = gaps[: len(ordered)]
    for bucket in buckets:
        inside = [
            (value, gap)
            for (at, value), gap in zip(ordered, gaps, strict=True)
            if bucket.start <= at < bucket.end
        ]
        yield [value for value, _ in inside], [gap for _, gap in inside if gap is not None]


HEARTBEATS = st.lists(
    st.tuples(
        st.integers(0, 95 * 86_400_000).map(lambda ms: NOW - timedelta(milliseconds=ms))
        | st.integers(0, 4_000_000).map(lambda ms: NOW - timedelta(milliseconds=ms))
        # On the edges of buckets.
        | st.integers(1, 4_320).map(lambda number: NOW + minutes(15) - number * minutes(30)),
        st.none() | st.floats(-1e6, 1e6),
    ),
    unique_by=lambda heartbeat: heartbeat[0],
    max_size=40,
)


@pytest.mark.slow
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(heartbeats=HEARTBEATS, slug=st.sampled_from(list(RANGES)), rolled=st.integers(0, 30))
def test_buckets_are_what_the_definition_says(heartbeats, slug, rolled):
    monitor = make_old_monitor()
    Heartbeat.objects.bulk_create(beat(monitor, at, value) for at, value in sorted(heartbeats))
    rollups.roll_up(now=NOW, at_most=rolled)
    buckets = of(monitor, slug).buckets
    for bucket, (all_, gaps) in zip(buckets, model(heartbeats, buckets), strict=True):
        values = [value for value in all_ if value is not None]
        assert (bucket.heartbeats, bucket.values) == (len(all_), len(values))
        assert (bucket.low, bucket.high) == (min(values, default=None), max(values, default=None))
        if values:
            assert math.isclose(bucket.mean, math.fsum(values) / len(values), abs_tol=1e-6)
        if slug in COUNTED:
            assert bucket.gaps == len(gaps)
            if gaps:
                assert math.isclose(bucket.gap_mean, sum(gaps) / len(gaps), abs_tol=0.01)
                assert math.isclose(bucket.gap_max, max(gaps), abs_tol=0.01)
    Heartbeat.objects.all().delete()
    Rollup.objects.all().delete()
    RolledUp.objects.all().delete()


# --- From rollups -----------------------------------------------------------------------------------


@pytest.fixture
def busy():
    return make_busy()


def make_busy():
    """Return a monitor with a heartbeat every 7 minutes for 8 days."""
    monitor = make_old_monitor()
    beats(monitor, *((minutes(7 * number), float(number % 13)) for number in range(8 * 24 * 60 // 7)))
    return monitor


@pytest.mark.slow
@pytest.mark.parametrize("slug", ADDED_UP)
def test_rolling_up_changes_nothing(busy, slug):
    before = of(busy, slug).buckets
    rollups.roll_up(now=NOW, at_most=5)
    assert of(busy, slug).buckets == before
    while rollups.roll_up(now=NOW):
        assert of(busy, slug).buckets == before


@pytest.fixture(scope="class")
def rolled_up(django_db_setup, django_db_blocker):
    """A busy monitor whose heartbeats are rolled up, and its buckets from before, by range."""
    with django_db_blocker.unblock(), transaction.atomic():
        monitor = make_busy()
        before = {slug: of(monitor, slug).buckets for slug in RANGES}
        while rollups.roll_up(now=NOW):
            pass
        yield monitor, before
        transaction.set_rollback(True)


@pytest.mark.slow
class TestRolledUp:
    """Rolling up eight days takes most of a second, and each of these starts from the same."""

    @pytest.mark.parametrize("slug", ADDED_UP)
    def test_with_gaps_in_what_is_rolled_up_nothing_is_lost_or_counted_twice(self, rolled_up, slug):
        monitor, before = rolled_up
        # The rollups of a half hour that is being made are there before it is said to be complete.
        some = list(RolledUp.objects.order_by("start").values_list("pk", flat=True))[::3]
        assert some
        RolledUp.objects.filter(pk__in=some).delete()
        assert of(monitor, slug).buckets == before[slug]

    def test_rollups_cover_deleted_heartbeats(self, rolled_up):
        monitor, before = rolled_up
        Heartbeat.objects.all().delete()
        # All but the half hour that goes on.
        assert of(monitor, "7d").buckets[:-1] == before["7d"][:-1]

    @pytest.mark.parametrize(
        ("slug", "queries"), [("1h", 3), ("24h", 3), ("7d", 5), ("30d", 5), ("90d", 7), ("1y", 7)]
    )
    def test_it_costs_the_same_few_queries(self, rolled_up, django_assert_num_queries, slug, queries):
        with django_assert_num_queries(queries):
            of(rolled_up[0], slug)


def test_the_longest_gap_is_not_known_from_rollups(busy):
    assert {bucket.gap_max for bucket in of(busy, "7d").buckets} == {None}


def test_the_mean_gap_follows_from_how_many_heartbeats_came(busy):
    found = [bucket.gap_mean for bucket in of(busy, "7d").buckets[1:-1]]
    assert all(6 * 60 <= mean <= 8 * 60 for mean in found)


def counted(*numbers, width=timedelta(hours=1)):
    start = datetime(2026, 1, 15, 0, tzinfo=UTC)
    return [
        Bucket(start + number * width, start + (number + 1) * width, heartbeats=heartbeats)
        for number, heartbeats in enumerate(numbers)
    ]


def means(buckets, now=None):
    return [bucket.gap_mean for bucket in estimated(buckets, now or buckets[-1].end)]


def test_estimated_gaps_reach_over_buckets_without_heartbeats():
    assert means(counted(1, 0, 0, 1, 0, 1)) == [None, None, None, 3 * 3600, None, 2 * 3600]


def test_before_the_first_heartbeats_no_gap_is_known():
    assert means(counted(0, 60, 60)) == [None, None, 60]


def test_the_newest_bucket_has_no_estimate_in_its_first_half():
    buckets = counted(60, 60, 1)
    assert means(buckets, buckets[-1].start + timedelta(seconds=5)) == [None, 60, None]
    assert means(counted(60, 60, 30), buckets[-1].start + minutes(30)) == [None, 60, 60]


# --- Incidents and cost -----------------------------------------------------------------------------


def incident(monitor, since, until):
    resolved = None if until is None else NOW - until
    return Incident.objects.create(
        monitor=monitor, cause="missed", started_at=NOW - since, detected_at=NOW - since, resolved_at=resolved
    )


def test_incidents_in_the_range_are_listed_newest_first():
    monitor = make_monitor()
    incident(monitor, timedelta(days=3), timedelta(days=2))
    into = incident(monitor, timedelta(days=1, hours=3), timedelta(hours=20))
    open_ = incident(monitor, minutes(5), None)
    incident(make_monitor(), minutes(5), None)
    assert of(monitor, "24h").incidents == [open_, into]


def test_only_the_newest_of_very_many_incidents_are_listed():
    monitor = make_monitor()
    for number in range(INCIDENTS + 3):
        incident(monitor, minutes(number + 1), minutes(number))
    assert len(of(monitor, "24h").incidents) == INCIDENTS
