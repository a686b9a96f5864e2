"""Start a set of processes, restart those that exit, and stop them together."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

from tianji.runtime.forks import Fork, die_with_parent

BACKOFF_FIRST, BACKOFF_MOST = 1.0, 30.0
# A child that ran this long had started properly, so its next exit resets the backoff.
SETTLED_AFTER = 60.0
# An attempt of a delivery takes up to 15 s, and is recorded before its worker stops.
STOP_WITHIN = 20.0
_POLL_EVERY = 0.1


@dataclass
class Child:
    """One process to keep running: its name, what it does and, while it runs, its handle.

    Args:
        run: what a fork of this process does. Without it, `argv` is started.
        essential: otherwise it is left alone when it ends.
    """

    name: str
    argv: Sequence[str] = ()
    run: Callable[[], None] | None = None
    essential: bool = True
    process: subprocess.Popen[bytes] | Fork | None = None
    started_at: float = 0.0
    backoff: float = BACKOFF_FIRST
    restart_at: float = 0.0


@dataclass
class Supervisor:
    """Keeps `children` running until SIGINT or SIGTERM, then stops them in order.

    Args:
        say: prints one line for the operator.
        environment: the environment variables of the children.
    """

    children: list[Child]
    say: Callable[[str], None]
    environment: Mapping[str, str]
    _stopping: bool = field(default=False, init=False)

    def run(self, *, meanwhile: Callable[[], None]) -> None:
        """Start all children, call `meanwhile` about ten times a second, return once all have stopped."""
        previous = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            for child in self.children:
                self._start(child)
            while not self._stopping:
                for child in self.children:
                    self._supervise(child)
                meanwhile()
                time.sleep(_POLL_EVERY)
        finally:
            self._stop_all()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def add(self, child: Child) -> None:
        """Start one more child, which is stopped after the others."""
        self.children.append(child)
        self._start(child)

    def restart(self) -> None:
        """Stop all children and restart them immediately: for a program that has changed."""
        self._stop_all()
        for child in self.children:
            child.backoff = BACKOFF_FIRST
            self._start(child)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, child: Child) -> None:
        child.started_at = time.monotonic()
        if child.run is not None:
            child.process = Fork(child.name, child.run)
            return
        # A separate process group, so that Ctrl-C in a terminal reaches only the supervisor, which then
        # stops the children in order.
        child.process = subprocess.Popen(
            child.argv,
            env=dict(self.environment),
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509  (the supervisor has one thread)
        )

    def _supervise(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if child.essential and now >= child.restart_at:
                self._start(child)
            return
        code = child.process.poll()
        if code is None:
            return
        if now - child.started_at > SETTLED_AFTER:
            child.backoff = BACKOFF_FIRST
        _kill_group(child.process.pid)
        child.process = None
        if not child.essential:
            self.say(f"{child.name} {_how_it_ended(code)}.")
            return
        child.restart_at = now + child.backoff
        self.say(f"{child.name} {_how_it_ended(code)}; restarting in {child.backoff:.0f} s.")
        child.backoff = min(child.backoff * 2, BACKOFF_MOST)

    def _stop_all(self) -> None:
        deadline = time.monotonic() + STOP_WITHIN
        for child in self.children:
            if (process := child.process) is None:
                continue
            # One by one: first accept no new work, then finish the work in progress. A worker also
            # notices the signal sooner while Celery Beat still sends it ticks.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.5, deadline - time.monotonic()))
            # The rest of the group, such as the worker of a server that was killed.
            _kill_group(process.pid)
            process.wait()
            child.process = None


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"exited with code {code}"


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
