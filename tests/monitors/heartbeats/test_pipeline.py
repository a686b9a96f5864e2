"""What becomes of a push on its way to the commit, when something else than the commit decides it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from monitors.heartbeats import pipeline
from monitors.heartbeats.listening import Listener
from monitors.heartbeats.parser import Push
from monitors.heartbeats.pipeline import Pipeline
from monitors.heartbeats.rate_limit import Limiter
from monitors.heartbeats.recorder import Arrival, Outcome
from monitors.heartbeats.rejections import RejectionLog

ARRIVAL = Arrival("digest", Push(True, "OK"))


@pytest.fixture
def way(monkeypatch) -> Pipeline:
    monkeypatch.setattr(pipeline, "release_connection", lambda: None)
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
    monkeypatch.setattr(pipeline, "_ALONE_SECONDS", 0.5)

    async def send() -> list[Any]:
        sent = [asyncio.create_task(way.submit_from_loop(ARRIVAL)) for _ in range(pipeline._ALONE_MOST + 6)]
        await asyncio.sleep(1)
        held.set()
        return list(await asyncio.gather(*sent))

    results = asyncio.run(send())
    assert len(alone) == pipeline._ALONE_MOST
    assert results.count(Outcome.RECORDED) == pipeline._ALONE_MOST
    assert results.count(Outcome.LOCKED) == 6


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
