"""How a web process stops: whoever reached it gets an answer, and everyone else comes back elsewhere.

Between its signal and its end, a process

1. says `Connection: close` in its responses, so that the next connection is opened elsewhere;
2. takes no further connections, without refusing any that was opened already;
3. answers those that it has accepted, and only then tells the server to stop.

Without this, a connection that the system has accepted for the process, or one whose request is still on its
way to it, would be reset: its sender can't know whether a push was recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Awaitable, MutableMapping
from typing import Any

from granian import _signals

from monitors.heartbeats.gateway import Application, Receive, Scope, Send

# Connections that are used within this time are closed with a response. Only after requests: otherwise there
# are none.
CLOSING_SECONDS = 0.5
_HELD_SECONDS = 60.0
# How long connections may take to be accepted, and then to say what they want.
_ACCEPTING_SECONDS, _READING_SECONDS = 2.0, 0.2
# Linux: a program for a socket's packets that drops each.
_SO_ATTACH_FILTER, _DROP_ALL = 26, struct.pack("HBBI", 0x06, 0, 0, 0)


class Drained:
    """An ASGI application that closes its connections once `closing` is true."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.closing = False
        self.used_at = float("-inf")

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        self.used_at = time.monotonic()
        return self._application(scope, receive, _closing(send) if self.closing else send)

    async def drain(self) -> None:
        """Return when the server may stop."""
        self.closing = True
        if time.monotonic() - self.used_at < _HELD_SECONDS:
            await asyncio.sleep(CLOSING_SECONDS)
        listening = _listening()
        try:
            for each in listening:
                _drop_packets(each)
            until = time.monotonic() + _ACCEPTING_SECONDS
            while _has_waiting(listening) and time.monotonic() < until:
                await asyncio.sleep(0.005)
        finally:
            for each in listening:
                each.close()
        if time.monotonic() - self.used_at < _HELD_SECONDS:
            await asyncio.sleep(_READING_SECONDS)


def before_stopping(application: Drained) -> None:
    """Let granian, in this process, stop when `application` is drained."""
    watch = _signals.set_loop_signals

    def watch_and_drain(loop: asyncio.AbstractEventLoop) -> Any:
        stopping = watch(loop)
        tasks: list[asyncio.Task[None]] = []

        async def stop() -> None:
            try:
                await application.drain()
            finally:
                stopping.set()

        def begin() -> None:
            if not tasks:
                tasks.append(loop.create_task(stop()))

        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, begin)
        return stopping

    _signals.set_loop_signals = watch_and_drain


def _closing(send: Send) -> Send:
    async def send_and_close(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return send_and_close


def _listening() -> list[socket.socket]:
    """Return the sockets on which this process listens, which are the server's, under numbers of our own."""
    found = []
    with contextlib.suppress(OSError):  # systems without /proc
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # closed since
                if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    found.append(socket.socket(fileno=os.dup(int(name))))
    for each in found:
        if not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            each.close()
    return [each for each in found if each.fileno() != -1]


def _has_waiting(listening: list[socket.socket]) -> bool:
    """Whether a connection is not accepted yet. (`select` knows no numbers from 1024 on.)"""
    poll = select.poll()
    for each in listening:
        poll.register(each, select.POLLIN)
    return bool(poll.poll(0))


def _drop_packets(listening: socket.socket) -> None:
    """Accept no further connections. To clients, packets seem to be lost: they try again after a second."""
    program = ctypes.create_string_buffer(_DROP_ALL)
    with contextlib.suppress(OSError):  # where there are no such filters
        listening.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(program))
        )
