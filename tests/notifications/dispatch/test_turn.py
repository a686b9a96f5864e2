"""Turns: in calm weather each message alone, in a storm digests, retries under their ids, one at a time."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.actors import COMMAND
from core.clock import database_now
from monitors.locks import lock_monitor_to_delete
from monitors.models import Incident, Monitor, MonitorState
from monitors.services import incidents, maintenance_windows
from monitors.services import monitors as monitor_service
from notifications.dispatch import beliefs, enqueue, send, turn
from notifications.dispatch.beliefs import Wake
from notifications.messages.events import Event
from notifications.models import ChannelRule, Delivery, MonitorRules, WorkspaceRules
from notifications.services import channels as channel_service
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import age, box_for, deliver_after, make_delivery, push
from tests.support.sinks import Answer, HttpSink

pytestmark = pytest.mark.django_db
SENT, FAILED, SKIPPED = Delivery.Status.SENT, Delivery.Status.FAILED, Delivery.Status.SKIPPED
PENDING, SENDING, MERGED = Delivery.Status.PENDING, Delivery.Status.SENDING, Delivery.Status.MERGED
DOWN, UP, PASSED, DIGEST = "incident.opened", "incident.resolved", "incident.passed", "digest"
ENDED = "incident.ended"


def several(count, **fields):
    workspace = make_workspace()
    return workspace, [make_monitor(workspace=workspace, **fields) for _ in range(count)]


def named(outgoing):
    """The names of the monitors that a message is about."""
    payload = outgoing.payload
    listed = payload["digest"]["monitors"] if payload["digest"] else [payload["monitor"]]
    return [each["name"] for each in listed]


def storm(workspace, monitors):
    """Have all of `monitors` go down, so that those past the fifth are collected."""
    push(*monitors, up=False)
    send.deliver_due()


# --- Calm weather ----------------------------------------------------------------------------------


def test_each_change_of_a_monitor_is_sent_at_once_and_in_order(memory):
    """It used to be that the second outage came 25 s after it began."""
    workspace, [monitor] = several(1)
    box_for(workspace)
    for seconds, up, message in ((0, False, "disk full"), (4, True, "freed"), (8, False, "no network")):
        age(seconds=seconds)
        push(monitor, up=up, message=message)
        assert send.deliver_due() == 1
    assert memory.events("a") == [DOWN, UP, DOWN]
    assert [outgoing.payload["message"] for outgoing in memory.to("a")] == [
        "disk full",
        "freed",
        "no network",
    ]


def test_two_unrelated_outages_ten_seconds_apart_are_each_sent_at_once(memory):
    """It used to be that the second one came 21 s after it began."""
    workspace, monitors = several(2)
    box_for(workspace)
    for monitor in monitors:
        push(monitor, up=False)
        assert send.deliver_due() == 1
        age(seconds=10)
    assert [named(outgoing) for outgoing in memory.to("a")] == [[monitor.name] for monitor in monitors]


def test_five_outages_at_once_are_five_messages(memory):
    workspace, monitors = several(5)
    box_for(workspace)
    storm(workspace, monitors)
    assert memory.events("a") == [DOWN] * 5
    assert deliver_after(seconds=31) == 0


def test_what_happened_first_is_sent_first(memory):
    workspace, monitors = several(5)
    box_for(workspace)
    for monitor in reversed(monitors):
        push(monitor, up=False)
        age(seconds=1)
    send.deliver_due()
    assert [named(each) for each in memory.to("a")] == [[monitor.name] for monitor in reversed(monitors)]


def test_three_changes_before_anybody_looks_are_one_message_with_the_present_state(memory):
    workspace, [monitor] = several(1)
    box_for(workspace)
    for up in (False, True, False):
        push(monitor, up=up, message="up" if up else "down")
    send.deliver_due()
    assert memory.events("a") == [DOWN]


# --- Storms ----------------------------------------------------------------------------------------


def test_past_five_messages_in_30_s_the_rest_is_one_digest_per_channel(memory):
    workspace, monitors = several(8)
    box_for(workspace, "a")
    box_for(workspace, "b")
    storm(workspace, monitors[:7])
    age(seconds=20)
    push(monitors[7], up=False)
    assert send.deliver_due() == 0
    deliver_after(seconds=11)
    for box in ("a", "b"):
        assert memory.events(box) == [DOWN] * 5 + [DIGEST]
        notified = [name for outgoing in memory.to(box) for name in named(outgoing)]
        assert sorted(notified) == sorted(monitor.name for monitor in monitors)
        assert memory.to(box)[-1].payload["digest"]["count"] == 3


@pytest.mark.parametrize("burst", [1, 3])
def test_a_channel_has_its_own_limit(memory, burst):
    workspace, monitors = several(5)
    box_for(workspace, burst=burst)
    storm(workspace, monitors)
    deliver_after(seconds=31)
    assert memory.events("a") == [DOWN] * burst + [DIGEST]


def test_messages_that_come_slowly_are_never_collected(memory):
    workspace, monitors = several(9)
    box_for(workspace)
    for monitor in monitors:
        push(monitor, up=False)
        assert deliver_after(seconds=7) == 1
    assert memory.events("a") == [DOWN] * 9


def test_while_a_storm_lasts_a_digest_is_sent_every_30_s(memory):
    workspace, monitors = several(12)
    box_for(workspace)
    storm(workspace, monitors[:6])
    counts = []
    for monitor in monitors[6:]:
        push(monitor, up=False)
        counts.append(deliver_after(seconds=11))
    counts += [deliver_after(seconds=11) for _ in range(6)]
    # The last digest says nothing new, so it is not sent.
    assert counts == [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert set(memory.events("a")[5:]) == {DIGEST}
    notified = [name for outgoing in memory.to("a") for name in named(outgoing)]
    assert sorted(notified) == sorted(monitor.name for monitor in monitors)


def test_a_storm_ends_after_30_s_without_news(memory):
    workspace, monitors = several(8)
    box_for(workspace)
    storm(workspace, monitors[:7])
    deliver_after(seconds=31)
    assert memory.events("a") == [DOWN] * 5 + [DIGEST]
    assert deliver_after(seconds=31) == 0
    push(monitors[7], up=False)
    assert send.deliver_due() == 1
    assert memory.events("a")[6:] == [DOWN]


def test_the_only_news_of_a_storm_is_sent_as_a_message_of_its_own(memory):
    workspace, monitors = several(6)
    box_for(workspace)
    storm(workspace, monitors)
    deliver_after(seconds=31)
    assert memory.events("a") == [DOWN] * 6


def test_what_is_over_before_the_digest_is_in_it_as_over(memory):
    workspace, monitors = several(8)
    box_for(workspace)
    storm(workspace, monitors)
    age(seconds=5)
    push(monitors[5])
    deliver_after(seconds=26)
    digest = memory.to("a")[-1].payload["digest"]
    state = {each["name"]: each["incident"]["resolved_at"] for each in digest["monitors"]}
    assert state[monitors[5].name] is not None
    assert [state[monitor.name] for monitor in monitors[6:]] == [None, None]


def test_the_recoveries_of_a_storm_are_sent_the_same_way(memory):
    workspace, monitors = several(8)
    box_for(workspace)
    storm(workspace, monitors)
    deliver_after(seconds=31)
    assert deliver_after(minutes=2) == 0
    push(*monitors)
    send.deliver_due()
    assert memory.events("a")[6:] == [UP] * 5
    deliver_after(seconds=31)
    assert memory.events("a")[11:] == [DIGEST]
    assert not Delivery.objects.exclude(status=SENT).exists()


def test_acknowledging_during_a_storm_leaves_a_delayed_channel_alone(memory):
    workspace, monitors = several(8)
    box_for(workspace, "phone", delay=600)
    push(*monitors, up=False)
    assert send.deliver_due() == 0
    deliver_after(minutes=10, seconds=1)
    for monitor in monitors:
        incidents.acknowledge(incident=monitor.incidents.get(), by=COMMAND)
    deliver_after(seconds=31)
    assert memory.events("phone") == [DOWN] * 5


def test_a_receiver_that_keeps_records_is_sent_each_outage_alone_in_a_storm(memory):
    workspace, monitors = several(30)
    box_for(workspace, kind="single")
    push(*monitors, up=False)
    send.deliver_due()
    push(*monitors)
    send.deliver_due()
    assert memory.events("a") == [DOWN] * 30 + [UP] * 30
    threads = [outgoing.thread for outgoing in memory.to("a")]
    assert threads[:30] == threads[30:]
    assert len(set(threads)) == 30


def test_a_provider_that_wants_room_between_messages_gets_it(memory):
    workspace, [monitor] = several(1)
    box_for(workspace, kind="slow")
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    assert send.deliver_due() == 0
    deliver_after(seconds=11)
    assert memory.events("a") == [DOWN, UP]


def test_many_deleted_monitors_are_a_storm_like_any_other(memory):
    workspace, monitors = several(12)
    box_for(workspace)
    storm(workspace, monitors)
    deliver_after(seconds=31)
    age(minutes=5)
    for monitor in monitors:
        monitor_service.delete(monitor=monitor)
    before = len(memory.to("a"))
    send.deliver_due()
    assert memory.events("a")[before:] == [ENDED] * 5
    memory.answers = {"a": "failed"}
    deliver_after(seconds=31)
    memory.answers = {}
    deliver_after(seconds=31)
    assert memory.events("a")[before:] == [ENDED] * 5 + [DIGEST]
    ended = [name for outgoing in memory.to("a")[before:] for name in named(outgoing)]
    assert sorted(ended) == sorted(monitor.name for monitor in monitors)
    assert not Delivery.objects.exclude(status=SENT).exists()


def test_a_deletion_in_a_digest_that_is_outdated_is_sent_with_the_next_one(memory):
    workspace, monitors = several(7)
    box_for(workspace, burst=1)
    storm(workspace, monitors)
    deliver_after(seconds=31)
    push(monitors[0])
    monitor_service.delete(monitor=monitors[1])
    memory.answers = {"a": "failed"}
    deliver_after(seconds=31)
    memory.answers = {}
    before = len(memory.to("a"))
    push(monitors[0], up=False)
    deliver_after(seconds=31)
    for _ in range(3):
        deliver_after(seconds=31)
    about = [name for outgoing in memory.to("a")[before:] for name in named(outgoing)]
    assert sorted(about) == sorted([monitors[0].name, monitors[1].name])


# --- Digests ---------------------------------------------------------------------------------------


def in_a_digest(memory, count=7, answer="failed", **fields):
    """A channel with a digest of `count` - 5 monitors that was tried once."""
    workspace, monitors = several(count)
    channel = box_for(workspace, **fields)
    storm(workspace, monitors)
    memory.answers = {"a": answer}
    deliver_after(seconds=31)
    memory.answers = {}
    return channel, monitors


def test_the_records_in_a_digest_share_its_result(memory):
    channel, monitors = in_a_digest(memory)
    digest = Delivery.objects.get(event=Event.DIGEST)
    assert digest.status == PENDING
    assert set(digest.members.values_list("status", flat=True)) == {MERGED}
    deliver_after(seconds=10)
    assert [outgoing.id for outgoing in memory.to("a")][-1] == digest.public_id
    digest.refresh_from_db()
    assert set(digest.members.values_list("status", "sent_at")) == {(SENT, digest.sent_at)}
    assert channel.deliveries.filter(monitor__in=monitors).count() == 7


@pytest.mark.parametrize("answer", ["failed", "lost"])
def test_a_member_that_changes_leaves_its_digest_and_nothing_is_sent_twice(memory, answer):
    channel, monitors = in_a_digest(memory, 8, answer)
    digest = Delivery.objects.get(event=Event.DIGEST)
    tried = digest.members.get(monitor=monitors[5])
    push(monitors[5])
    deliver_after(seconds=10)
    deliver_after(seconds=31)
    for row in (digest, tried):
        row.refresh_from_db()
    assert (digest.status, digest.attempts.count()) == (SENT, 2)
    assert (tried.status, tried.note, tried.digest) == (SKIPPED, Delivery.Note.OUTDATED, digest)
    arrived = memory.to("a")[5:]
    retried = next(outgoing for outgoing in reversed(arrived) if outgoing.id == digest.public_id)
    assert named(retried) == [monitor.name for monitor in monitors[6:]]
    (over,) = (outgoing for outgoing in arrived if outgoing.id != digest.public_id)
    assert (over.payload["event"], named(over)) == (PASSED, [monitors[5].name])
    assert over.thread == tried.outage
    assert not channel.beliefs.exclude(delivery=None).exists()


def test_a_digest_of_which_all_members_change_is_closed(memory):
    channel, monitors = in_a_digest(memory)
    old = Delivery.objects.get(event=Event.DIGEST)
    keys = dict(old.members.values_list("monitor", "outage"))
    push(*monitors[5:])
    deliver_after(seconds=10)
    deliver_after(seconds=31)
    old.refresh_from_db()
    assert (old.status, old.note, old.attempts.count()) == (SKIPPED, Delivery.Note.OUTDATED, 1)
    assert set(old.members.values_list("status", flat=True)) == {SKIPPED}
    new = channel.deliveries.filter(status=SENT, monitor__in=monitors[5:])
    assert dict(new.values_list("monitor", "outage")) == keys
    assert set(new.values_list("event", flat=True)) == {PASSED}


def test_a_digest_of_which_some_members_changed_and_the_others_were_deleted_is_not_sent_again(memory):
    _channel, monitors = in_a_digest(memory)
    push(monitors[5])
    monitor_service.delete(monitor=monitors[6])
    for _ in range(3):
        deliver_after(seconds=31)
    digest = Delivery.objects.get(event=Event.DIGEST, members__note=Delivery.Note.OUTDATED)
    assert (digest.status, digest.attempts.count()) == (SKIPPED, 1)
    assert not Delivery.objects.filter(next_attempt_at__isnull=False).exists()


def test_a_digest_of_which_all_monitors_were_deleted_is_not_sent_again(memory):
    _channel, monitors = in_a_digest(memory)
    for monitor in monitors[5:]:
        monitor_service.delete(monitor=monitor)
    deliver_after(seconds=10)
    assert DIGEST not in memory.events("a")
    assert Delivery.objects.get(event=Event.DIGEST).status == SKIPPED


def test_a_member_whose_monitor_is_deleted_leaves_its_digest(memory):
    _channel, monitors = in_a_digest(memory, 8)
    monitor_service.delete(monitor=monitors[7])
    deliver_after(seconds=10)
    digest = next(each for each in memory.to("a") if each.payload["digest"])
    assert named(digest) == [monitor.name for monitor in monitors[5:7]]
    deliver_after(seconds=31)
    assert (memory.events("a")[-1], named(memory.to("a")[-1])) == (ENDED, [monitors[7].name])
    assert not Delivery.objects.exclude(status=SENT).exists()


def test_gone_is_the_end_of_a_digest_and_its_members(memory):
    channel, _monitors = in_a_digest(memory, answer="gone")
    assert set(channel.deliveries.values_list("status", flat=True)) == {SENT, FAILED}
    channel.refresh_from_db()
    assert not channel.enabled


def test_a_channel_is_deleted_with_a_digest_that_is_retried(memory):
    channel, _monitors = in_a_digest(memory)
    channel_service.delete(channel=channel)
    assert not Delivery.objects.exists()


def test_a_channel_is_deleted_while_a_digest_is_sent(memory):
    workspace, monitors = several(7)
    channel = box_for(workspace)
    storm(workspace, monitors)
    memory.on_arrival = lambda box, outgoing: channel_service.delete(channel=channel)
    deliver_after(seconds=31)
    assert memory.events("a") == [DOWN] * 5 + [DIGEST]
    assert not Delivery.objects.exists()


# --- Retries ---------------------------------------------------------------------------------------


def test_what_was_tried_is_tried_again_under_its_id_and_never_merged(memory):
    workspace, monitors = several(8)
    channel = box_for(workspace)
    memory.answers = {"a": "lost"}
    push(monitors[0], up=False)
    send.deliver_due()
    memory.answers = {}
    push(*monitors[1:], up=False)
    send.deliver_due()
    deliver_after(seconds=31)
    ids = [outgoing.id for outgoing in memory.to("a")]
    first = channel.deliveries.get(monitor=monitors[0])
    assert ids.count(first.public_id) == 2
    assert first.digest is None


def test_a_message_that_is_outdated_at_its_retry_is_closed_and_the_present_state_has_a_new_id(memory):
    workspace, [monitor] = several(1)
    channel = box_for(workspace)
    memory.answers = {"a": "lost"}
    push(monitor, up=False, message="disk full")
    send.deliver_due()
    memory.answers = {}
    push(monitor)
    push(monitor, up=False, message="no network")
    send.deliver_due()
    old, new = channel.deliveries.order_by("pk")
    assert (old.status, old.note, old.attempts.count()) == (SKIPPED, Delivery.Note.OUTDATED, 1)
    assert (new.status, new.attempts.count()) == (SENT, 1)
    assert old.outage == new.outage
    first, second = memory.to("a")
    assert first.id != second.id
    assert (second.payload["message"], second.thread) == ("no network", first.thread)


def test_a_message_that_is_still_true_keeps_its_id_through_all_its_retries(memory):
    workspace, [monitor] = several(1)
    box_for(workspace)
    memory.answers = {"a": "lost"}
    push(monitor, up=False)
    for _ in range(4):
        deliver_after(minutes=11)
        push(monitor, up=False)
    assert len({outgoing.id for outgoing in memory.to("a")}) == 1
    assert len(memory.to("a")) == 4


def test_a_recovery_that_is_retried_is_never_sent_as_down(memory):
    workspace, [monitor] = several(1)
    box_for(workspace)
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    memory.answers = {"a": "lost"}
    send.deliver_due()
    memory.answers = {}
    push(monitor, up=False)
    deliver_after(seconds=10)
    push(monitor)
    deliver_after(seconds=10)
    assert memory.events("a") == [DOWN, UP, DOWN, UP]
    assert len({outgoing.thread for outgoing in memory.to("a")}) == 1


def test_an_outage_over_before_it_arrived_is_sent_as_over(memory):
    workspace, [monitor] = several(1)
    box_for(workspace)
    memory.answers = {"a": "failed"}
    push(monitor, up=False)
    send.deliver_due()
    push(monitor)
    memory.answers = {}
    deliver_after(seconds=10)
    (arrived,) = memory.to("a")
    assert arrived.payload["event"] == PASSED
    assert not arrived.message.title.startswith("Down")


def test_other_monitors_do_not_wait_for_a_retry(memory):
    workspace, [one, two] = several(2)
    box_for(workspace)
    memory.answers = {"a": "failed"}
    push(one, up=False)
    send.deliver_due()
    memory.answers = {}
    push(two, up=False)
    send.deliver_due()
    assert [named(outgoing) for outgoing in memory.to("a")] == [[two.name]]
    deliver_after(seconds=10)
    assert [named(outgoing) for outgoing in memory.to("a")] == [[two.name], [one.name]]


def test_a_rate_limited_channel_gets_everything_later_and_merged():
    workspace, monitors = several(9)
    with HttpSink(Answer(429, {"Retry-After": "120"})) as sink:
        make_channel(workspace=workspace, config={"url": sink.url})
        push(monitors[0], up=False)
        send.deliver_due()
        for monitor in monitors[1:]:
            push(monitor, up=False)
            assert deliver_after(seconds=12) == 0
        deliver_after(seconds=30)
        for _ in range(2):
            deliver_after(seconds=31)
        bodies = [request.json for request in sink.requests]
    assert [body["event"] for body in bodies] == [DOWN, DOWN, DIGEST]
    assert bodies[0]["id"] == bodies[1]["id"]
    assert bodies[2]["digest"]["count"] == 8
    assert not Delivery.objects.exclude(status=SENT).exists()


def test_what_recovered_while_the_receiver_asked_for_a_pause_is_not_dropped(memory):
    workspace, monitors = several(3)
    box_for(workspace)
    memory.answers = {"a": "busy"}
    push(monitors[0], up=False)
    send.deliver_due()
    memory.answers = {}
    push(*monitors[1:], up=False)
    push(*monitors)
    assert deliver_after(seconds=100) == 0
    deliver_after(seconds=30)
    assert sorted(memory.events("a")) == [DIGEST, PASSED]
    names = [name for outgoing in memory.to("a") for name in named(outgoing)]
    assert sorted(names) == sorted(monitor.name for monitor in monitors)
    assert not [outgoing for outgoing in memory.to("a") if "Down" in outgoing.message.title]


# --- Going away ------------------------------------------------------------------------------------


def test_a_disabled_channel_gives_up_a_digest_and_is_sent_the_present_state_once_enabled(memory):
    channel, monitors = in_a_digest(memory)
    channel_service.edit(channel=channel, enabled=False)
    deliver_after(minutes=2)
    digest = Delivery.objects.get(event=Event.DIGEST)
    assert digest.status == FAILED
    assert "disabled" in digest.attempts.last().detail
    assert set(digest.members.values_list("status", flat=True)) == {FAILED}
    push(monitors[5])
    deliver_after(minutes=2)
    assert memory.events("a") == [DOWN] * 5
    channel_service.edit(channel=channel, enabled=True)
    recheck_enabled(channel)
    send.deliver_due()
    assert sorted(memory.events("a")[5:]) == [DOWN, PASSED]


def recheck_enabled(channel):
    channel.refresh_from_db()
    with transaction.atomic():
        enqueue.recheck(channel=channel, skip_finished=True)


# --- Cost ------------------------------------------------------------------------------------------


def queries_of_a_turn(count, *, collected):
    """Let `count` monitors with every rule be down, and return how many queries a turn about them takes."""
    workspace, now = make_workspace(), database_now()
    WorkspaceRules.objects.create(workspace=workspace, remind_every=600)
    due = now - timedelta(seconds=1)
    channel = box_for(
        workspace,
        on_late=True,
        digest_at=now if collected else None,
        quiet_from=(now + timedelta(hours=2)).time(),
        quiet_until=(now + timedelta(hours=3)).time(),
    )
    monitors = Monitor.objects.bulk_create(
        [Monitor(workspace=workspace, name=f"{n}", slug=f"{n}", timeout=60, grace=0) for n in range(count)]
    )
    MonitorState.objects.bulk_create(
        [MonitorState(monitor=monitor, status="down", status_changed_at=due) for monitor in monitors]
    )
    MonitorRules.objects.bulk_create([MonitorRules(monitor=monitor, remind_most=3) for monitor in monitors])
    ChannelRule.objects.bulk_create(
        [ChannelRule(monitor=monitor, channel=channel, events=["down", "late"]) for monitor in monitors]
    )
    maintenance_windows.plan(
        workspace=workspace, name="Work", starts_at=now, ends_at=now + timedelta(hours=1), tags=["other"]
    )
    since = {"started_at": due, "detected_at": due, "confirmed_at": due, "cause": "reported"}
    Incident.objects.bulk_create([Incident(monitor=monitor, **since) for monitor in monitors])
    beliefs.wake([Wake(monitor.pk, channel.pk, 0) for monitor in monitors], at=due)
    with CaptureQueriesContext(connection) as queries:
        claim = turn.take_turn(channel.pk)
    members = Delivery.objects.filter(digest=claim.delivery_id).count()
    assert members == (count if collected else 0)
    return len(queries)


@pytest.mark.parametrize("collected", [False, True])
def test_a_turn_about_600_monitors_takes_as_many_queries_as_one_about_2(memory, collected):
    assert queries_of_a_turn(2, collected=collected) == queries_of_a_turn(600, collected=collected)


# --- Several at once -------------------------------------------------------------------------------


def in_threads(*functions):
    """Run `functions` in threads at once and return what they returned."""
    barrier, results = threading.Barrier(len(functions)), []

    def run(function):
        try:
            barrier.wait()
            results.append(function())
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == len(functions), "a thread failed"
    return results


@pytest.mark.django_db(transaction=True)
def test_two_workers_write_one_digest_of_a_storm(memory):
    workspace, monitors = several(9)
    box_for(workspace)
    push(*monitors, up=False)
    for _ in range(3):
        in_threads(send.deliver_due, send.deliver_due)
        age(seconds=31)
    assert memory.events("a") == [DOWN] * 5 + [DIGEST]
    assert Delivery.objects.get(event=Event.DIGEST).members.count() == 4


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_claim_the_same_message(memory):
    workspace, monitors = several(2)
    for _ in range(5):
        channel = box_for(workspace)
        for monitor in monitors:
            make_delivery(channel, monitor, incident=monitor.incidents.first())
        claims = in_threads(*[lambda pk=channel.pk: turn.take_turn(pk) for _ in range(3)])
        assert len([claim for claim in claims if claim]) == 1
        assert channel.deliveries.filter(status=SENDING).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_monitor_that_is_being_deleted_is_left_out_without_waiting(memory):
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("one transaction writes at a time here")
    workspace, monitors = several(3)
    channel = box_for(workspace)
    push(*monitors, up=False)
    with transaction.atomic():
        lock_monitor_to_delete(monitors[0])
        (claim,) = in_threads(lambda: turn.take_turn(channel.pk))
        monitor_service.delete(monitor=monitors[0])
    assert Delivery.objects.get(pk=claim.delivery_id).monitor == monitors[1]


@pytest.mark.django_db(transaction=True)
def test_a_monitor_deleted_between_the_turn_and_the_result_is_ended_there(memory):
    workspace, [monitor] = several(1)
    channel = box_for(workspace)
    push(monitor, up=False)
    memory.on_arrival = lambda box, outgoing: monitor_service.delete(monitor=monitor)
    memory.answers = {"a": "taken"}
    claim = turn.take_turn(channel.pk)
    assert send.attempt(claim) is False
    memory.on_arrival = lambda box, outgoing: None
    send.deliver_due()
    assert memory.events("a") == [DOWN, "incident.ended"]
    assert len({outgoing.thread for outgoing in memory.to("a")}) == 1
