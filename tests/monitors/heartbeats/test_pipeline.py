"""What becomes of a push on its way to the commit, when something else than the commit decides it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.db import DataError

from monitors.heartbeats import locked, pipeline
from monitors.heartbeats.listening import Listener
from monitors.heartbeats.parser import Push
from monitors.heartbeats.pipeline import Pipeline
from monitors.heartbeats.rate_limit import Limiter
from monitors.heartbeats.recorder import Arrival, Outcome
from monitors.heartbeats.rejections import RejectionLog

ARRIVAL = Arrival("digest", Push(True, "OK"))


@pytest.fixture
def way() -> Pipeline:
    return Pipeline(
        limiter=Limiter(),
        rejections=RejectionLog(by_itself=False),
        listener=Listener(tolerated=0.5),
        queue_limit=100,
        batch_limit=100,
    )


def test_pushes_that_waited_too_long_for_a_thread_are_not_recorded_late(way: Pipeline, monkeypatch):
    """Their senders have had no answer for seconds, and have most likely sent them again."""
    held, alone = threading.Event(), []

    def record(arrivals: Any, *, limiter: Any = None, wait: bool = True) -> list[Outcome]:
        if not wait:
            return [Outcome.LOCKED] * len(arrivals)
        alone.append(arrivals)
        assert held.wait(20)
        return [Outcome.RECORDED]

    monkeypatch.setattr(pipeline, "record", record)
    monkeypatch.setattr(locked, "SECONDS", 0.5)

    async def send() -> list[Any]:
        # Each of a token of its own: those of one are recorded together.
        arrivals = [Arrival(f"digest {number}", Push(True, "OK")) for number in range(locked.AT_ONCE + 6)]
        sent = [asyncio.create_task(way.submit_from_loop(each)) for each in arrivals]
        await asyncio.sleep(1)
        held.set()
        return list(await asyncio.gather(*sent))

    results = asyncio.run(send())
    assert len(alone) == locked.AT_ONCE
    assert results.count(Outcome.RECORDED) == locked.AT_ONCE
    assert results.count(Outcome.LOCKED) == 6


def test_pushes_of_a_token_that_wait_for_its_monitor_are_recorded_together_and_in_order(
    way: Pipeline, monkeypatch
):
    held, waited = threading.Event(), []

    def record(arrivals: Any, *, limiter: Any = None, wait: bool = True) -> list[Outcome]:
        if not wait:
            return [Outcome.LOCKED] * len(arrivals)
        waited.append([arrival.push.message for arrival in arrivals])
        assert held.wait(20)
        return [Outcome.RECORDED] * len(arrivals)

    monkeypatch.setattr(pipeline, "record", record)
    texts = [str(number) for number in range(12)]

    async def send() -> list[Any]:
        sent = [asyncio.create_task(way.submit_from_loop(Arrival("a", Push(True, text)))) for text in texts]
        while not waited:
            await asyncio.sleep(0.01)
        other = asyncio.create_task(way.submit_from_loop(Arrival("b", Push(True, "other"))))
        # However many of the first token wait, they keep no place from another one.
        while ["other"] not in waited:
            await asyncio.sleep(0.01)
        held.set()
        return list(await asyncio.gather(*sent, other))

    assert asyncio.run(asyncio.wait_for(send(), 20)) == [Outcome.RECORDED] * 13
    waited.remove(["other"])
    assert [text for batch in waited for text in batch] == texts


def test_a_push_that_can_not_be_written_fails_alone_among_those_that_wait(way: Pipeline, monkeypatch):
    def record(arrivals: Any, *, limiter: Any = None, wait: bool = True) -> list[Outcome]:
        if not wait:
            return [Outcome.LOCKED] * len(arrivals)
        if any(arrival.push.message == "bad" for arrival in arrivals):
            raise DataError("cannot be written")
        return [Outcome.RECORDED] * len(arrivals)

    monkeypatch.setattr(pipeline, "record", record)

    async def send() -> list[Any]:
        sent = [way.submit_from_loop(Arrival("a", Push(True, text))) for text in ("one", "bad", "two")]
        return list(await asyncio.gather(*sent, return_exceptions=True))

    one, bad, two = asyncio.run(send())
    assert (one, two) == (Outcome.RECORDED, Outcome.RECORDED)
    assert isinstance(bad, DataError)


def test_the_limiter_counts_each_push_of_a_batch_that_fails_once(way: Pipeline, monkeypatch):
    recorded: list[list[str]] = []

    def record(arrivals: Any, *, limiter: Any = None, wait: bool = True) -> list[Outcome]:
        names = [arrival.push.message for arrival in arrivals]
        recorded.append(names)
        if limiter:
            limiter.ask(names)
        if "bad" in names:
            raise DataError("cannot be written")
        return [Outcome.RECORDED] * len(arrivals)

    class Counting(Limiter):
        def ask(self, digests: Any) -> Any:
            counted.extend(digests)
            return super().ask(digests)

    counted: list[str] = []
    way.limiter = Counting()
    monkeypatch.setattr(pipeline, "record", record)

    async def send() -> list[Any]:
        sent = [way.submit_from_loop(Arrival(text, Push(True, text))) for text in ("one", "bad", "two")]
        return list(await asyncio.gather(*sent, return_exceptions=True))

    asyncio.run(send())
    assert ["bad"] in recorded
    assert sorted(counted) == ["bad", "one", "two"]


@pytest.mark.parametrize("from_loop", [True, False])
def test_pushes_lost_to_a_fault_of_our_own_count_as_failed(way: Pipeline, monkeypatch, from_loop: bool):
    def fail(*args: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(pipeline, "record", fail)

    async def submit() -> None:
        await (way.submit_from_loop(ARRIVAL) if from_loop else asyncio.to_thread(way.submit, ARRIVAL))

    with pytest.raises(ZeroDivisionError):
        asyncio.run(submit())
    assert (way.listener._answered, way.listener._failed) == (0, 1)
