"""A TCP proxy between a process and its database, which can swallow what passes without closing anything."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from dataclasses import dataclass


@dataclass(eq=False)
class _Link:
    """A connection through the proxy: one socket to each side. What arrives on `stuck` ones goes nowhere."""

    near: socket.socket
    far: socket.socket
    stuck: bool = False


class TcpProxy:
    """Forwards to a port of 127.0.0.1 from one of its own.

    Both sides keep acknowledging what they get from a stuck connection, as with a pooler or firewall that
    hangs: neither keepalives nor TCP's own timeouts notice.
    """

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._links: list[_Link] = []
        self._mutex = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()

    def __enter__(self) -> TcpProxy:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopping.set()
        self._thread.join()
        for link in self._links:
            link.near.close()
            link.far.close()
        self._listener.close()
        self._selector.close()

    def swallow(self) -> int:
        """From now on swallow all that passes on the present connections, both ways; return how many.

        New connections work.
        """
        with self._mutex:
            present = [link for link in self._links if not link.stuck]
            for link in present:
                link.stuck = True
        return len(present)

    def _serve(self) -> None:
        while not self._stopping.is_set():
            for key, _events in self._selector.select(0.1):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._forward(*key.data)

    def _accept(self) -> None:
        near, _address = self._listener.accept()
        far = socket.create_connection(("127.0.0.1", self._to_port))
        link = _Link(near, far)
        with self._mutex:
            self._links.append(link)
        self._selector.register(near, selectors.EVENT_READ, (link, near, far))
        self._selector.register(far, selectors.EVENT_READ, (link, far, near))

    def _forward(self, link: _Link, source: socket.socket, target: socket.socket) -> None:
        if link not in self._links:
            # Closed a moment ago, for the other side.
            return
        try:
            read = source.recv(65_536)
        except OSError:
            read = b""
        if read and link.stuck:
            return
        if read:
            with contextlib.suppress(OSError):
                target.sendall(read)
                return
        if link.stuck:
            # One side has given up; the other is not told.
            self._selector.unregister(source)
            return
        for end in (link.near, link.far):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(end)
            end.close()
        with self._mutex:
            self._links.remove(link)
