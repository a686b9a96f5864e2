"""Pushes, turns, edits and deletions at the same time: none waits for another that waits for it."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, transaction

from core.clock import database_now
from monitors import signals
from monitors.heartbeats import recorder
from monitors.heartbeats.parser import Push
from monitors.heartbeats.push_token import digest_of
from monitors.models import MonitorState
from monitors.services import monitors as monitor_service
from notifications.dispatch import enqueue, send, turn
from notifications.models import Belief, Channel, Delivery
from notifications.services import channels
from tests.support.factories import make_monitor, make_workspace, secret_of
from tests.support.incidents import age, box_for, push

pytestmark = pytest.mark.django_db(transaction=True)

DOWN, DIGEST = "incident.opened", "digest"


@pytest.fixture
def row_locks():
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("one transaction writes at a time here")


def in_thread(function):
    """Return what `function` returns in a thread, with a connection of its own."""
    returned = []

    def run():
        try:
            returned.append(function())
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert returned, "it failed, or still waits"
    return returned[0]


def several(count):
    workspace = make_workspace()
    return workspace, [make_monitor(workspace=workspace, timeout=86_400) for _ in range(count)]


def test_all_that_a_push_changes_is_one_signal():
    """With a second one, receivers could not lock what they change in one order."""
    _workspace, monitors = several(3)
    push(monitors[0], up=False)
    received = []

    def receive(incidents, **kwargs):
        received.append({each.monitor_id for each in incidents})

    signals.incidents_changed.connect(receive)
    try:
        push_mixed(monitors)
    finally:
        signals.incidents_changed.disconnect(receive)
    assert received == [{monitor.pk for monitor in monitors}]


def push_mixed(monitors):
    """The first recovers and the others go down, in one transaction."""
    recorder.record(
        [
            recorder.Arrival(digest_of(secret_of(monitor)) or "", Push(number == 0, "", None))
            for number, monitor in enumerate(monitors)
        ]
    )


def test_a_turn_leaves_out_what_a_push_is_changing(memory, row_locks):
    workspace, monitors = several(2)
    channel = box_for(workspace)
    push(*monitors, up=False)
    with transaction.atomic():
        list(Belief.objects.select_for_update().filter(monitor=monitors[0]))
        claim = in_thread(lambda: turn.take_turn(channel.pk))
        assert Delivery.objects.get(pk=claim.delivery_id).monitor == monitors[1]
    send.attempt(claim)
    send.deliver_due()
    assert memory.events("a") == [DOWN, DOWN]


@pytest.mark.parametrize("model", [Belief, Delivery])
def test_a_digest_of_which_a_monitor_is_being_changed_is_left_for_the_next_turn(memory, row_locks, model):
    workspace, monitors = several(3)
    channel = box_for(workspace, burst=1)
    push(*monitors, up=False)
    memory.answers = {"a": "failed"}
    send.deliver_due()
    age(seconds=31)
    send.deliver_due()
    digest = Delivery.objects.get(event=DIGEST)
    push(*monitors)
    age(minutes=1)
    with transaction.atomic():
        list(model.objects.select_for_update().filter(monitor=monitors[2]))
        assert in_thread(lambda: turn.take_turn(channel.pk)) is None
        digest.refresh_from_db()
        assert digest.status == "pending"
    memory.answers = {}
    send.deliver_due()
    digest.refresh_from_db()
    assert (digest.status, digest.note) == ("skipped", "outdated")


def test_rules_that_change_while_a_monitor_is_deleted_leave_it_out(row_locks):
    workspace, monitors = several(2)
    box_for(workspace)
    push(*monitors, up=False)
    Belief.objects.update(check_at=None)

    def recheck():
        with transaction.atomic():
            enqueue.recheck(workspace=workspace)
        return True

    with transaction.atomic():
        monitor_service.delete(monitor=monitors[0])
        assert in_thread(recheck)
    assert Belief.objects.get().check_at is not None


@pytest.mark.slow
def test_everything_at_once_never_ends_in_a_deadlock(memory, row_locks):
    workspace, monitors = several(20)
    boxes = [box_for(workspace, box, kind=kind, burst=1) for box, kind in (("a", "memory"), ("b", "single"))]
    errors, over = [], threading.Event()
    end = time.monotonic() + 10

    def repeatedly(function, pause):
        def run():
            try:
                while time.monotonic() < end and not over.is_set():
                    function()
                    time.sleep(pause)
            except Exception as error:
                errors.append(error)
                over.set()
            finally:
                connection.close()

        return threading.Thread(target=run)

    def push_some():
        push_mixed(random.sample(monitors, 10))

    def deliver():
        memory.answers = {box: random.choice(["taken", "failed", "lost"]) for box in "ab"}
        send.deliver_due()

    def hurry():
        """Make what waits due: a row at a time, because several would be locked in any order."""
        now = database_now()
        for channel in Channel.objects.all():
            Channel.objects.filter(pk=channel.pk, paused_until__gt=now).update(paused_until=None)
            Channel.objects.filter(pk=channel.pk, digest_at__gt=now).update(digest_at=now)
        for delivery in Delivery.objects.filter(status="pending"):
            waiting = Delivery.objects.filter(pk=delivery.pk, status="pending")
            waiting.update(next_attempt_at=now - timedelta(seconds=1))

    def recheck():
        with transaction.atomic():
            enqueue.recheck(workspace=workspace)

    def delete():
        monitor = make_monitor(workspace=workspace, timeout=86_400)
        push(monitor, up=False)
        time.sleep(0.3)
        monitor_service.delete(monitor=monitor)

    def switch():
        for enabled in (False, True):
            channels.edit(channel=boxes[0], enabled=enabled)

    threads = [
        repeatedly(function, pause)
        for function, pause in (
            (push_some, 0),
            (push_some, 0),
            (deliver, 0.02),
            (deliver, 0.02),
            (hurry, 0.2),
            (recheck, 0.1),
            (delete, 0.1),
            (switch, 0.5),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert not MonitorState.objects.exclude(monitor__in=monitors).exists()
