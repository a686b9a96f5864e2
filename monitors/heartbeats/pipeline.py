"""What the pushes of a process share: a connection, a rate limiter, a group commit, the rejected pushes, and
the listener that knows whether they get through.

Every front of the push endpoint in a process is handed the same `Pipeline`, so that its pushes share
transactions and limits, whichever way they came in.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from functools import cache

import structlog
from django.conf import settings
from django.db import Error, OperationalError, connection

from monitors.heartbeats.answers import Answer
from monitors.heartbeats.connection import OwnConnection
from monitors.heartbeats.group_commit import GroupCommit, QueueFull
from monitors.heartbeats.listening import Listener
from monitors.heartbeats.locked import LockedPushes
from monitors.heartbeats.rate_limit import Limiter, RedisStore
from monitors.heartbeats.recorder import Arrival, Outcome, Result, record
from monitors.heartbeats.rejections import RejectionLog

log = structlog.get_logger("tianji.push")


class Pipeline:
    """The way of a push from its front to its commit. Threads share it.

    Args:
        limiter: how often each token may push.
        rejections: where pushes that were answered with an error are noted.
        listener: counts the pushes that were answered and those that failed.
        queue_limit: how many pushes may wait for a transaction.
        batch_limit: how many share one.
    """

    def __init__(
        self,
        *,
        limiter: Limiter,
        rejections: RejectionLog,
        listener: Listener,
        queue_limit: int,
        batch_limit: int,
    ) -> None:
        self.limiter = limiter
        self.rejections = rejections
        self.listener = listener
        self._failures = FailureLog()
        self._locked = LockedPushes(self._record_locked)
        self._connection = OwnConnection()
        listener.watch(self._connection)
        self._group_commit = GroupCommit(
            self._record,
            queue_limit=queue_limit,
            batch_limit=batch_limit,
            record_again=self._record_again,
        )

    def submit(self, arrival: Arrival) -> Result:
        """Return the outcome of a push once it is committed. LOCKED means that nothing was recorded.

        Raises:
            QueueFull: nothing was recorded.
            django.db.Error: the database could not commit; nothing of this push was recorded.
        """
        try:
            self._require_database()
            result = self._group_commit.submit(arrival)
            if result is Outcome.LOCKED:
                result = self._locked.submit(arrival).result()
        except Exception as error:
            self._note_failure(error)
            raise
        self._note_result(result)
        return result

    async def submit_from_loop(self, arrival: Arrival) -> Result:
        """Do what `submit` does, without blocking the event loop."""
        try:
            self._require_database()
            result = await self._group_commit.submit_from_loop(arrival)
            if result is Outcome.LOCKED:
                # The pushes of a batch are resumed in the order of their arrival.
                result = await asyncio.wrap_future(self._locked.submit(arrival))
        except Exception as error:
            self._note_failure(error)
            raise
        self._note_result(result)
        return result

    def _require_database(self) -> None:
        # At once: what would wait for it is needed for those who come after.
        if self.listener.database_is_away:
            raise OperationalError("The database can't be reached.")

    def _note_failure(self, error: Exception) -> None:
        self.listener.note(answered=False)
        # Others are faults of our own, which the front logs.
        if isinstance(error, (QueueFull, Error)):
            self._failures.add(error)

    def _note_result(self, result: Result) -> None:
        self.listener.note(answered=result is not Outcome.LOCKED)
        self._failures.end()

    def note(self, answer: Answer, *, digest: str, method: str, source: str | None) -> None:
        """Keep a push that is answered with an error, for the page of its token's monitor."""
        if answer.noted:
            self.rejections.note(digest, answer.reason, method=method, source=source, detail=answer.detail)

    def close(self) -> None:
        """Close the connection; the next push opens another one."""
        self._connection.close()

    def _record(self, arrivals: Sequence[Arrival]) -> list[Result]:
        # The group commit lets one thread at a time record.
        with self._connection.used():
            return record(arrivals, limiter=self.limiter, wait=False)

    def _record_again(self, arrivals: Sequence[Arrival]) -> list[Result]:
        with self._connection.used():
            # They were counted by the limiter already.
            return record(arrivals, wait=False)

    def _record_locked(self, arrivals: Sequence[Arrival]) -> list[Result]:
        try:
            # They were counted by the limiter already.
            return record(arrivals)
        finally:
            # Back to the pool, or closed: such pushes are rare.
            connection.close()


class FailureLog:
    """Logs that pushes fail, and that they are recorded again: two lines, however many fail in between."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._failed = 0

    def add(self, error: Exception) -> None:
        with self._mutex:
            self._failed += 1
            first = self._failed == 1
        if first:
            log.error("push not recorded", error=str(error).strip() or type(error).__name__)

    def end(self) -> None:
        if not self._failed:
            return
        with self._mutex:
            failed, self._failed = self._failed, 0
        if failed:
            log.warning("pushes are recorded again", failed=failed)


@cache
def process_pipeline() -> Pipeline:
    """Return the one pipeline of this process, made from the settings at its first use."""
    return Pipeline(
        limiter=Limiter(RedisStore(settings.REDIS_URL) if settings.REDIS_URL else None),
        rejections=RejectionLog(),
        listener=Listener(tolerated=settings.TIANJI_GAP_SHARE),
        queue_limit=settings.TIANJI_PUSH_QUEUE,
        batch_limit=settings.TIANJI_PUSH_BATCH,
    )
