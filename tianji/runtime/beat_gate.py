"""Whether the tick of a task is needed: Celery Beat asks the database, so that an idle worker can rest.

A tick costs a message, and a worker's thread to find that nothing is due. One query costs a tenth of that.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import Error

from monitors.heartbeats import due
from notifications.dispatch import waiting

# Without any need, a tick is sent this often: it's how /healthz notices that no worker is running.
SENT_EVERY_SECONDS = 3.0

# The tasks that tick every second.
_QUESTIONS: dict[str, Callable[[], bool]] = {
    "monitors.tasks.sweep": due.something_is_due,
    "notifications.tasks.deliver": waiting.something_is_due,
}


class Gate:
    """Decides which ticks are sent. Ticks are hints, so one that is sent in vain does no harm."""

    def __init__(self) -> None:
        self._sent_at: dict[str, float] = {}

    def lets_through(self, task: str) -> bool:
        """Return whether to send a tick of `task` now. At most one query."""
        question = _QUESTIONS.get(task)
        if question is None:
            return True
        now = time.monotonic()
        last = self._sent_at.get(task)
        if last is None or now - last >= SENT_EVERY_SECONDS or self._is_due(question):
            self._sent_at[task] = now
            return True
        return False

    def _is_due(self, question: Callable[[], bool]) -> bool:
        try:
            return question()
        except Error:
            # It may be over when the worker looks.
            return True
