"""Requests over a raw socket to the real web server: what it hands over, and what is recorded."""

from __future__ import annotations

import gzip
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.product import Up


@pytest.fixture
def push_url(product: Up, request: pytest.FixtureRequest) -> str:
    with product.person() as person:
        return person.create_monitor(request.node.name[:80]).push_url


def ask(url: str, head: str, body: bytes = b"", *, breaks_off: bool = False) -> tuple[str, bytes]:
    """Send a raw request, with {path} in its head; return the status line and the rest of the answer."""
    where = urlsplit(url)
    text = head.replace("{path}", where.path).replace("\n", "\r\n")
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(f"{text}\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1") + body)
        if breaks_off:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    line, _, rest = answer.partition(b"\r\n")
    return line.decode(), rest


def recorded(product: Up, url: str) -> list[str]:
    """Return the statuses of the heartbeats of a push URL's monitor, in order."""
    with closing(sqlite3.connect(database_of(product))) as database:
        rows = database.execute(
            "SELECT h.status FROM monitors_heartbeat h"
            " JOIN monitors_pushtoken t ON t.monitor_id = h.monitor_id WHERE t.last_four = ? ORDER BY h.id",
            [url[-4:]],
        )
        return [status for (status,) in rows]


def database_of(product: Up) -> Path:
    return next(path for path in product.data.iterdir() if path.suffix in (".sqlite3", ".db"))


CHUNKED = "Transfer-Encoding: chunked"
SMALL = gzip.compress(b'{"status":"down"}', mtime=0)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("GET {path} HTTP/1.1\nContent-Length: 11", b"status=down"),
        ("HEAD {path} HTTP/1.1\nContent-Length: 11", b"status=down"),
        (f"GET {{path}} HTTP/1.1\n{CHUNKED}", b"3\r\nsta\r\n8\r\ntus=down\r\n0\r\n\r\n"),
        (f"POST {{path}} HTTP/1.1\nContent-Encoding: gzip\nContent-Length: {len(SMALL)}", SMALL),
        ("POST {path}?status=down HTTP/1.1\nContent-Length: 200000", b"x" * 200_000),
        (f"POST {{path}}?status=down HTTP/1.1\n{CHUNKED}", b"186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n"),
        ("GET {path}?status=up&msg=OK&ping=?status=down&msg=fail HTTP/1.1", b""),
        ("GET /{path}/%20?STATUS=DOWN HTTP/1.1", b""),
        ("GET {path}%0D?msg=x&amp;status=down HTTP/1.1", b""),
        ("GET {path}&status=down HTTP/1.1", b""),
        ("POST {path} HTTP/1.0\nContent-Length: 11", b"status=down"),
    ],
)
def test_a_reported_down_arrives_through_the_web_server(product: Up, push_url: str, head: str, body: bytes):
    line, _ = ask(push_url, head, body)
    assert " 200 " in line
    assert recorded(product, push_url) == ["down"]


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("POST {path} HTTP/1.1\nContent-Length: 30", b"msg=x&status=do"),
        (f"POST {{path}} HTTP/1.1\n{CHUNKED}", b"5\r\nmsg=x\r\n"),
        (f"POST {{path}} HTTP/1.1\n{CHUNKED}", b"ff\r\nmsg=x"),
        (f"POST {{path}} HTTP/1.1\n{CHUNKED}", b""),
        (f"POST {{path}} HTTP/1.1\n{CHUNKED}", b"zz\r\nstatus=down\r\n0\r\n\r\n"),
    ],
)
def test_a_body_that_breaks_off_records_nothing(product: Up, push_url: str, head: str, body: bytes):
    line, _ = ask(push_url, head, body, breaks_off=True)
    assert " 400 " in line
    assert recorded(product, push_url) == []
