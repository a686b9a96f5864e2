"""Claim, send, record."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction

from core.clock import database_now
from monitors.models import MonitorState
from monitors.services import monitors as monitor_service
from notifications.dispatch import claims, send, turn
from notifications.models import Belief, Delivery
from notifications.services import channels as channel_service
from notifications.transports import http
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import (
    age,
    box_for,
    deliver_after,
    deliver_with_retries,
    make_delivery,
    push,
)
from tests.support.sinks import Answer, HttpSink, SmtpSink, wait_until

SENT, FAILED = Delivery.Status.SENT, Delivery.Status.FAILED
PENDING, SENDING = Delivery.Status.PENDING, Delivery.Status.SENDING
DOWN, UP = "incident.opened", "incident.resolved"


def webhook_for(sink, workspace, **fields):
    return make_channel(workspace=workspace, config={"url": sink.url}, **fields)


def seconds_until(row):
    return (row.next_attempt_at - database_now()).total_seconds()


def went_down(channel):
    """A monitor that is down, of which `channel` is to be notified."""
    monitor = make_monitor(workspace=channel.workspace)
    push(monitor, up=False)
    return monitor


# --- What arrives --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_down_and_up_arrive_at_a_webhook_with_all_facts():
    monitor = make_monitor(name="Backup")
    with HttpSink() as sink:
        webhook_for(sink, monitor.workspace)
        push(monitor)
        push(monitor, up=False, message="disk is full", value=99.5)
        assert send.deliver_due() == 1
        push(monitor, message="freed", value=12)
        assert send.deliver_due() == 1
        down, up = (request.json for request in sink.requests)
    assert (down["event"], up["event"]) == (DOWN, UP)
    assert down["monitor"]["name"] == "Backup"
    assert down["monitor"]["id"] == str(monitor.public_id)
    assert down["monitor"]["url"].endswith(f"/monitors/{monitor.public_id}/")
    assert (down["incident"]["cause"], down["message"], down["value"]) == ("reported", "disk is full", 99.5)
    assert (up["message"], up["value"]) == ("freed", 12)
    assert down["incident"]["id"] == up["incident"]["id"]
    assert up["incident"]["duration_seconds"] >= 0
    assert up["text"].startswith("Backup recovered")


@pytest.mark.django_db
def test_down_and_up_arrive_by_email_as_one_conversation(settings):
    monitor = make_monitor(name="Backup")
    with SmtpSink() as sink:
        for name, value in sink.settings.items():
            setattr(settings, name, value)
        make_channel(workspace=monitor.workspace, kind="email", config={"addresses": ["anna@example.com"]})
        for up in (False, True):
            push(monitor, up=up, message="disk is full")
            send.deliver_due()
        down, up = sink.mails
    assert down.subject == "Down: Backup"
    assert up.subject.startswith("Recovered: Backup (down for ")
    assert "disk is full" in down.text
    assert down.message["References"] == up.message["References"]


@pytest.mark.django_db
def test_a_delivery_that_arrived_is_noted_with_its_attempt_and_not_sent_again():
    with HttpSink() as sink:
        went_down(webhook_for(sink, make_workspace()))
        send.deliver_due()
        send.deliver_due()
        (request,) = sink.requests
    row = Delivery.objects.get()
    attempt = row.attempts.get()
    assert (row.status, row.next_attempt_at, row.attempt_count) == (SENT, None, 1)
    assert row.sent_at is not None
    assert (attempt.number, attempt.ok, attempt.detail) == (1, True, "HTTP 200 OK")
    assert attempt.started_at <= attempt.finished_at
    assert request.headers["webhook-id"] == str(row.public_id)


# --- What fails ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_failure_is_tried_again_under_the_same_id_until_it_arrives():
    with HttpSink(Answer(500, body=b"oops"), Answer(reset=True)) as sink:
        went_down(webhook_for(sink, make_workspace()))
        send.deliver_due()
        row = Delivery.objects.get()
        assert row.status == PENDING
        assert 4 < seconds_until(row) < 6
        deliver_with_retries()
        ids = {request.headers["webhook-id"] for request in sink.requests}
        assert len(sink.requests) == 3
    row = Delivery.objects.get()
    assert row.status == SENT
    assert ids == {str(row.public_id)}
    assert [attempt.ok for attempt in row.attempts.all()] == [False, False, True]
    assert "oops" in row.attempts.all()[0].detail


@pytest.mark.django_db
def test_a_retry_after_applies_to_the_whole_channel():
    with HttpSink(Answer(429, {"Retry-After": "300"})) as sink:
        channel = webhook_for(sink, make_workspace())
        went_down(channel)
        send.deliver_due()
        went_down(channel)
        assert deliver_after(seconds=290) == 0
        assert len(sink.requests) == 1
        assert deliver_after(seconds=15) == 2
        first, again, _other = (request.headers["webhook-id"] for request in sink.requests)
    assert first == again


@pytest.mark.django_db
def test_gone_is_given_up_at_once_and_disables_the_channel():
    with HttpSink(default=Answer(410)) as sink:
        channel = webhook_for(sink, make_workspace())
        monitor = went_down(channel)
        send.deliver_due()
        push(monitor)
        send.deliver_due()
        assert len(sink.requests) == 1
    row = Delivery.objects.get()
    assert (row.status, row.next_attempt_at) == (FAILED, None)
    channel.refresh_from_db()
    assert not channel.enabled
    assert channel.failing_since is not None


@pytest.mark.slow
@pytest.mark.django_db
def test_a_day_of_failures_ends_in_giving_up_with_every_attempt_kept(memory):
    went_down(box_for(make_workspace()))
    memory.answers = {"a": "failed"}
    send.deliver_due()
    deliver_with_retries(rounds=30)
    row = Delivery.objects.get()
    assert row.status == FAILED
    assert row.attempts.count() == row.attempt_count > 15
    assert not Belief.objects.filter(delivery__isnull=False).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("interrupted", [False, True])
def test_what_was_held_back_for_days_is_tried_as_often_as_anything_else(memory, interrupted):
    channel = box_for(make_workspace(), delay=3 * 86_400)
    went_down(channel)
    send.deliver_due()
    age(days=3)
    memory.answers = {"a": "failed"}
    if interrupted:
        turn.take_turn(channel.pk)
    else:
        send.deliver_due()
    memory.answers = {}
    deliver_after(minutes=2)
    row = Delivery.objects.get()
    assert (row.status, row.attempt_count) == (SENT, 2)


@pytest.mark.django_db
def test_a_channel_with_a_broken_config_fails_without_blocking_others():
    workspace = make_workspace()
    broken = [
        make_channel(workspace=workspace, **fields)
        for fields in ({"config": []}, {"config": {"url": 7}}, {"kind": "pigeon", "config": {}})
    ]
    with HttpSink() as sink:
        fine = webhook_for(sink, workspace)
        went_down(fine)
        send.deliver_due()
    assert fine.deliveries.get().status == SENT
    for channel in broken:
        row = channel.deliveries.get()
        assert row.status == PENDING
        assert not row.attempts.get().ok


@pytest.mark.django_db
def test_the_response_is_stored_short_and_printable():
    with HttpSink(default=Answer(500, body=b"\x00\xff\n" + b"z" * 3000)) as sink:
        went_down(webhook_for(sink, make_workspace()))
        send.deliver_due()
    detail = Delivery.objects.get().attempts.get().detail
    assert len(detail) <= 500
    assert detail.isprintable()


@pytest.mark.django_db
def test_a_channel_that_hangs_rests_with_all_it_has(memory, monkeypatch):
    monkeypatch.setattr(send, "_HANGS", timedelta(seconds=0))
    memory.answers = {"a": "failed"}
    channel = box_for(make_workspace())
    for _ in range(3):
        went_down(channel)
    assert send.deliver_due() == 1
    assert send.deliver_due() == 0
    assert deliver_after(seconds=7) == 1


# --- Channels that are disabled ------------------------------------------------------------------


@pytest.mark.django_db
def test_a_channel_that_is_disabled_gives_up_what_is_retried(memory):
    memory.answers = {"a": "failed"}
    channel = box_for(make_workspace())
    went_down(channel)
    send.deliver_due()
    memory.answers = {}
    channel_service.edit(channel=channel, enabled=False)
    deliver_after(minutes=1)
    assert memory.events("a") == []
    row = Delivery.objects.get()
    assert row.status == FAILED
    assert "disabled" in row.attempts.last().detail


@pytest.mark.django_db
def test_a_delivery_that_slipped_in_while_its_channel_was_disabled_is_not_sent(memory):
    channel = box_for(make_workspace(), enabled=False)
    row = make_delivery(channel, make_monitor(workspace=channel.workspace))
    send.deliver_due()
    assert memory.events("a") == []
    row.refresh_from_db()
    assert row.status == FAILED
    assert "disabled" in row.attempts.get().detail


@pytest.mark.django_db
def test_a_disabled_channel_takes_no_turn_for_news(memory):
    channel = box_for(make_workspace())
    went_down(channel)
    channel.enabled = False
    channel.save()
    assert turn.take_turn(channel.pk) is None
    assert not Delivery.objects.exists()


# --- What is deleted meanwhile -------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("what", ["monitor", "channel"])
def test_what_is_deleted_while_it_is_sent_does_not_stop_the_worker(what, memory):
    channel = box_for(make_workspace())
    monitor = went_down(channel)

    def delete(box, outgoing):
        memory.on_arrival = lambda box, outgoing: None
        if what == "monitor":
            monitor_service.delete(monitor=monitor)
        else:
            channel_service.delete(channel=channel)

    memory.on_arrival = delete
    send.deliver_due()
    send.deliver_due()
    # What may have arrived is ended, if there is still somebody to end it for.
    assert memory.events("a") == [DOWN, *(["incident.ended"] if what == "monitor" else [])]
    assert list(Delivery.objects.values_list("event", flat=True)) == memory.events("a")[1:]


@pytest.mark.django_db
def test_what_is_deleted_after_the_claim_is_passed_over(memory):
    channel = box_for(make_workspace(), on_recovery=False)
    monitor = went_down(channel)
    claim = turn.take_turn(channel.pk)
    monitor_service.delete(monitor=monitor)
    assert send.attempt(claim) is False
    assert memory.events("a") == []


# --- Who goes first ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_nothing_due_is_nothing_claimed_and_takes_no_lock(memory, django_assert_num_queries):
    went_down(box_for(make_workspace(), delay=60))
    send.deliver_due()
    with django_assert_num_queries(3) as queries:
        assert send.deliver_due() == 0
    assert not [each for each in queries if "FOR UPDATE" in each["sql"] or "UPDATE " in each["sql"]]


@pytest.mark.django_db
def test_a_channel_has_one_delivery_in_flight(memory):
    workspace = make_workspace()
    channel, other = (box_for(workspace) for _ in range(2))
    for _ in range(2):
        went_down(channel)
    assert [turn.take_turn(pk) is not None for pk in (channel.pk, channel.pk, other.pk)] == [
        True,
        False,
        True,
    ]
    assert set(Delivery.objects.filter(status=SENDING).values_list("channel", flat=True)) == {
        channel.pk,
        other.pk,
    }


# --- The lease -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_claim_whose_worker_died_is_made_again_after_its_lease(memory):
    channel = box_for(make_workspace())
    went_down(channel)
    assert turn.take_turn(channel.pk) is not None
    assert send.deliver_due() == 0
    lease = claims.LEASE.total_seconds()
    assert deliver_after(seconds=lease - 20) == 0
    assert deliver_after(seconds=21) == 1
    row = Delivery.objects.get()
    interrupted, second = row.attempts.all()
    assert row.status == SENT
    assert (interrupted.number, interrupted.ok) == (1, False)
    assert "Interrupted" in interrupted.detail
    assert (second.number, second.ok) == (2, True)
    assert memory.to("a")[0].id == row.public_id


@pytest.mark.django_db
def test_an_interrupted_attempt_that_is_outdated_is_closed_with_a_record_of_it(memory):
    channel = box_for(make_workspace())
    monitor = went_down(channel)
    turn.take_turn(channel.pk)
    push(monitor)
    deliver_after(minutes=2)
    old, new = Delivery.objects.order_by("pk")
    assert (old.status, old.note) == ("skipped", "outdated")
    assert "Interrupted" in old.attempts.get().detail
    assert (new.event, new.status, new.outage) == ("incident.passed", SENT, old.outage)


@pytest.mark.django_db
def test_a_worker_whose_lease_ran_out_does_not_overwrite_the_next_one(memory):
    channel = box_for(make_workspace())
    went_down(channel)
    slow = turn.take_turn(channel.pk)
    sending = Delivery.objects.select_related("channel__workspace", "incident__monitor").get()
    age(seconds=61)
    fast = turn.take_turn(channel.pk)
    assert send._record(sending, slow, send.Failed("late"), database_now()) is False
    assert send._record(sending, fast, send.Sent("in time"), database_now()) is True
    row = Delivery.objects.get()
    assert row.status == SENT
    assert [attempt.detail for attempt in row.attempts.filter(number__gt=1)] == ["in time"]
    assert Belief.objects.get().state == "down"


@pytest.mark.django_db
def test_what_kills_every_worker_is_given_up_after_a_day(memory):
    channel = box_for(make_workspace())
    went_down(channel)
    turn.take_turn(channel.pk)
    deliver_after(hours=25)
    assert memory.events("a") == []
    assert Delivery.objects.get().status == FAILED


# --- Several workers at once ---------------------------------------------------------------------


def in_threads(count, function):
    """Run `function` in `count` threads at once and return what they returned."""
    results, barrier = [], threading.Barrier(count)

    def run():
        try:
            barrier.wait()
            results.append(function())
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == count, "a thread failed"
    return results


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_disabling_a_channel_waits_for_a_monitor_that_is_being_deleted():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    make_delivery(channel, monitor)
    disabled = threading.Event()

    def disable():
        try:
            channel_service.edit(
                channel=channel, name="x", config=channel.config, enabled=False, all_monitors=True
            )
            disabled.set()
        finally:
            connection.close()

    thread = threading.Thread(target=disable)
    with transaction.atomic():
        MonitorState.objects.select_for_update().get(monitor=monitor)
        thread.start()
        assert not disabled.wait(0.5)
        monitor_service.delete(monitor=monitor)
    thread.join(20)
    assert disabled.is_set()
    assert not Delivery.objects.filter(monitor__isnull=False).exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_several_workers_share_the_work_and_send_everything_once(memory):
    workspace = make_workspace()
    channels = [box_for(workspace, box) for box in "abcd"]
    monitors = [make_monitor(workspace=workspace) for _ in range(8)]
    push(*monitors, up=False)
    for _ in range(2):
        in_threads(3, send.deliver_due)
        while send.deliver_due():
            pass
        age(seconds=31)
    ids = [outgoing.id for _box, outgoing in memory.arrived]
    # To each channel five, and the rest in a digest.
    assert len(ids) == len(set(ids)) == 6 * len(channels)
    assert not Delivery.objects.exclude(status=SENT).exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_channels_that_hang_are_given_up_and_tried_again_later(monkeypatch):
    monkeypatch.setattr(http, "TOTAL_SECONDS", 3.0)
    workspace = make_workspace()
    with HttpSink(default=Answer(delay=30)) as hanging, HttpSink() as fine:
        for _ in range(9):
            webhook_for(hanging, workspace)
        webhook_for(fine, workspace)
        push(make_monitor(workspace=workspace), up=False)
        started = time.monotonic()
        assert send.start_delivering() == 10
        # It returns at once, and what is being sent is not started again.
        assert time.monotonic() - started < 1
        fine.wait_for(1, seconds=20)
        assert send.start_delivering() == 0
        assert wait_until(lambda: not send._served, seconds=20)
    pending = Delivery.objects.filter(status=PENDING)
    assert {row.attempts.get().detail for row in pending} == {"No response within 3 s."}
    assert pending.count() == 9


def seconds_until_notified(sink, workspace):
    """Let a monitor go down, and return how long it took until `sink` was notified."""
    number, began = len(sink.requests), time.monotonic()
    push(make_monitor(workspace=workspace), up=False)
    # More often than a worker: the thread that served the channel may just have looked for the last time.
    assert wait_until(lambda: send.start_delivering() is not None and len(sink.requests) > number, seconds=30)
    return sink.requests[number].at - began


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_44_channels_that_hang_delay_no_other_by_a_second(monkeypatch):
    """Compared with the same channel before they were there.

    The fastest of several messages each: a machine that is busy slows down some of them, but what waits for a
    channel that hangs slows down all.
    """
    monkeypatch.setattr(http, "TOTAL_SECONDS", 60.0)
    workspace = make_workspace()
    with HttpSink(default=Answer(delay=60)) as hanging, HttpSink() as fine:
        webhook_for(fine, workspace, burst=20)
        alone = min(seconds_until_notified(fine, workspace) for _ in range(5))
        for _ in range(44):
            webhook_for(hanging, workspace)
        seconds_until_notified(fine, workspace)
        # As a worker does each second: on SQLite, many that begin at once may find it locked.
        assert wait_until(lambda: send.start_delivering() == 0 and len(hanging.requests) >= 44, seconds=60)
        beside = min(seconds_until_notified(fine, workspace) for _ in range(5))
        assert wait_until(lambda: len(send._served) == 44), "all of them still hang"
        assert beside - alone < 1
    assert wait_until(lambda: not send._served, seconds=60)


@pytest.mark.django_db(transaction=True)
def test_a_fault_while_one_channel_is_served_is_no_fault_of_the_others(memory, monkeypatch):
    workspace = make_workspace()
    bad, good = box_for(workspace, "bad"), box_for(workspace, "good")
    push(make_monitor(workspace=workspace), up=False)
    take_turn = turn.take_turn

    def fail_for_one(channel):
        if channel == bad.pk:
            raise ZeroDivisionError
        return take_turn(channel)

    monkeypatch.setattr(turn, "take_turn", fail_for_one)
    assert send.start_delivering() == 2
    assert wait_until(lambda: not send._served)
    assert memory.events("good") == [DOWN]
    monkeypatch.setattr(turn, "take_turn", take_turn)
    send.deliver_due()
    assert memory.events("bad") == [DOWN]
    assert good.deliveries.count() == 1


@pytest.mark.django_db
def test_a_worker_that_stops_takes_no_more_turns(memory, monkeypatch):
    monkeypatch.setattr(send, "_stopping", threading.Event())
    went_down(box_for(make_workspace()))
    send.stop_soon()
    assert send.deliver_due() == 0
    assert send.start_delivering() == 0
    assert memory.events("a") == []


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_stops_waits_until_what_it_sends_is_recorded(monkeypatch):
    monkeypatch.setattr(send, "_stopping", threading.Event())
    monkeypatch.setattr(send, "_pool", ThreadPoolExecutor(4))
    workspace = make_workspace()
    with HttpSink(default=Answer(delay=1)) as sink:
        channels = [webhook_for(sink, workspace) for _ in range(2)]
        for _ in range(2):
            went_down(channels[0])
        assert send.start_delivering() == 2
        sink.wait_for(2)
        send.stop()
        assert list(Delivery.objects.values_list("status", flat=True)) == [SENT, SENT]
        assert send.start_delivering() == 0
        assert len(sink.requests) == 2
    assert not send._served
    assert Belief.objects.filter(check_at__isnull=False, outage=None).count() == 2


# --- A test message ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_test_is_sent_at_once_and_leaves_no_row():
    with HttpSink() as sink:
        channel = webhook_for(sink, make_workspace(), name="Ops")
        assert send.send_test(channel=channel) == send.Sent("HTTP 200 OK")
        (request,) = sink.requests
    assert request.json["event"] == "test"
    assert "“Ops”" in request.json["text"]
    assert not Delivery.objects.exists()


@pytest.mark.django_db
def test_a_test_that_fails_says_why():
    with HttpSink(default=Answer(403, body=b"wrong key")) as sink:
        result = send.send_test(channel=webhook_for(sink, make_workspace()))
    assert result == send.Failed("HTTP 403 Forbidden: wrong key")


@pytest.mark.django_db
def test_a_test_to_a_receiver_that_keeps_records_leaves_none_open(memory):
    send.send_test(channel=box_for(make_workspace(), kind="single"))
    opened, closed = memory.to("a")
    assert closed.thread == opened.id
    assert closed.tone == "up"
