"""Group commit: pushes that arrive while one transaction commits form the next one.

No timer: whoever is first in the queue records for all of them, then hands over. So a lone push never waits,
and under load the cost of a commit is shared. Threads record for themselves; for the pushes of an event loop,
which must not block, a thread does.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence

import structlog
from django.db import InterfaceError, OperationalError

from monitors.heartbeats.recorder import Arrival, PartlyRecorded, Result

log = structlog.get_logger("tianji.push")

Record = Callable[[Sequence[Arrival]], list[Result]]


class QueueFull(Exception):
    """This process has as many waiting pushes as it accepts; the sender should retry shortly."""


class Waiting:
    """A push that waits to be recorded, and then its outcome, or the error with which it failed."""

    __slots__ = ("arrival", "error", "outcome")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.outcome: Result | None = None
        self.error: BaseException | None = None

    @property
    def is_settled(self) -> bool:
        return self.outcome is not None or self.error is not None

    def result(self) -> Result:
        if self.error is not None:
            raise self.error
        assert self.outcome is not None
        return self.outcome


class _Pending(Waiting):
    """One push in the queue. Either a thread sleeps on `ready`, or an event loop awaits `settled`."""

    __slots__ = ("leads", "ready", "settled")

    def __init__(self, arrival: Arrival, settled: asyncio.Future[None] | None = None) -> None:
        super().__init__(arrival)
        self.leads = False
        self.settled = settled
        if settled is None:
            self.ready = threading.Lock()
            self.ready.acquire()


class GroupCommit:
    """A bounded queue in front of `record`. One per process, shared by its threads and its event loop.

    Args:
        record: writes a batch and returns an outcome for each arrival.
        queue_limit: how many pushes may wait; more are rejected.
        batch_limit: how many pushes share a transaction.
        record_again: writes one push of a batch that could not be written; by default, `record`.
    """

    def __init__(
        self, record: Record, *, queue_limit: int, batch_limit: int, record_again: Record | None = None
    ) -> None:
        self._record = record
        self._record_again = record_again or record
        self._queue_limit = queue_limit
        self._batch_limit = batch_limit
        self._mutex = threading.Lock()
        self._queue: deque[_Pending] = deque()
        self._busy = False
        # For the pushes of an event loop: the thread that records them, and whether it is its turn.
        self._thread: threading.Thread | None = None
        self._turn = threading.Semaphore(0)

    def submit(self, arrival: Arrival) -> Result:
        """Return the outcome of `arrival` once it is committed.

        Raises:
            QueueFull: nothing was recorded.
            django.db.Error: the database could not commit; nothing of this push was recorded.
        """
        mine = _Pending(arrival)
        mine.leads = self._add(mine)
        if not mine.leads:
            mine.ready.acquire()
        if mine.leads:
            self._lead()
        return mine.result()

    async def submit_from_loop(self, arrival: Arrival) -> Result:
        """Do what `submit` does, without blocking the event loop."""
        # Before it is in the queue: if there can be no thread, no other push waits for it.
        self._require_thread()
        mine = _Pending(arrival, asyncio.get_running_loop().create_future())
        if self._add(mine):
            self._wake(mine)
        assert mine.settled is not None
        await mine.settled
        return mine.result()

    def _add(self, pending: _Pending) -> bool:
        """Add to the queue; return whether nothing was being recorded."""
        with self._mutex:
            if len(self._queue) >= self._queue_limit:
                raise QueueFull
            self._queue.append(pending)
            idle, self._busy = not self._busy, True
        return idle

    def _lead(self) -> None:
        """Record the head of the queue, and those behind it; then hand over."""
        with self._mutex:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_limit))]
        try:
            record_all(batch, self._record, again=self._record_again)
        finally:
            with self._mutex:
                heir = self._queue[0] if self._queue else None
                self._busy = heir is not None
            for pending in batch:
                if not pending.is_settled:
                    pending.error = OperationalError("Recording was interrupted.")
            _settle(batch)
            if heir is not None:
                self._wake(heir)

    def _wake(self, heir: _Pending) -> None:
        """Let the head of the queue record."""
        if heir.settled is None:
            heir.leads = True
            heir.ready.release()
            return
        self._turn.release()

    def _require_thread(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._lead_forever, name="record-pushes", daemon=True)
            thread.start()
            self._thread = thread

    def _lead_forever(self) -> None:
        while True:
            self._turn.acquire()
            try:
                self._lead()
            except BaseException:  # its batch has failed; without this thread all others would hang
                log.exception("recording was interrupted")


def record_all(batch: Sequence[Waiting], record: Record, *, again: Record) -> None:
    """Record a batch with `record`, and settle each push of it.

    Args:
        again: records one push of a batch that could not be written.
    """
    try:
        outcomes: Sequence[Result | None] = record([waiting.arrival for waiting in batch])
    except PartlyRecorded as partly:
        _note(batch, partly.results)
        _record_rest([waiting for waiting in batch if waiting.outcome is None], partly.error, again)
    except Exception as error:
        _record_rest(batch, error, again)
    else:
        _note(batch, outcomes)


def _record_rest(batch: Sequence[Waiting], error: Exception, again: Record) -> None:
    # If the database is down or overloaded, no single push is to blame. Otherwise one of them can't be
    # written: recorded one by one, only that one fails.
    if len(batch) == 1 or isinstance(error, (OperationalError, InterfaceError)):
        for waiting in batch:
            waiting.error = error
    else:
        for waiting in batch:
            record_all([waiting], again, again=again)


def _note(batch: Sequence[Waiting], outcomes: Sequence[Result | None]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        waiting.outcome = outcome


def _settle(batch: Sequence[_Pending]) -> None:
    """Wake whoever waits for the outcomes of a batch: an event loop once for all."""
    settled: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for pending in batch:
        if pending.settled is None:
            # Of the one that records for all it is not needed, and does no harm.
            pending.ready.release()
        else:
            settled.setdefault(pending.settled.get_loop(), []).append(pending.settled)
    for loop, futures in settled.items():
        # It is closed when the process ends, and then nothing can be answered.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_finish, futures)


def _finish(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        # Its request may have been cancelled.
        if not future.done():
            future.set_result(None)
