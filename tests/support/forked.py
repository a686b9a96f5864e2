"""The product's processes as forks of one that has imported the libraries: they start in half the time.

Nothing of the product is imported before the fork, and nothing that reads settings: each fork reads its own
environment, and runs its command line as a new interpreter would. Tests of how the product starts use those.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# Of what the product imports, what takes long and needs no settings.
LIBRARIES = (
    *("django.contrib.admin", "django.contrib.staticfiles.handlers", "django.core.management"),
    *("django.db.backends.postgresql.base", "django.db.backends.sqlite3.base", "django.db.models"),
    *("celery.apps.beat", "celery.apps.worker", "celery.bin.celery", "celery.concurrency.thread"),
    *("kombu.transport.redis", "granian.cli", "granian.server", "psycopg_pool", "structlog", "environs"),
    *("drf_spectacular.utils", "rest_framework.serializers", "django.test.client", "jsonschema"),
    *("cryptography.fernet", "fido2.server", "qrcode.main", "httpx", "a2wsgi", "cron_descriptor"),
)
# Where forks are safe.
AVAILABLE = sys.platform == "linux"
_OF_AN_INTERPRETER = ("PYTHONPATH", "PYTHONWARNINGS", "PYTHONHASHSEED")
# A command with its environment, in JSON, is smaller by far.
_MOST = 2**20
_NUMBER = struct.Struct("i")


def can_have(environment: dict[str, str]) -> bool:
    """Return whether a fork does: what only a new interpreter reads has to be as it is here."""
    same = all(environment.get(name) == os.environ.get(name) for name in _OF_AN_INTERPRETER)
    return AVAILABLE and same


class Fork:
    """A command line that is run in a fork, with what tests use of `subprocess.Popen`.

    `stdout` is its standard output and error; its standard input is empty.

    Args:
        argv: this interpreter, then a file or -m and a module, then arguments.
    """

    def __init__(self, argv: list[str], environment: dict[str, str], *, cwd: Path) -> None:
        self._argv = argv
        self.returncode: int | None = None
        output, its_output = os.pipe()
        self._news, its_news = os.pipe()
        request = {"argv": argv[1:], "cwd": str(cwd), "environment": environment}
        socket.send_fds(_forker(), [json.dumps(request).encode()], [its_output, its_news])
        os.close(its_output)
        os.close(its_news)
        self.stdout = os.fdopen(output)
        self.pid = self._read()

    def poll(self) -> int | None:
        """Return its exit code, as `subprocess` does, or None while it runs."""
        if self.returncode is None and select.select([self._news], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._news], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._argv, timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _end(self) -> None:
        self.returncode = self._read()
        os.close(self._news)

    def _read(self) -> int:
        (number,) = _NUMBER.unpack(os.read(self._news, _NUMBER.size))
        return int(number)


@cache
def _forker() -> socket.socket:
    """Return the end of a socket at whose other end a process takes requests, until this one ends."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Without these, a library that reads settings can't be imported.
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())],
            cwd=ROOT,
            env=environment,
            pass_fds=[its.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait(20)

    atexit.register(end)
    return ours


def main() -> None:
    """Import the libraries, and fork for each request. Returns in the forks only."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    # Ctrl-C ends the tests, which then end this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, _flags, _address = socket.recv_fds(requests, _MOST, 2)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            _run_and_report(json.loads(data), *descriptors)
            return
        for descriptor in descriptors:
            os.close(descriptor)
        _reap()


def _reap() -> None:
    """Take note of the children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
            pass


def _run_and_report(request: dict[str, Any], output: int, news: int) -> None:
    """Run a command in a fork of this process, and return there. Here, report its process id and its end."""
    pid = os.fork()
    if pid == 0:
        os.close(news)
        _become(output, **request)
        return
    os.close(output)
    os.write(news, _NUMBER.pack(pid))
    _pid, status = os.waitpid(pid, 0)
    os.write(news, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(output: int, *, argv: list[str], cwd: str, environment: dict[str, str]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    for descriptor in (nothing, output):
        os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if argv[0] == "-m":
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv
        runpy.run_path(argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
