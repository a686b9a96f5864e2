"""A lightweight load generator: connections with one request in flight each, kept or new for each request."""

from __future__ import annotations

import itertools
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Load:
    """The results of a run. Latencies are in seconds, unsorted."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Responses with status 200 per second."""
        return self.statuses.get(200, 0) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def post(path: str, *, close: bool = False) -> bytes:
    """Return the bytes of a POST without a body, which may `close` the connection."""
    last = "Connection: close\r\n" if close else ""
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n{last}\r\n".encode()


@dataclass(frozen=True)
class Senders:
    """Senders that take turns with `requests` on `connections` connections."""

    requests: Sequence[bytes]
    connections: int
    # Each request opens its connection, as most senders do. Its time counts.
    fresh: bool = False


def run(
    port: int, requests: Sequence[bytes], *, connections: int, seconds: float, fresh: bool = False
) -> Load:
    """Send `requests` in turn over `connections` for `seconds`; wait for and count every response."""
    (load,) = run_together(port, [Senders(requests, connections, fresh)], seconds=seconds)
    return load


def run_together(port: int, senders: Sequence[Senders], *, seconds: float) -> list[Load]:
    """Run all `senders` at the same time for `seconds`; return the results of each."""
    selector = selectors.DefaultSelector()
    sent_at: dict[socket.socket, float] = {}
    buffers: dict[socket.socket, bytes] = {}
    loads = [Load(seconds) for _ in senders]
    for group, load in zip(senders, loads, strict=True):
        turn = itertools.cycle(group.requests)
        for _ in range(group.connections):
            link = _connected(port)
            selector.register(link, selectors.EVENT_READ, (turn, load, group.fresh))
            buffers[link] = b""
    started = time.perf_counter()
    for key in list(selector.get_map().values()):
        link, (turn, _load, _fresh) = key.fileobj, key.data
        assert isinstance(link, socket.socket)
        sent_at[link] = time.perf_counter()
        link.sendall(next(turn))
    in_flight = len(buffers)
    while in_flight:
        for key, _ in selector.select(timeout=30):
            link, (turn, load, fresh) = key.fileobj, key.data
            assert isinstance(link, socket.socket)
            buffers[link] += (received := link.recv(65536))
            if not received:
                raise ConnectionError("the server closed a connection")
            status = complete(buffers[link])
            if status is None:
                continue
            now = time.perf_counter()
            load.latencies.append(now - sent_at[link])
            load.statuses[status] = load.statuses.get(status, 0) + 1
            buffers[link] = b""
            is_over = now - started >= seconds
            in_flight -= is_over
            if fresh:
                # The server closes it, too.
                selector.unregister(link)
                link.close()
                del buffers[link], sent_at[link]
            if is_over:
                continue
            if fresh:
                link = _connected(port)
                selector.register(link, selectors.EVENT_READ, key.data)
                buffers[link] = b""
            sent_at[link] = now
            link.sendall(next(turn))
    for load in loads:
        load.seconds = time.perf_counter() - started
    for link in buffers:
        link.close()
    selector.close()
    return loads


def _connected(port: int) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return link


def complete(buffer: bytes) -> int | None:
    """Return the status of the response in `buffer` once it is complete."""
    head, separator, body = buffer.partition(b"\r\n\r\n")
    if not separator:
        return None
    lower = head.lower()
    at = lower.find(b"content-length:")
    length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return int(head[9:12]) if len(body) >= length else None
