"""One statement records what changes no status, as the transaction for all others would."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitors.heartbeats import quiet, recorder
from monitors.heartbeats.connection import OwnConnection
from monitors.heartbeats.parser import Push
from monitors.heartbeats.push_token import digest_of
from monitors.heartbeats.recorder import Arrival, Outcome
from monitors.locks import lock_state
from monitors.models import Heartbeat, Monitor, MonitorState, PushToken, Transition
from monitors.services import monitors as monitor_service
from monitors.services import tokens
from tests.support.factories import make_monitor, make_workspace, secret_of
from tests.support.heartbeats import TooFast, push, state_of

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def in_one_statement() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("The statement is PostgreSQL's.")


# --- The same as in the transaction -----------------------------------------------------------------

KINDS = ("up", "over", "new", "down", "paused", "ruled", "required", "post only", "revoked", "unknown")


def make(kind: str, workspace: object) -> list[str]:
    """Return the secrets of a new monitor of a kind; those of its two tokens, if it has any."""
    if kind == "unknown":
        return [tokens.new_secret(), tokens.new_secret()]
    fields: dict[str, object] = {
        "ruled": {"value_min": 0, "value_max": 10},
        "required": {"value_required": True},
        "post only": {"post_only": True},
    }.get(kind, {})
    monitor = make_monitor(workspace=workspace, timeout=3600, **fields)
    secrets = [secret_of(monitor), tokens.issue(monitor=monitor).secret]
    if kind != "new":
        push(secrets[0], up=kind != "down", value=5)
    if kind == "paused":
        monitor_service.pause(monitor=monitor)
    if kind == "over":
        # All of its set times are over.
        MonitorState.objects.filter(monitor=monitor).update(due_at=None)
    if kind == "revoked":
        for token in monitor.tokens.all():
            tokens.revoke(token=token)
    return secrets


sent = st.builds(
    Push,
    up=st.sampled_from([True, True, True, False]),
    message=st.sampled_from(["OK", "a", "x" * 500, 'quo"te', "back\\slash", "{NULL}", "é\U0001f600"]),
    value=st.sampled_from([None, 0.0, -1.0, 5.0, 1e300, 12.25]),
    unreadable=st.sampled_from(["", "", "", "12,,3"]),
)
batches = st.lists(
    st.tuples(
        st.integers(0, len(KINDS) - 1),
        st.integers(0, 1),
        sent,
        st.booleans(),
        st.sampled_from([None, "192.0.2.7", "2001:db8::1"]),
    ),
    min_size=1,
    max_size=12,
)


def rows_of(secrets: list[list[str]]) -> list[object]:
    """Return all that is stored of the monitors with these tokens, without its times."""
    found: list[object] = []
    for first, second in secrets:
        digests = [digest_of(first), digest_of(second)]
        for monitor in Monitor.objects.filter(tokens__digest=digests[0]):
            state = MonitorState.objects.get(monitor=monitor)
            beats = Heartbeat.objects.filter(monitor=monitor).order_by("pk")
            found.append(
                (
                    (state.status, state.last_message, state.last_value, state.recent_outcomes),
                    (state.due_at is None, state.last_heartbeat_at == beats[len(beats) - 1].received_at)
                    if beats
                    else None,
                    [
                        (each.status, each.message, each.value, each.source, digests.index(of_token(each)))
                        for each in beats
                    ],
                    [(each.cause, each.resolved_at is None) for each in monitor.incidents.order_by("pk")],
                    Transition.objects.filter(monitor=monitor).count(),
                    [
                        (token.last_used_at is None, token.last_used_from)
                        for token in monitor.tokens.order_by("pk")
                    ],
                )
            )
    return found


def of_token(heartbeat: Heartbeat) -> str:
    return str(PushToken.objects.get(pk=heartbeat.token_id).digest)


@pytest.fixture
def secrets(in_one_statement, db) -> list[list[str]]:
    workspace = make_workspace()
    return [make(kind, workspace) for kind in KINDS]


# Each example is undone.
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=batches, too_fast=st.booleans())
def test_a_batch_is_recorded_as_the_transaction_records_it(secrets, batch, too_fast):
    arrivals = [
        Arrival(digest_of(secrets[kind][token]) or "", each, posted, source)
        for kind, token, each, posted, source in batch
    ]
    limiter = TooFast() if too_fast else None
    ways = []
    for one_statement in (True, False):
        with transaction.atomic(), pytest.MonkeyPatch.context() as patch:
            if not one_statement:
                patch.setattr(recorder, "record_quiet", lambda *args, **options: None)
                patch.setattr(recorder, "_reject_limited", lambda arrivals, over: [None] * len(arrivals))
            ways.append((recorder.record(arrivals, limiter=limiter), rows_of(secrets)))
            transaction.set_rollback(True)
    assert ways[0] == ways[1]


def test_a_monitor_without_a_further_deadline_gets_its_pushes(in_one_statement):
    monitor = make_monitor(timeout=3600)
    push(monitor)
    MonitorState.objects.filter(monitor=monitor).update(due_at=None)
    batch = [Arrival(digest_of(secret_of(monitor)) or "", Push(True, text)) for text in ("a", "b")]
    assert recorder.record(batch) == [Outcome.RECORDED] * 2
    assert state_of(monitor).last_message == "b"


@pytest.mark.parametrize("count", [1, 63, 64, 65])
def test_as_many_outcomes_are_remembered_as_there_is_room_for(count):
    monitor = make_monitor(timeout=3600)
    push(monitor, up=False)
    push(monitor)
    arrivals = [Arrival(digest_of(secret_of(monitor)) or "", Push(True, "OK"))] * count
    assert recorder.record(arrivals) == [Outcome.RECORDED] * count
    # The failure is 1 + count heartbeats ago.
    expected = 1 << (1 + count) if 1 + count < 64 else 0
    assert state_of(monitor).recent_outcomes % 2**64 == expected


# --- At once ------------------------------------------------------------------------------------------


@pytest.fixture
def connections_of_two() -> Iterator[list[OwnConnection]]:
    both = [OwnConnection(), OwnConnection()]
    yield both
    for each in both:
        each.close()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_two_processes_on_the_same_tokens_leave_each_state_at_its_newest_heartbeat(
    in_one_statement, connections_of_two
):
    workspace = make_workspace()
    digests = [digest_of(secret_of(make_monitor(workspace=workspace, timeout=3600))) or "" for _ in range(40)]
    recorder.record([Arrival(digest, Push(True, "first")) for digest in digests])
    until = time.monotonic() + 4

    def run(number: int) -> int:
        done = 0
        while time.monotonic() < until:
            # Each in an order of its own.
            order = digests[done % 40 :] + digests[: done % 40]
            batch = [
                Arrival(digest, Push(True, f"{number}-{done}-{place}"))
                for place, digest in enumerate(order[::-1] if number else order)
            ]
            with connections_of_two[number].used():
                results = recorder.record(batch, wait=False)
            assert set(results) <= {Outcome.RECORDED, Outcome.LOCKED}
            done += results.count(Outcome.RECORDED)
        return done

    with ThreadPoolExecutor(2) as threads:
        recorded = sum(threads.map(run, (0, 1)))
    assert recorded > 80
    assert Heartbeat.objects.count() == 40 + recorded
    for state in MonitorState.objects.all():
        newest = Heartbeat.objects.filter(monitor_id=state.monitor_id).order_by("-received_at", "-pk").first()
        assert newest is not None
        assert (state.last_heartbeat_at, state.last_message) == (newest.received_at, newest.message)


@pytest.mark.django_db(transaction=True)
def test_a_locked_state_holds_up_no_other_monitor(in_one_statement, connections_of_two):
    held, free = (make_monitor(timeout=3600) for _ in range(2))
    for monitor in (held, free):
        push(monitor)
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            lock_state(held)
            locked.set()
            assert done.wait(20)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(20)
    batch = [Arrival(digest_of(secret_of(each)) or "", Push(True, "again")) for each in (held, free)]
    try:
        with connections_of_two[0].used():
            assert recorder.record(batch, wait=False) == [Outcome.LOCKED, Outcome.RECORDED]
            assert quiet.record_quiet(batch, [True, True], use_is_old_after=60) is None
    finally:
        done.set()
        holder.join()
    assert [state_of(each).last_message for each in (held, free)] == ["OK", "again"]
    with connections_of_two[0].used():
        assert recorder.record(batch, wait=False) == [Outcome.RECORDED] * 2


@pytest.mark.django_db(transaction=True)
def test_if_the_rest_of_a_batch_fails_what_was_recorded_before_stays(in_one_statement, monkeypatch):
    calm, down = make_monitor(timeout=3600), make_monitor(timeout=3600)
    push(calm)

    def fail(*args: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(recorder, "_record_others", fail)
    batch = [Arrival(digest_of(secret_of(each)) or "", Push(each is calm, "second")) for each in (calm, down)]
    with pytest.raises(recorder.PartlyRecorded) as raised:
        recorder.record(batch)
    assert raised.value.results == [Outcome.RECORDED, None]
    assert isinstance(raised.value.error, ZeroDivisionError)
    assert state_of(calm).last_message == "second"
    assert not Heartbeat.objects.filter(monitor=down).exists()
