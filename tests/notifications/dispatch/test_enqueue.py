"""From an event to beliefs that are to be compared, in the transaction of the event."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from core.clock import database_now
from monitors import signals
from monitors.heartbeats import missed
from monitors.models import Incident, MonitorState
from monitors.services import maintenance_windows
from monitors.services import monitors as monitor_service
from notifications.dispatch import enqueue, send
from notifications.models import Belief, ChannelRule, Delivery
from notifications.services import channels as channel_service
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, make_incident, push

pytestmark = pytest.mark.django_db
DOWN, UP, PASSED = "incident.opened", "incident.resolved", "incident.passed"


def due(channel):
    """The monitors about which `channel` is to be compared now."""
    rows = channel.beliefs.filter(check_at__lte=database_now())
    return list(rows.order_by("monitor_id").values_list("monitor_id", flat=True))


def recheck(**whom):
    with transaction.atomic():
        enqueue.recheck(**whom)


# --- Who is notified -------------------------------------------------------------------------------


def test_an_outage_is_compared_at_the_time_at_which_it_was_detected():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    push(monitor)
    assert not Belief.objects.exists()
    push(monitor, up=False)
    belief = channel.beliefs.get()
    assert belief.check_at == monitor.incidents.get().detected_at
    assert (belief.state, belief.outage, belief.delivery) == ("nothing", None, None)
    assert not Delivery.objects.exists()


def silent(monitor):
    push(monitor)
    hour_ago = database_now() - timedelta(hours=1)
    MonitorState.objects.update(last_heartbeat_at=hour_ago, due_at=hour_ago)


def test_silence_found_by_the_sweep_is_notified_too(memory):
    monitor = make_monitor(timeout=60, grace=0)
    box_for(monitor.workspace)
    silent(monitor)
    missed.declare_missed()
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def test_an_outage_that_passed_unseen_is_one_message(memory):
    monitor = make_monitor(timeout=60, grace=0)
    box_for(monitor.workspace)
    silent(monitor)
    push(monitor)
    send.deliver_due()
    assert memory.events("a") == [PASSED]


def test_channels_of_other_workspaces_and_for_other_monitors_are_left_alone():
    monitor = make_monitor()
    other = make_monitor(workspace=monitor.workspace)
    chosen = make_channel(workspace=monitor.workspace, monitors=[monitor, other])
    for channel in (
        make_channel(workspace=make_workspace()),
        make_channel(workspace=make_workspace(), monitors=[monitor]),
        make_channel(workspace=monitor.workspace, monitors=[other]),
        make_channel(workspace=monitor.workspace, enabled=False),
    ):
        push(monitor, up=False)
        push(monitor)
        assert due(channel) == []
    assert due(chosen) == [monitor.pk]


def test_a_channel_that_was_notified_is_compared_though_it_is_no_longer_subscribed(memory):
    monitor, channel = notified(memory)
    ChannelRule.objects.create(monitor=monitor, channel=channel, subscribed=False)
    push(monitor)
    assert due(channel) == [monitor.pk]


def notified(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    push(monitor, up=False)
    send.deliver_due()
    assert due(channel) == []
    return monitor, channel


def test_a_channel_added_during_an_outage_gets_no_recovery(memory):
    monitor = make_monitor()
    push(monitor, up=False)
    box_for(monitor.workspace)
    send.deliver_due()
    assert memory.events("a") == []


@pytest.mark.parametrize("looked_at", [True, False])
def test_a_channel_for_recoveries_only_gets_each_of_them(memory, looked_at):
    monitor = make_monitor()
    box_for(monitor.workspace, on_down=False)
    for _ in range(2):
        push(monitor, up=False)
        if looked_at:
            send.deliver_due()
        push(monitor)
        send.deliver_due()
    assert memory.events("a") == [UP, UP]


def test_a_channel_without_recoveries_gets_each_outage(memory):
    monitor = make_monitor()
    box_for(monitor.workspace, on_recovery=False)
    for up in (False, True, False, True):
        push(monitor, up=up)
        send.deliver_due()
    assert memory.events("a") == [DOWN, DOWN]
    assert len({outgoing.thread for outgoing in memory.to("a")}) == 2


def test_a_relapse_that_a_channel_without_recoveries_missed_is_not_sent_when_rules_change(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace, on_recovery=False)
    push(monitor, up=False)
    send.deliver_due()
    for up in (True, False, True):
        push(monitor, up=up)
    send.deliver_due()
    recheck(channel=channel)
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def test_a_repeated_event_changes_nothing(memory):
    monitor, _channel = notified(memory)
    incident = monitor.incidents.get()
    for _ in range(2):
        signals.incidents_changed.send(Incident, incidents=[incident], at=incident.detected_at)
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def test_what_waits_for_later_is_compared_at_once_when_something_happens(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace, delay=600)
    push(monitor, up=False)
    send.deliver_due()
    assert channel.beliefs.get().check_at > database_now() + timedelta(seconds=500)
    push(monitor)
    assert due(channel) == [monitor.pk]


def test_what_is_due_is_not_put_off_by_what_happens_later():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    push(monitor, up=False)
    age(seconds=20)
    before = channel.beliefs.get().check_at
    push(monitor)
    assert channel.beliefs.get().check_at == before


# --- In the transaction ----------------------------------------------------------------------------


def test_beliefs_go_with_a_transaction_that_is_rolled_back():
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)

    def push_and_fail():
        with transaction.atomic():
            push(monitor, up=False)
            assert Belief.objects.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        push_and_fail()
    assert not Belief.objects.exists()


def test_a_receiver_that_fails_takes_the_incident_with_it(monkeypatch):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)

    def fail(channel_ids):
        raise ZeroDivisionError

    monkeypatch.setattr(enqueue, "keep_channels", fail)
    with pytest.raises(ZeroDivisionError):
        push(monitor, up=False)
    assert not Incident.objects.exists()


def test_a_batch_costs_as_many_queries_as_one_event():
    workspace = make_workspace()
    make_channel(workspace=workspace)
    monitors = [make_monitor(workspace=workspace) for _ in range(12)]
    make_channel(workspace=workspace, monitors=monitors[:5])
    counts = []
    for some in (monitors[:1], monitors[1:]):
        incidents = [make_incident(monitor) for monitor in some]
        for _ in ("opened", "resolved"):
            with CaptureQueriesContext(connection) as queries:
                signals.incidents_changed.send(Incident, incidents=incidents, at=database_now())
            counts.append(len(queries))
    assert counts[:2] == counts[2:]
    assert Belief.objects.count() == 12 + 5


def test_a_worker_is_woken_once_for_a_batch(hinted, django_capture_on_commit_callbacks):
    workspace = make_workspace()
    make_channel(workspace=workspace)
    monitors = [make_monitor(workspace=workspace) for _ in range(3)]
    with django_capture_on_commit_callbacks(execute=True):
        push(*monitors, up=False)
    assert hinted == ["notifications.tasks.deliver"]


def test_a_deleted_channel_is_notified_of_nothing_more():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    push(monitor, up=False)
    channel_service.delete(channel=channel)
    push(monitor)
    assert not Belief.objects.exists()


# --- Comparing again -------------------------------------------------------------------------------


def test_a_recheck_reaches_those_that_are_concerned_and_no_other(memory):
    workspace, elsewhere = make_workspace(), make_workspace()
    one, two = (make_monitor(workspace=workspace) for _ in range(2))
    other = make_monitor(workspace=elsewhere)
    a, b = (box_for(workspace, box) for box in "ab")
    c = box_for(elsewhere, "c")
    push(one, two, other, up=False)
    send.deliver_due()
    for whom, expected in (
        ({"monitors": [one.pk]}, ([one.pk], [one.pk], [])),
        ({"channel": a}, ([one.pk, two.pk], [], [])),
        ({"workspace": elsewhere}, ([], [], [other.pk])),
    ):
        recheck(**whom)
        assert (due(a), due(b), due(c)) == expected
        send.deliver_due()
    assert memory.events("a") == [DOWN, DOWN]


def test_a_recheck_of_a_new_channel_finds_what_goes_on_but_nothing_that_is_over(memory):
    workspace = make_workspace()
    open_, over = (make_monitor(workspace=workspace) for _ in range(2))
    push(open_, over, up=False)
    push(over)
    channel = box_for(workspace)
    recheck(channel=channel)
    assert due(channel) == [open_.pk]


def test_the_end_of_maintenance_wakes_what_it_may_hold_back_and_nothing_else(memory):
    workspace = make_workspace()
    channel = box_for(workspace, on_late=True)
    quiet, was_down, is_down, held = (make_monitor(workspace=workspace) for _ in range(4))
    push(quiet, was_down, is_down, held)
    push(was_down, is_down, up=False)
    send.deliver_due()
    push(was_down)
    send.deliver_due()
    Belief.objects.create(monitor=quiet, channel=channel, state="late")
    window = plan_work(workspace)
    push(held, up=False)
    send.deliver_due()
    # What waits for the end, by the plan.
    assert channel.beliefs.get(monitor=held).check_at == window.ends_at
    maintenance_windows.end_now(window=window)
    assert due(channel) == [is_down.pk, held.pk]
    send.deliver_due()
    assert memory.events("a") == [DOWN, DOWN, UP, DOWN]


def test_the_end_of_maintenance_over_many_monitors_costs_as_many_statements_as_over_one(memory):
    numbers = []
    for count in (1, 40):
        workspace = make_workspace()
        box_for(workspace)
        monitors = [make_monitor(workspace=workspace) for _ in range(count)]
        push(*monitors, up=False)
        send.deliver_due()
        push(*monitors)
        window = plan_work(workspace)
        with CaptureQueriesContext(connection) as statements:
            maintenance_windows.end_now(window=window)
        numbers.append(len(statements))
    assert numbers[0] == numbers[1]


def plan_work(workspace):
    """A maintenance window over all monitors, which has begun."""
    now = database_now()
    begun, ends = now - timedelta(minutes=1), now + timedelta(hours=1)
    return maintenance_windows.plan(
        workspace=workspace, name="Work", all_monitors=True, starts_at=begun, ends_at=ends
    )


def test_what_happened_while_a_channel_was_disabled_is_no_news(memory):
    monitor, channel = notified(memory)
    push(monitor)
    send.deliver_due()
    channel.enabled = False
    channel.save()
    push(monitor, up=False)
    push(monitor)
    channel.enabled = True
    channel.save()
    recheck(channel=channel, skip_finished=True)
    send.deliver_due()
    assert memory.events("a") == [DOWN, UP]


# --- A clock that is set back -----------------------------------------------------------------------


def set_clock_back(**length):
    """What happened before is in the future, by the clock as it is now, and a web process notices it."""
    by = timedelta(**length)
    age(seconds=-by.total_seconds())
    with transaction.atomic():
        signals.clock_set_back.send(sender=None, by=by)


def test_what_happened_before_a_clock_is_set_back_is_sent_at_once(memory):
    monitor = make_monitor()
    box_for(monitor.workspace)
    push(monitor, up=False)
    set_clock_back(hours=1)
    send.deliver_due()
    assert memory.events("a") == [DOWN]


def test_a_retry_and_a_pause_last_no_longer_because_a_clock_is_set_back(memory):
    monitor = make_monitor()
    channel = box_for(monitor.workspace)
    memory.answers = {"a": "busy"}
    push(monitor, up=False)
    send.deliver_due()
    memory.answers = {}
    channel.refresh_from_db()
    wait = channel.paused_until - database_now()
    set_clock_back(hours=1)
    channel.refresh_from_db()
    assert channel.paused_until - database_now() <= wait
    deliver_after(seconds=wait.total_seconds() + 1)
    assert memory.events("a") == [DOWN]


def test_a_storm_lasts_no_longer_because_a_clock_is_set_back(memory):
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace) for _ in range(7)]
    box_for(workspace)
    push(*monitors, up=False)
    send.deliver_due()
    set_clock_back(days=1)
    assert send.deliver_due() == 0
    deliver_after(seconds=31)
    assert memory.events("a") == [DOWN] * 5 + ["digest"]


# --- Deletion --------------------------------------------------------------------------------------


def test_the_end_of_a_deleted_monitor_is_written_in_its_transaction(memory):
    monitor, _channel = notified(memory)
    sent = Delivery.objects.get()
    monitor_service.delete(monitor=monitor)
    ended = Delivery.objects.get()
    assert (ended.event, ended.reason, ended.status) == ("incident.ended", "deleted", "pending")
    assert (ended.outage, ended.sequence) == (sent.outage, 2)
    assert (ended.monitor, ended.incident) == (None, None)
    assert ended.about["monitor"] == monitor.name


@pytest.mark.parametrize("kind", ["memory", "single"])
def test_a_channel_without_recoveries_is_notified_of_a_deletion_too(memory, kind):
    monitor = make_monitor()
    box_for(monitor.workspace, kind=kind, on_recovery=False)
    push(monitor, up=False)
    send.deliver_due()
    monitor_service.delete(monitor=monitor)
    send.deliver_due()
    assert memory.events("a")[1:] == ["incident.ended"]


def test_a_deleted_monitor_about_which_nothing_is_open_is_not_ended(memory):
    monitor, _channel = notified(memory)
    push(monitor)
    send.deliver_due()
    monitor_service.delete(monitor=monitor)
    assert not Delivery.objects.exists()


def test_a_disabled_channel_is_sent_no_end(memory):
    monitor, channel = notified(memory)
    channel.enabled = False
    channel.save()
    monitor_service.delete(monitor=monitor)
    assert not Delivery.objects.exists()
