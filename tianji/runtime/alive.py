"""The file that a worker and Celery Beat touch while they work, so that a health check needs only its age.

Asking a worker takes a second of CPU time for the program that asks; looking at a file takes none.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

log = structlog.get_logger(__name__)

_EVERY_SECONDS = 5.0


class Alive:
    """Touches TIANJI_ALIVE, if it is set, at most every few seconds."""

    def __init__(self) -> None:
        self._next = 0.0
        self._failing = False

    def touch(self, **signal: Any) -> None:
        """Touch the file, unless this was done in the last seconds. Can receive a signal of Celery's."""
        if not settings.TIANJI_ALIVE or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_SECONDS
        try:
            Path(settings.TIANJI_ALIVE).touch()
        except OSError as error:
            # Whoever looks at the file acts on its age; the work goes on.
            if not self._failing:
                log.warning("TIANJI_ALIVE can't be touched", path=settings.TIANJI_ALIVE, error=str(error))
            self._failing = True
        else:
            self._failing = False


# Of this process.
alive = Alive()
