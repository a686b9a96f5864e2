"""The web server under slow and idle connections, and when it is stopped."""

from __future__ import annotations

import contextlib
import resource
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.product import Up, up

# More slow pages than there are threads.
IDLE, SLOW, SLOW_PAGES = 1500, 300, 40


@pytest.fixture(scope="module")
def running() -> Iterator[Up]:
    with room_for(2 * IDLE + 500), up(TIANJI_PUSH_RATE="0") as product:
        yield product


@contextlib.contextmanager
def room_for(files: int) -> Iterator[None]:
    """Allow this process, and those that it starts, as many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard in (resource.RLIM_INFINITY,) or hard >= files, "too few files may be open for this test"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(url: str) -> socket.socket:
    where = urlsplit(url)
    return socket.create_connection((where.hostname or "", where.port or 0), timeout=30)


def seconds_of(url: str) -> float:
    started = time.monotonic()
    assert requests.get(url, timeout=30).status_code == 200
    return time.monotonic() - started


def test_slow_and_idle_connections_hold_up_neither_pushes_nor_pages(running: Up):
    with running.person() as person, contextlib.ExitStack() as stack:
        push_url = person.create_monitor("beside slow ones").push_url
        for _ in range(IDLE):
            stack.enter_context(connect(push_url))
        slow = [stack.enter_context(connect(push_url)) for _ in range(SLOW)]
        sent = time.monotonic()
        head = f"POST {urlsplit(push_url).path} HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\nmsg=half"
        for each in slow:
            each.sendall(head.encode())
        # With a cookie, the form is read for the token that belongs to it.
        head = (
            "POST /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Cookie: csrftoken={'a' * 32}\r\nContent-Length: 30\r\n\r\nlogin="
        )
        for _ in range(SLOW_PAGES):
            stack.enter_context(connect(push_url)).sendall(head.encode())
        assert seconds_of(push_url) < 5
        assert seconds_of(f"{running.url}/livez") < 5
        assert seconds_of(f"{running.url}/accounts/login/") < 5
        # None is kept for ever, and none counts as good news.
        answers = [each.recv(65536) for each in slow]
        assert 8 < time.monotonic() - sent < 30
        assert {answer[:12] for answer in answers} == {b"HTTP/1.1 400"}
        assert all(b"Incomplete body" in answer for answer in answers)


def test_what_is_recorded_when_the_server_is_stopped_was_answered():
    """While it stops, senders push without a pause."""
    with up(TIANJI_PUSH_RATE="0") as product:
        with product.person() as person:
            url = person.create_monitor("until the end").push_url
        answered, stopped = [0] * 16, threading.Event()

        def send(number: int) -> None:
            with requests.Session() as session:
                while not stopped.is_set():
                    try:
                        answer = session.get(url, timeout=20)
                    except requests.ConnectionError:
                        # The server no longer listens, or closed the connection between two requests.
                        return
                    answered[number] += answer.status_code == 200

        threads = [threading.Thread(target=send, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while sum(answered) < 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        product.process.stop()
        stopped.set()
        for thread in threads:
            thread.join()
        with closing(sqlite3.connect(product.data / "tianji.sqlite3")) as database:
            (stored,) = database.execute("SELECT count(*) FROM monitors_heartbeat").fetchone()
        assert stored == sum(answered)
