"""The push gateway and the view answer every request alike, byte for byte, and record the same."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.product import ROOT, environment_of, migrated
from tests.support.sender_requests import ALL, VALUES, Sent
from tests.support.servers import free_port

TOKENS = (
    "contract-token-plain",
    "contract-token-ruled",
    "contract-token-post-only",
    "contract-token-revoked",
)
PLAIN, RULED, POST_ONLY, REVOKED = TOKENS

_FILL = f"""
import django
django.setup()
from monitors.models import PushToken
from monitors.services import tokens
from tests.support.factories import make_monitor, make_workspace
workspace = make_workspace()
for secret, fields in {{
    "{PLAIN}": {{}},
    "{RULED}": {{"value_min": 0, "value_max": 100, "value_required": True}},
    "{POST_ONLY}": {{"post_only": True}},
    "{REVOKED}": {{}},
}}.items():
    monitor = make_monitor(workspace=workspace, name=secret, timeout=86400, **fields)
    tokens.import_token(monitor=monitor, secret=secret)
tokens.revoke(token=PushToken.objects.get(monitor__name="{REVOKED}", imported=True))
"""


@dataclass(frozen=True)
class Fronts:
    """Two web servers on one database: the gateway, and the view behind Django's middleware."""

    data: Path
    gateway: int
    view: int

    def newest(self) -> tuple[object, ...] | None:
        with closing(sqlite3.connect(self.data / "tianji.sqlite3")) as database:
            found: tuple[object, ...] | None = database.execute(
                "SELECT monitor_id, status, value, message, source, token_id, id FROM monitors_heartbeat"
                " ORDER BY id DESC LIMIT 1"
            ).fetchone()
        return found


@pytest.fixture(scope="module")
def fronts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronts]:
    data = migrated(tmp_path_factory.mktemp("data"))
    found = Fronts(data, free_port(), free_port())
    environment = {**environment_of(data, found.gateway), "TIANJI_PUSH_RATE": "0"}
    subprocess.run([sys.executable, "-c", _FILL], cwd=ROOT, env=environment, check=True)
    serve = [sys.executable, "-m", "tianji.runtime.web", "--host", "127.0.0.1", "--http", "1", "--no-ws"]
    gateway = ["--interface", "asginl", "--port", str(found.gateway), "tianji.asgi:application"]
    view = ["--interface", "wsgi", "--port", str(found.view), "--blocking-threads", "4"]
    processes = [
        subprocess.Popen([*serve, *options], cwd=ROOT, env=environment)
        for options in (gateway, [*view, "tianji.wsgi:application"])
    ]
    try:
        for port in (found.gateway, found.view):
            wait_for(port)
        yield found
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(20)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def ask(port: int, request: bytes, *, breaks_off: bool = False) -> bytes:
    """Return the whole final answer, without its date, and with its headers in order of their names."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        if breaks_off:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    # A server may say first that the body is welcome.
    head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    kept = sorted(header for header in headers if not header.startswith(b"date: "))
    return b"\r\n".join([line, *kept, b"", body])


def compare(fronts: Fronts, request: bytes, *, breaks_off: bool = False) -> bytes:
    """Send `request` to both; return the answer, which must be the same, and so must what they record."""
    answers, recorded = [], []
    for port in (fronts.gateway, fronts.view):
        before = fronts.newest()
        answers.append(ask(port, request, breaks_off=breaks_off))
        after = fronts.newest()
        recorded.append(None if after == before or after is None else after[:-1])
    assert answers[0] == answers[1]
    assert recorded[0] == recorded[1]
    assert (recorded[0] is not None) == answers[0].startswith(b"HTTP/1.1 200 ")
    return answers[0]


def raw(method: str, target: bytes, body: bytes = b"", **headers: str) -> bytes:
    """Return a request as bytes; the names of headers with underscores for hyphens."""
    lines = [f"{method} ".encode() + target + b" HTTP/1.1", b"Host: x", b"Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}".encode("latin-1") for name, value in headers.items()]
    if body and "Transfer_Encoding" not in headers and "Content_Length" not in headers:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


_ESCAPED = (*range(33), *b'"<>\\^`{|}', 127)


def as_bytes(sent: Sent, token: str) -> bytes:
    # A raw query may have what no request line can hold; senders escape it.
    query = b"".join(b"%%%02X" % byte if byte in _ESCAPED else bytes([byte]) for byte in sent.query)
    target = f"/api/push/{token}".encode() + (b"?" + query if query else b"")
    headers = {"Content_Type": sent.type} if sent.type else {}
    if sent.encoding:
        headers["Content_Encoding"] = sent.encoding
    return raw(sent.verb, target, sent.body, **headers)


@pytest.mark.parametrize(
    ("sent", "token"),
    [*((sent, PLAIN) for sent in ALL), *((sent, RULED) for sent in VALUES)],
    ids=str,
)
def test_each_request_of_senders_is_answered_alike(fronts: Fronts, sent: Sent, token: str):
    answer = compare(fronts, as_bytes(sent, token))
    expected = sent.means if isinstance(sent.means, int) else 200
    assert answer.startswith(f"HTTP/1.1 {expected} ".encode())


PATH = f"/api/push/{PLAIN}".encode()
CHUNKED = {"Transfer_Encoding": "chunked"}


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        *((405, raw(method, PATH)) for method in ("PUT", "PATCH", "DELETE", "TRACE", "QUERY", "PURGE")),
        (405, raw("PUT", b"/api/push")),
        (204, raw("OPTIONS", PATH)),
        (204, raw("OPTIONS", b"/api/push/nothing", Origin="https://example.com")),
        *((200, raw(method, PATH)) for method in ("GET", "HEAD", "POST")),
        (200, raw("GET", b"/api/push", Authorization=f"Bearer {PLAIN}")),
        (200, raw("POST", b"/api/push/", Authorization=f"bearer   {PLAIN}  ")),
        (404, raw("GET", b"/api/push", Authorization=f"Basic {PLAIN}")),
        (404, raw("GET", b"/api/push")),
        (404, raw("HEAD", b"/api/push/unknown-token-of-nothing")),
        (404, raw("GET", f"/api/push/{REVOKED}".encode())),
        (405, raw("GET", f"/api/push/{POST_ONLY}".encode())),
        (405, raw("HEAD", f"/api/push/{POST_ONLY}".encode())),
        (200, raw("POST", f"/api/push/{POST_ONLY}".encode())),
        (404, raw("GET", b"/api/push/tjp_mistyped")),
        (404, raw("GET", b"/api/push/%FF%FE")),
        (404, raw("GET", b"/api/push/%00")),
        (404, raw("GET", b"/api/push/" + b"x" * 10_000)),
        (200, raw("GET", PATH + b"/")),
        (200, raw("GET", b"//api//push///" + PLAIN.encode() + b"///")),
        (200, raw("GET", PATH + b"%3Fstatus=down&msg=caf%C3%A9")),
        (200, raw("GET", PATH + b"%0D?msg=x&amp;status=down")),
        (200, raw("GET", PATH + b"&status=down")),
        (200, raw("GET", PATH + "?msg=café".encode())),
        # The server itself refuses it.
        (400, raw("GET", PATH + b"?msg=caf\xe9")),
        (200, raw("GET", PATH + b"?msg=%FF%FE&value=1")),
        (200, raw("GET", PATH, X_Forwarded_For="203.0.113.9")),
        (200, raw("POST", PATH, b"", Content_Length="0")),
        (200, raw("POST", PATH, b"b\r\nstatus=down\r\n0\r\n\r\n", **CHUNKED)),
        (400, raw("POST", PATH, b"0\r\n\r\n", **CHUNKED)),
        (400, raw("POST", PATH, b"5\r\nhello\r\n0\r\n\r\n", **CHUNKED)),
        (200, raw("POST", PATH + b"?status=up", b"5\r\nhello\r\n0\r\n\r\n", **CHUNKED)),
        (413, raw("POST", PATH, b"x" * 200_000)),
        (413, raw("POST", PATH, b"186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n", **CHUNKED)),
        (200, raw("POST", PATH + b"?status=down", b"x" * 200_000)),
        (200, raw("POST", PATH, b"status=down", Content_Type="a", content_type="b")),
        (200, raw("POST", PATH, b"status=down", Expect="100-continue")),
    ],
)
def test_each_shape_of_request_is_answered_alike(fronts: Fronts, status: int, request_: bytes):
    answer = compare(fronts, request_)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    "request_",
    [
        raw("POST", PATH, b"msg=x&status=do", Content_Length="30"),
        raw("POST", PATH, b"5\r\nmsg=x\r\n", **CHUNKED),
        raw("POST", PATH, b"ff\r\nmsg=x", **CHUNKED),
        raw("POST", PATH, b"zz\r\nstatus=down\r\n0\r\n\r\n", **CHUNKED),
    ],
)
def test_each_body_that_breaks_off_is_answered_alike(fronts: Fronts, request_: bytes):
    assert compare(fronts, request_, breaks_off=True).startswith(b"HTTP/1.1 400 ")
