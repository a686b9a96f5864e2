"""After a backup was restored: what waited then waits once more, and what is new doesn't."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from notifications.dispatch.restored import hold
from notifications.dispatch.waiting import channels_with_something_due
from notifications.models import Belief, Delivery
from tests.support.factories import make_channel, make_monitor
from tests.support.heartbeats import push

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture
def channel(workspace):
    return make_channel(workspace=workspace)


def belief_of(monitor):
    return Belief.objects.get(monitor=monitor)


def test_what_waited_is_compared_when_monitors_had_time_to_push(workspace, channel):
    monitor = make_monitor(workspace=workspace)
    push(monitor, up=False)
    assert channels_with_something_due() == [channel.pk]
    until = database_now() + 10 * MINUTE
    hold(until=until)
    assert channels_with_something_due() == []
    assert belief_of(monitor).check_at == until


def test_what_happens_afterwards_does_not_wait(workspace, channel):
    old, new = (make_monitor(workspace=workspace) for _ in range(2))
    push(old, up=False)
    hold(until=database_now() + 10 * MINUTE)
    push(new, up=False)
    assert channels_with_something_due() == [channel.pk]
    assert belief_of(new).check_at <= database_now() < belief_of(old).check_at


def test_a_monitor_that_recovers_in_the_meantime_is_compared_at_once(workspace, channel):
    monitor = make_monitor(workspace=workspace)
    push(monitor, up=False)
    Belief.objects.update(outage="0c7f2f0e-6d7c-4a53-9d3b-0f7d1c3f6a10")
    hold(until=database_now() + 10 * MINUTE)
    push(monitor)
    assert channels_with_something_due() == [channel.pk]


def test_a_message_in_flight_neither_blocks_its_channel_nor_is_sent_at_once(workspace, channel):
    now = database_now()
    until = now + 10 * MINUTE
    sending, waiting = (
        Delivery.objects.create(
            channel=channel,
            monitor=make_monitor(workspace=workspace),
            event="incident.opened",
            status=status,
            attempt_count=1,
            created_at=now,
            next_attempt_at=now + MINUTE,
        )
        for status in ("sending", "pending")
    )
    sent = Delivery.objects.create(channel=channel, event="digest", status="sent", created_at=now)
    later = Delivery.objects.create(
        channel=channel, event="digest", status="pending", created_at=now, next_attempt_at=now + 60 * MINUTE
    )
    hold(until=until)
    assert dict(Delivery.objects.values_list("pk", "status")) == {
        sending.pk: "pending",
        waiting.pk: "pending",
        sent.pk: "sent",
        later.pk: "pending",
    }
    assert dict(Delivery.objects.values_list("pk", "next_attempt_at")) == {
        sending.pk: until,
        waiting.pk: until,
        sent.pk: None,
        later.pk: now + 60 * MINUTE,
    }
