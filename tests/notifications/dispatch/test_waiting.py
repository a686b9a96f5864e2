"""Whose turn it is, and what has waited too long."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from core.clock import database_now
from notifications.dispatch import claims, send, turn, waiting
from notifications.models import Belief, Channel, Delivery
from tests.support.factories import make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, make_delivery, push

pytestmark = pytest.mark.django_db


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace)


@pytest.fixture
def channel(memory, workspace):
    return box_for(workspace)


def neglected_for():
    """How many seconds the oldest message has waited for us, if that is more than a minute."""
    now = database_now()
    since = waiting.neglected_since(now - timedelta(minutes=1))
    return None if since is None else round((now - since).total_seconds())


def test_without_news_it_is_nobodys_turn(channel):
    assert waiting.channels_with_something_due() == []


def test_the_channel_that_has_waited_longest_is_first(memory, workspace):
    channels = [box_for(workspace, monitors=[]) for _ in range(4)]
    for number in (2, 0, 3, 1):
        monitor = make_monitor(workspace=workspace)
        channels[number].monitors.add(monitor)
        push(monitor, up=False)
        age(seconds=2)
    assert waiting.channels_with_something_due() == [channels[number].pk for number in (2, 0, 3, 1)]


def test_what_is_retried_and_what_is_news_wait_in_one_line(memory, workspace, monitor):
    news, retry = box_for(workspace, "news"), box_for(workspace, "retry", monitors=[])
    push(monitor, up=False)
    make_delivery(retry, monitor, incident=monitor.incidents.get(), next_attempt_at=database_now())
    age(seconds=1)
    Belief.objects.filter(channel=retry).update(check_at=None)
    assert waiting.channels_with_something_due() == [news.pk, retry.pk]


def test_what_is_not_due_yet_is_no_turn(channel, monitor):
    later = database_now() + timedelta(seconds=20)
    make_delivery(channel, monitor, next_attempt_at=later)
    Belief.objects.update(check_at=later)
    assert waiting.channels_with_something_due() == []
    age(seconds=21)
    assert waiting.channels_with_something_due() == [channel.pk]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"paused_until": 60}, False),
        ({"paused_until": -1}, True),
        ({"digest_at": 20}, False),
        ({"digest_at": -1}, True),
        ({"enabled": False}, False),
    ],
)
def test_a_channel_that_rests_or_collects_has_no_turn_for_news(channel, monitor, fields, expected):
    push(monitor, up=False)
    now = database_now()
    values = {
        name: value if isinstance(value, bool) else now + timedelta(seconds=value)
        for name, value in fields.items()
    }
    Channel.objects.update(**values)
    assert bool(waiting.channels_with_something_due()) is expected


def test_a_channel_with_a_message_in_flight_has_no_turn_until_its_lease_ends(channel, workspace):
    for _ in range(2):
        push(make_monitor(workspace=workspace), up=False)
    turn.take_turn(channel.pk)
    assert waiting.channels_with_something_due() == []
    age(seconds=claims.LEASE.total_seconds() + 1)
    assert waiting.channels_with_something_due() == [channel.pk]


def test_it_takes_as_many_queries_for_many_channels_as_for_one(
    memory, workspace, monitor, django_assert_num_queries
):
    for count in (1, 9):
        for _ in range(count):
            box_for(workspace)
        push(monitor, up=False)
        push(monitor)
        with django_assert_num_queries(3):
            waiting.channels_with_something_due()


def test_something_is_due_with_the_first_news_and_not_before(channel, monitor):
    assert not waiting.something_is_due()
    push(monitor, up=False)
    assert waiting.something_is_due()
    send.deliver_due()
    assert not waiting.something_is_due()


def test_a_delivery_is_due_at_its_time(channel, monitor):
    delivery = make_delivery(channel, monitor, next_attempt_at=database_now() + timedelta(seconds=20))
    assert not waiting.something_is_due()
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=database_now())
    assert waiting.something_is_due()


def test_without_anything_due_delivering_is_one_query(channel, monitor, django_assert_num_queries):
    push(monitor)
    with django_assert_num_queries(1):
        assert send.start_delivering() == 0


@pytest.mark.skipif(connection.vendor != "postgresql", reason="EXPLAIN of PostgreSQL")
def test_both_indexes_are_searched(channel, monitor):
    # Of a small table, whatever is read is as cheap.
    Belief.objects.bulk_create(
        Belief(channel=channel, monitor_id=10**9 + number, workspace_id=channel.workspace_id)
        for number in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_belief")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {waiting._is_due_statement('postgresql')}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    # Their monitors don't exist, which would be noticed at the end.
    Belief.objects.filter(monitor_id__gte=10**9).delete()
    assert "delivery_next_attempt" in plan
    assert "belief_check" in plan, plan


# --- What is neglected -----------------------------------------------------------------------------


def test_news_that_nobody_looks_at_are_neglected(channel, monitor):
    push(monitor, up=False)
    assert neglected_for() is None
    age(seconds=90)
    assert neglected_for() == 90
    send.deliver_due()
    assert neglected_for() is None


def test_a_retry_that_nobody_makes_is_neglected(channel, monitor, memory):
    memory.answers = {"a": "failed"}
    push(monitor, up=False)
    send.deliver_due()
    age(minutes=5)
    assert 280 < neglected_for() < 300


@pytest.mark.parametrize("answer", ["failed", "busy"])
def test_what_waits_for_its_receiver_is_not_neglected(channel, monitor, memory, answer):
    push(monitor, up=False)
    memory.answers = {"a": answer}
    for _ in range(8):
        deliver_after(seconds=40)
        assert neglected_for() is None


@pytest.mark.parametrize("fields", [{"enabled": False}, {"paused_until": 1000}])
def test_a_channel_that_is_disabled_or_rests_neglects_nothing(channel, monitor, fields):
    push(monitor, up=False)
    age(minutes=5)
    now = database_now()
    Channel.objects.update(
        **{name: value and now + timedelta(seconds=value) for name, value in fields.items()}
    )
    assert neglected_for() is None


def test_a_storm_neglects_nothing(memory):
    workspace = make_workspace()
    box_for(workspace, burst=1)
    for _ in range(12):
        push(make_monitor(workspace=workspace), up=False)
        deliver_after(seconds=25)
        assert neglected_for() is None


def test_a_channel_with_other_channels_served_is_neglected_all_the_same(memory, workspace, monitor):
    box_for(workspace, "served")
    push(monitor, up=False)
    send.deliver_due()
    age(minutes=10)
    box_for(workspace, "neglected", monitors=[monitor])
    push(monitor)
    push(monitor, up=False)
    Belief.objects.filter(channel__config__box="served").update(check_at=None)
    age(seconds=100)
    assert neglected_for() == 100
