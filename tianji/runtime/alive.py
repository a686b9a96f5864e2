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
_next = 0.0


def touch(**signal: Any) -> None:
    """Touch TIANJI_ALIVE, if it is set, unless this was done in the last seconds."""
    global _next  # noqa: PLW0603  (one file a process)
    if not settings.TIANJI_ALIVE or time.monotonic() < _next:
        return
    _next = time.monotonic() + _EVERY_SECONDS
    try:
        Path(settings.TIANJI_ALIVE).touch()
    except OSError as error:
        # Whoever looks at the file acts on it; the work goes on.
        log.warning("TIANJI_ALIVE can't be touched", path=settings.TIANJI_ALIVE, error=str(error))
