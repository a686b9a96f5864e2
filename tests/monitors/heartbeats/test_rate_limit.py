"""How often a token may push: what is counted, what is refused, and what is said of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import F
from hypothesis import given
from hypothesis import strategies as st
from redis import Redis as Client

from core.clock import database_now
from monitors.heartbeats import rate_limit, recorder
from monitors.heartbeats.push_token import digest_of
from monitors.heartbeats.rate_limit import Limiter, LocalStore, Over, RedisStore
from monitors.heartbeats.recorder import Limited, Outcome
from monitors.heartbeats.rejections import Reason, RejectionLog
from monitors.models import Heartbeat, Monitor, MonitorState, PushToken
from monitors.services import tokens
from tests.support.factories import make_monitor, make_workspace, secret_of
from tests.support.heartbeats import Queries, TooFast, arrival, let_pass, push, quiet_statements, state_of
from tests.support.servers import Redis, redis_server

RECORDED, UNKNOWN = Outcome.RECORDED, Outcome.UNKNOWN_TOKEN
TOKEN, OTHER = "a" * 64, "b" * 64


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def local(clock):
    return LocalStore(clock=clock)


@pytest.fixture
def rate_of_60(settings):
    settings.TIANJI_PUSH_RATE = 60


def through(store, digest, number, *, rate=60):
    """How many of `number` pushes at once are counted."""
    return store.take([(digest, rate)] * number).count(0)


# --- counting in one process


@pytest.mark.parametrize(("rate", "burst"), [(60, 30), (1, 1), (2, 1), (3, 1), (4, 2), (6000, 3000)])
def test_a_burst_is_half_a_minutes_pushes_and_at_least_one(local, rate, burst):
    assert rate_limit.burst_of(rate) == burst
    assert through(local, TOKEN, burst + 10, rate=rate) == burst


def test_after_a_burst_pushes_are_counted_at_the_rate(local, clock):
    through(local, TOKEN, 30)
    clock.now += 0.9
    assert through(local, TOKEN, 1) == 0
    clock.now += 0.1
    assert through(local, TOKEN, 2) == 1
    clock.now += 10
    assert through(local, TOKEN, 20) == 10


def test_after_half_a_minute_of_silence_a_full_burst_may_come_again(local, clock):
    through(local, TOKEN, 30)
    clock.now += 30
    assert through(local, TOKEN, 40) == 30


def test_a_sender_that_keeps_to_the_rate_never_waits(local, clock):
    for _ in range(1000):
        assert local.take([(TOKEN, 60)]) == [0]
        clock.now += 1


def test_the_wait_says_when_the_next_push_is_counted(local, clock):
    through(local, TOKEN, 30)
    (wait,) = local.take([(TOKEN, 60)])
    assert wait == pytest.approx(1)
    clock.now += wait
    assert through(local, TOKEN, 1) == 1


def test_what_comes_too_fast_is_not_counted_against_the_sender(local, clock):
    through(local, TOKEN, 1000)
    clock.now += 1
    assert through(local, TOKEN, 1) == 1


def test_one_tokens_pushes_are_not_counted_against_another(local):
    through(local, TOKEN, 1000)
    assert through(local, OTHER, 10) == 10


def test_a_rate_that_was_raised_counts_at_once(local, clock):
    through(local, TOKEN, 5, rate=1)
    (wait,) = local.take([(TOKEN, 60)])
    assert wait <= 1


@given(
    st.integers(1, 100_000),
    st.lists(st.floats(0, 5, allow_nan=False, allow_infinity=False), min_size=1, max_size=300),
)
def test_whatever_a_sender_does_no_more_than_rate_and_burst_are_counted(rate, pauses):
    clock = Clock()
    store = LocalStore(clock=clock)
    started, counted = clock.now, 0
    for pause in pauses:
        clock.now += pause
        (wait,) = store.take([(TOKEN, rate)])
        assert 0 <= wait <= 60 / rate + 1e-6
        counted += not wait
    assert counted <= rate_limit.burst_of(rate) + (clock.now - started) * rate / 60 + 1e-3


def test_the_memory_is_bounded_and_keeps_limited_tokens(clock):
    store = LocalStore(most=100, clock=clock)
    for number in range(90):
        store.take([(f"gone {number}", 60)])
    clock.now += 5
    through(store, TOKEN, 30)
    for number in range(20):
        store.take([(f"new {number}", 60)])
    assert len(store) <= 100
    assert through(store, TOKEN, 1) == 0


def test_even_a_flood_of_tokens_at_once_is_bounded(clock):
    store = LocalStore(most=100, clock=clock)
    for number in range(1000):
        store.take([(f"{number}", 60)])
        assert len(store) <= 100


# --- whose rate it is


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("monitor", "workspace", "rate"),
    [(None, None, 60), (None, 100, 100), (5, 100, 5), (5, None, 5), (0, 100, 0), (None, 0, 0)],
)
def test_a_monitors_rate_wins_over_its_workspaces_and_that_over_the_setting(
    rate_of_60, monitor, workspace, rate
):
    of = make_monitor(push_rate=monitor, workspace=make_workspace())
    of.workspace.push_rate = workspace
    assert rate_limit.rate_of(of) == rate


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("default", "monitor", "workspace", "most"),
    [
        (60, None, None, 30),
        (60, 4, None, 2),
        (60, None, 4, 2),
        (60, 8, 4, 4),
        (60, 0, None, 40),
        (60, None, 0, 40),
        (0, None, None, 40),
        (0, 4, None, 2),
    ],
)
def test_pushes_are_refused_by_the_rate_that_is_in_force(settings, default, monitor, workspace, most):
    settings.TIANJI_PUSH_RATE = default
    of = make_monitor(timeout=3600, push_rate=monitor)
    of.workspace.push_rate = workspace
    of.workspace.save()
    secret, limiter = secret_of(of), Limiter()
    results = [push(secret, limiter=limiter) for _ in range(40)]
    # A rate of its own is learnt from the first push.
    assert most <= results.count(RECORDED) <= most + 1


@pytest.mark.django_db
def test_a_removed_limit_rejects_no_push(rate_of_60):
    monitor = make_monitor(timeout=3600)
    secret, limiter = secret_of(monitor), Limiter()
    for _ in range(40):
        push(secret, limiter=limiter)
    Monitor.objects.update(push_rate=0)
    assert push(secret, limiter=limiter) is RECORDED


def test_rate_0_queries_nothing():
    limiter = Limiter(shared=Unasked(), local=Unasked())
    assert limiter.ask([TOKEN, OTHER]) == [None, None]


class Unasked(LocalStore):
    def take(self, requests):
        raise AssertionError("was asked")


def test_only_rate_limited_tokens_of_a_batch_are_checked_each_with_its_own_answer():
    class OverviewParams(LocalStore):
        def take(self, requests):
            given.extend(requests)
            return [2.0 for _ in requests]

    given: list[tuple[str, int]] = []
    limiter = Limiter(local=OverviewParams())
    limiter.learn({OTHER: 5, "c": 0})
    assert limiter.ask([TOKEN, OTHER, "c", OTHER]) == [None, Over(2.0, 5), None, Over(2.0, 5)]
    assert given == [(OTHER, 5), (OTHER, 5)]


def test_a_rate_that_is_no_longer_its_own_is_forgotten(rate_of_60):
    limiter = Limiter(local=LocalStore(clock=Clock()))
    limiter.learn({TOKEN: 1})
    assert limiter.ask([TOKEN] * 3)[1:] == [Over(60.0, 1)] * 2
    limiter.learn({TOKEN: None})
    assert limiter.ask([TOKEN]) == [Over(1.0, None)]


def test_cached_look_ups_are_bounded_too(monkeypatch):
    monkeypatch.setattr(rate_limit, "_TOKENS_REMEMBERED", 10)
    limiter = Limiter()
    for number in range(100):
        limiter.learn({str(number): 5})
    assert len(limiter._push_rates) <= 11


# --- what is refused


def too_fast(target, **lines):
    return push(target, limiter=TooFast(), **lines)


@pytest.mark.django_db
def test_an_up_that_would_change_nothing_is_refused_and_writes_no_heartbeat():
    monitor = make_monitor(timeout=3600)
    push(monitor, message="first")
    before = MonitorState.objects.values().get()
    assert too_fast(monitor, message="second") == Limited(retry_after=1)
    assert MonitorState.objects.values().get() == before
    assert Heartbeat.objects.get().message == "first"


@pytest.mark.django_db
def test_to_a_paused_monitor_too_it_is_refused():
    monitor = make_monitor()
    MonitorState.objects.update(status="paused")
    assert too_fast(monitor) == Limited(retry_after=1)


@pytest.mark.django_db
@pytest.mark.parametrize(("wait", "seconds"), [(0.001, 1), (1.0, 1), (1.2, 2), (59.9, 60)])
def test_the_wait_is_in_whole_seconds_and_at_least_one(wait, seconds):
    monitor = make_monitor(timeout=3600)
    push(monitor)
    assert push(monitor, limiter=TooFast(wait)) == Limited(retry_after=seconds)


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["new", "up", "down", "paused"])
def test_a_down_is_always_taken(status):
    monitor = make_monitor(timeout=3600)
    if status == "paused":
        MonitorState.objects.update(status="paused")
    elif status != "new":
        push(monitor, up=status == "up")
    assert too_fast(monitor, up=False) is RECORDED


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["new", "down"])
def test_an_up_that_brings_a_monitor_up_is_always_taken(status):
    monitor = make_monitor(timeout=3600)
    if status == "down":
        push(monitor, up=False)
    assert too_fast(monitor) is RECORDED
    assert state_of(monitor).status == "up"


@pytest.mark.django_db
def test_an_up_after_an_unseen_deadline_is_always_taken():
    monitor = make_monitor(timeout=60, grace=0)
    push(monitor)
    let_pass(monitor, minutes=2)
    assert too_fast(monitor) is RECORDED
    assert monitor.incidents.get().resolved_at


@pytest.mark.django_db
def test_an_up_is_taken_once_half_the_time_to_the_deadline_is_over():
    monitor = make_monitor(timeout=100, grace=0)
    push(monitor)
    let_pass(monitor, seconds=45)
    assert too_fast(monitor) == Limited(retry_after=1)
    let_pass(monitor, seconds=10)
    assert too_fast(monitor) is RECORDED
    assert too_fast(monitor) == Limited(retry_after=1)


@pytest.mark.django_db
@pytest.mark.parametrize("every", [10, 20, 25, 29])
def test_a_sender_that_would_keep_its_monitor_up_keeps_it_up_whatever_is_refused(every):
    monitor = make_monitor(timeout=30, grace=0)
    push(monitor)
    for _ in range(12):
        let_pass(monitor, seconds=every)
        too_fast(monitor)
    assert not monitor.incidents.exists()


@pytest.mark.django_db
def test_one_that_another_push_of_its_batch_makes_needed_is_taken():
    monitor = make_monitor(timeout=3600)
    push(monitor)
    results = recorder.record(
        [arrival(monitor), arrival(monitor, up=False), arrival(monitor), arrival(monitor)], limiter=TooFast()
    )
    assert results == [Limited(1), RECORDED, RECORDED, Limited(1)]
    assert state_of(monitor).status == "up"
    assert monitor.incidents.get().resolved_at


@pytest.mark.django_db
def test_of_a_new_monitors_batch_the_first_up_is_taken():
    monitor = make_monitor()
    results = recorder.record([arrival(monitor)] * 3, limiter=TooFast())
    assert results == [RECORDED, Limited(1), Limited(1)]


@pytest.mark.django_db
def test_two_tokens_of_one_monitor_are_judged_by_what_each_does_to_it():
    monitor = make_monitor(timeout=3600)
    first, second = secret_of(monitor), tokens.issue(monitor=monitor).secret
    push(first)
    results = recorder.record([arrival(first, up=False), arrival(second)], limiter=TooFast())
    assert results == [RECORDED, RECORDED]


@pytest.mark.django_db
def test_a_token_that_was_counted_by_another_rate_than_its_own_is_not_refused():
    monitor = make_monitor(timeout=3600, push_rate=6000)
    push(monitor)
    assert push(monitor, limiter=TooFast(push_rate=None)) is RECORDED
    assert push(monitor, limiter=TooFast(push_rate=6000)) == Limited(1)


@pytest.mark.django_db
def test_an_unknown_token_and_a_wrong_method_are_answered_as_ever(rate_of_60):
    monitor = make_monitor(post_only=True)
    assert too_fast(tokens.new_secret()) is UNKNOWN
    assert too_fast(monitor, posted=False) is Outcome.POST_ONLY


@pytest.mark.django_db
def test_a_wild_sender_costs_its_neighbours_of_a_batch_nothing(rate_of_60):
    limiter = Limiter()
    wild, calm = (make_monitor(timeout=3600) for _ in range(2))
    recorder.record([arrival(wild), arrival(calm)], limiter=limiter)
    batch = [arrival(wild)] * 50 + [arrival(calm)] + [arrival(wild)] * 50
    results = recorder.record(batch, limiter=limiter)
    assert results[50] is RECORDED
    assert sum(isinstance(result, Limited) for result in results) == 71


# --- what is said of it


@pytest.mark.django_db
def test_refused_pushes_are_added_up_for_each_token_with_the_time_of_the_last():
    monitor = make_monitor(timeout=3600)
    first, second = secret_of(monitor), tokens.issue(monitor=monitor).secret
    push(first)
    assert PushToken.objects.filter(limited_at=None, limited_count=0).count() == 2
    rejections = RejectionLog(by_itself=False)

    def reject(*secrets):
        for secret in secrets:
            digest = digest_of(secret) or ""
            rejections.note(digest, Reason.LIMIT, method="GET", source="192.0.2.7", detail="")
            rejections.note(digest, Reason.PARAMETER, method="GET", source="192.0.2.7", detail="")
        rejections.write()

    reject(first, first, first, second)
    before = database_now() - timedelta(milliseconds=100)
    reject(first, first)
    counts = dict(PushToken.objects.values_list("digest", "limited_count"))
    assert counts == {digest_of(first): 5, digest_of(second): 1}
    token = PushToken.objects.get(digest=digest_of(first))
    assert before <= token.limited_at <= database_now()


@pytest.mark.django_db
def test_the_use_of_a_token_is_noted_though_some_of_its_pushes_are_refused():
    monitor = make_monitor(timeout=3600)
    push(monitor)
    PushToken.objects.update(last_used_at=F("last_used_at") - timedelta(hours=1))
    recorder.record([arrival(monitor, up=False), arrival(monitor), arrival(monitor)], limiter=TooFast())
    assert database_now() - monitor.tokens.get().last_used_at < timedelta(minutes=1)


@pytest.mark.django_db
def test_rejecting_fifty_costs_one_statement_and_an_idle_limiter_none(rate_of_60):
    monitors = [make_monitor(timeout=3600) for _ in range(50)]
    recorder.record([arrival(monitor) for monitor in monitors])
    arrivals = [arrival(monitor) for monitor in monitors]

    def cost(limiter):
        with Queries() as queries:
            recorder.record(arrivals, limiter=limiter)
        return len(queries.statements)

    assert cost(TooFast()) == 1
    assert cost(Limiter()) == quiet_statements()


# --- counting together


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server


@pytest.fixture
def store(redis):
    store = RedisStore(redis.url)
    assert store.open()
    yield store
    store.close()


@pytest.fixture
def another_store(redis):
    store = RedisStore(redis.url)
    assert store.open()
    yield store
    store.close()


@pytest.fixture
def logged(monkeypatch):
    """What was logged."""
    lines: list[str] = []
    monkeypatch.setattr(rate_limit, "log", Log(lines))
    return lines


class Log:
    def __init__(self, lines):
        self._lines = lines

    def info(self, event, **details):
        self._lines.append(f"{event} {details}")

    warning = info


@pytest.fixture
def token(request):
    return f"{request.node.name} {time.monotonic_ns()}"


def test_processes_that_share_redis_count_together(store, another_store, token):
    assert through(store, token, 1, rate=4) == 1
    assert through(another_store, token, 2, rate=4) == 1
    assert through(store, token, 1, rate=4) == 0


def test_redis_says_how_long_to_wait(store, token):
    waits = store.take([(token, 2), (token, 2), (token, 60), (token, 60)])
    assert waits[0] == 0
    assert waits[1] == pytest.approx(30, abs=1)
    assert 0 <= waits[2] <= 1


def test_redis_counts_as_this_process_does(store, token):
    for rate in (1, 4, 30):
        assert through(store, f"{token} {rate}", 50, rate=rate) == through(LocalStore(), TOKEN, 50, rate=rate)


def test_after_its_wait_a_push_is_counted_in_redis(store, token):
    def wait():
        return store.take([(token, 120)])[0]

    deadline = time.monotonic() + 10
    while not (seconds := wait()):
        assert time.monotonic() < deadline
    time.sleep(seconds + 0.002)
    assert wait() == 0


def test_a_batch_is_one_round_trip(store, token, monkeypatch):
    sent = []
    connection, _ = store._opened
    send = connection.send_command
    monkeypatch.setattr(connection, "send_command", lambda *words: (sent.append(words[0]), send(*words)))
    assert store.take([(f"{token} {number}", 60) for number in range(200)]) == [0] * 200
    assert sent == ["EVALSHA"]


def test_nothing_stays_in_redis_for_longer_than_it_is_needed(redis, store, token):
    store.take([(token, 60), (token, 60)])
    with Client.from_url(redis.url) as client:
        assert 0 < client.pttl(f"tianji:push-rate:{token}") <= 2000


def test_pushes_go_through_redis_where_there_is_one(rate_of_60, store, another_store, token):
    here, there = Limiter(store), Limiter(another_store)
    assert here.ask([token] * 30) == [None] * 30
    (over,) = there.ask([token])
    assert over is not None
    assert over.wait <= 1


def test_a_process_that_has_no_connection_yet_counts_alone_and_opens_one_meanwhile(rate_of_60, redis, token):
    store = RedisStore(redis.url)
    limiter = Limiter(store)
    assert limiter.ask([token]) == [None]
    deadline = time.monotonic() + 10
    while store.take([(token, 60)]) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    store.close()


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "nonsense", "redis://127.0.0.1:1/x", "redis://[::1", ""]
)
def test_an_unreachable_redis_rejects_no_push_and_is_logged_once(rate_of_60, logged, url):
    store = RedisStore(url)
    limiter = Limiter(store, LocalStore(clock=Clock()))
    assert not store.open()
    assert not store.open()
    assert len(logged) == 1
    assert sum(over is None for over in limiter.ask([TOKEN] * 40)) == 30
    store.close()


def test_while_redis_hangs_a_push_waits_a_moment_once_and_is_then_counted_here(rate_of_60, token):
    with redis_server() as server:
        store = RedisStore(server.url)
        assert store.open()
        limiter = Limiter(store)
        assert server._process
        server._process.send_signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            assert limiter.ask([token]) == [None]
            assert time.monotonic() - started < 2
            started = time.monotonic()
            for _ in range(20):
                limiter.ask([token])
            assert time.monotonic() - started < rate_limit._REDIS_TIMEOUT_SECONDS
        finally:
            server._process.send_signal(signal.SIGCONT)
        store.close()


def test_redis_that_went_away_is_left_alone_for_a_while_and_then_used_again(token, logged, monkeypatch):
    with redis_server() as server:
        store = RedisStore(server.url)
        assert store.open()
        server.stop()
        assert store.take([(token, 60)]) is None
        server.start()
        assert store.take([(token, 60)]) is None
        assert store._opening is None
        monkeypatch.setattr(store, "_leave_alone_until", 0.0)
        assert store.take([(token, 60)]) is None
        deadline = time.monotonic() + 10
        while store.take([(token, 60)]) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        store.close()
    assert [word.split(":")[0] for word in logged] == ["Redis is unavailable", "Redis is back"]


def test_a_script_that_redis_has_forgotten_costs_no_push(redis, store, token):
    with Client.from_url(redis.url) as client:
        client.script_flush()
    assert store.take([(token, 60)]) is None
    assert store.open()
    assert store.take([(token, 60)]) == [0]


def test_a_name_that_resolves_slowly_holds_no_push_up(rate_of_60, monkeypatch):
    resolved = threading.Event()
    store = RedisStore("redis://slow.invalid:6379/0")

    def open_slowly():
        assert resolved.wait(10)
        return False

    monkeypatch.setattr(store, "open", open_slowly)
    limiter = Limiter(store)
    started = time.monotonic()
    for _ in range(20):
        assert limiter.ask([TOKEN]) == [None]
    assert time.monotonic() - started < 1
    resolved.set()
    store.close()
