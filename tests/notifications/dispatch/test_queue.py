"""Turns: storms in digests, retries under their ids, one notification after the other."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction

from core.clock import database_now
from monitors.domain.thresholds import Threshold
from monitors.models import MonitorState
from monitors.services import maintenance_windows
from monitors.services import monitors as monitor_service
from notifications.dispatch import queue, send
from notifications.messages.events import Event
from notifications.models import Channel, Delivery
from notifications.services import channels as channel_service
from notifications.services import rules as rule_service
from notifications.services.rules import Own
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, push
from tests.support.sinks import Answer, HttpSink

pytestmark = pytest.mark.django_db
SENT, FAILED, SKIPPED = Delivery.Status.SENT, Delivery.Status.FAILED, Delivery.Status.SKIPPED
PENDING, MERGED = Delivery.Status.PENDING, Delivery.Status.MERGED
DOWN, UP, PASSED = "incident.opened", "incident.resolved", "incident.passed"


def webhook_for(sink, workspace, **fields):
    return make_channel(workspace=workspace, config={"url": sink.url}, **fields)


def several(count, **fields):
    workspace = make_workspace()
    return workspace, [make_monitor(workspace=workspace, **fields) for _ in range(count)]


def events(sink):
    return [request.json["event"] for request in sink.requests]


def named(request):
    """The names of the monitors that a message is about."""
    data = request.json
    return [each["name"] for each in (data["digest"]["monitors"] if data["digest"] else [data["monitor"]])]


# --- Storms ----------------------------------------------------------------------------------------


def test_the_first_outage_of_a_storm_is_sent_immediately_and_the_rest_as_one_digest_per_channel():
    workspace, monitors = several(5)
    with HttpSink() as one, HttpSink() as two:
        for sink in (one, two):
            webhook_for(sink, workspace)
        push(*monitors[:4], up=False)
        send.deliver_due()
        assert events(one) == events(two) == [DOWN]
        age(seconds=20)
        push(monitors[4], up=False)
        assert send.deliver_due() == 0
        deliver_after(seconds=11)
        for sink in (one, two):
            assert events(sink) == [DOWN, "digest.down"]
            notified = named(sink.requests[0]) + named(sink.requests[1])
            assert sorted(notified) == sorted(monitor.name for monitor in monitors)
            assert sink.requests[1].json["digest"]["count"] == 4


def test_the_recoveries_of_a_storm_are_sent_the_same_way():
    workspace, monitors = several(4)
    with HttpSink() as sink:
        webhook_for(sink, workspace)
        push(*monitors, up=False)
        send.deliver_due()
        deliver_after(seconds=31)
        push(*monitors)
        send.deliver_due()
        assert events(sink) == [DOWN, "digest.down", UP]
        deliver_after(seconds=31)
        assert events(sink)[3:] == ["digest.up"]
        assert len(named(sink.requests[3])) == 3
    assert not Delivery.objects.exclude(status=SENT).exists()


def test_recoveries_are_sent_immediately_during_a_storm_of_outages(memory):
    workspace, [one, two] = several(2)
    box_for(workspace)
    push(one, up=False)
    send.deliver_due()
    push(one)
    push(two, up=False)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


def test_the_second_of_two_outages_is_sent_by_itself(memory):
    workspace, monitors = several(2)
    box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    deliver_after(seconds=31)
    assert memory.events("a") == [DOWN, DOWN]


def test_a_storm_after_a_quiet_time_begins_with_a_message_of_its_own(memory):
    workspace, monitors = several(6)
    box_for(workspace)
    for some in (monitors[:3], monitors[3:]):
        push(*some, up=False)
        send.deliver_due()
        deliver_after(seconds=31)
        age(minutes=5)
    assert memory.events("a") == [DOWN, "digest.down", DOWN, "digest.down"]


def test_a_storm_does_not_go_on_because_the_clock_was_set_back(memory):
    workspace, [monitor] = several(1)
    tomorrow = database_now() + timedelta(days=1)
    box_for(workspace, downs_until=tomorrow, ups_until=tomorrow)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


def test_the_single_records_of_a_digest_stay_and_share_its_end():
    workspace, monitors = several(4)
    with HttpSink(Answer(), Answer(500)) as sink:
        channel = webhook_for(sink, workspace)
        push(*monitors, up=False)
        send.deliver_due()
        deliver_after(seconds=31)
        digest = Delivery.objects.get(event=Event.DIGEST_DOWN)
        assert digest.status == PENDING
        assert set(digest.members.values_list("status", flat=True)) == {MERGED}
        deliver_after(seconds=10)
        assert events(sink) == [DOWN, "digest.down", "digest.down"]
        assert {sink.requests[n].headers["webhook-id"] for n in (1, 2)} == {str(digest.public_id)}
        assert named(sink.requests[1]) == named(sink.requests[2])
    digest.refresh_from_db()
    assert set(digest.members.values_list("status", "sent_at")) == {(SENT, digest.sent_at)}
    assert channel.deliveries.filter(monitor__in=monitors).count() == 4


def test_a_digest_shows_a_monitor_down_that_went_down_again_before_sending():
    workspace, monitors = several(4)
    with HttpSink() as sink:
        webhook_for(sink, workspace)
        push(*monitors, up=False)
        send.deliver_due()
        push(*monitors[1:])
        push(*monitors[1:3], up=False)
        for _ in range(3):
            deliver_after(seconds=31)
        down = {monitor.name for monitor in monitors[1:3]}
        digest = next(request.json["digest"] for request in sink.requests if request.json["digest"])
        assert {each["name"] for each in digest["monitors"] if each["resolved_at"] is None} == down


def test_a_digest_of_which_all_monitors_were_deleted_is_not_sent_again():
    workspace, monitors = several(4)
    with HttpSink(Answer(), Answer(500)) as sink:
        channel = webhook_for(sink, workspace)
        push(*monitors, up=False)
        send.deliver_due()
        deliver_after(seconds=31)
        for monitor in monitors:
            monitor_service.delete(monitor=monitor)
        deliver_after(seconds=10)
        assert events(sink) == [DOWN, "digest.down"]
    assert channel.deliveries.get().status == SKIPPED


def test_what_was_tried_goes_on_under_its_own_id_and_is_never_merged():
    workspace, monitors = several(3)
    with HttpSink(Answer(500)) as sink:
        webhook_for(sink, workspace)
        push(*monitors, up=False)
        send.deliver_due()
        deliver_after(seconds=31)
        deliver_after(seconds=31)
        assert events(sink) == [DOWN, DOWN, "digest.down"]
        first, again, _digest = (request.headers["webhook-id"] for request in sink.requests)
    assert first == again
    assert Delivery.objects.get(public_id=UUID(first)).digest is None


def test_a_kind_that_keeps_a_record_of_each_outage_is_sent_each(memory):
    workspace, monitors = several(4)
    box_for(workspace, kind="single")
    push(*monitors, up=False)
    send.deliver_due()
    push(*monitors)
    send.deliver_due()
    assert memory.events("a") == [DOWN] * 4 + [UP] * 4
    threads = [outgoing.thread for outgoing in memory.to("a")]
    assert threads[:4] == threads[4:]
    assert len(set(threads)) == 4


# --- Limits of the receiver --------------------------------------------------------------------------


def test_a_rate_limited_channel_gets_everything_later_as_a_digest():
    workspace, monitors = several(5)
    with HttpSink(Answer(429, {"Retry-After": "120"})) as sink:
        webhook_for(sink, workspace)
        push(monitors[0], up=False)
        send.deliver_due()
        for monitor in monitors[1:]:
            push(monitor, up=False)
            assert deliver_after(seconds=25) == 0
        deliver_after(seconds=40)
        deliver_after(seconds=31)
        assert events(sink) == [DOWN, DOWN, "digest.down"]
        assert len(named(sink.requests[2])) == 4
    assert not Delivery.objects.exclude(status=SENT).exists()


def test_a_provider_that_wants_room_between_messages_gets_it(memory):
    workspace, monitors = several(2)
    box_for(workspace, kind="slow")
    push(monitors[0], up=False)
    send.deliver_due()
    push(monitors[0])
    assert send.deliver_due() == 0
    deliver_after(seconds=11)
    assert memory.events("a") == [DOWN, UP]


# --- The last word -----------------------------------------------------------------------------------


def test_an_end_that_is_tried_again_comes_before_the_next_outage(memory):
    workspace, [monitor] = several(1)
    box_for(workspace)
    push(monitor, up=False)
    send.deliver_due()
    age(seconds=40)
    push(monitor)
    memory.answers = {"a": "failed"}
    send.deliver_due()
    memory.answers = {}
    push(monitor, up=False)
    send.deliver_due()
    deliver_after(seconds=40)
    assert memory.events("a") == [DOWN, UP, DOWN]


def test_a_digest_of_ends_that_is_tried_again_comes_before_the_next_outage(memory):
    workspace, monitors = several(3)
    box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    deliver_after(seconds=40)
    push(*monitors)
    send.deliver_due()
    memory.answers = {"a": "failed"}
    deliver_after(seconds=40)
    memory.answers = {}
    push(monitors[2], up=False)
    send.deliver_due()
    deliver_after(seconds=40)
    deliver_after(seconds=40)
    assert memory.events("a") == [DOWN, "digest.down", UP, "digest.up", DOWN]


def test_what_other_monitors_are_owed_does_not_wait_for_a_retry(memory):
    workspace, [one, two] = several(2)
    box_for(workspace)
    memory.answers = {"a": "failed"}
    push(one, up=False)
    send.deliver_due()
    memory.answers = {}
    push(two, up=False)
    age(seconds=1)
    Channel.objects.update(downs_until=None)
    send.deliver_due()
    (arrived,) = memory.to("a")
    assert arrived.payload["monitor"]["name"] == two.name


def test_an_outage_that_flapped_while_no_worker_ran_gets_one_recovery(memory):
    workspace, [monitor] = several(1)
    box_for(workspace)
    push(monitor, up=False)
    send.deliver_due()
    for up in (True, False, True):
        age(seconds=40)
        push(monitor, up=up)
    for _ in range(3):
        deliver_after(seconds=40)
    assert memory.events("a") == [DOWN, UP]
    first, end = memory.to("a")
    assert first.thread == end.thread


def test_an_outage_after_one_that_was_too_short_is_sent(memory):
    workspace, [monitor] = several(1)
    box_for(workspace, delay=60)
    # Neither was looked at before the second had lasted.
    for up, seconds in ((False, 5), (True, 100), (False, 100)):
        push(monitor, up=up)
        age(seconds=seconds)
    send.deliver_due()
    deliver_after(seconds=3)
    assert memory.events("a") == [DOWN]


def test_an_outage_after_a_tolerated_one_is_sent_behind_a_storm_of_recoveries(memory):
    workspace, [one, two] = several(2)
    box_for(workspace)
    rule_service.change(monitor=two, own=Own(reported=Threshold(2, 2)))
    push(one, up=False)
    send.deliver_due()
    age(seconds=40)
    push(one)
    send.deliver_due()
    push(two, up=False)
    send.deliver_due()
    push(two)
    deliver_after(seconds=3)
    push(two, up=False)
    push(two, up=False)
    deliver_after(seconds=3)
    deliver_after(seconds=40)
    assert memory.events("a") == [DOWN, UP, DOWN]


# --- Going away --------------------------------------------------------------------------------------


def test_a_channel_that_is_switched_off_with_a_digest_under_way_gives_up_all_of_it(memory):
    workspace, monitors = several(3)
    channel = box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    memory.answers = {"a": "failed"}
    deliver_after(seconds=40)
    memory.answers = {}
    channel_service.edit(channel=channel, enabled=False)
    digest = Delivery.objects.get(event=Event.DIGEST_DOWN)
    assert digest.status == FAILED
    assert "disabled" in digest.attempts.last().detail
    assert set(digest.members.values_list("status", flat=True)) == {FAILED}
    channel_service.edit(channel=channel, enabled=True)
    deliver_after(seconds=40)
    assert memory.events("a") == [DOWN]


def test_gone_is_the_end_of_a_digest_and_its_members(memory):
    workspace, monitors = several(3)
    channel = box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    memory.answers = {"a": "gone"}
    deliver_after(seconds=40)
    assert set(channel.deliveries.values_list("status", flat=True)) == {SENT, FAILED}
    channel.refresh_from_db()
    assert not channel.enabled


def test_a_channel_is_deleted_with_a_digest_under_way(memory):
    workspace, monitors = several(3)
    channel = box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    memory.answers = {"a": "failed"}
    deliver_after(seconds=40)
    channel_service.delete(channel=channel)
    assert not Delivery.objects.exists()


def test_a_channel_is_deleted_while_a_digest_is_sent(memory):
    workspace, monitors = several(3)
    channel = box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    memory.on_arrival = lambda box, outgoing: channel_service.delete(channel=channel)
    deliver_after(seconds=40)
    assert memory.events("a") == [DOWN, "digest.down"]
    assert not Delivery.objects.exists()


def test_a_member_whose_monitor_is_deleted_leaves_its_digest(memory):
    workspace, monitors = several(4)
    box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    memory.answers = {"a": "failed"}
    deliver_after(seconds=40)
    memory.answers = {}
    monitor_service.delete(monitor=monitors[3])
    deliver_after(seconds=40)
    digest = memory.to("a")[-1].payload["digest"]
    assert [each["name"] for each in digest["monitors"]] == [monitor.name for monitor in monitors[1:3]]
    assert not Delivery.objects.exclude(status=SENT).exists()


def test_an_outage_closed_by_a_pause_before_sending_is_not_sent(memory):
    workspace, monitors = several(3)
    box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    monitor_service.pause(monitor=monitors[2])
    deliver_after(seconds=40)
    assert memory.events("a") == [DOWN, DOWN]
    assert Delivery.objects.get(monitor=monitors[2]).status == SKIPPED


def test_maintenance_that_ends_early_sends_outages_that_continue(memory):
    workspace, [monitor] = several(1)
    box_for(workspace)
    now = database_now()
    window = maintenance_windows.plan(
        workspace=workspace,
        name="Work",
        starts_at=now,
        ends_at=now + timedelta(hours=3),
        monitors=[monitor],
    )
    push(monitor, up=False)
    send.deliver_due()
    assert deliver_after(minutes=5) == 0
    window.refresh_from_db()
    maintenance_windows.end_now(window=window)
    deliver_after(seconds=1)
    assert memory.events("a") == [DOWN]


# --- Several at once ---------------------------------------------------------------------------------


def _in_threads(*functions):
    barrier, errors = threading.Barrier(len(functions)), []

    def run(function):
        try:
            barrier.wait()
            function()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []


@pytest.mark.django_db(transaction=True)
def test_two_workers_write_one_digest_of_a_storm(memory):
    workspace, monitors = several(6)
    box_for(workspace)
    push(*monitors, up=False)
    for _ in range(3):
        _in_threads(send.deliver_due, send.deliver_due)
        age(seconds=31)
    assert memory.events("a") == [DOWN, "digest.down"]
    assert Delivery.objects.get(event=Event.DIGEST_DOWN).members.count() == 5


@pytest.mark.django_db(transaction=True)
def test_a_monitor_that_is_being_deleted_is_skipped_without_waiting(memory):
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("one transaction writes at a time here")
    workspace, monitors = several(3)
    channel = box_for(workspace)
    push(*monitors, up=False)
    with transaction.atomic():
        MonitorState.objects.select_for_update().get(monitor=monitors[0])
        list(Delivery.objects.select_for_update().filter(monitor=monitors[0]))
        _in_threads(lambda: queue.take_turn(channel.pk))
        monitor_service.delete(monitor=monitors[0])
    claimed = Delivery.objects.get(status=Delivery.Status.SENDING)
    assert claimed.monitor == monitors[1]
