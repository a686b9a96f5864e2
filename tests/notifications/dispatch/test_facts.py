"""What holds notifications back, and what is sent when it no longer does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actors import COMMAND
from core.clock import database_now
from monitors.domain.thresholds import Threshold
from monitors.heartbeats import missed
from monitors.models import Monitor
from monitors.services import incidents, maintenance_windows
from monitors.services import monitors as monitor_service
from notifications.dispatch import apply, send
from notifications.models import ChannelRule, Delivery
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.rules import Own
from tests.support.factories import make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, push

pytestmark = pytest.mark.django_db
DOWN, UP, PASSED = "incident.opened", "incident.resolved", "incident.passed"
Note = Delivery.Note


def with_rules(*, timeout=300, grace=30, **own):
    monitor = make_monitor(timeout=timeout, grace=grace, value_max=10.0)
    rule_service.change(monitor=monitor, own=Own(**own))
    return monitor


def sweep_after(**length):
    age(**length)
    missed.declare_missed()
    return send.deliver_due()


# --- A delay -----------------------------------------------------------------------------------------


def test_a_delayed_channel_is_not_notified_of_a_shorter_outage(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, "chat")
    box_for(monitor.workspace, "phone", delay=600)
    push(monitor, up=False)
    send.deliver_due()
    age(minutes=9)
    push(monitor)
    send.deliver_due()
    deliver_after(minutes=2)
    assert memory.events("chat") == [DOWN, UP]
    assert memory.events("phone") == []
    assert set(Delivery.objects.filter(status="skipped").values_list("note", flat=True)) == {
        Note.RECOVERED,
        Note.NOT_NOTIFIED,
    }


def test_a_delayed_channel_is_notified_of_a_longer_outage_and_its_recovery(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, delay=600)
    push(monitor, up=False)
    assert deliver_after(minutes=9) == 0
    assert deliver_after(minutes=2) == 1
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


def test_an_outage_longer_than_the_delay_is_sent_even_if_it_is_over_by_then(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, delay=60)
    push(monitor, up=False)
    age(minutes=2)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


def test_a_monitor_may_have_a_delay_of_its_own(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    ChannelRule.objects.create(monitor=monitor, channel=channel, delay=60)
    push(monitor, up=False)
    assert send.deliver_due() == 0
    assert deliver_after(seconds=61) == 1


def test_acknowledging_skips_delayed_channels(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, "chat")
    box_for(monitor.workspace, "phone", delay=600)
    push(monitor, up=False)
    send.deliver_due()
    incidents.acknowledge(incident=monitor.incidents.get(), by=COMMAND)
    deliver_after(minutes=11)
    push(monitor)
    send.deliver_due()
    assert memory.events("chat") == [DOWN, UP]
    assert memory.events("phone") == []


def test_acknowledging_during_a_storm_skips_the_channels_waiting_for_its_digest(memory):
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace) for _ in range(3)]
    box_for(workspace, "phone", delay=600)
    push(*monitors, up=False)
    deliver_after(minutes=10, seconds=1)
    for monitor in monitors:
        incidents.acknowledge(incident=monitor.incidents.get(), by=COMMAND)
    deliver_after(seconds=31)
    assert memory.events("phone") == [DOWN]


# --- Snooze and maintenance --------------------------------------------------------------------------


def snoozed(monitor, until):
    snooze.snooze(monitor=monitor, until=until)


def maintained(monitor, until):
    maintenance_windows.plan(
        workspace=monitor.workspace, name="Work", starts_at=database_now(), ends_at=until, monitors=[monitor]
    )


@pytest.mark.parametrize("kept_quiet", [snoozed, maintained])
def test_at_the_end_of_a_snooze_only_outages_that_continue_are_sent(memory, kept_quiet):
    workspace = make_workspace()
    still, over = (make_monitor(workspace=workspace) for _ in range(2))
    box_for(workspace)
    for monitor in (still, over):
        kept_quiet(monitor, database_now() + timedelta(hours=1))
    push(still, over, up=False)
    send.deliver_due()
    age(minutes=30)
    push(over)
    assert send.deliver_due() == 0
    deliver_after(minutes=31)
    deliver_after(minutes=1)
    (arrived,) = memory.to("a")
    assert (arrived.payload["event"], arrived.payload["monitor"]["name"]) == (DOWN, still.name)
    assert not Delivery.objects.filter(monitor=over).exclude(status="skipped").exists()


def test_the_recovery_of_a_notified_outage_is_sent_during_a_snooze_and_after_maintenance(memory):
    workspace = make_workspace()
    one, two = (make_monitor(workspace=workspace) for _ in range(2))
    box_for(workspace, kind="single")
    push(one, two, up=False)
    send.deliver_due()
    until = database_now() + timedelta(hours=1)
    snoozed(one, until)
    maintained(two, until)
    push(one, two)
    send.deliver_due()
    assert memory.to("a")[-1].payload["monitor"]["name"] == one.name
    assert memory.events("a") == [DOWN, DOWN, UP]
    deliver_after(minutes=61)
    assert memory.events("a") == [DOWN, DOWN, UP, UP]


def test_ending_an_extended_snooze_sends_what_it_held_back(memory):
    monitor, until = make_monitor(), database_now() + timedelta(hours=1)
    box_for(monitor.workspace)
    snoozed(monitor, until)
    push(monitor, up=False)
    send.deliver_due()
    snoozed(monitor, until + timedelta(hours=1))
    snooze.unsnooze(monitor=monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def lengthened(window):
    maintenance_windows.change(window=window, ends_at=window.ends_at + timedelta(hours=1))
    maintenance_windows.end_now(window=window)


def followed_by_another(window):
    other = maintenance_windows.plan(
        workspace=window.workspace,
        name="More work",
        starts_at=window.ends_at,
        ends_at=window.ends_at + timedelta(hours=1),
        all_monitors=True,
    )
    maintenance_windows.end_now(window=window)
    maintenance_windows.delete(window=other)


def left_by_its_tag(window):
    monitor_service.edit(monitor=Monitor.objects.get(tags=window.tags), tags=[])


@pytest.mark.parametrize("ended", [lengthened, followed_by_another, left_by_its_tag])
def test_the_end_of_maintenance_sends_what_it_held_back(memory, ended):
    monitor, now = make_monitor(tags=["db"]), database_now()
    box_for(monitor.workspace)
    window = maintenance_windows.plan(
        workspace=monitor.workspace,
        name="Work",
        starts_at=now,
        ends_at=now + timedelta(hours=1),
        tags=["db"],
    )
    push(monitor, up=False)
    send.deliver_due()
    assert memory.events("a") == []
    ended(window)
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def test_an_undetected_outage_during_a_snooze_is_not_sent(memory):
    monitor = make_monitor(timeout=60, grace=0)
    box_for(monitor.workspace)
    push(monitor)
    snoozed(monitor, database_now() + timedelta(hours=1))
    age(minutes=5)
    push(monitor)
    send.deliver_due()
    deliver_after(hours=2)
    assert memory.events("a") == []


# --- Thresholds --------------------------------------------------------------------------------------


def test_an_incident_that_was_never_confirmed_is_not_sent(memory):
    monitor = with_rules(reported=Threshold(2, 2), missed=Threshold(2, 2))
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    sweep_after(seconds=340)
    push(monitor)
    deliver_after(seconds=3)
    assert monitor.incidents.count() == 2
    assert not Delivery.objects.exists()


def test_a_confirmed_incident_and_its_recovery_are_sent(memory):
    monitor = with_rules(reported=Threshold(2, 3), recovery=2)
    box_for(monitor.workspace)
    push(monitor, up=False)
    push(monitor)
    push(monitor, up=False)
    send.deliver_due()
    assert memory.events("a") == [DOWN]
    push(monitor)
    deliver_after(seconds=3)
    assert memory.events("a") == [DOWN]
    push(monitor)
    deliver_after(seconds=3)
    assert memory.events("a") == [DOWN, UP]


def test_missed_heartbeats_are_sent_as_soon_as_enough_are_missed(memory):
    monitor = with_rules(missed=Threshold(3, 3))
    box_for(monitor.workspace)
    push(monitor)
    assert sweep_after(seconds=340) == 0
    assert sweep_after(seconds=300) == 0
    assert sweep_after(seconds=280) == 0
    assert sweep_after(seconds=30) == 1
    assert memory.events("a") == [DOWN]


def test_a_silence_long_enough_to_be_confirmed_that_passed_unseen_is_sent_at_once(memory):
    monitor = with_rules(missed=Threshold(2, 2))
    box_for(monitor.workspace)
    push(monitor)
    age(seconds=1000)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [PASSED]


def test_a_silence_that_the_push_after_it_confirms_is_sent_at_once(memory):
    monitor = with_rules(missed=Threshold(2, 2))
    box_for(monitor.workspace)
    push(monitor)
    sweep_after(seconds=340)
    age(seconds=1000)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [PASSED]


def test_a_relapse_while_it_recovers_is_the_same_incident(memory):
    monitor = with_rules(recovery=3)
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    for up in (True, True, False, True, True, False, True, True, True):
        push(monitor, up=up)
        deliver_after(seconds=40)
    assert memory.events("a") == [DOWN, UP]
    assert monitor.incidents.count() == 1


def test_a_relapse_that_is_looked_at_together_with_the_end_before_it_fails_nothing(memory):
    monitor = make_monitor()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    age(seconds=40)
    push(monitor)
    push(monitor, up=False)
    deliver_after(seconds=3)
    assert memory.events("a") == [DOWN]
    ends = Delivery.objects.filter(event=UP)
    assert list(ends.values_list("status", "note")) == [("skipped", Note.DOWN_AGAIN)]


def test_a_relapse_that_is_not_confirmed_does_not_hold_the_recovery_back(memory):
    monitor = with_rules(reported=Threshold(2, 2))
    box_for(monitor.workspace)
    for _ in range(2):
        push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    push(monitor, up=False)
    deliver_after(seconds=3)
    assert memory.events("a") == [DOWN, UP]


# --- Cost ------------------------------------------------------------------------------------------------


def test_judging_many_costs_as_many_queries_as_judging_few():
    workspace = make_workspace()
    channel = box_for(workspace)
    counts = []
    for number in (2, 20):
        monitors = [make_monitor(workspace=workspace) for _ in range(number)]
        push(*monitors, up=False)
        rows = Delivery.objects.filter(monitor__in=monitors).select_related("incident", "monitor")
        with CaptureQueriesContext(connection) as queries:
            assert len(apply.judge(channel, list(rows), database_now())) == number
        counts.append(len(queries))
    assert counts[0] == counts[1]
