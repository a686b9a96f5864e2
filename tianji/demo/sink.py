"""A receiver for development: `python -m tianji.demo.sink` prints what channels send to this machine.

It answers every HTTP request with 204 and accepts every email. Tianji has to run with
TIANJI_ALLOW_PRIVATE_WEBHOOKS=127.0.0.0/8 and TIANJI_EMAIL_URL=smtp://127.0.0.1:9025 to send to it.
"""

from __future__ import annotations

import argparse
import json
import socketserver
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST, HTTP_PORT, SMTP_PORT = "127.0.0.1", 9099, 9025
# More bytes than any notification has.
_MOST = 10_000_000

Say = Callable[[str], None]


class Sink:
    """Receives HTTP and SMTP in two threads, and prints what arrives. Port 0 is any free port."""

    def __init__(self, *, http: int = HTTP_PORT, smtp: int = SMTP_PORT, say: Say) -> None:
        self._servers = [
            ThreadingHTTPServer((HOST, http), type("Http", (_Http,), {"say": staticmethod(say)})),
            _Smtp((HOST, smtp), type("Mail", (_Mail,), {"say": staticmethod(say)})),
        ]

    @property
    def ports(self) -> tuple[int, int]:
        """The ports it listens on, for HTTP and for SMTP."""
        http, smtp = (int(server.server_address[1]) for server in self._servers)
        return http, smtp

    def __enter__(self) -> Sink:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


class _Http(BaseHTTPRequestHandler):
    """Accepts any request."""

    say: Say

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length", 0)), _MOST)
        body = self.rfile.read(length)
        self.say(f"{self.command} {self.path}\n{_readable(body)}")
        self.send_response(204)
        self.end_headers()

    do_GET = do_PUT = do_POST  # noqa: N815  (the base class looks for these names)

    def log_message(self, format: str, *args: Any) -> None:
        """Print no access log."""


def _readable(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


class _Smtp(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


class _Mail(socketserver.StreamRequestHandler):
    """The part of SMTP (RFC 5321) that smtplib uses with a server without extensions."""

    say: Say

    def handle(self) -> None:
        self._answer("220 sink")
        sender, recipients = "", list[str]()
        while line := self.rfile.readline(1000):
            command = line.decode("utf-8", "replace").strip()
            match command[:4].upper():
                case "MAIL":
                    sender, recipients = command[10:], []
                case "RCPT":
                    recipients.append(command[8:])
                case "DATA":
                    self._answer("354 go on")
                    self._say_mail(sender, recipients, self._data())
                case "QUIT":
                    self._answer("221 bye")
                    return
            self._answer("250 sink")

    def _answer(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def _data(self) -> bytes:
        lines: list[bytes] = []
        while (line := self.rfile.readline(_MOST)) and line.rstrip(b"\r\n") != b".":
            # SMTP doubles a dot at the beginning of a line.
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say_mail(self, sender: str, recipients: list[str], data: bytes) -> None:
        mail = message_from_bytes(data, policy=policy.default)
        text = mail.get_body(("plain",))
        body = "\n".join(text.get_content().rstrip().splitlines()) if text is not None else ""
        self.say(f"MAIL {sender} to {', '.join(recipients)}\nSubject: {mail['Subject']}\n\n{body}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tianji.demo.sink", description="Prints what channels send to this machine."
    )
    parser.add_argument("--http", type=int, default=HTTP_PORT, help="port (default %(default)s)")
    parser.add_argument("--smtp", type=int, default=SMTP_PORT, help="port (default %(default)s)")
    options = parser.parse_args()
    with Sink(http=options.http, smtp=options.smtp, say=_print) as sink:
        http, smtp = sink.ports
        _print(f"Listening on http://{HOST}:{http} and smtp://{HOST}:{smtp} (press Ctrl-C to stop)")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            _print("Stopped.")


def _print(text: str) -> None:
    sys.stdout.write(f"{datetime.now().astimezone():%H:%M:%S} {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
