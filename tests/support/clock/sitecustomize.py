"""For a process of its own: its clock is off by the seconds in the file TESTS_CLOCK, and follows the file.

Python imports this at its start if the folder is in PYTHONPATH. Clocks that are never set stay right.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine

_LOOK_EVERY = 0.1
_file = Path(os.environ["TESTS_CLOCK"])
_began, _steady = datetime.now(UTC), time.monotonic()


def _wrong(seconds: float) -> datetime:
    return _began + timedelta(seconds=time.monotonic() - _steady + seconds)


def _off() -> float:
    return float(_file.read_text() or 0)


def _follow(clock: time_machine.Traveller, seconds: float) -> None:
    while True:
        time.sleep(_LOOK_EVERY)
        if (now := _off()) != seconds:
            seconds = now
            clock.move_to(_wrong(seconds), tick=True)


_first = _off()
_clock = time_machine.travel(_wrong(_first), tick=True).start()
threading.Thread(target=_follow, args=(_clock, _first), daemon=True).start()
