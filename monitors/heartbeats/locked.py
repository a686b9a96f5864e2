"""Pushes to a monitor whose state someone else holds: they wait for it, while all others are recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from django.db import OperationalError

from monitors.heartbeats.group_commit import Record, Waiting, record_all
from monitors.heartbeats.recorder import Arrival, Outcome, Result

# How many tokens' pushes wait at once, each on a connection of the pages' pool, and how many seconds a push
# may have waited for its turn to.
AT_ONCE, SECONDS = 4, 5.0


class _LockedPush(Waiting):
    """A push that waits. Its turn must have come by `until`, by `time.monotonic`."""

    __slots__ = ("settled", "until")

    def __init__(self, arrival: Arrival) -> None:
        super().__init__(arrival)
        self.until = time.monotonic() + SECONDS
        self.settled: Future[Result] = Future()
        # So that it can't be cancelled by whoever awaits it.
        self.settled.set_running_or_notify_cancel()


class LockedPushes:
    """Records pushes that have to wait, in threads of its own.

    Those of a token are recorded in the order in which they came, by one thread, and together if they wait
    together: so they keep no other token's from their turn.

    Args:
        record: waits for the states of a batch, and records it.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="locked-push")
        self._mutex = threading.Lock()
        # By the digest of the token, while a thread is at it or will be.
        self._waiting: dict[str, list[_LockedPush]] = {}

    def submit(self, arrival: Arrival) -> Future[Result]:
        """Return the outcome of a push, once it is committed. Does not block.

        It is LOCKED if nothing was recorded because its turn did not come in time, and django.db.Error if the
        database could not commit.
        """
        push = _LockedPush(arrival)
        with self._mutex:
            others = self._waiting.get(arrival.digest)
            if others is not None:
                others.append(push)
                return push.settled
            self._waiting[arrival.digest] = [push]
        try:
            self._pool.submit(self._work_off, arrival.digest)
        except RuntimeError:  # no more threads, or the process is exiting
            self._work_off(arrival.digest)
        return push.settled

    def _work_off(self, digest: str) -> None:
        while True:
            with self._mutex:
                batch = self._waiting[digest]
                if not batch:
                    del self._waiting[digest]
                    return
                self._waiting[digest] = []
            self._settle(batch)

    def _settle(self, batch: Sequence[_LockedPush]) -> None:
        now = time.monotonic()
        # The senders of the others may be gone.
        chosen = [push for push in batch if push.until > now]
        try:
            if chosen:
                record_all(chosen, self._record, again=self._record)
        finally:
            for push in batch:
                if push.until <= now:
                    push.outcome = Outcome.LOCKED
                elif not push.is_settled:
                    push.error = OperationalError("Recording was interrupted.")
                if push.error is not None:
                    push.settled.set_exception(push.error)
                else:
                    push.settled.set_result(push.result())
