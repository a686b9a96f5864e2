"""What machines are promised: every outage key that was opened at a receiver is ended there."""

from __future__ import annotations

import pytest
from django.db import transaction

from accounts.actors import COMMAND
from monitors.heartbeats import missed
from monitors.services import incidents
from monitors.services import monitors as monitor_service
from notifications.dispatch import enqueue, late_and_failing, send
from notifications.messages.events import Reason
from notifications.models import Belief, Channel, ChannelRule, Delivery
from notifications.services import channels as channel_service
from tests.support.factories import make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, push

pytestmark = pytest.mark.django_db
DOWN, UP, PASSED, ENDED = "incident.opened", "incident.resolved", "incident.passed", "incident.ended"
ENDS = (UP, PASSED, ENDED)
SKIPPED = Delivery.Status.SKIPPED


class Machine:
    """A receiver that keeps a record of each outage by its key, as far as messages arrived or may have."""

    def __init__(self, memory, box: str = "a") -> None:
        self.open: dict[str, str] = {}
        self.most_open: dict[str, int] = {}
        self.memory, self.box = memory, box
        memory.on_arrival = self.receive

    def receive(self, box, outgoing) -> None:
        payload = outgoing.payload
        for each in payload["digest"]["monitors"] if payload["digest"] else [payload]:
            key = each["outage"] if payload["digest"] else str(outgoing.thread)
            name = each["name"] if payload["digest"] else payload["monitor"]["name"]
            if each["event"] in ENDS:
                self.open.pop(key, None)
            else:
                self.open[key] = name
            open_now = list(self.open.values()).count(name)
            self.most_open[name] = max(open_now, self.most_open.get(name, 0))


@pytest.fixture
def machine(memory):
    return Machine(memory)


def recheck(**whom):
    with transaction.atomic():
        enqueue.recheck(**whom)


def recovered(monitor, channel):
    push(monitor)


def paused(monitor, channel):
    monitor_service.pause(monitor=monitor)


def deleted(monitor, channel):
    monitor_service.delete(monitor=monitor)


def unsubscribed(monitor, channel):
    ChannelRule.objects.create(monitor=monitor, channel=channel, subscribed=False)
    recheck(monitors=[monitor.pk])


def deselected(monitor, channel):
    Channel.objects.update(all_monitors=False)
    channel.refresh_from_db()
    recheck(channel=channel)


def not_covered(monitor, channel):
    ChannelRule.objects.create(monitor=monitor, channel=channel, events=["late"])
    recheck(monitors=[monitor.pk])


ENDINGS = {
    recovered: (UP, None),
    paused: (ENDED, Reason.PAUSED),
    deleted: (ENDED, Reason.DELETED),
    unsubscribed: (ENDED, Reason.UNSUBSCRIBED),
    deselected: (ENDED, Reason.UNSUBSCRIBED),
    not_covered: (ENDED, Reason.NOT_COVERED),
}


@pytest.mark.parametrize("kind", ["memory", "single"])
@pytest.mark.parametrize("end", ENDINGS)
def test_what_was_opened_is_ended_under_its_key_with_the_reason(memory, machine, end, kind):
    monitor = make_monitor()
    channel = box_for(monitor.workspace, kind=kind)
    push(monitor, up=False)
    send.deliver_due()
    assert list(machine.open.values()) == [monitor.name]
    age(minutes=1)
    end(monitor, channel)
    send.deliver_due()
    event, reason = ENDINGS[end]
    opened, ended = memory.to("a")
    assert (ended.payload["event"], ended.payload["reason"]) == (event, reason and reason.value)
    assert opened.thread == ended.thread
    assert machine.open == {}
    assert deliver_after(minutes=5) == 0
    assert not Belief.objects.filter(outage__isnull=False).exists()


@pytest.mark.parametrize("end", ENDINGS)
def test_what_may_have_arrived_is_ended_too(memory, machine, end):
    """The receiver answered 500 twice, though it took the message."""
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    memory.answers = {"a": "lost"}
    push(monitor, up=False)
    send.deliver_due()
    deliver_after(seconds=10)
    assert len(machine.open) == 1
    memory.answers = {}
    end(monitor, channel)
    deliver_after(minutes=2)
    assert machine.open == {}
    assert memory.to("a")[-1].payload["event"] in ENDS
    tried, ended = Delivery.objects.order_by("pk") if end is not deleted else (None, Delivery.objects.get())
    assert ended.status == "sent"
    if tried is not None:
        assert (tried.status, tried.note, tried.attempts.count()) == (SKIPPED, "outdated", 2)
        assert tried.outage == ended.outage
        assert tried.public_id != ended.public_id


@pytest.mark.parametrize("end", ENDINGS)
def test_what_was_never_tried_is_not_ended(memory, end):
    monitor = make_monitor()
    channel = box_for(monitor.workspace, delay=60)
    push(monitor, up=False)
    send.deliver_due()
    end(monitor, channel)
    deliver_after(minutes=2)
    assert memory.events("a") == []


def test_three_changes_within_two_seconds_arrive_under_the_key_of_each_outage(memory, machine):
    monitor = make_monitor()
    box_for(monitor.workspace)
    for up in (False, True, False):
        push(monitor, up=up)
        send.deliver_due()
        age(seconds=0.6)
    first, second, third = memory.to("a")
    assert first.thread == second.thread != third.thread
    assert list(machine.open) == [str(third.thread)]


def test_relapses_that_the_receiver_missed_are_one_outage_there(memory, machine):
    monitor = make_monitor()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    for up in (True, False, True):
        age(seconds=40)
        push(monitor, up=up)
    send.deliver_due()
    opened, ended = memory.to("a")
    assert (opened.thread, ended.payload["event"]) == (ended.thread, UP)
    assert machine.open == {}


def test_a_relapse_that_goes_on_continues_the_outage_and_counts_on(memory, machine):
    monitor = make_monitor()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN, DOWN, UP]
    assert len({outgoing.thread for outgoing in memory.to("a")}) == 1
    assert [outgoing.payload["sequence"] for outgoing in memory.to("a")] == [1, 2, 3]
    assert machine.most_open == {monitor.name: 1}


@pytest.mark.parametrize("answer", ["lost", "failed", "busy"])
def test_no_more_than_one_key_is_open_whatever_the_receiver_answers(memory, machine, answer):
    monitor = make_monitor()
    box_for(monitor.workspace, kind="single")
    for number in range(12):
        memory.answers = {"a": answer} if number % 3 else {}
        push(monitor, up=bool(number % 2))
        deliver_after(seconds=7)
    memory.answers = {}
    push(monitor)
    for _ in range(5):
        deliver_after(minutes=3)
    assert machine.open == {}
    assert set(machine.most_open.values()) == {1}


def test_eight_quick_flaps_that_stay_down_name_the_open_incident_within_two_minutes(memory, machine):
    monitor = make_monitor()
    box_for(monitor.workspace, kind="single")
    for number in range(17):
        push(monitor, up=bool(number % 2))
        deliver_after(seconds=2)
    for _ in range(13):
        deliver_after(seconds=10)
    last = memory.to("a")[-1]
    assert last.payload["event"] == DOWN
    assert last.payload["incident"]["id"] == str(monitor.incidents.get(resolved_at=None).public_id)
    assert list(machine.open) == [str(last.thread)]


def test_an_end_that_fails_is_retried_until_it_arrives(memory, machine):
    monitor = make_monitor()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    memory.answers = {"a": "failed"}
    monitor_service.delete(monitor=monitor)
    send.deliver_due()
    memory.answers = {}
    assert len(machine.open) == 1
    deliver_after(seconds=10)
    assert machine.open == {}
    assert memory.to("a")[-1].payload["monitor"]["name"] == monitor.name


def test_a_channel_subscribed_again_is_notified_of_what_goes_on_under_a_new_key(memory, machine):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    unsubscribed(monitor, channel)
    send.deliver_due()
    ChannelRule.objects.all().delete()
    recheck(monitors=[monitor.pk])
    send.deliver_due()
    assert memory.events("a") == [DOWN, ENDED, DOWN]
    assert len({outgoing.thread for outgoing in memory.to("a")}) == 2


def test_what_happened_while_a_channel_was_unsubscribed_is_not_sent_later(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    unsubscribed(monitor, channel)
    send.deliver_due()
    for up in (False, True):
        age(minutes=20)
        push(monitor, up=up)
        send.deliver_due()
    ChannelRule.objects.all().delete()
    recheck(monitors=[monitor.pk])
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


# --- Late ------------------------------------------------------------------------------------------


def late_monitor():
    monitor = make_monitor(timeout=60, grace=120)
    push(monitor)
    age(seconds=120)
    return monitor


def test_a_receiver_that_keeps_records_has_one_for_what_is_late_until_a_heartbeat_arrives(memory, machine):
    monitor = late_monitor()
    box_for(monitor.workspace, kind="single", on_late=True)
    late_and_failing.enqueue_late()
    send.deliver_due()
    assert len(machine.open) == 1
    push(monitor)
    deliver_after(seconds=6)
    assert memory.events("a") == ["monitor.late", ENDED]
    assert memory.to("a")[-1].payload["reason"] == "arrived"
    assert machine.open == {}


def test_what_was_late_and_goes_down_keeps_its_key(memory, machine):
    monitor = late_monitor()
    box_for(monitor.workspace, kind="single", on_late=True)
    late_and_failing.enqueue_late()
    send.deliver_due()
    age(seconds=90)
    missed.declare_missed()
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == ["monitor.late", DOWN, UP]
    assert len({outgoing.thread for outgoing in memory.to("a")}) == 1
    assert machine.open == {}


@pytest.mark.parametrize("end", [paused, deleted, unsubscribed, not_covered])
def test_a_record_of_what_was_late_is_ended_for_other_reasons_too(memory, machine, end):
    monitor = late_monitor()
    channel = box_for(monitor.workspace, kind="single", on_late=True)
    late_and_failing.enqueue_late()
    send.deliver_due()
    if end is not_covered:
        ChannelRule.objects.create(monitor=monitor, channel=channel, events=["down"])
    else:
        end(monitor, channel)
    deliver_after(seconds=6)
    assert memory.events("a") == ["monitor.late", ENDED]
    assert memory.to("a")[-1].payload["reason"] == end.__name__
    assert machine.open == {}


# --- Disabled channels -----------------------------------------------------------------------------


def test_a_channel_that_is_enabled_again_ends_what_is_over_and_says_what_goes_on(memory, machine):
    workspace = make_workspace()
    over, open_, new, missed_ = (make_monitor(workspace=workspace) for _ in range(4))
    channel = box_for(workspace)
    push(over, open_, up=False)
    send.deliver_due()
    channel_service.edit(channel=channel, enabled=False)
    push(over)
    push(new, missed_, up=False)
    push(missed_)
    assert deliver_after(minutes=2) == 0
    channel_service.edit(channel=channel, enabled=True)
    channel.refresh_from_db()
    recheck(channel=channel, skip_finished=True)
    send.deliver_due()
    about = [
        (outgoing.payload["event"], outgoing.payload["monitor"]["name"]) for outgoing in memory.to("a")[2:]
    ]
    assert sorted(about) == sorted([(UP, over.name), (DOWN, new.name)])
    assert sorted(machine.open.values()) == sorted([open_.name, new.name])


def test_what_was_given_up_when_a_channel_was_disabled_is_sent_once_it_is_enabled(memory, machine):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    memory.answers = {"a": "failed"}
    push(monitor, up=False)
    send.deliver_due()
    memory.answers = {}
    channel_service.edit(channel=channel, enabled=False)
    send.deliver_due()
    channel_service.edit(channel=channel, enabled=True)
    channel.refresh_from_db()
    recheck(channel=channel, skip_finished=True)
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def test_an_acknowledged_outage_is_still_ended(memory, machine):
    monitor = make_monitor()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    incidents.acknowledge(incident=monitor.incidents.get(), by=COMMAND)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]
    assert machine.open == {}
