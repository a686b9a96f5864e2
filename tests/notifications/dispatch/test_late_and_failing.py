"""Late monitors and failing channels: found, and notified once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from monitors.heartbeats import missed
from monitors.models import MonitorState
from notifications.dispatch import late_and_failing, send
from notifications.models import ChannelRule, Delivery
from notifications.services import snooze
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, push

pytestmark = pytest.mark.django_db
LATE, FAILING = "monitor.late", "channel.failing"


def late_monitor(**fields):
    """Past its timeout of 60 s, and a minute before the end of its grace."""
    monitor = make_monitor(timeout=60, grace=120, **fields)
    push(monitor)
    age(seconds=120)
    assert MonitorState.objects.get(monitor=monitor).status == "up"
    return monitor


def test_with_nobody_to_notify_looking_is_one_query(memory, workspace, django_assert_num_queries):
    monitor = late_monitor(workspace=workspace)
    box_for(workspace, "calm")
    push(monitor)
    with django_assert_num_queries(1):
        assert late_and_failing.enqueue_all() == 0


# --- Late ------------------------------------------------------------------------------------------


def test_a_late_monitor_is_notified_once_to_subscribed_channels(memory):
    monitor = late_monitor()
    box_for(monitor.workspace, "early", on_late=True)
    box_for(monitor.workspace, "calm")
    assert late_and_failing.enqueue_all() == 1
    send.deliver_due()
    assert late_and_failing.enqueue_all() == 0
    send.deliver_due()
    assert memory.events("early") == [LATE]
    assert memory.events("calm") == []


def test_the_next_late_heartbeat_is_notified_again(memory):
    monitor = late_monitor()
    box_for(monitor.workspace, on_late=True)
    late_and_failing.enqueue_all()
    send.deliver_due()
    push(monitor)
    assert late_and_failing.enqueue_all() == 0
    age(seconds=120)
    assert late_and_failing.enqueue_all() == 1
    send.deliver_due()
    assert memory.events("a") == [LATE, LATE]


def test_what_came_before_the_news_left_makes_it_needless(memory):
    monitor = late_monitor()
    box_for(monitor.workspace, on_late=True)
    late_and_failing.enqueue_all()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == []
    assert not Delivery.objects.exists()


def test_a_late_notification_that_is_outdated_at_its_retry_is_closed(memory):
    monitor = late_monitor()
    box_for(monitor.workspace, on_late=True)
    memory.answers = {"a": "failed"}
    late_and_failing.enqueue_all()
    send.deliver_due()
    memory.answers = {}
    push(monitor)
    deliver_after(seconds=10)
    assert memory.events("a") == []
    row = Delivery.objects.get()
    assert (row.status, row.note, row.attempts.count()) == ("skipped", Delivery.Note.OUTDATED, 1)


def test_a_late_monitor_that_goes_down_is_notified_as_down(memory):
    monitor = late_monitor()
    box_for(monitor.workspace, on_late=True)
    late_and_failing.enqueue_all()
    send.deliver_due()
    age(seconds=90)
    missed.declare_missed()
    late_and_failing.enqueue_all()
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [LATE, "incident.opened", "incident.resolved"]


def test_many_late_monitors_are_a_storm_like_any_other(memory):
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace, timeout=60, grace=600) for _ in range(8)]
    push(*monitors)
    age(seconds=120)
    box_for(workspace, on_late=True)
    assert late_and_failing.enqueue_late() == 8
    send.deliver_due()
    for _ in range(2):
        late_and_failing.enqueue_late()
        deliver_after(seconds=31)
    assert memory.events("a") == [LATE] * 5 + ["digest"]


def test_a_monitors_rule_can_add_the_late_event_to_a_channel(memory):
    monitor = late_monitor()
    channel = box_for(monitor.workspace)
    ChannelRule.objects.create(monitor=monitor, channel=channel, events=["late"])
    assert late_and_failing.enqueue_all() == 1
    send.deliver_due()
    assert memory.events("a") == [LATE]


def test_a_snoozed_monitor_is_late_in_silence(memory):
    monitor = late_monitor()
    box_for(monitor.workspace, on_late=True)
    snooze.snooze(monitor=monitor, until=database_now() + timedelta(minutes=10))
    late_and_failing.enqueue_all()
    send.deliver_due()
    assert memory.events("a") == []


def test_monitors_of_others_and_channels_that_are_off_are_left_alone(memory):
    monitor = late_monitor()
    box_for(make_workspace(), "other", on_late=True)
    box_for(monitor.workspace, "off", on_late=True, enabled=False)
    assert late_and_failing.enqueue_all() == 0


# --- Failing channels ------------------------------------------------------------------------------


def fail_often(channel, times=20):
    """Have that many deliveries of a channel fail, if its receiver refuses them, one after the other."""
    for _ in range(times):
        push(make_monitor(workspace=channel.workspace), up=False)
        send.deliver_due()
        age(seconds=31)


@pytest.mark.slow
def test_a_channel_with_twenty_failures_in_a_row_is_notified_once_over_another(memory):
    workspace = make_workspace()
    channel = box_for(workspace, "failing", name="Ops")
    memory.answers = {"failing": "refused"}
    fail_often(channel, 19)
    channel.refresh_from_db()
    assert (channel.failures, channel.failing_since) == (19, None)
    fail_often(channel, 1)
    channel.refresh_from_db()
    assert channel.failing_since is not None
    # The outages are no news to a channel that is added later.
    age(minutes=3)
    other = box_for(workspace, "other")
    assert late_and_failing.enqueue_all() == 1
    assert late_and_failing.enqueue_all() == 0
    send.deliver_due()
    assert memory.events("other") == [FAILING]
    assert "Ops" in memory.to("other")[0].message.title
    assert other.deliveries.get().subject == channel


@pytest.mark.slow
def test_a_success_ends_the_failure_and_the_next_one_is_notified_again(memory):
    workspace = make_workspace()
    channel = box_for(workspace, "failing")
    box_for(workspace, "other", on_down=False)
    for _ in range(2):
        memory.answers = {"failing": "refused"}
        fail_often(channel)
        late_and_failing.enqueue_all()
        memory.answers = {}
        fail_often(channel, 1)
        channel.refresh_from_db()
        assert (channel.failures, channel.failing_since) == (0, None)
    assert memory.events("other") == [FAILING, FAILING]


def test_a_test_that_arrives_mends_it_too(memory):
    workspace = make_workspace()
    channel = box_for(workspace, "failing", failing_since=database_now(), failures=20)
    memory.answers = {"failing": "failed"}
    send.send_test(channel=channel)
    channel.refresh_from_db()
    assert channel.failures == 20
    memory.answers = {}
    send.send_test(channel=channel)
    channel.refresh_from_db()
    assert (channel.failures, channel.failing_since) == (0, None)


def test_a_channel_whose_receiver_is_gone_is_disabled_and_notified(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace, "gone")
    box_for(monitor.workspace, "other")
    memory.answers = {"gone": "gone"}
    push(monitor, up=False)
    send.deliver_due()
    channel.refresh_from_db()
    assert not channel.enabled
    late_and_failing.enqueue_all()
    send.deliver_due()
    assert memory.events("other") == ["incident.opened", FAILING]
    assert "It is disabled." in memory.to("other")[1].message.text


def test_where_there_is_no_other_channel_the_news_waits_for_one(memory):
    workspace = make_workspace()
    make_channel(workspace=workspace, failing_since=database_now(), failures=20)
    assert late_and_failing.enqueue_all() == 0
    box_for(workspace)
    assert late_and_failing.enqueue_all() == 1


def test_at_most_three_channels_are_notified_those_for_all_monitors_first(memory):
    workspace = make_workspace()
    make_channel(workspace=workspace, failing_since=database_now(), failures=20)
    narrow = [make_channel(workspace=workspace, monitors=[]) for _ in range(3)]
    wide = [make_channel(workspace=workspace) for _ in range(2)]
    box_for(make_workspace())
    assert late_and_failing.enqueue_all() == 3
    notified = set(Delivery.objects.values_list("channel", flat=True))
    assert notified == {narrow[0].pk, *(channel.pk for channel in wide)}
