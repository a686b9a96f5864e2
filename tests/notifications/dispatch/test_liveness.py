"""Whatever happens, a channel learns what is true in the end, and nothing is sent again and again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import database_now
from monitors.services import monitors as monitor_service
from notifications.dispatch import enqueue, late_and_failing, send, turn
from notifications.dispatch.claims import LEASE
from notifications.models import Belief, Channel, Delivery
from notifications.services import channels, rules
from notifications.services.rules import Own, Reminders
from tests.support.factories import make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, push

pytestmark = pytest.mark.django_db

OPENED, RESOLVED, PASSED = "incident.opened", "incident.resolved", "incident.passed"
ENDED, REMINDER, LATE, FLAPPING = "incident.ended", "incident.reminder", "monitor.late", "monitor.flapping"


def late_monitor(**fields):
    """Past its timeout of 60 s, and a minute before the end of its grace."""
    monitor = make_monitor(timeout=60, grace=120, **fields)
    push(monitor)
    age(seconds=120)
    return monitor


def subscribe(channel, monitor, subscribed):
    choice = rules.Choice(subscribed, None, None)
    rules.change(monitor=monitor, channels={channel.public_id: choice})


# --- Channels --------------------------------------------------------------------------------------


def test_a_channel_disabled_while_a_down_was_retried_is_sent_it_when_it_is_enabled(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    memory.answers = {"a": "failed"}
    push(monitor, up=False)
    send.deliver_due()
    channels.edit(channel=channel, enabled=False)
    memory.answers = {}
    channels.edit(channel=channel, enabled=True)
    send.deliver_due()
    assert memory.events("a") == [OPENED]
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [OPENED, RESOLVED]
    assert Delivery.objects.filter(status="failed").count() == 1


def test_the_same_for_a_digest(memory):
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace) for _ in range(3)]
    channel = box_for(workspace, burst=1)
    push(monitors[0], up=False)
    send.deliver_due()
    memory.answers = {"a": "failed"}
    push(*monitors[1:], up=False)
    send.deliver_due()
    deliver_after(seconds=31)
    channels.edit(channel=channel, enabled=False)
    memory.answers = {}
    channels.edit(channel=channel, enabled=True)
    send.deliver_due()
    deliver_after(seconds=31)
    deliver_after(seconds=31)
    assert set(Belief.objects.values_list("state", flat=True)) == {"down"}


def test_what_happened_while_a_channel_was_unsubscribed_is_not_sent_later(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    push(monitor, up=False)
    push(monitor)
    send.deliver_due()
    subscribe(channel, monitor, False)
    send.deliver_due()
    push(monitor, up=False)
    push(monitor)
    send.deliver_due()
    age(days=7)
    subscribe(channel, monitor, True)
    send.deliver_due()
    assert memory.events("a") == [PASSED]
    push(monitor, up=False)
    send.deliver_due()
    assert memory.events("a") == [PASSED, OPENED]


# --- Subscribed to some events ---------------------------------------------------------------------


def test_a_channel_only_for_recoveries_is_notified_of_each(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, on_down=False)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [RESOLVED]


def test_quiet_hours_hold_back_a_recovery_too(memory):
    now = database_now()
    monitor = make_monitor()
    times = [(now + timedelta(hours=n)).time().replace(second=0, microsecond=0) for n in (-1, 1)]
    box_for(monitor.workspace, on_down=False, quiet_from=times[0], quiet_until=times[1])
    push(monitor, up=False)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == []
    Channel.objects.update(quiet_from=None, quiet_until=None)
    enqueue.recheck(workspace=monitor.workspace)
    send.deliver_due()
    assert memory.events("a") == [RESOLVED]


def test_a_channel_without_recoveries_is_not_sent_an_old_outage_much_later(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, on_recovery=False)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    push(monitor, up=False)
    push(monitor)
    send.deliver_due()
    age(days=7)
    enqueue.recheck(workspace=monitor.workspace)
    send.deliver_due()
    assert memory.events("a") == [OPENED]


def test_a_channel_without_recoveries_is_notified_of_an_outage_that_it_could_not_be_sent(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, on_recovery=False)
    memory.answers = {"a": "failed"}
    push(monitor, up=False)
    send.deliver_due()
    memory.answers = {}
    push(monitor)
    send.deliver_due()
    deliver_after(seconds=10)
    assert memory.events("a") == [PASSED]


# --- Failures --------------------------------------------------------------------------------------


def test_reminders_go_on_after_one_that_could_not_be_sent(memory):
    monitor = make_monitor(timeout=86400 * 30)
    box_for(monitor.workspace)
    rules.change(monitor=monitor, own=Own(reminders=Reminders(600, 5)))
    push(monitor, up=False)
    send.deliver_due()
    memory.answers = {"a": "gone"}
    deliver_after(seconds=601)
    assert Delivery.objects.filter(event=REMINDER, status="failed").count() == 1
    Channel.objects.update(enabled=True)
    memory.answers = {}
    assert send.deliver_due() == 0
    deliver_after(seconds=601)
    assert memory.events("a") == [OPENED, REMINDER]


@pytest.mark.parametrize("kind", ["memory", "single"])
def test_a_late_message_that_is_refused_is_not_sent_again_and_again(memory, monkeypatch, kind):
    monitor = late_monitor()
    box_for(monitor.workspace, kind=kind, on_late=True)
    memory.answers = {"a": "gone"}
    for _ in range(3):
        late_and_failing.enqueue_late()
        send.deliver_due()
        Channel.objects.update(enabled=True)
        age(seconds=6)
    assert Delivery.objects.filter(event=LATE).count() == 1


def test_a_late_message_that_may_have_arrived_is_ended_as_such(memory):
    monitor = late_monitor()
    box_for(monitor.workspace, kind="single", on_late=True)
    memory.answers = {"a": "lost"}
    late_and_failing.enqueue_late()
    send.deliver_due()
    push(monitor)
    memory.answers = {}
    deliver_after(seconds=6)
    assert memory.events("a") == [LATE, ENDED]
    assert memory.to("a")[1].thread == memory.to("a")[0].thread


def test_what_was_opened_as_late_is_ended_after_an_outage_too_short_for_the_delay(memory):
    monitor = late_monitor()
    box_for(monitor.workspace, kind="single", on_late=True, delay=600)
    late_and_failing.enqueue_late()
    send.deliver_due()
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [LATE, ENDED]
    assert Belief.objects.get().outage is None
    assert Delivery.objects.get(status="skipped").note == "recovered"


def test_an_outage_that_may_have_been_opened_is_ended_long_after(memory):
    monitor = make_monitor(timeout=86400 * 30)
    box_for(monitor.workspace, kind="single")
    memory.answers = {"a": "lost"}
    push(monitor, up=False)
    send.deliver_due()
    Delivery.objects.update(attempt_count=99)
    push(monitor)
    age(days=2)
    memory.answers = {"a": "taken"}
    send.deliver_due()
    assert memory.events("a") == [OPENED, PASSED]
    assert Delivery.objects.get(event=PASSED).incident is not None


def test_a_message_that_cannot_be_written_does_not_hold_up_the_others(memory):
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace) for _ in range(2)]
    box_for(workspace)
    memory.answers = {"a": "failed"}
    push(monitors[0], up=False)
    send.deliver_due()
    # As of a version that knows more.
    Delivery.objects.update(reason="unheard-of")
    memory.answers = {}
    age(seconds=6)
    push(monitors[1], up=False)
    send.deliver_due()
    assert memory.events("a") == [OPENED]
    assert "unheard-of" in Delivery.objects.get(status="pending").attempts.last().detail


# --- Flapping --------------------------------------------------------------------------------------


def test_a_flapping_monitor_is_flapping_until_it_is_steady_even_if_it_slows_down(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, burst=20)
    for _ in range(4):
        push(monitor, up=False)
        push(monitor)
    send.deliver_due()
    assert memory.events("a") == [FLAPPING]
    # Six changes in ten minutes, and it is never steady.
    for _ in range(10):
        for up in (False, True):
            age(seconds=110)
            push(monitor, up=up)
            send.deliver_due()
    assert memory.events("a") == [FLAPPING]
    deliver_after(minutes=5, seconds=1)
    assert memory.events("a") == [FLAPPING, RESOLVED]


# --- Deleting --------------------------------------------------------------------------------------


def test_the_end_of_a_deleted_monitor_does_not_overtake_what_is_being_sent(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    push(monitor, up=False)

    def delete(box, outgoing):
        if outgoing.payload["event"] == OPENED:
            monitor_service.delete(monitor=monitor)
            # Another worker looks while this one waits for the receiver.
            meanwhile.append(send.deliver_due())

    meanwhile = []
    memory.on_arrival = delete
    send.deliver_due()
    assert meanwhile == [0]
    # As soon as its result is there.
    assert memory.events("a") == [OPENED, ENDED]
    assert channel.deliveries.get().status == "sent"


def test_the_end_of_a_deleted_monitor_is_sent_if_the_worker_died_that_sent_the_beginning(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    push(monitor, up=False)
    assert turn.take_turn(channel.pk) is not None
    monitor_service.delete(monitor=monitor)
    assert send.deliver_due() == 0
    deliver_after(seconds=LEASE.total_seconds())
    assert memory.events("a") == [ENDED]


# --- Subscribed while an incident was being recorded -----------------------------------------------


def test_a_channel_that_a_push_did_not_see_is_notified_within_a_minute_and_once(memory):
    monitor = make_monitor()
    push(monitor, up=False)
    # As if the transaction that added it had committed after the push read who is notified.
    box_for(monitor.workspace)
    age(seconds=20)
    assert late_and_failing.enqueue_all() == 0
    age(seconds=20)
    assert late_and_failing.enqueue_all() == 1
    send.deliver_due()
    assert late_and_failing.enqueue_all() == 0
    assert memory.events("a") == [OPENED]


def test_a_channel_that_was_subscribed_again_meanwhile_is_notified_too(memory):
    monitor = make_monitor()
    box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    send.deliver_due()
    push(monitor, up=False)
    Belief.objects.update(check_at=None)
    age(seconds=40)
    assert late_and_failing.enqueue_all() == 1
    send.deliver_due()
    assert memory.events("a") == [OPENED, RESOLVED, OPENED]


def test_what_a_channel_is_not_to_be_notified_of_is_not_overlooked(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, delay=600)
    push(monitor, up=False)
    send.deliver_due()
    age(seconds=40)
    assert late_and_failing.enqueue_all() == 0
