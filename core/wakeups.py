"""Wake-up hints: messages that save up to a second, and may all be lost."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import structlog
from celery import current_app
from django.db import transaction

log = structlog.get_logger(__name__)

# After the broker failed, no hint is sent for this long.
_LEAVE_ALONE_SECONDS = 5.0
# Different hints that may wait for the broker; further ones are dropped, because a tick does their work.
_PENDING_MOST = 1000
# A queue with this many messages is not being worked off, and one more would only be one more.
_WAITING_MOST = 100
_leave_alone_until = 0.0

Hint = tuple[str, tuple[object, ...]]


def wake_on_commit(task: str, *args: object) -> None:
    """After the current transaction commits, ask a worker to run `task` now rather than at its next tick."""
    transaction.on_commit(lambda: _publish(task, args), robust=True)


def _publish(task: str, args: tuple[object, ...]) -> None:
    """Publish a hint soon, without waiting for the broker: the caller may be about to answer a push."""
    _publisher.add((task, args))


def is_full(producer: Any, queue: str) -> bool:
    """Return whether so many messages wait in `queue` that no further hint or tick is of use.

    So they don't pile up while no worker runs, and none needs to expire.

    Args:
        producer: Kombu's, with a connection to the broker.

    Raises:
        Exception: the broker is away; what is raised depends on it.
    """
    # Declaring a queue again changes nothing, and is how brokers are asked for its length.
    return int(producer.channel.queue_declare(queue).message_count) >= _WAITING_MOST


class _Publisher:
    """Publishes hints from a thread of its own, which is started when there is one, and ends with it."""

    def __init__(self) -> None:
        self._forget_all()
        # A forked child has none of its parent's threads.
        os.register_at_fork(after_in_child=self._forget_all)

    def _forget_all(self) -> None:
        self._mutex = threading.Lock()
        # Hints of the same text are one; a dictionary keeps their order.
        self._pending: dict[Hint, None] = {}
        self._thread: threading.Thread | None = None

    def add(self, hint: Hint) -> None:
        with self._mutex:
            if len(self._pending) < _PENDING_MOST:
                self._pending[hint] = None
            if self._thread is not None:
                return
            # Not a daemon: a command that ends now sends its last hints first.
            thread = threading.Thread(target=self._publish_all, name="publish-hints", daemon=False)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads, or the process is exiting
                log.warning("wake-up hint not published", task=hint[0], error=str(error))
                return
            self._thread = thread

    def _publish_all(self) -> None:
        while True:
            with self._mutex:
                hint = next(iter(self._pending), None)
                if hint is None:
                    self._thread = None
                    return
                del self._pending[hint]
            _send(*hint)


_publisher = _Publisher()


def _send(task: str, args: tuple[object, ...]) -> None:
    global _leave_alone_until  # noqa: PLW0603  (one broker a process)
    if time.monotonic() < _leave_alone_until:
        return
    try:
        with current_app.producer_or_acquire() as producer:
            # One with arguments is about something that no tick does at once.
            if args or not is_full(producer, current_app.conf.task_default_queue):
                # Without an expiry: it would be set by this clock and checked against the worker's.
                current_app.send_task(task, args=args, retry=False, producer=producer)
    except Exception as error:  # kombu, redis and the operating system each raise their own
        _leave_alone_until = time.monotonic() + _LEAVE_ALONE_SECONDS
        log.warning("wake-up hint not published", task=task, error=str(error))
