"""Wake-up hints: messages that save up to a second, and may all be lost."""

from __future__ import annotations

import time

import structlog
from celery import current_app
from django.db import transaction

log = structlog.get_logger(__name__)

# After the broker failed, no hint is sent for this long: a push must not wait for a broker that is down.
_LEAVE_ALONE_SECONDS = 5.0
_leave_alone_until = 0.0


def wake_on_commit(task: str, *args: object) -> None:
    """After the current transaction commits, ask a worker to run `task` now rather than at its next tick."""
    transaction.on_commit(lambda: _publish(task, args), robust=True)


def _publish(task: str, args: tuple[object, ...]) -> None:
    global _leave_alone_until  # noqa: PLW0603  (one broker a process)
    if time.monotonic() < _leave_alone_until:
        return
    try:
        current_app.send_task(task, args=args, retry=False, expires=60)
    except Exception as error:  # kombu, redis and the operating system each raise their own
        _leave_alone_until = time.monotonic() + _LEAVE_ALONE_SECONDS
        log.warning("wake-up hint not published", task=task, error=str(error))
