"""Processes forked from this one, which has loaded the program: they start at once and share its memory."""

from __future__ import annotations

import ctypes
import gc
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tianji.runtime.web import load_pages

# Elsewhere forks aren't safe.
AVAILABLE = sys.platform == "linux"

# What the roles import when they start. A fork that imports has the memory for it to itself.
_OF_ROLES = (
    "granian.server",
    *("celery.bin.celery", "celery.apps.worker", "celery.apps.beat", "celery.concurrency.thread"),
    "tianji.runtime.beat",
)
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def load() -> None:
    """Import what all roles run. Opens no connection and starts no thread: neither survives a fork."""
    # Nearly all of it stays. Nothing looks through it for garbage, and so it stays shared.
    gc.collect()
    gc.disable()
    load_pages()
    for module in _OF_ROLES:
        importlib.import_module(module)
    gc.freeze()
    gc.enable()


class Fork:
    """A fork of this process that calls `run`, with the methods of `subprocess.Popen` that are needed.

    It's in a session of its own, and ends when this process does. This process must have neither threads nor
    database connections.
    """

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_become, args=(name, run), name=name)
        # A signal is kept until the fork no longer has this process's handlers.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit code.

        Raises:
            subprocess.TimeoutExpired: it hasn't ended within `timeout` seconds.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return code

    def terminate(self) -> None:
        self._process.terminate()


def die_with_parent() -> None:
    """Have Linux terminate this process when its parent exits for any reason."""
    if AVAILABLE:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _become(name: str, run: Callable[[], None]) -> None:
    os.setsid()
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    # As with PYTHONUNBUFFERED, which is read before the program.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _set_title(f"tianji {name}")
    # Otherwise it has been chosen, and tianji/runtime/web.py could not.
    multiprocessing.set_start_method(None, force=True)
    run()


def _set_title(title: str) -> None:
    """Have `ps` and `top` show `title`, instead of the command line of the process that was forked."""
    ctypes.CDLL(None).prctl(_PR_SET_NAME, title.encode()[:15])
    # proc_pid_stat(5): arg_start and arg_end. What is before the name may contain anything.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    ctypes.memmove(start, title.encode().ljust(end - start, b"\0")[: end - start], end - start)
