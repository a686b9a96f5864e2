"""What holds notifications back, what is sent when it no longer does, and reminders of what goes on."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.actors import COMMAND
from core.clock import database_now
from monitors.domain.thresholds import Threshold
from monitors.heartbeats import missed
from monitors.models import Monitor
from monitors.services import incidents, maintenance_windows
from monitors.services import monitors as monitor_service
from notifications.dispatch import enqueue, facts, send
from notifications.models import Belief, ChannelRule, Delivery, EscalationStep
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.rules import Own, Reminders
from tests.support.factories import make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, push

pytestmark = pytest.mark.django_db
DOWN, UP, PASSED = "incident.opened", "incident.resolved", "incident.passed"
DIGEST, REMINDER = "digest", "incident.reminder"
Note = Delivery.Note


def with_rules(*, workspace=None, timeout=300, grace=30, **own):
    monitor = make_monitor(workspace=workspace, timeout=timeout, grace=grace, value_max=10.0)
    rule_service.change(monitor=monitor, own=Own(**own))
    return monitor


def went_down(monitor):
    """Have it go down and looked at, as happens within a second."""
    push(monitor, up=False)
    send.deliver_due()


def recheck(**whom):
    with transaction.atomic():
        enqueue.recheck(**whom)


# --- A delay -----------------------------------------------------------------------------------------


def test_a_delayed_channel_is_not_notified_of_a_shorter_outage(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, "chat")
    box_for(monitor.workspace, "phone", delay=600)
    went_down(monitor)
    age(minutes=9)
    push(monitor)
    send.deliver_due()
    deliver_after(minutes=2)
    assert memory.events("chat") == [DOWN, UP]
    assert memory.events("phone") == []
    assert Delivery.objects.get(status="skipped").note == Note.RECOVERED


def test_a_delayed_channel_is_notified_of_a_longer_outage_and_its_recovery(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, delay=600)
    went_down(monitor)
    assert deliver_after(minutes=9) == 0
    assert deliver_after(minutes=1, seconds=2) == 1
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


def test_an_outage_that_lasted_but_is_over_when_a_worker_looks_is_sent_as_over(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, delay=60)
    push(monitor, up=False)
    age(minutes=2)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [PASSED]


def test_an_outage_after_one_that_was_too_short_is_sent(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, delay=60)
    # Neither was looked at before the second had lasted.
    for up, seconds in ((False, 5), (True, 100), (False, 100)):
        push(monitor, up=up)
        age(seconds=seconds)
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def test_a_monitor_may_have_a_delay_of_its_own(memory):
    monitor = make_monitor()
    ChannelRule.objects.create(monitor=monitor, channel=box_for(monitor.workspace), delay=60)
    went_down(monitor)
    assert deliver_after(seconds=40) == 0
    assert deliver_after(seconds=22) == 1


def test_acknowledging_spares_delayed_channels(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, "chat")
    box_for(monitor.workspace, "phone", delay=600)
    went_down(monitor)
    incidents.acknowledge(incident=monitor.incidents.get(), by=COMMAND)
    deliver_after(minutes=11)
    push(monitor)
    send.deliver_due()
    assert memory.events("chat") == [DOWN, UP]
    assert memory.events("phone") == []
    assert Delivery.objects.get(status="skipped").note == Note.ACKNOWLEDGED


# --- Snooze and maintenance --------------------------------------------------------------------------


def snoozed(monitor, until):
    snooze.snooze(monitor=monitor, until=until)


def maintained(monitor, until):
    maintenance_windows.plan(
        workspace=monitor.workspace, name="Work", starts_at=database_now(), ends_at=until, monitors=[monitor]
    )


@pytest.mark.parametrize("kept_quiet", [snoozed, maintained])
def test_at_the_end_only_outages_that_go_on_are_sent(memory, kept_quiet):
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


def test_a_recovery_is_sent_during_a_snooze_and_after_maintenance(memory):
    workspace = make_workspace()
    one, two = (make_monitor(workspace=workspace) for _ in range(2))
    box_for(workspace)
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
    went_down(monitor)
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
    went_down(monitor)
    assert memory.events("a") == []
    ended(window)
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def test_an_outage_that_nobody_saw_during_a_snooze_is_not_sent(memory):
    monitor = make_monitor(timeout=60, grace=0)
    box_for(monitor.workspace)
    push(monitor)
    snoozed(monitor, database_now() + timedelta(hours=1))
    age(minutes=5)
    push(monitor)
    send.deliver_due()
    deliver_after(hours=2)
    assert memory.events("a") == []


def test_what_is_retried_is_not_stopped_by_a_snooze_that_began_since(memory):
    monitor = make_monitor()
    box_for(monitor.workspace)
    memory.answers = {"a": "lost"}
    went_down(monitor)
    memory.answers = {}
    snoozed(monitor, database_now() + timedelta(hours=1))
    recheck(monitors=[monitor.pk])
    deliver_after(seconds=10)
    assert memory.events("a") == [DOWN, DOWN]
    assert len({outgoing.id for outgoing in memory.to("a")}) == 1


# --- Quiet hours -------------------------------------------------------------------------------------


def quiet_for(*, minutes=60):
    """The fields of a channel whose quiet hours end in so many minutes."""
    zone = ZoneInfo("Asia/Jakarta")
    now = database_now().astimezone(zone)
    until = (now + timedelta(minutes=minutes)).time().replace(microsecond=0)
    return {
        "quiet_from": (now - timedelta(hours=1)).time(),
        "quiet_until": until,
        "quiet_timezone": "Asia/Jakarta",
    }


def let_quiet_hours_pass(channel):
    """They stay where they are when `age` lets time pass, so what waits for them is moved, and they end."""
    ends_at = facts.quiet_hours(channel).until(database_now())
    left = ends_at - database_now()
    age(seconds=left.total_seconds())
    moved = (database_now().astimezone(ZoneInfo("Asia/Jakarta"))).time()
    channel.quiet_until = moved
    channel.save()
    # To the microsecond, which the two moves above are not.
    Belief.objects.filter(channel=channel, check_at__isnull=False).update(
        check_at=facts.quiet_hours(channel).ended_at(database_now())
    )


def test_what_quiet_hours_held_back_is_one_message_at_their_end(memory):
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace) for _ in range(4)]
    channel = box_for(workspace, **quiet_for())
    for monitor in monitors:
        went_down(monitor)
        age(seconds=20)
    push(monitors[3])
    send.deliver_due()
    assert memory.events("a") == []
    let_quiet_hours_pass(channel)
    send.deliver_due()
    (arrived,) = memory.to("a")
    assert {each["name"] for each in arrived.payload["digest"]["monitors"]} == {
        monitor.name for monitor in monitors[:3]
    }


def test_monitors_of_high_urgency_are_notified_in_quiet_hours(memory):
    workspace = make_workspace()
    urgent = make_monitor(workspace=workspace)
    Monitor.objects.filter(pk=urgent.pk).update(urgency="high")
    others = [make_monitor(workspace=workspace) for _ in range(2)]
    box_for(workspace, **quiet_for())
    for monitor in (*others, urgent):
        went_down(monitor)
    push(urgent)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]
    assert {outgoing.payload["monitor"]["name"] for outgoing in memory.to("a")} == {urgent.name}


def test_a_recovery_waits_for_the_end_of_quiet_hours(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    went_down(monitor)
    for name, value in quiet_for().items():
        setattr(channel, name, value)
    channel.save()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN]
    let_quiet_hours_pass(channel)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


def test_quiet_hours_in_a_time_zone_that_is_gone_are_those_of_utc(workspace):
    channel = box_for(workspace, **quiet_for())
    channel.quiet_timezone = "Mars/Olympus"
    assert facts.quiet_hours(channel).zone == ZoneInfo("UTC")


# --- Urgency and escalation --------------------------------------------------------------------------


def test_a_channel_is_notified_of_what_is_as_urgent_as_it_asks_for(memory):
    workspace = make_workspace()
    box_for(workspace, "phone", least_urgency="high")
    box_for(workspace, "chat")
    for urgency in ("low", "normal", "high"):
        went_down(make_monitor(workspace=workspace, name=urgency, urgency=urgency))
    assert [outgoing.payload["monitor"]["name"] for outgoing in memory.to("phone")] == ["high"]
    assert len(memory.to("chat")) == 3


def test_what_is_less_urgent_than_before_is_ended_there(memory):
    monitor = make_monitor(urgency="high")
    box_for(monitor.workspace, least_urgency="high")
    went_down(monitor)
    monitor_service.edit(monitor=monitor, urgency="low")
    send.deliver_due()
    assert memory.events("a") == [DOWN, "incident.ended"]
    assert len({outgoing.thread for outgoing in memory.to("a")}) == 1


def escalated(monitor, **fields):
    """A channel that is not subscribed, but notified of what nobody has acknowledged for 10 minutes."""
    channel = box_for(monitor.workspace, "boss", monitors=[])
    EscalationStep.objects.create(workspace=monitor.workspace, channel=channel, after=600, **fields)
    return channel


def test_an_outage_that_nobody_acknowledges_is_escalated_and_its_end_too(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, "chat")
    escalated(monitor)
    went_down(monitor)
    assert deliver_after(minutes=9) == 0
    assert deliver_after(minutes=1, seconds=2) == 1
    push(monitor)
    send.deliver_due()
    assert memory.events("chat") == memory.events("boss") == [DOWN, UP]


def test_an_outage_that_somebody_acknowledged_is_not_escalated(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, "chat")
    escalated(monitor)
    went_down(monitor)
    deliver_after(minutes=9)
    incidents.acknowledge(incident=monitor.incidents.get(), by=COMMAND)
    deliver_after(minutes=2)
    push(monitor)
    send.deliver_due()
    assert memory.events("chat") == [DOWN, UP]
    assert memory.events("boss") == []


def test_a_step_for_urgent_monitors_leaves_the_others_alone(memory):
    monitor = make_monitor(urgency="normal")
    escalated(monitor, least_urgency="high")
    went_down(monitor)
    deliver_after(minutes=11)
    assert memory.events("boss") == []


# --- Rules that change -------------------------------------------------------------------------------


def test_a_delay_that_is_taken_away_applies_at_once(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace, delay=600)
    went_down(monitor)
    channel.delay = 0
    channel.save()
    recheck(channel=channel)
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def test_a_channel_added_during_an_outage_is_notified_once_the_rules_are_compared(memory):
    monitor = make_monitor()
    went_down(monitor)
    channel = box_for(monitor.workspace)
    recheck(channel=channel)
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


def test_reminders_that_are_switched_on_during_an_outage_are_sent(memory):
    monitor = make_monitor()
    box_for(monitor.workspace)
    went_down(monitor)
    deliver_after(minutes=20)
    rule_service.change(monitor=monitor, own=Own(reminders=Reminders(600, 3)))
    recheck(monitors=[monitor.pk])
    send.deliver_due()
    assert memory.events("a") == [DOWN, REMINDER]


# --- Reminders ---------------------------------------------------------------------------------------


def test_a_notified_channel_gets_reminders_at_the_interval_up_to_the_maximum(memory):
    monitor = with_rules(reminders=Reminders(600, 2))
    box_for(monitor.workspace)
    went_down(monitor)
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
    went_down(monitor)
    deliver_after(days=2)
    assert memory.events("a") == [DOWN]


def recover(monitor):
    push(monitor)


def acknowledge(monitor):
    incidents.acknowledge(incident=monitor.incidents.get(), by=COMMAND)


def switch_reminders_off(monitor):
    rule_service.change(monitor=monitor, own=Own())


def want_fewer_reminders(monitor):
    rule_service.change(monitor=monitor, own=Own(reminders=Reminders(600, 1)))


def snooze_it(monitor):
    snooze.snooze(monitor=monitor, until=database_now() + timedelta(days=1))


@pytest.mark.parametrize(
    "stop", [recover, acknowledge, switch_reminders_off, want_fewer_reminders, snooze_it]
)
def test_reminders_end(memory, stop):
    monitor = with_rules(reminders=Reminders(600, 3))
    box_for(monitor.workspace)
    went_down(monitor)
    deliver_after(seconds=601)
    stop(monitor)
    send.deliver_due()
    deliver_after(hours=3)
    assert memory.events("a") == [DOWN, REMINDER, *([UP] if stop is recover else [])]


def test_an_acknowledged_incident_gets_its_recovery(memory):
    monitor = with_rules(reminders=Reminders(600, 3))
    box_for(monitor.workspace)
    went_down(monitor)
    acknowledge(monitor)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


def test_an_acknowledgement_survives_a_relapse_within_the_recovery_threshold(memory):
    monitor = with_rules(recovery=2, reminders=Reminders(600, 3))
    box_for(monitor.workspace)
    box_for(monitor.workspace, "later", delay=300)
    went_down(monitor)
    acknowledge(monitor)
    push(monitor)
    push(monitor, up=False)
    deliver_after(seconds=601)
    deliver_after(seconds=601)
    assert monitor.incidents.get().acknowledged_at is not None
    assert (memory.events("a"), memory.events("later")) == ([DOWN], [])


def test_a_channel_that_wants_no_reminders_gets_none(memory):
    monitor = with_rules(reminders=Reminders(600, 3))
    box_for(monitor.workspace, "calm", on_reminder=False)
    box_for(monitor.workspace, "loud")
    went_down(monitor)
    deliver_after(seconds=601)
    assert memory.events("calm") == [DOWN]
    assert memory.events("loud") == [DOWN, REMINDER]


def test_the_first_reminder_counts_from_the_message_though_that_was_held_back(memory):
    monitor = with_rules(reminders=Reminders(600, 3), reported=Threshold(2, 2), timeout=3600)
    box_for(monitor.workspace)
    went_down(monitor)
    deliver_after(seconds=1200)
    assert memory.events("a") == []
    went_down(monitor)
    assert deliver_after(seconds=590) == 0
    deliver_after(seconds=11)
    assert memory.events("a") == [DOWN, REMINDER]


def test_reminders_of_many_monitors_are_a_storm_like_any_other(memory):
    workspace = make_workspace()
    monitors = [with_rules(workspace=workspace, reminders=Reminders(600, 3)) for _ in range(8)]
    channel = box_for(workspace, burst=8)
    push(*monitors, up=False)
    send.deliver_due()
    channel.burst = 5
    channel.save()
    deliver_after(seconds=605)
    deliver_after(seconds=31)
    assert memory.events("a") == [DOWN] * 8 + [REMINDER] * 5 + [DIGEST]
    assert {each["event"] for each in memory.to("a")[-1].payload["digest"]["monitors"]} == {REMINDER}


def test_a_reminder_that_fails_is_retried_and_the_next_one_counts_from_its_arrival(memory):
    monitor = with_rules(reminders=Reminders(600, 2))
    box_for(monitor.workspace)
    went_down(monitor)
    memory.answers = {"a": "failed"}
    deliver_after(seconds=601)
    memory.answers = {}
    deliver_after(seconds=10)
    assert memory.events("a") == [DOWN, REMINDER]
    assert deliver_after(seconds=590) == 0
    deliver_after(seconds=11)
    assert memory.events("a") == [DOWN, REMINDER, REMINDER]


# --- Thresholds --------------------------------------------------------------------------------------


def test_an_outage_is_sent_when_its_threshold_is_reached(memory):
    monitor = with_rules(reported=Threshold(3, 3))
    box_for(monitor.workspace)
    for _ in range(2):
        push(monitor, up=False)
        assert deliver_after(seconds=3) == 0
    push(monitor, value=11.0)
    deliver_after(seconds=3)
    assert memory.events("a") == [DOWN]


def test_missed_heartbeats_are_counted_by_the_time_that_passes(memory):
    monitor = with_rules(missed=Threshold(3, 3))
    box_for(monitor.workspace)
    push(monitor)
    for seconds, sent in ((340, 0), (300, 0), (280, 0), (30, 1)):
        age(seconds=seconds)
        missed.declare_missed()
        assert send.deliver_due() == sent
    assert memory.events("a") == [DOWN]


def test_a_relapse_before_the_recovery_threshold_is_the_same_outage(memory):
    monitor = with_rules(recovery=3)
    box_for(monitor.workspace)
    went_down(monitor)
    for up in (True, True, False, True, True, False, True, True, True):
        push(monitor, up=up)
        deliver_after(seconds=40)
    assert memory.events("a") == [DOWN, UP]
    opened, ended = memory.to("a")
    assert opened.thread == ended.thread


# --- Cost --------------------------------------------------------------------------------------------


def test_the_truth_about_many_monitors_takes_as_many_queries_as_that_about_few():
    workspace = make_workspace()
    channel = box_for(workspace, on_late=True)
    box_for(workspace)
    counts = []
    for number in (2, 20):
        monitors = [make_monitor(workspace=workspace) for _ in range(number)]
        push(*monitors, up=False)
        rows = list(Belief.objects.filter(channel=channel, monitor__in=monitors))
        with CaptureQueriesContext(connection) as queries:
            truths = facts.Truths(channel, rows, database_now())
            assert all(len(truths.about(row).outages) == 1 for row in rows)
        counts.append(len(queries))
    assert len(rows) == 20
    assert counts[0] == counts[1]


def test_an_outage_is_read_once_however_many_channels_know_of_it():
    workspace = make_workspace()
    monitor = make_monitor(workspace=workspace)
    first, *_others = [box_for(workspace) for _ in range(3)]
    push(monitor, up=False)
    push(monitor)
    rows = list(Belief.objects.filter(channel=first))
    assert [outage.number for outage in facts.Truths(first, rows, database_now()).about(rows[0]).outages] == [
        monitor.incidents.get().pk
    ]
