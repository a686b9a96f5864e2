"""From an event to delivery rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from core.clock import database_now
from monitors import signals
from monitors.heartbeats import missed
from monitors.models import Incident, MonitorState
from monitors.services import monitors as monitor_service
from notifications.dispatch import enqueue
from notifications.messages.events import Event
from notifications.models import Delivery
from notifications.services import channels as channel_service
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import make_incident, push

pytestmark = pytest.mark.django_db
OPENED, RESOLVED, PASSED = Event.OPENED, Event.RESOLVED, Event.PASSED


def events_for(channel):
    return list(channel.deliveries.order_by("pk").values_list("event", flat=True))


def test_going_down_and_up_owes_one_delivery_each_to_a_channel():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    push(monitor)
    push(monitor, up=False)
    push(monitor, up=False)
    push(monitor)
    assert events_for(channel) == [OPENED, RESOLVED]


def test_a_delivery_is_due_at_the_time_of_its_event():
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    push(monitor, up=False)
    delivery = Delivery.objects.get()
    assert delivery.created_at == delivery.next_attempt_at == delivery.incident.detected_at
    assert delivery.status == Delivery.Status.PENDING


def test_silence_found_by_the_sweep_is_owed_too():
    monitor = make_monitor(timeout=60, grace=0)
    channel = make_channel(workspace=monitor.workspace)
    push(monitor)
    hour_ago = database_now() - timedelta(hours=1)
    MonitorState.objects.update(last_heartbeat_at=hour_ago, due_at=hour_ago)
    missed.declare_missed()
    assert events_for(channel) == [OPENED]


def test_an_outage_that_passed_unseen_is_one_delivery():
    monitor = make_monitor(timeout=60, grace=0)
    channel = make_channel(workspace=monitor.workspace)
    push(monitor)
    hour_ago = database_now() - timedelta(hours=1)
    MonitorState.objects.update(last_heartbeat_at=hour_ago, due_at=hour_ago)
    push(monitor)
    assert events_for(channel) == [PASSED]


def test_pausing_sends_no_notification():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    push(monitor, up=False)
    monitor_service.pause(monitor=monitor)
    assert events_for(channel) == [OPENED]


def test_channels_of_other_workspaces_and_other_monitors_are_not_notified():
    monitor = make_monitor()
    other = make_monitor(workspace=monitor.workspace)
    elsewhere = make_channel(workspace=make_workspace())
    of_other = make_channel(workspace=monitor.workspace, monitors=[other])
    chosen = make_channel(workspace=monitor.workspace, monitors=[monitor, other])
    push(monitor, up=False)
    assert events_for(elsewhere) == []
    assert events_for(of_other) == []
    assert events_for(chosen) == [OPENED]


def test_a_channel_that_lists_a_monitor_of_another_workspace_is_not_notified():
    monitor = make_monitor()
    foreign = make_channel(workspace=make_workspace(), monitors=[monitor])
    push(monitor, up=False)
    assert events_for(foreign) == []


def test_a_disabled_channel_is_not_notified():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, enabled=False)
    push(monitor, up=False)
    push(monitor)
    assert events_for(channel) == []


def test_a_channel_notified_of_down_gets_the_recovery_though_no_longer_subscribed():
    monitor = make_monitor()
    other = make_monitor(workspace=monitor.workspace)
    channel = make_channel(workspace=monitor.workspace, monitors=[monitor])
    push(monitor, up=False)
    channel.monitors.set([other])
    push(monitor)
    assert events_for(channel) == [OPENED, RESOLVED]


def test_a_channel_added_during_an_outage_gets_no_recovery():
    monitor = make_monitor()
    push(monitor, up=False)
    channel = make_channel(workspace=monitor.workspace)
    push(monitor)
    assert events_for(channel) == []


def test_a_channel_subscribed_only_to_recoveries_gets_each_of_them():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, on_down=False)
    push(monitor, up=False)
    push(monitor)
    assert events_for(channel) == [RESOLVED]


def test_a_channel_is_notified_of_its_subscribed_events():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, on_recovery=False)
    push(monitor, up=False)
    push(monitor)
    assert events_for(channel) == [OPENED]


def test_a_repeated_event_makes_one_delivery():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    incident = make_incident(monitor)
    for _ in range(2):
        signals.incidents_opened.send(Incident, incidents=[incident], at=incident.detected_at)
    assert events_for(channel) == [OPENED]


def test_the_deliveries_go_with_a_transaction_that_is_rolled_back(monkeypatch):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)

    def push_and_fail():
        with transaction.atomic():
            push(monitor, up=False)
            assert Delivery.objects.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        push_and_fail()
    assert not Delivery.objects.exists()


def test_a_receiver_that_fails_takes_the_incident_with_it(monkeypatch):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)

    def fail(channel_ids):
        raise ZeroDivisionError

    monkeypatch.setattr(enqueue, "keep_channels", fail)
    with pytest.raises(ZeroDivisionError):
        push(monitor, up=False)
    assert not Incident.objects.exists()


def test_a_batch_costs_the_same_number_of_queries_as_one():
    workspace = make_workspace()
    make_channel(workspace=workspace)
    monitors = [make_monitor(workspace=workspace) for _ in range(12)]
    make_channel(workspace=workspace, monitors=monitors[:5])
    counts = []
    for some in (monitors[:1], monitors[1:]):
        incidents = [make_incident(monitor) for monitor in some]
        for signal in (signals.incidents_opened, signals.incidents_resolved):
            with CaptureQueriesContext(
                connection,
            ) as queries:
                signal.send(Incident, incidents=incidents, at=database_now())
            counts.append(len(queries))
    assert counts[:2] == counts[2:]
    assert Delivery.objects.count() == 2 * (12 + 5)


def test_a_worker_is_woken_once_for_a_batch(hinted, django_capture_on_commit_callbacks):
    workspace = make_workspace()
    make_channel(workspace=workspace)
    monitors = [make_monitor(workspace=workspace) for _ in range(3)]
    with django_capture_on_commit_callbacks(execute=True):
        push(*monitors, up=False)
    assert hinted == ["notifications.tasks.deliver"]


def test_without_deliveries_no_worker_is_woken(hinted, django_capture_on_commit_callbacks):
    monitor = make_monitor()
    with django_capture_on_commit_callbacks(execute=True):
        push(monitor, up=False)
    assert hinted == []


def test_a_deleted_channel_is_owed_nothing_more():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    push(monitor, up=False)
    channel_service.delete(channel=channel)
    push(monitor)
    assert not Delivery.objects.exists()
