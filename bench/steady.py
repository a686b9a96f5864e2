"""Senders at a steady rate, for as long as something else is measured."""

from __future__ import annotations

import heapq
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.load import complete

_LONGEST = 30.0


@dataclass
class Sent:
    """What was sent so far. Latencies, in seconds, are from when a push was to be sent."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    error: str = ""

    def percentile(self, share: float, *, since: int = 0) -> float:
        """Return a percentile of the latencies from the index `since` on; 0 if there are none."""
        ordered = sorted(self.latencies[since:])
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


@contextmanager
def sending(port: int, requests: Sequence[bytes], *, rate: float, connections: int) -> Iterator[Sent]:
    """Send `requests` in turn, `rate` a second over keep-alive connections, while the context is open."""
    sent, over = Sent(), threading.Event()

    def send() -> None:
        try:
            _send(port, requests, rate, connections, sent, over)
        except OSError as error:
            sent.error = str(error) or type(error).__name__

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()


def _send(
    port: int, requests: Sequence[bytes], rate: float, connections: int, sent: Sent, over: threading.Event
) -> None:
    selector = selectors.DefaultSelector()
    # In turn, so that none is idle for long.
    free: deque[socket.socket] = deque()
    due_at: dict[socket.socket, float] = {}
    read: dict[socket.socket, bytes] = {}

    def connect() -> None:
        link = socket.create_connection(("127.0.0.1", port), timeout=_LONGEST)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(link, selectors.EVENT_READ)
        free.append(link)

    for _ in range(connections):
        connect()
    began, number = time.perf_counter(), 0
    waiting: list[tuple[float, int]] = []
    last = began
    while not over.is_set() or due_at:
        now = time.perf_counter()
        while not over.is_set() and began + number / rate <= now:
            heapq.heappush(waiting, (began + number / rate, number))
            number += 1
        while waiting and free and not over.is_set():
            link = free.popleft()
            due_at[link], at = heapq.heappop(waiting)
            read[link] = b""
            link.sendall(requests[at % len(requests)])
        until_next = max(began + number / rate - time.perf_counter(), 0) if free else 0.05
        for key, _events in selector.select(min(until_next, 0.05)):
            link = key.fileobj  # type: ignore[assignment]
            last = time.perf_counter()
            received = link.recv(65_536)
            if not received and link in due_at:
                raise ConnectionError("the server closed a connection")
            if not received:
                selector.unregister(link)
                free.remove(link)
                link.close()
                connect()
                continue
            read[link] += received
            if (status := complete(read[link])) is not None:
                sent.latencies.append(last - due_at.pop(link))
                sent.statuses[status] = sent.statuses.get(status, 0) + 1
                free.append(link)
        if due_at and time.perf_counter() - last > _LONGEST:
            raise TimeoutError(f"no answer for {_LONGEST:.0f} s")
        last = last if due_at else time.perf_counter()
    for link in free:
        link.close()
    selector.close()
