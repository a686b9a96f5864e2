"""Real receivers on 127.0.0.1: a mail server and an HTTP server that record what they receive."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


def wait_until(condition: Any, *, seconds: float = 10.0) -> bool:
    """Wait at most `seconds` until `condition()` is true; return whether it is."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@dataclass(frozen=True)
class Mail:
    """One accepted message: envelope and parsed content."""

    sender: str
    recipients: list[str]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        part = self.message.get_body(("plain",))
        return part.get_content() if part else ""

    @property
    def html(self) -> str:
        part = self.message.get_body(("html",))
        return part.get_content() if part else ""


class SmtpSink:
    """A mail server. `mails` are the accepted ones; `refuse` maps an address to the reply that rejects it.

    `data_reply`, if set, is the reply to every message instead of accepting it.
    """

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.refuse: dict[str, str] = {}
        self.data_reply = ""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    @property
    def port(self) -> int:
        return self._controller.port

    @property
    def url(self) -> str:
        """For TIANJI_EMAIL_URL."""
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        """For a test's `settings`, in the same process."""
        return {
            "TIANJI_EMAIL_URL": self.url,
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": self.port,
            "EMAIL_HOST_USER": "",
            "EMAIL_HOST_PASSWORD": "",
            "EMAIL_USE_TLS": False,
            "EMAIL_USE_SSL": False,
        }

    async def handle_RCPT(  # noqa: N802  (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if self.data_reply:
            return self.data_reply
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        self.mails.append(Mail(envelope.mail_from or "", list(envelope.rcpt_tos), message))
        return "250 Taken"

    def wait_for(self, count: int, *, seconds: float = 10.0) -> list[Mail]:
        """Return the mails once there are `count` of them; AssertionError after `seconds`."""
        assert wait_until(lambda: len(self.mails) >= count, seconds=seconds), (
            f"{len(self.mails)} of {count} mails came within {seconds} s"
        )
        return self.mails

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()


@dataclass(frozen=True)
class Answer:
    """How the HTTP sink answers one request.

    `delay` waits this many seconds before sending anything; `reset` cuts the connection instead; `drip`
    sends the body one byte at a time, with this many seconds between; `drip_head` does the same with the
    status line.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"taken"
    delay: float = 0.0
    reset: bool = False
    drip: float = 0.0
    drip_head: float = 0.0


@dataclass(frozen=True)
class Received:
    """One request, with the monotonic time of its arrival."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def notifications_in(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the events of a webhook with the names of their monitors, those of a digest one by one."""
    if body["digest"] is not None:
        return [(each["event"], each["name"]) for each in body["digest"]["monitors"]]
    return [(body["event"], body["monitor"]["name"])] if body["monitor"] else []


class HttpSink:
    """An HTTP server. Each request uses up one of `answers`; after the last, `default` is used."""

    def __init__(self, *answers: Answer, default: Answer | None = None) -> None:
        self.requests: list[Received] = []
        self.answers = list(answers)
        self.default = default or Answer()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # A test that ends must not wait for a line that hangs on purpose.
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/in"

    def wait_for(self, count: int, *, seconds: float = 10.0) -> list[Received]:
        """Return the requests once there are `count` of them; AssertionError after `seconds`."""
        assert wait_until(lambda: len(self.requests) >= count, seconds=seconds), (
            f"{len(self.requests)} of {count} requests came within {seconds} s"
        )
        return self.requests

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with sink._lock:
                    sink.requests.append(
                        Received(
                            self.command,
                            self.path,
                            {name.lower(): value for name, value in self.headers.items()},
                            body,
                            time.monotonic(),
                        )
                    )
                    answer = sink.answers.pop(0) if sink.answers else sink.default
                # The client may hang up first, which some tests are about.
                with contextlib.suppress(OSError):
                    self.give(answer)

            do_GET = do_POST  # noqa: N815  (its base class says so)

            def give(self, answer: Answer) -> None:
                self.close_connection = True
                sink._stopped.wait(answer.delay)
                if answer.reset:
                    # With a linger time of zero, closing the socket sends a reset.
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
                    return
                if answer.drip_head:
                    self.drip(b"HTTP/1.1 200 OK\r\n" + b"X-Slow: 1\r\n" * 1000, answer.drip_head)
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if answer.drip:
                    self.drip(answer.body, answer.drip)
                else:
                    self.wfile.write(answer.body)

            def drip(self, data: bytes, seconds: float) -> None:
                for byte in data:
                    if sink._stopped.wait(seconds):
                        return
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()

            def log_message(self, format: str, *args: Any) -> None:
                """Stay quiet."""

        return Handler
