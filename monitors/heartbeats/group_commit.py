"""Group commit: pushes that arrive while one transaction commits form the next one.

No timer and no extra thread: of the waiting threads, the first in the queue records for all of them, then
hands over. So a lone push never waits, and under load the cost of a commit is shared.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from django.db import InterfaceError, OperationalError

from monitors.heartbeats.recorder import Arrival, Result

Record = Callable[[Sequence[Arrival]], list[Result]]


class QueueFull(Exception):
    """This process has as many waiting pushes as it accepts; the sender should retry shortly."""


class _Pending:
    """One push in the queue, and the lock its thread sleeps on."""

    __slots__ = ("arrival", "error", "leads", "outcome", "ready")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.outcome: Result | None = None
        self.error: BaseException | None = None
        self.leads = False
        self.ready = threading.Lock()
        self.ready.acquire()


class GroupCommit:
    """A bounded queue in front of `record`. One per process, shared by its threads.

    Args:
        record: writes a batch and returns an outcome for each arrival.
        queue_limit: how many pushes may wait; more are rejected.
        batch_limit: how many pushes share a transaction.
    """

    def __init__(self, record: Record, *, queue_limit: int, batch_limit: int) -> None:
        self._record = record
        self._queue_limit = queue_limit
        self._batch_limit = batch_limit
        self._mutex = threading.Lock()
        self._queue: deque[_Pending] = deque()
        self._busy = False

    def submit(self, arrival: Arrival) -> Result:
        """Return the outcome of `arrival` once it is committed.

        Raises:
            QueueFull: nothing was recorded.
            django.db.Error: the database could not commit; nothing of this push was recorded.
        """
        mine = _Pending(arrival)
        with self._mutex:
            if len(self._queue) >= self._queue_limit:
                raise QueueFull
            self._queue.append(mine)
            mine.leads = not self._busy
            self._busy = True
        if not mine.leads:
            mine.ready.acquire()
        if mine.leads:
            self._lead()
        if mine.error is not None:
            raise mine.error
        assert mine.outcome is not None
        return mine.outcome

    def _lead(self) -> None:
        """Record the head of the queue, which is the caller's own push, and those behind it."""
        with self._mutex:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_limit))]
        try:
            self._record_all(batch)
        finally:
            with self._mutex:
                heir = self._queue[0] if self._queue else None
                self._busy = heir is not None
            for pending in batch[1:]:
                if pending.outcome is None and pending.error is None:
                    pending.error = OperationalError("Recording was interrupted.")
                pending.ready.release()
            if heir is not None:
                heir.leads = True
                heir.ready.release()

    def _record_all(self, batch: list[_Pending]) -> None:
        try:
            outcomes = self._record([pending.arrival for pending in batch])
        except (OperationalError, InterfaceError) as error:
            # The database is down or overloaded; no single push is to blame.
            _fail(batch, error)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            # One of them can't be written. Recorded one by one, only that one fails.
            for pending in batch:
                self._record_all([pending])
        else:
            for pending, outcome in zip(batch, outcomes, strict=True):
                pending.outcome = outcome


def _fail(batch: list[_Pending], error: BaseException) -> None:
    for pending in batch:
        pending.error = error
