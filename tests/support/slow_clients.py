"""Clients that hold connections to a web server: idle ones, slow ones, and some that never read."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit


@contextlib.contextmanager
def room_for(files: int) -> Iterator[None]:
    """Allow this process, and those that it starts, as many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= files, "too few files may be open for this test"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class SlowClients:
    """Many connections to one server, each of which has sent something and waits."""

    def __init__(self, url: str) -> None:
        where = urlsplit(url)
        self._address = (where.hostname or "", where.port or 80)
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> SlowClients:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.close()

    def open(self, number: int, *sent: str | bytes, receives: int | None = None) -> list[socket.socket]:
        """Open connections that send this at once; return them.

        Args:
            receives: how many bytes the system accepts for each before it is read.
        """
        text = b"".join(part.encode() if isinstance(part, str) else part for part in sent)
        return [self._one(text, receives) for _ in range(number)]

    def _one(self, text: bytes, receives: int | None) -> socket.socket:
        made = self._closing.enter_context(socket.socket())
        if receives is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        made.settimeout(30)
        made.connect(self._address)
        # It may be refused before all of it is sent.
        with contextlib.suppress(ConnectionError):
            made.sendall(text)
        return made


def head(method: str, path: str, *headers: str) -> str:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""])


def trickle(connections: list[socket.socket], part: bytes) -> None:
    """Send the same on each of them that is still open."""
    for each in connections:
        # Answered and closed.
        with contextlib.suppress(OSError):
            each.send(part, socket.MSG_DONTWAIT)


def is_open(connection: socket.socket) -> bool:
    """Whether the server has neither answered nor closed this connection."""
    # `select` knows no numbers from 1024 on.
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)


def answers_of(connections: list[socket.socket], *, seconds: float) -> list[bytes]:
    """Return the first line of what each was answered within `seconds`; empty without an answer."""
    until = time.monotonic() + seconds
    found = []
    for each in connections:
        each.settimeout(max(0.01, until - time.monotonic()))
        try:
            found.append(each.recv(65536).partition(b"\r\n")[0])
        except OSError:
            found.append(b"")
    return found
