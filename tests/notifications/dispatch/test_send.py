"""Claim, send, record."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection, transaction

from core.clock import database_now
from monitors.models import MonitorState
from monitors.services import monitors as monitor_service
from notifications.dispatch import queue, send
from notifications.models import Delivery
from notifications.services import channels as channel_service
from notifications.transports import http
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import deliver_with_retries, let_time_pass, make_delivery, make_incident, push
from tests.support.sinks import Answer, HttpSink, SmtpSink, wait_until

SENT, FAILED = Delivery.Status.SENT, Delivery.Status.FAILED
PENDING, SENDING = Delivery.Status.PENDING, Delivery.Status.SENDING


def webhook_for(sink, workspace, **fields):
    return make_channel(workspace=workspace, config={"url": sink.url}, **fields)


def seconds_until(row):
    return (row.next_attempt_at - database_now()).total_seconds()


# --- What arrives --------------------------------------------------------------------------------


@pytest.mark.django_db
def test_down_and_up_arrive_at_a_webhook_in_their_order_with_all_facts():
    monitor = make_monitor(name="Backup")
    with HttpSink() as sink:
        webhook_for(sink, monitor.workspace)
        push(monitor)
        push(monitor, up=False, message="disk is full", value=99.5)
        push(monitor, message="freed", value=12)
        assert send.deliver_due() == 2
        down, up = (request.json for request in sink.requests)
    assert (down["event"], up["event"]) == ("incident.opened", "incident.resolved")
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
        push(monitor, up=False, message="disk is full")
        push(monitor)
        send.deliver_due()
        down, up = sink.mails
    assert down.subject == "Down: Backup"
    assert up.subject.startswith("Recovered: Backup (down for ")
    assert "disk is full" in down.text
    assert down.message["References"] == up.message["References"]


@pytest.mark.django_db
def test_a_delivery_that_arrived_is_noted_with_its_attempt_and_not_sent_again():
    monitor = make_monitor()
    with HttpSink() as sink:
        row = make_delivery(webhook_for(sink, monitor.workspace), monitor)
        send.deliver_due()
        send.deliver_due()
        (request,) = sink.requests
    row.refresh_from_db()
    attempt = row.attempts.get()
    assert (row.status, row.next_attempt_at, row.attempt_count) == (SENT, None, 1)
    assert row.sent_at is not None
    assert (attempt.number, attempt.ok, attempt.detail) == (1, True, "HTTP 200 OK")
    assert attempt.started_at <= attempt.finished_at
    assert request.headers["webhook-id"] == str(row.public_id)


# --- What fails ----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_failure_is_tried_again_under_the_same_id_until_it_arrives():
    monitor = make_monitor()
    with HttpSink(Answer(500, body=b"oops"), Answer(reset=True)) as sink:
        row = make_delivery(webhook_for(sink, monitor.workspace), monitor)
        send.deliver_due()
        row.refresh_from_db()
        assert row.status == PENDING
        assert 4 < seconds_until(row) < 6
        deliver_with_retries()
        ids = {request.headers["webhook-id"] for request in sink.requests}
        assert len(sink.requests) == 3
    row.refresh_from_db()
    assert row.status == SENT
    assert ids == {str(row.public_id)}
    assert [attempt.ok for attempt in row.attempts.all()] == [False, False, True]
    assert "oops" in row.attempts.all()[0].detail


@pytest.mark.django_db
def test_a_retry_after_applies_to_the_whole_channel():
    monitor = make_monitor()
    with HttpSink(Answer(429, {"Retry-After": "300"})) as sink:
        channel = webhook_for(sink, monitor.workspace)
        rows = [make_delivery(channel, make_monitor(workspace=monitor.workspace)) for _ in range(2)]
        send.deliver_due()
        let_time_pass(seconds=290)
        send.deliver_due()
        assert len(sink.requests) == 1
        let_time_pass(seconds=15)
        send.deliver_due()
        assert len(sink.requests) > 1
    assert {row.public_id for row in rows} >= {
        UUID(request.headers["webhook-id"]) for request in sink.requests[:2]
    }


@pytest.mark.django_db
def test_gone_is_given_up_at_once():
    monitor = make_monitor()
    with HttpSink(default=Answer(410)) as sink:
        row = make_delivery(webhook_for(sink, monitor.workspace), monitor)
        send.deliver_due()
    row.refresh_from_db()
    assert (row.status, row.next_attempt_at) == (FAILED, None)


@pytest.mark.slow
@pytest.mark.django_db
def test_a_day_of_failures_ends_in_giving_up_with_every_attempt_kept():
    monitor = make_monitor()
    with HttpSink(default=Answer(500)) as sink:
        row = make_delivery(webhook_for(sink, monitor.workspace), monitor)
        deliver_with_retries(rounds=30)
    row.refresh_from_db()
    assert row.status == FAILED
    assert row.attempts.count() == row.attempt_count > 15


@pytest.mark.django_db
@pytest.mark.parametrize("interrupted", [False, True])
def test_what_was_held_back_for_days_is_tried_as_often_as_anything_else(interrupted):
    monitor, days_ago = make_monitor(), database_now() - timedelta(days=3)
    with HttpSink(Answer() if interrupted else Answer(500)) as sink:
        row = make_delivery(webhook_for(sink, monitor.workspace), monitor, created_at=days_ago)
        if interrupted:
            send.claim_next()
        deliver_with_retries()
    row.refresh_from_db()
    assert (row.status, row.attempt_count) == (SENT, 2)


@pytest.mark.django_db
def test_a_channel_with_a_broken_config_fails_without_blocking_others():
    monitor = make_monitor()
    incident = make_incident(monitor)
    broken = [
        make_delivery(make_channel(workspace=monitor.workspace, **fields), monitor, incident=incident)
        for fields in ({"config": []}, {"config": {"url": 7}}, {"kind": "pigeon", "config": {}})
    ]
    with HttpSink() as sink:
        fine = make_delivery(webhook_for(sink, monitor.workspace), make_monitor(workspace=monitor.workspace))
        send.deliver_due()
    fine.refresh_from_db()
    assert fine.status == SENT
    for row in broken:
        row.refresh_from_db()
        assert row.status == PENDING
        assert not row.attempts.get().ok


@pytest.mark.django_db
def test_the_response_is_stored_short_and_printable():
    monitor = make_monitor()
    with HttpSink(default=Answer(500, body=b"\x00\xff\n" + b"z" * 3000)) as sink:
        row = make_delivery(webhook_for(sink, monitor.workspace), monitor)
        send.deliver_due()
    detail = row.attempts.get().detail
    assert len(detail) <= 500
    assert detail.isprintable()


@pytest.mark.django_db
def test_a_channel_that_is_switched_off_gives_up_what_waits_and_sends_nothing_later():
    monitor = make_monitor()
    with HttpSink() as sink:
        channel = webhook_for(sink, monitor.workspace)
        row = make_delivery(channel, monitor)
        fields = {"name": "x", "config": channel.config, "all_monitors": True}
        channel_service.edit(channel=channel, enabled=False, **fields)
        channel_service.edit(channel=channel, enabled=True, **fields)
        send.deliver_due()
        assert sink.requests == []
    row.refresh_from_db()
    assert row.status == FAILED
    assert "disabled" in row.attempts.get().detail


@pytest.mark.django_db
def test_a_delivery_that_slipped_in_while_its_channel_was_switched_off_is_not_sent():
    monitor = make_monitor()
    with HttpSink() as sink:
        row = make_delivery(webhook_for(sink, monitor.workspace, enabled=False), monitor)
        send.deliver_due()
        assert sink.requests == []
    row.refresh_from_db()
    assert row.status == FAILED
    assert "disabled" in row.attempts.get().detail


@pytest.mark.django_db
@pytest.mark.parametrize("what", ["monitor", "channel"])
def test_what_is_deleted_while_it_is_sent_does_not_stop_the_worker(what, monkeypatch):
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    make_delivery(channel, monitor)

    def send_and_delete(row, now):
        if what == "monitor":
            monitor_service.delete(monitor=monitor)
        else:
            channel_service.delete(channel=channel)
        return send.Sent()

    monkeypatch.setattr(send, "_send", send_and_delete)
    assert send.deliver_due() == 0
    assert not Delivery.objects.exists()


@pytest.mark.django_db
def test_what_is_deleted_after_the_claim_is_passed_over():
    monitor = make_monitor()
    make_delivery(make_channel(workspace=monitor.workspace), monitor)
    claim = send.claim_next()
    monitor_service.delete(monitor=monitor)
    assert send.attempt(claim) is False


# --- Who goes first ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_nothing_due_is_nothing_claimed_and_takes_no_lock(django_assert_num_queries):
    monitor = make_monitor()
    later = database_now() + timedelta(minutes=1)
    make_delivery(make_channel(workspace=monitor.workspace), monitor, next_attempt_at=later)
    with django_assert_num_queries(2):
        assert send.claim_next() is None


@pytest.mark.django_db
def test_what_is_due_longest_is_claimed_first():
    monitor = make_monitor()
    now = database_now()
    for seconds in (5, 60, 30):
        channel = make_channel(workspace=monitor.workspace)
        other = make_monitor(workspace=monitor.workspace)
        make_delivery(channel, other, next_attempt_at=now - timedelta(seconds=seconds))
    order = [send.claim_next().delivery_id for _ in range(3)]
    first = list(Delivery.objects.order_by("pk").values_list("pk", flat=True))
    assert order == [first[1], first[2], first[0]]


@pytest.mark.django_db
def test_a_channel_has_one_delivery_in_flight():
    monitor = make_monitor()
    channel, other = (make_channel(workspace=monitor.workspace) for _ in range(2))
    for target in (channel, channel, other):
        make_delivery(target, make_monitor(workspace=monitor.workspace))
    claims = [send.claim_next() for _ in range(3)]
    assert claims[2] is None
    assert set(Delivery.objects.filter(status=SENDING).values_list("channel", flat=True)) == {
        channel.pk,
        other.pk,
    }


@pytest.mark.django_db
def test_up_waits_until_down_is_finished():
    monitor = make_monitor()
    with HttpSink(Answer(500)) as sink:
        webhook_for(sink, monitor.workspace)
        push(monitor, up=False)
        push(monitor)
        send.deliver_due()
        assert [request.json["event"] for request in sink.requests] == ["incident.opened"]
        let_time_pass(seconds=10)
        send.deliver_due()
        events = [request.json["event"] for request in sink.requests]
    assert events == ["incident.opened", "incident.opened", "incident.resolved"]
    assert "It has since recovered" in sink.requests[1].json["text"]


@pytest.mark.django_db
def test_a_late_down_does_not_say_that_it_is_up_while_it_is_down_again():
    monitor = make_monitor()
    with HttpSink(Answer(500)) as sink:
        webhook_for(sink, monitor.workspace)
        push(monitor, up=False)
        send.deliver_due()
        push(monitor)
        push(monitor, up=False)
        let_time_pass(seconds=10)
        send.deliver_due()
        let_time_pass(seconds=60)
        send.deliver_due()
        bodies = [request.json for request in sink.requests]
    assert [one["event"] for one in bodies] == ["incident.opened", "incident.opened"]
    assert "recovered" not in bodies[-1]["text"]


@pytest.mark.django_db
def test_up_is_sent_though_down_was_given_up():
    monitor = make_monitor()
    with HttpSink() as sink:
        webhook_for(sink, monitor.workspace)
        push(monitor, up=False)
        # An attempt whose answer was lost may have arrived.
        Delivery.objects.update(status=FAILED, next_attempt_at=None, attempt_count=15)
        push(monitor)
        send.deliver_due()
        assert [request.json["event"] for request in sink.requests] == ["incident.resolved"]


@pytest.mark.django_db
def test_gone_switches_the_channel_off_and_marks_it():
    monitor = make_monitor()
    with HttpSink(default=Answer(410)) as sink:
        channel = webhook_for(sink, monitor.workspace)
        push(monitor, up=False)
        push(monitor)
        send.deliver_due()
        assert len(sink.requests) == 1
    channel.refresh_from_db()
    assert not channel.enabled
    assert channel.failing_since is not None


@pytest.mark.django_db
def test_a_channel_that_hangs_rests_with_all_it_has(monkeypatch):
    monkeypatch.setattr(send, "_HANGS", timedelta(seconds=0))
    monitor = make_monitor()
    with HttpSink(default=Answer(500)) as sink:
        channel = webhook_for(sink, monitor.workspace)
        for _ in range(3):
            make_delivery(channel, make_monitor(workspace=monitor.workspace))
        send.deliver_due()
        assert len(sink.requests) == 1


# --- The lease -----------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_claim_whose_worker_died_is_made_again_after_its_lease():
    monitor = make_monitor()
    with HttpSink() as sink:
        row = make_delivery(webhook_for(sink, monitor.workspace), monitor)
        assert send.claim_next() is not None
        assert send.deliver_due() == 0
        let_time_pass(seconds=34)
        assert send.deliver_due() == 0
        let_time_pass(seconds=1)
        assert send.deliver_due() == 1
    row.refresh_from_db()
    interrupted, second = row.attempts.all()
    assert row.status == SENT
    assert (interrupted.number, interrupted.ok) == (1, False)
    assert "Interrupted" in interrupted.detail
    assert (second.number, second.ok) == (2, True)


@pytest.mark.django_db
def test_a_worker_whose_lease_ran_out_does_not_overwrite_the_next_one(monkeypatch):
    monitor = make_monitor()
    row = make_delivery(make_channel(workspace=monitor.workspace), monitor)
    slow = send.claim_next()
    sending = Delivery.objects.select_related("channel__workspace", "incident__monitor").get()
    let_time_pass(seconds=61)
    fast = send.claim_next()
    assert send._record(sending, slow, send.Failed("late"), database_now()) is False
    assert send._record(sending, fast, send.Sent("in time"), database_now()) is True
    row.refresh_from_db()
    assert row.status == SENT
    assert [attempt.detail for attempt in row.attempts.filter(number__gt=1)] == ["in time"]


@pytest.mark.django_db
def test_what_kills_every_worker_is_given_up_after_a_day():
    monitor = make_monitor()
    row = make_delivery(make_channel(workspace=monitor.workspace), monitor)
    send.claim_next()
    let_time_pass(hours=25)
    send.deliver_due()
    row.refresh_from_db()
    assert row.status == FAILED


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
def test_switching_a_channel_off_waits_for_a_monitor_that_is_being_deleted():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    make_delivery(channel, monitor)
    switched_off = threading.Event()

    def switch_off():
        try:
            channel_service.edit(
                channel=channel, name="x", config=channel.config, enabled=False, all_monitors=True
            )
            switched_off.set()
        finally:
            connection.close()

    thread = threading.Thread(target=switch_off)
    with transaction.atomic():
        MonitorState.objects.select_for_update().get(monitor=monitor)
        thread.start()
        assert not switched_off.wait(0.5)
        monitor_service.delete(monitor=monitor)
    thread.join(20)
    assert switched_off.is_set()
    assert not Delivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_claim_the_same_delivery():
    monitor = make_monitor()
    for _ in range(5):
        row = make_delivery(
            make_channel(workspace=monitor.workspace), make_monitor(workspace=monitor.workspace)
        )
        claims = [claim for claim in in_threads(2, send.claim_next) if claim]
        assert [claim.delivery_id for claim in claims] == [row.pk]


@pytest.mark.django_db(transaction=True)
def test_two_workers_that_look_at_different_deliveries_never_serve_one_channel_at_once():
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace) for _ in range(3)]
    for _ in range(10):
        channel = make_channel(workspace=workspace)
        seen = [make_delivery(channel, None, incident=incident_of(monitor)) for monitor in monitors]
        in_threads(3, lambda rows=seen: queue.take_turn(rows.pop().channel_id))
        assert channel.deliveries.filter(status=SENDING).count() == 1


def incident_of(monitor):
    return monitor.incidents.first() or make_incident(monitor)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_several_workers_share_the_work_and_send_everything_once():
    workspace = make_workspace()
    with HttpSink() as sink:
        for _ in range(4):
            channel = webhook_for(sink, workspace)
            for _ in range(5):
                make_delivery(channel, make_monitor(workspace=workspace))
        for _ in range(2):
            in_threads(3, send.deliver_due)
            while send.deliver_due():
                pass
            let_time_pass(seconds=31)
        ids = [request.headers["webhook-id"] for request in sink.requests]
    # To each channel the first, and the rest in a digest.
    assert len(ids) == len(set(ids)) == 8
    assert not Delivery.objects.exclude(status=SENT).exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_channel_that_hangs_delays_no_other(monkeypatch):
    monkeypatch.setattr(http, "TOTAL_SECONDS", 3.0)
    workspace = make_workspace()
    monitor = make_monitor(workspace=workspace)
    with HttpSink(default=Answer(delay=30)) as hanging, HttpSink() as fine:
        webhook_for(hanging, workspace)
        webhook_for(fine, workspace)
        push(monitor, up=False)

        def tick():
            try:
                send.deliver_due()
            finally:
                connection.close()

        threads = [threading.Thread(target=tick) for _ in range(2)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        assert wait_until(lambda: fine.requests, seconds=2)
        assert fine.requests[0].at - started < 2
        for thread in threads:
            thread.join()
    assert Delivery.objects.get(status=PENDING).attempts.get().detail == "No response within 3 s."


@pytest.mark.django_db
def test_a_process_that_delivers_in_all_its_threads_leaves_the_rest_to_the_next_tick(monkeypatch):
    monkeypatch.setattr(send, "_gate", threading.BoundedSemaphore(1))
    monitor = make_monitor()
    make_delivery(make_channel(workspace=monitor.workspace), monitor)
    with send._gate:
        assert send.deliver_due() == 0
    assert send.deliver_due() == 1


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
