"""What holds when several write at once; each thread has a connection of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import AuditEntry
from core.clock import database_now
from monitors.domain.thresholds import Threshold, failures
from monitors.heartbeats import missed, recorder
from monitors.heartbeats.group_commit import GroupCommit
from monitors.heartbeats.listening import Listener
from monitors.heartbeats.pipeline import Pipeline
from monitors.heartbeats.push_token import digest_of
from monitors.heartbeats.rate_limit import Limiter
from monitors.heartbeats.recorder import Limited, Outcome
from monitors.heartbeats.rejections import Reason, RejectionLog
from monitors.models import Heartbeat, Incident, Monitor, MonitorState, PushToken, Transition
from monitors.services import monitors as monitor_service
from monitors.services import thresholds, tokens
from monitors.services.thresholds import OwnThresholds
from tests.support.factories import make_channel, make_monitor, make_workspace, secret_of
from tests.support.heartbeats import TooFast, arrival, let_pass, push, state_of, transitions_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
_PATIENCE = 20.0


class Threads:
    """Runs functions at once; each closes the connection it opened."""

    def __init__(self, number: int) -> None:
        self._pool = ThreadPoolExecutor(number)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self._pool.shutdown()

    def start(self, act: Callable[..., Any], *args: Any, **kwargs: Any):
        def run():
            try:
                return act(*args, **kwargs)
            finally:
                connection.close()

        return self._pool.submit(run)


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Start all at the same moment; return their results."""
    barrier = threading.Barrier(len(acts))

    def started_together(act):
        barrier.wait(_PATIENCE)
        return act()

    with Threads(len(acts)) as threads:
        futures = [threads.start(started_together, act) for act in acts]
        return [future.result(_PATIENCE) for future in futures]


def silent(**fields):
    monitor = make_monitor(**{"timeout": 60, "grace": 0, **fields})
    push(monitor)
    let_pass(monitor, minutes=10)
    return monitor


def test_two_sweeps_at_once_open_one_incident(announced):
    workspace = make_workspace()
    make_channel(workspace=workspace)
    for _ in range(10):
        silent(workspace=workspace)
    swept = at_once(*[lambda: missed.declare_missed(batch=3)] * 3)
    assert sum(each.missed for each in swept) == 10
    assert Incident.objects.count() == 10
    assert announced.events() == ["opened"] * 10


def test_one_locked_state_delays_its_own_pushes_only():
    workspace = make_workspace()
    locked, *others = [make_monitor(workspace=workspace) for _ in range(4)]
    pipeline = Pipeline(
        limiter=Limiter(),
        rejections=RejectionLog(),
        listener=Listener(tolerated=1),
        queue_limit=100,
        batch_limit=100,
    )
    order: list[Monitor] = []

    def submit(monitor: Monitor) -> Any:
        result = pipeline.submit(arrival(monitor))
        order.append(monitor)
        return result

    with Threads(8) as threads:
        with transaction.atomic():
            MonitorState.objects.select_for_update().get(monitor=locked)
            waiting = threads.start(submit, locked)
            if connection.features.has_select_for_update:
                done = [threads.start(submit, monitor) for monitor in others]
                assert [each.result(_PATIENCE) for each in done] == [Outcome.RECORDED] * 3
                assert not waiting.done()
        assert waiting.result(_PATIENCE) is Outcome.RECORDED
    pipeline.close()
    assert order[-1] == locked
    assert Heartbeat.objects.filter(monitor=locked).count() == 1


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no row locks")
def test_pushes_that_wait_for_a_locked_state_are_recorded_in_the_order_of_their_arrival():
    monitor = make_monitor()
    pipeline = Pipeline(
        limiter=Limiter(),
        rejections=RejectionLog(),
        listener=Listener(tolerated=1),
        queue_limit=100,
        batch_limit=100,
    )
    pushes = [arrival(monitor, up=number % 2 == 0, message=str(number)) for number in range(20)]

    async def send() -> list[Any]:
        return list(await asyncio.gather(*map(pipeline.submit_from_loop, pushes)))

    with Threads(1) as threads:
        with transaction.atomic():
            MonitorState.objects.select_for_update().get(monitor=monitor)
            sending = threads.start(lambda: asyncio.run(send()))
            # By then the first batches wait.
            time.sleep(0.5)
            assert not sending.done()
        outcomes = sending.result(_PATIENCE)
    pipeline.close()
    assert set(outcomes) == {Outcome.RECORDED}
    messages = Heartbeat.objects.order_by("pk").values_list("message", flat=True)
    assert list(messages) == [str(number) for number in range(20)]
    assert state_of(monitor).status == "down"


def test_an_unknown_token_is_unknown_whether_or_not_it_waits_for_locks():
    strange = arrival("a" * 32)
    for wait in (True, False):
        assert recorder.record([strange], wait=wait) == [Outcome.UNKNOWN_TOKEN]


def test_a_push_that_commits_first_keeps_the_monitor_up(announced):
    monitor = silent()
    make_channel(workspace=monitor.workspace)
    pushed = threading.Event()

    def look():
        assert pushed.wait(_PATIENCE)
        return missed.declare_missed()

    with Threads(1) as threads:
        swept = threads.start(look)
        with transaction.atomic():
            push(monitor)
            pushed.set()
        assert swept.result(_PATIENCE).missed == 0
    assert state_of(monitor).status == "up"
    # The silence before the push is told as what it was: over.
    assert announced.events() == ["opened", "resolved"]


def test_a_push_that_waits_for_the_sweep_resolves_what_the_sweep_opened(announced):
    monitor = silent()
    make_channel(workspace=monitor.workspace)
    swept = threading.Event()

    def push_meanwhile():
        assert swept.wait(_PATIENCE)
        return push(monitor)

    with Threads(1) as threads:
        outcome = threads.start(push_meanwhile)
        with transaction.atomic():
            assert missed.declare_missed().missed == 1
            swept.set()
        assert outcome.result(_PATIENCE) is Outcome.RECORDED
    incident, state = Incident.objects.get(), state_of(monitor)
    assert state.status == "up"
    assert incident.resolved_at == state.last_heartbeat_at > incident.detected_at
    assert announced.events() == ["opened", "resolved"]


def test_downs_reported_at_once_open_one_incident(announced):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    push(monitor)
    at_once(*[lambda: push(monitor, up=False)] * 6)
    assert Incident.objects.count() == 1
    assert announced.events() == ["opened"]
    assert Heartbeat.objects.count() == 7
    assert transitions_of(monitor) == [("new", "up", "heartbeat"), ("up", "down", "reported")]


def test_failures_reported_at_once_are_all_counted_and_confirm_once(announced):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    strict = OwnThresholds(missed=Threshold(6, 6), reported=Threshold(6, 6))
    thresholds.change(monitor=monitor, own=strict)
    at_once(*[lambda: push(monitor, up=False)] * 5)
    assert failures(state_of(monitor).recent_outcomes, 64) == 5
    assert Incident.objects.get().confirmed_at is None
    at_once(*[lambda: push(monitor, up=False)] * 3)
    assert Incident.objects.get().confirmed_at is not None
    assert announced.events() == ["opened"]


def test_sweeps_pushes_and_changed_thresholds_at_once_leave_what_the_thresholds_say(announced):
    monitor = silent()
    make_channel(workspace=monitor.workspace)
    thresholds.change(monitor=monitor, own=OwnThresholds(missed=Threshold(20, 20)))
    at_once(
        missed.declare_missed,
        lambda: push(monitor, up=False),
        missed.declare_missed,
        lambda: thresholds.change(monitor=monitor, own=OwnThresholds(missed=Threshold(2, 2))),
    )
    # By now either threshold is reached: that for missed heartbeats, or that for reports.
    assert Incident.objects.get().confirmed_at is not None
    assert announced.events() == ["opened"]
    assert state_of(monitor).due_at is None
    # Ten minutes are ten deadlines, each of which counts once at most.
    assert failures(state_of(monitor).recent_outcomes, 64) <= 11


def test_ups_and_downs_at_once_leave_a_chain_without_a_gap(announced):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    at_once(*[lambda up=up: push(monitor, up=up) for up in (True, False) * 6])
    chain = transitions_of(monitor)
    assert all(before[1] == after[0] for before, after in pairwise(chain))
    assert chain[-1][1] == state_of(monitor).status
    assert Heartbeat.objects.count() == 12
    falls = sum(target == "down" for _, target, _ in chain)
    assert Incident.objects.count() == falls
    assert announced.events().count("opened") == falls


def test_batches_that_share_monitors_in_opposite_order_do_not_lock_each_other_out():
    monitors = [make_monitor() for _ in range(8)]
    secrets = [secret_of(monitor) for monitor in monitors]

    def record(order):
        for _ in range(5):
            recorder.record([arrival(secret) for secret in order])

    at_once(lambda: record(secrets), lambda: record(secrets[::-1]), lambda: record(secrets[4:] + secrets[:4]))
    assert Heartbeat.objects.count() == 3 * 5 * 8


def test_a_heartbeat_has_the_time_after_the_lock_it_waited_for():
    monitor = make_monitor()
    push(monitor)
    held = threading.Event()

    def push_meanwhile():
        assert held.wait(_PATIENCE)
        push(monitor, message="second")

    with Threads(1) as threads:
        waiting = threads.start(push_meanwhile)
        with transaction.atomic():
            push(monitor, message="first")
            held.set()
        waiting.result(_PATIENCE)
    *_, first, second = Heartbeat.objects.order_by("id")
    assert (first.message, second.message) == ("first", "second")
    assert first.received_at <= second.received_at
    assert state_of(monitor).last_message == "second"


def up_push_that_waits_for(act, monitor):
    """Push up while `act` has changed the monitor and not committed yet; return once both are through."""
    secret = secret_of(monitor)
    changed = threading.Event()

    def push_meanwhile():
        assert changed.wait(_PATIENCE)
        return push(secret, message="waited")

    with Threads(1) as threads:
        waiting = threads.start(push_meanwhile)
        with transaction.atomic():
            act()
            changed.set()
            # Let the push come to the lock; where it is slower, it finds the change committed.
            time.sleep(0.1)
        assert waiting.result(_PATIENCE) is Outcome.RECORDED


def test_an_up_push_that_waits_for_a_down_one_resolves_its_incident(announced):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    push(monitor)
    up_push_that_waits_for(lambda: push(monitor, up=False), monitor)
    assert state_of(monitor).status == "up"
    incident = Incident.objects.get()
    assert incident.closing_message == "waited"
    assert incident.resolved_at >= incident.started_at
    assert announced.events().count("resolved") == 1


def test_an_up_push_that_waits_for_a_pause_finds_the_monitor_paused():
    monitor = make_monitor()
    push(monitor)
    up_push_that_waits_for(lambda: monitor_service.pause(monitor=monitor), monitor)
    state = state_of(monitor)
    assert (state.status, state.due_at, state.last_message) == ("paused", None, "waited")


def test_an_up_push_that_waits_for_an_edit_keeps_the_earlier_deadline():
    monitor = make_monitor(timeout=86_400, grace=0)
    push(monitor)
    up_push_that_waits_for(lambda: monitor_service.edit(monitor=monitor, timeout=60), monitor)
    state = state_of(monitor)
    assert (state.due_at - state.last_heartbeat_at).total_seconds() <= 60


def test_an_up_push_that_waits_for_a_rotation_does_no_harm():
    monitor = make_monitor()
    old = secret_of(monitor)
    with Threads(1) as threads:
        with transaction.atomic():
            tokens.rotate(token=monitor.tokens.get(), overlap=timedelta(0))
            waiting = threads.start(push, old)
            time.sleep(0.1)
        # It came while the token was good, and was decided after: either is right.
        assert waiting.result(_PATIENCE) in (Outcome.RECORDED, Outcome.UNKNOWN_TOKEN)
    assert push(old) is Outcome.UNKNOWN_TOKEN


def test_a_push_that_waits_for_an_edit_is_decided_by_the_new_schedule():
    monitor = make_monitor(timeout=900, grace=0)
    push(monitor)
    let_pass(monitor, minutes=10)
    edited = threading.Event()

    def push_meanwhile():
        assert edited.wait(_PATIENCE)
        push(secret)

    secret = secret_of(monitor)
    with Threads(1) as threads:
        waiting = threads.start(push_meanwhile)
        with transaction.atomic():
            monitor_service.edit(monitor=monitor, timeout=60)
            edited.set()
        waiting.result(_PATIENCE)
    assert Incident.objects.get().resolved_at
    assert state_of(monitor).status == "up"


def test_a_push_that_waits_for_a_lock_is_received_when_it_gets_it():
    monitor = make_monitor(timeout=60, grace=0)
    secret = secret_of(monitor)
    push(secret)
    held = threading.Event()

    def push_meanwhile():
        assert held.wait(_PATIENCE)
        push(secret)

    with Threads(1) as threads:
        waiting = threads.start(push_meanwhile)
        with transaction.atomic():
            # Nothing of the row changes while it is held.
            MonitorState.objects.select_for_update().get()
            held.set()
            time.sleep(1)
            released = database_now()
        waiting.result(_PATIENCE)
    assert state_of(monitor).last_heartbeat_at >= released


def test_pushes_and_edits_at_once_never_leave_a_deadline_too_late():
    monitor = make_monitor(timeout=600, grace=0)
    secret = secret_of(monitor)
    push(secret)

    def edit(timeout):
        for _ in range(3):
            monitor_service.edit(monitor=Monitor.objects.get(), timeout=timeout)

    at_once(
        lambda: edit(30),
        lambda: edit(90),
        lambda: [push(secret) for _ in range(10)],
        lambda: [push(secret) for _ in range(10)],
    )
    state = MonitorState.objects.select_related("monitor").get()
    assert state.due_at <= state.monitor.schedule.due_after(state.last_heartbeat_at).deadline


def test_pausing_during_pushes_loses_no_heartbeat_and_ends_paused():
    monitor = make_monitor()
    secret = secret_of(monitor)
    at_once(
        lambda: [push(secret, up=number % 2 == 0) for number in range(10)],
        lambda: monitor_service.pause(monitor=monitor),
    )
    assert state_of(monitor).status == "paused"
    assert Heartbeat.objects.count() == 10
    assert not Incident.objects.filter(resolved_at=None).exists()


def test_deleting_during_pushes_ends_in_unknown_tokens_and_no_fault():
    monitor = make_monitor()
    secret = secret_of(monitor)
    outcomes, _ = at_once(
        lambda: [push(secret, up=number % 2 == 0) for number in range(15)],
        lambda: monitor_service.delete(monitor=monitor),
    )
    assert set(outcomes) <= {Outcome.RECORDED, Outcome.UNKNOWN_TOKEN}
    assert push(secret) is Outcome.UNKNOWN_TOKEN
    assert not Transition.objects.exists()


def outcome_of(act, *args, **kwargs):
    """Return what `act` returns, or the error of a token that it raises."""
    try:
        return act(*args, **kwargs)
    except tokens.TokenError as error:
        return error


class Pusher:
    """Pushes with one secret in a thread of its own, until it is told to stop or out of patience."""

    def __init__(self, threads, record, secret):
        self._until = time.monotonic() + _PATIENCE / 2
        self._stop = threading.Event()
        self.pushed = threading.Event()
        self._outcomes = threads.start(self._push_on, record, secret)

    def _push_on(self, record, secret):
        outcomes = []
        while not self._stop.is_set():
            assert time.monotonic() < self._until, "nobody said to stop"
            (outcome,) = record([arrival(secret)])
            outcomes.append(outcome)
            self.pushed.set()
        return outcomes

    def stop(self):
        """Return the outcomes of all its pushes, in order."""
        self._stop.set()
        return self._outcomes.result(_PATIENCE)


def test_of_rotations_at_once_one_wins_and_the_others_find_an_overlap_running():
    monitor = make_monitor()
    old = secret_of(monitor)

    def rotate():
        return outcome_of(tokens.rotate, token=PushToken.objects.get(digest=tokens.digest_of(old)))

    results = at_once(*[rotate] * 4)
    (rotated,) = [result for result in results if isinstance(result, tokens.Rotated)]
    assert sum(isinstance(result, tokens.RotationInProgress) for result in results) == 3
    assert monitor.tokens.count() == 2
    assert push(old) is push(rotated.new.secret) is Outcome.RECORDED
    assert AuditEntry.objects.filter(action="token.rotated").count() == 1


def test_of_rotations_at_once_without_an_overlap_one_wins_and_the_others_find_the_token_gone():
    monitor = make_monitor()
    token = monitor.tokens.get()

    def rotate():
        return outcome_of(tokens.rotate, token=PushToken.objects.get(pk=token.pk), overlap=timedelta(0))

    results = at_once(*[rotate] * 4)
    assert sum(isinstance(result, tokens.Rotated) for result in results) == 1
    assert sum(isinstance(result, tokens.TokenInactive) for result in results) == 3
    assert monitor.tokens.valid().count() == 1


def test_rotations_forced_at_once_stand_in_one_line_and_leave_one_token_for_good():
    monitor = make_monitor()
    token = monitor.tokens.get()

    def rotate():
        return tokens.rotate(token=PushToken.objects.get(pk=token.pk), force=True)

    results = at_once(*[rotate] * 4)
    assert len({result.old.pk for result in results}) == 4
    assert monitor.tokens.count() == 5
    assert monitor.tokens.filter(replaced_by=None, expires_at=None).count() == 1


def test_a_rotation_with_an_overlap_costs_no_push():
    monitor = make_monitor()
    old = secret_of(monitor)
    with Threads(1) as threads:
        pusher = Pusher(threads, recorder.record, old)
        assert pusher.pushed.wait(_PATIENCE)
        new = tokens.rotate(token=monitor.tokens.get()).new
        assert push(new.secret) is Outcome.RECORDED
        outcomes = pusher.stop()
    assert set(outcomes) == {Outcome.RECORDED}
    assert Heartbeat.objects.count() == len(outcomes) + 1


@pytest.mark.parametrize("end", ["rotate", "revoke"])
def test_after_a_token_was_ended_it_records_nothing_and_before_it_no_push_is_lost(end):
    monitor = make_monitor()
    token, old = monitor.tokens.get(), secret_of(monitor)
    with Threads(3) as threads:
        group = GroupCommit(recorder.record, queue_limit=100, batch_limit=20)
        pushers = [Pusher(threads, lambda pushes: [group.submit(*pushes)], old) for _ in range(3)]
        for pusher in pushers:
            assert pusher.pushed.wait(_PATIENCE)
        if end == "rotate":
            tokens.rotate(token=token, overlap=timedelta(0))
        else:
            tokens.revoke(token=token)
        # One that had asked before may still wait for its lock; whoever asks now is refused.
        assert group.submit(arrival(old)) is Outcome.UNKNOWN_TOKEN
        outcomes = [pusher.stop() for pusher in pushers]
    for each in outcomes:
        recorded = each.count(Outcome.RECORDED)
        assert each == [Outcome.RECORDED] * recorded + [Outcome.UNKNOWN_TOKEN] * (len(each) - recorded)
    assert Heartbeat.objects.count() == sum(each.count(Outcome.RECORDED) for each in outcomes)


def test_the_label_and_the_last_use_of_a_token_do_not_undo_each_other():
    monitor = make_monitor()
    secret, token = secret_of(monitor), monitor.tokens.get()
    at_once(
        lambda: [push(secret) for _ in range(5)],
        lambda: tokens.rename(token=PushToken.objects.get(pk=token.pk), label="host-a"),
        lambda: tokens.rotate(token=PushToken.objects.get(pk=token.pk)),
    )
    token.refresh_from_db()
    assert token.label == "host-a"
    assert token.last_used_at
    assert token.replaced_by


def test_pushes_refused_at_once_are_all_counted():
    monitor = make_monitor(timeout=3600)
    secret = secret_of(monitor)
    push(secret)
    results = at_once(*[lambda: recorder.record([arrival(secret)] * 5, limiter=TooFast())] * 4)
    assert {type(result) for each in results for result in each} == {Limited}
    logs = [RejectionLog(by_itself=False) for _ in range(4)]
    for rejections in logs:
        for _ in range(5):
            rejections.note(digest_of(secret) or "", Reason.LIMIT, method="GET", source=None, detail="")
    at_once(*[rejections.write for rejections in logs])
    assert monitor.tokens.get().limited_count == 20
    assert Heartbeat.objects.count() == 1


def test_the_group_commit_records_each_of_many_pushes_once():
    monitors = [make_monitor() for _ in range(5)]
    secrets = [secret_of(monitor) for monitor in monitors]
    group = GroupCommit(recorder.record, queue_limit=1000, batch_limit=20)
    with Threads(16) as threads:
        futures = [
            threads.start(group.submit, arrival(secrets[number % 5], message=str(number)))
            for number in range(120)
        ]
        outcomes = {future.result(_PATIENCE) for future in futures}
    assert outcomes == {Outcome.RECORDED}
    messages = Heartbeat.objects.values_list("message", flat=True)
    assert sorted(messages, key=int) == [str(number) for number in range(120)]
