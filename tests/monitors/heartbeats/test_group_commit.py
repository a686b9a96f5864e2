"""Whatever arrives while one transaction commits forms the next."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import DataError, InterfaceError, OperationalError

from monitors.heartbeats.group_commit import GroupCommit, QueueFull
from monitors.heartbeats.parser import Push
from monitors.heartbeats.recorder import Arrival, Outcome, PartlyRecorded

_PATIENCE = 10.0


def arrival(name):
    return Arrival(str(name), Push(True, "OK"))


class Recording:
    """Stands in for the database: remembers its batches, and commits when `commit` lets it."""

    def __init__(self, outcome: Callable[[list[str]], list[Outcome]] | None = None) -> None:
        self.batches: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.commit = threading.Event()
        self.commit.set()
        self._outcome = outcome or (lambda names: [Outcome.RECORDED for _ in names])

    def __call__(self, arrivals):
        names = [each.digest for each in arrivals]
        self.batches.append(names)
        self.entered.release()
        assert self.commit.wait(_PATIENCE)
        return self._outcome(names)


class Senders:
    """Threads that each submit one push."""

    def __init__(self, record: Recording, *, queue_limit: int = 1000, batch_limit: int = 1000) -> None:
        self.record = record
        self.group = GroupCommit(record, queue_limit=queue_limit, batch_limit=batch_limit)
        self._threads = ThreadPoolExecutor(max_workers=64)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.record.commit.set()
        self._threads.shutdown()

    def send(self, name) -> Future[Outcome]:
        return self._threads.submit(self.group.submit, arrival(name))

    def send_and_wait_for_the_queue(self, *names) -> list[Future[Outcome]]:
        """Send one after the other, each once the one before it stands in the queue."""
        sent = []
        for name in names:
            length = len(self.group._queue)
            sent.append(self.send(name))
            deadline = time.monotonic() + _PATIENCE
            while len(self.group._queue) == length:
                assert time.monotonic() < deadline
                time.sleep(0.001)
        return sent

    def hold_a_commit(self, name="first") -> Future[Outcome]:
        """Send a push whose commit does not end until `record.commit` is set."""
        self.record.commit.clear()
        sent = self.send(name)
        assert self.record.entered.acquire(timeout=_PATIENCE)
        return sent


def results(futures):
    return [future.result(_PATIENCE) for future in futures]


def test_a_lone_push_is_recorded_at_once_by_its_own_thread():
    threads = []

    def record(arrivals):
        threads.append(threading.current_thread())
        return [Outcome.RECORDED]

    assert GroupCommit(record, queue_limit=1, batch_limit=1).submit(arrival("a")) is Outcome.RECORDED
    assert threads == [threading.current_thread()]


def test_a_queue_that_was_empty_again_serves_the_next_push():
    record = Recording()
    group = GroupCommit(record, queue_limit=1, batch_limit=1)
    for name in "abc":
        group.submit(arrival(name))
    assert record.batches == [["a"], ["b"], ["c"]]


def test_what_arrives_during_a_commit_forms_one_batch_in_order_of_arrival():
    with Senders(Recording()) as senders:
        first = senders.hold_a_commit()
        rest = senders.send_and_wait_for_the_queue(*"abcdef")
        senders.record.commit.set()
        results([first, *rest])
        assert senders.record.batches == [["first"], list("abcdef")]


def test_no_push_is_answered_before_the_commit():
    with Senders(Recording()) as senders:
        first = senders.hold_a_commit()
        (second,) = senders.send_and_wait_for_the_queue("second")
        time.sleep(0.05)
        assert not first.done()
        assert not second.done()


def test_a_batch_has_no_more_than_its_limit():
    with Senders(Recording(), batch_limit=3) as senders:
        first = senders.hold_a_commit()
        rest = senders.send_and_wait_for_the_queue(*"abcdefg")
        senders.record.commit.set()
        results([first, *rest])
        assert senders.record.batches == [["first"], list("abc"), list("def"), ["g"]]


def test_a_push_too_many_is_refused_and_those_in_the_queue_are_recorded():
    with Senders(Recording(), queue_limit=2) as senders:
        first = senders.hold_a_commit()
        rest = senders.send_and_wait_for_the_queue("a", "b")
        with pytest.raises(QueueFull):
            senders.group.submit(arrival("c"))
        senders.record.commit.set()
        results([first, *rest])
        assert senders.record.batches == [["first"], ["a", "b"]]


def test_after_it_was_full_the_queue_takes_pushes_again():
    with Senders(Recording(), queue_limit=1) as senders:
        sent = [senders.hold_a_commit(), *senders.send_and_wait_for_the_queue("a")]
        with pytest.raises(QueueFull):
            senders.group.submit(arrival("b"))
        senders.record.commit.set()
        results(sent)
        assert senders.group.submit(arrival("b")) is Outcome.RECORDED


def refuse_bad(names):
    if "bad" in names:
        raise DataError("cannot be written")
    return [Outcome.RECORDED for _ in names]


def test_one_bad_push_fails_alone():
    with Senders(Recording(refuse_bad)) as senders:
        first = senders.hold_a_commit()
        before, bad, after = senders.send_and_wait_for_the_queue("before", "bad", "after")
        senders.record.commit.set()
        assert results([first, before, after]) == [Outcome.RECORDED] * 3
        with pytest.raises(DataError):
            bad.result(_PATIENCE)
        assert senders.record.batches[2:] == [["before"], ["bad"], ["after"]]


def test_a_bad_push_alone_is_tried_once():
    record = Recording(refuse_bad)
    with pytest.raises(DataError):
        GroupCommit(record, queue_limit=1, batch_limit=1).submit(arrival("bad"))
    assert record.batches == [["bad"]]


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_fails_the_whole_batch_with_one_try(error):
    def fail(names):
        raise error("away")

    with Senders(Recording(fail)) as senders:
        futures = [senders.hold_a_commit(), *senders.send_and_wait_for_the_queue(*"abc")]
        senders.record.commit.set()
        for future in futures:
            with pytest.raises(error):
                future.result(_PATIENCE)
        assert senders.record.batches == [["first"], list("abc")]


def test_when_the_database_is_back_pushes_are_recorded_again():
    failures = iter([True, False])

    def fail_once(names):
        if next(failures):
            raise OperationalError("away")
        return [Outcome.RECORDED for _ in names]

    group = GroupCommit(Recording(fail_once), queue_limit=1, batch_limit=1)
    with pytest.raises(OperationalError):
        group.submit(arrival("a"))
    assert group.submit(arrival("b")) is Outcome.RECORDED


def test_a_database_that_goes_away_between_a_bad_batch_and_its_parts_fails_only_what_was_not_written():
    def fail(names):
        if len(names) > 1:
            raise DataError("one of them is bad")
        if names == ["c"]:
            raise OperationalError("away")
        return [Outcome.RECORDED]

    with Senders(Recording(fail)) as senders:
        first = senders.hold_a_commit()
        b, c, d = senders.send_and_wait_for_the_queue("b", "c", "d")
        senders.record.commit.set()
        assert results([first, b, d]) == [Outcome.RECORDED] * 3
        with pytest.raises(OperationalError):
            c.result(_PATIENCE)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError, KeyError])
def test_no_follower_is_left_hanging_when_its_leader_is_torn_away(error):
    def tear(names):
        if "leader" in names:
            raise error
        return [Outcome.RECORDED for _ in names]

    with Senders(Recording(tear)) as senders:
        first = senders.hold_a_commit()
        leader, follower = senders.send_and_wait_for_the_queue("leader", "follower")
        senders.record.commit.set()
        assert first.result(_PATIENCE) is Outcome.RECORDED
        assert leader.exception(_PATIENCE).__class__ is error
        # Torn away, nothing of its batch is committed; failed, the others are tried alone.
        if issubclass(error, Exception):
            assert follower.result(_PATIENCE) is Outcome.RECORDED
        else:
            assert follower.exception(_PATIENCE).__class__ is OperationalError
        assert senders.group.submit(arrival("later")) is Outcome.RECORDED


def test_those_behind_a_batch_that_was_torn_away_are_recorded():
    def tear(names):
        if "leader" in names:
            raise SystemExit
        return [Outcome.RECORDED for _ in names]

    with Senders(Recording(tear), batch_limit=2) as senders:
        senders.hold_a_commit()
        *_torn, third, fourth = senders.send_and_wait_for_the_queue("leader", "follower", "third", "fourth")
        senders.record.commit.set()
        assert results([third, fourth]) == [Outcome.RECORDED] * 2


def test_a_recorder_with_too_few_outcomes_leaves_no_push_unanswered():
    with Senders(Recording(lambda names: [Outcome.RECORDED])) as senders:
        first = senders.hold_a_commit()
        leader, follower = senders.send_and_wait_for_the_queue("leader", "follower")
        senders.record.commit.set()
        assert first.result(_PATIENCE) is Outcome.RECORDED
        assert leader.exception(_PATIENCE) is not None
        assert follower.exception(_PATIENCE) is not None


@pytest.mark.slow
@pytest.mark.parametrize("batch_limit", [1, 7, 1000])
def test_fifty_threads_each_get_their_own_outcome(batch_limit):
    kinds = list(Outcome)

    def by_number(names):
        time.sleep(0.001)
        if any(int(name) % 10 == 9 for name in names):
            raise DataError("a bad one is among them")
        return [kinds[int(name) % len(kinds)] for name in names]

    with Senders(Recording(by_number), batch_limit=batch_limit) as senders:
        futures = {number: senders.send(number) for number in range(300)}
        for number, future in futures.items():
            if number % 10 == 9:
                assert future.exception(_PATIENCE).__class__ is DataError
            else:
                assert future.result(_PATIENCE) is kinds[number % len(kinds)]


def test_under_load_every_push_is_recorded_exactly_once():
    with Senders(Recording(), batch_limit=20) as senders:
        futures = [senders.send(number) for number in range(500)]
        results(futures)
        recorded = [name for batch in senders.record.batches for name in batch]
        assert sorted(recorded, key=int) == [str(number) for number in range(500)]


def test_never_two_commits_at_once():
    inside = threading.Semaphore(1)

    def alone(names):
        assert inside.acquire(blocking=False)
        time.sleep(0.001)
        inside.release()
        return [Outcome.RECORDED for _ in names]

    with Senders(Recording(alone), batch_limit=5) as senders:
        results([senders.send(number) for number in range(100)])


# --- From an event loop


def test_pushes_of_an_event_loop_share_batches_with_those_of_threads():
    record = Recording()
    with Senders(record) as senders:

        async def send_three() -> list[Outcome]:
            first = asyncio.create_task(senders.group.submit_from_loop(arrival("a")))
            assert await asyncio.to_thread(record.entered.acquire, timeout=_PATIENCE)
            others = [asyncio.create_task(senders.group.submit_from_loop(arrival(name))) for name in "bc"]
            while len(senders.group._queue) < 2:
                await asyncio.sleep(0.001)
            (thread,) = await asyncio.to_thread(senders.send_and_wait_for_the_queue, "thread")
            record.commit.set()
            outcomes = [await each for each in (first, *others)]
            return [*outcomes, await asyncio.wrap_future(thread)]

        record.commit.clear()
        assert asyncio.run(send_three()) == [Outcome.RECORDED] * 4
    assert record.batches == [["a"], ["b", "c", "thread"]]


def test_an_event_loop_goes_on_while_its_push_is_recorded():
    record = Recording()
    record.commit.clear()
    group = GroupCommit(record, queue_limit=9, batch_limit=9)

    async def count() -> int:
        sent = asyncio.create_task(group.submit_from_loop(arrival("a")))
        turns = 0
        while turns < 100:
            turns += 1
            await asyncio.sleep(0)
        assert not sent.done()
        record.commit.set()
        assert await sent is Outcome.RECORDED
        return turns

    assert asyncio.run(count()) == 100


def test_a_push_of_an_event_loop_that_fails_fails_alone():
    def fail_for_bad(names):
        if "bad" in names:
            raise DataError
        return [Outcome.RECORDED for _ in names]

    record = Recording(fail_for_bad)
    group = GroupCommit(record, queue_limit=3, batch_limit=9)

    async def send() -> list[object]:
        record.commit.clear()
        names = ("first", "good", "bad", "better", "one too many")
        tasks = [asyncio.create_task(group.submit_from_loop(arrival(names[0])))]
        assert await asyncio.to_thread(record.entered.acquire, timeout=_PATIENCE)
        tasks += [asyncio.create_task(group.submit_from_loop(arrival(name))) for name in names[1:]]
        await asyncio.sleep(0.01)
        record.commit.set()
        return [type(result) for result in await asyncio.gather(*tasks, return_exceptions=True)]

    assert asyncio.run(send()) == [Outcome, Outcome, DataError, Outcome, QueueFull]


def test_a_request_that_is_cancelled_while_its_push_waits_harms_no_other():
    record = Recording()
    record.commit.clear()
    group = GroupCommit(record, queue_limit=9, batch_limit=9)

    async def send() -> Outcome:
        cancelled = asyncio.create_task(group.submit_from_loop(arrival("a")))
        assert await asyncio.to_thread(record.entered.acquire, timeout=_PATIENCE)
        other = asyncio.create_task(group.submit_from_loop(arrival("b")))
        await asyncio.sleep(0)
        cancelled.cancel()
        record.commit.set()
        return await other

    assert asyncio.run(send()) is Outcome.RECORDED
    assert record.batches == [["a"], ["b"]]


@pytest.mark.parametrize("error", [SystemExit, MemoryError])
def test_the_thread_that_records_for_an_event_loop_outlives_what_tears_its_batch(error):
    def tear(names):
        if names == ["torn"]:
            raise error
        return [Outcome.RECORDED for _ in names]

    group = GroupCommit(Recording(tear), queue_limit=9, batch_limit=9)

    async def send() -> Outcome:
        with pytest.raises((OperationalError, MemoryError)):
            await group.submit_from_loop(arrival("torn"))
        return await asyncio.wait_for(group.submit_from_loop(arrival("next")), _PATIENCE)

    assert asyncio.run(send()) is Outcome.RECORDED


def test_where_no_thread_can_start_a_push_fails_and_the_next_is_recorded(monkeypatch):
    group = GroupCommit(Recording(), queue_limit=9, batch_limit=9)

    def fail(thread):
        raise RuntimeError("can't start new thread")

    async def send() -> Outcome:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError):
                await group.submit_from_loop(arrival("a"))
        return await asyncio.wait_for(group.submit_from_loop(arrival("b")), _PATIENCE)

    assert asyncio.run(send()) is Outcome.RECORDED


# --- Where some are recorded before the others


def test_what_was_recorded_before_the_rest_failed_is_not_recorded_again():
    def partly(names):
        if len(names) == 1:
            return [Outcome.RECORDED] if names != ["bad"] else fail()
        raise PartlyRecorded([Outcome.RECORDED if name == "quiet" else None for name in names], DataError())

    def fail():
        raise DataError

    with Senders(Recording(partly)) as senders:
        first = senders.hold_a_commit("first")
        rest = senders.send_and_wait_for_the_queue("quiet", "bad", "good")
        senders.record.commit.set()
        assert results([first, rest[0], rest[2]]) == [Outcome.RECORDED] * 3
        with pytest.raises(DataError):
            rest[1].result(_PATIENCE)
    assert senders.record.batches == [["first"], ["quiet", "bad", "good"], ["bad"], ["good"]]


def test_if_the_database_goes_away_between_the_two_only_the_rest_fails():
    def partly(names):
        if names == ["first"]:
            return [Outcome.RECORDED]
        raise PartlyRecorded([Outcome.RECORDED, None], OperationalError())

    with Senders(Recording(partly)) as senders:
        senders.hold_a_commit("first")
        quiet, other = senders.send_and_wait_for_the_queue("quiet", "other")
        senders.record.commit.set()
        assert quiet.result(_PATIENCE) is Outcome.RECORDED
        with pytest.raises(OperationalError):
            other.result(_PATIENCE)
