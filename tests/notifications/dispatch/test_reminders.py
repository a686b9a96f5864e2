"""Reminders of open outages: at their interval, up to their maximum, and until acknowledged."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.actors import COMMAND
from core.clock import database_now
from monitors.domain.thresholds import Threshold
from monitors.services import incidents
from notifications.dispatch import send
from notifications.messages.events import Event
from notifications.models import Delivery, MonitorRules
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.rules import Own, Reminders
from tests.support.factories import make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, push

pytestmark = pytest.mark.django_db
DOWN, UP, REMINDER = "incident.opened", "incident.resolved", "incident.reminder"


def reminded(*, every=600, most=3, workspace=None, timeout=60, **own):
    monitor = make_monitor(workspace=workspace, timeout=timeout)
    rule_service.change(monitor=monitor, own=Own(reminders=Reminders(every, most), **own))
    return monitor


def test_a_notified_channel_gets_reminders_at_the_interval_up_to_the_maximum(memory):
    monitor = reminded(most=2)
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    assert deliver_after(seconds=590) == 0
    assert deliver_after(seconds=11) == 1
    assert deliver_after(seconds=590) == 0
    assert deliver_after(seconds=11) == 1
    assert deliver_after(hours=3) == 0
    assert memory.events("a") == [DOWN, REMINDER, REMINDER]
    assert [outgoing.payload["reminder"] for outgoing in memory.to("a")] == [
        None,
        {"number": 1, "of": 2},
        {"number": 2, "of": 2},
    ]
    assert len({outgoing.thread for outgoing in memory.to("a")}) == 1


def test_without_a_rule_no_reminders_are_sent(memory):
    monitor = make_monitor()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    deliver_after(days=2)
    assert memory.events("a") == [DOWN]


def test_the_recovery_ends_reminders(memory):
    monitor = reminded()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    deliver_after(hours=3)
    assert memory.events("a") == [DOWN, UP]
    assert Delivery.objects.get(event=Event.REMINDER).note == Delivery.Note.RECOVERED


def test_an_acknowledged_incident_gets_no_reminders_but_a_recovery(memory):
    monitor = reminded()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    incidents.acknowledge(incident=monitor.incidents.get(), by=COMMAND)
    deliver_after(hours=3)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


def test_rules_that_want_no_reminders_any_more_end_those_to_come(memory):
    monitor = reminded()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    deliver_after(seconds=601)
    rule_service.change(monitor=monitor, own=Own())
    deliver_after(hours=3)
    assert memory.events("a") == [DOWN, REMINDER]


def test_rules_that_want_fewer_reminders_than_there_were_end_those_to_come(memory):
    monitor = reminded(every=600, most=3)
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    deliver_after(minutes=11)
    rule_service.change(monitor=monitor, own=Own(reminders=Reminders(600, 1)))
    deliver_after(minutes=11)
    assert memory.events("a").count("incident.reminder") == 1


def test_a_channel_that_does_not_want_reminders_gets_none(memory):
    monitor = reminded()
    box_for(monitor.workspace, "calm", on_reminder=False)
    box_for(monitor.workspace, "loud")
    push(monitor, up=False)
    send.deliver_due()
    deliver_after(seconds=601)
    assert memory.events("calm") == [DOWN]
    assert memory.events("loud") == [DOWN, REMINDER]


def test_the_first_comes_as_long_after_the_message_as_it_should_though_that_was_held(memory):
    monitor = reminded(reported=Threshold(2, 2), timeout=3600)
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    age(seconds=1200)
    send.deliver_due()
    assert memory.events("a") == []
    push(monitor, up=False)
    deliver_after(seconds=3)
    assert deliver_after(seconds=590) == 0
    deliver_after(seconds=11)
    assert memory.events("a") == [DOWN, REMINDER]


def test_no_reminders_are_sent_during_a_snooze(memory):
    monitor = reminded()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    snooze.snooze(monitor=monitor, until=database_now() + timedelta(hours=1))
    deliver_after(minutes=50)
    assert memory.events("a") == [DOWN]
    deliver_after(minutes=11)
    assert memory.events("a") == [DOWN, REMINDER]
    assert MonitorRules.objects.get().snoozed_until < database_now()


def test_reminders_of_several_monitors_come_in_one_message(memory):
    workspace = make_workspace()
    monitors = [reminded(workspace=workspace) for _ in range(4)]
    box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    deliver_after(seconds=31)
    deliver_after(seconds=700)
    assert memory.events("a") == [DOWN, "digest.down", "digest.reminder"]
    assert memory.to("a")[2].payload["digest"]["count"] == 4
    deliver_after(seconds=601)
    assert memory.events("a")[3:] == ["digest.reminder"]


def test_a_reminder_that_fails_is_tried_again_and_the_next_one_counts_from_its_time(memory):
    monitor = reminded(most=2)
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    memory.answers = {"a": "failed"}
    deliver_after(seconds=601)
    memory.answers = {}
    deliver_after(seconds=10)
    assert memory.events("a") == [DOWN, REMINDER]
    deliver_after(seconds=600)
    deliver_after(hours=2)
    assert memory.events("a") == [DOWN, REMINDER, REMINDER]
