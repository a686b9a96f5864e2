"""What all fakes share: a server, the requests it took, and ways to let it fail."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One request. The names of `headers` are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class Reply:
    """What is answered: JSON, or text as it is."""

    status: int = 200
    content: Any = ""
    headers: dict[str, str] = field(default_factory=dict)


class AddressNotAllowed(Exception):
    """The request is invalid for the provider; `args` is its error message."""


def need(condition: object, words: str) -> None:
    """Refuse the request with `words` unless the condition holds."""
    if not condition:
        raise AddressNotAllowed(words)


def text_of(value: object, name: str, most: int, *, least: int = 1) -> str:
    """Return a text of a length that is allowed."""
    need(isinstance(value, str), f"{name} must be a text")
    assert isinstance(value, str)
    need(least <= len(value) <= most, f"{name} must have {least} to {most} characters, has {len(value)}")
    return value


class Fake:
    """A provider. `take` checks a request and answers it; Refused becomes what `refusal` says.

    `mode` is how the next requests are answered: "" as documented, "limited", "broken", "malformed".
    """

    kind: ClassVar[str]
    # What the channel is told; with `wrong` in it, the provider does not know who sends.
    config: ClassVar[dict[str, Any]]
    wrong: ClassVar[dict[str, Any]]
    # What it says then, and the secrets that nobody may read anywhere.
    wrong_words: ClassVar[str]
    secrets: ClassVar[tuple[str, ...]]
    # The addresses of the provider that this server stands in for; none where the channel names it.
    origins: ClassVar[tuple[str, ...]] = ()
    limited_wait: ClassVar[timedelta | None] = None

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.problems: list[str] = []
        self.mode = ""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the config of a channel that sends here."""
        return {**self.config, **more}

    def take(self, request: Request) -> Reply:
        raise NotImplementedError

    def refusal(self, words: str) -> Reply:
        """The provider's response to an invalid request."""
        raise NotImplementedError

    def limited(self) -> Reply:
        """The provider's response to too many requests."""
        raise NotImplementedError

    def shown_text(self, request: Request) -> str:
        """Everything in a request that people can read."""
        return request.body.decode()

    def _reply(self, request: Request) -> Reply:
        match self.mode:
            case "limited":
                return self.limited()
            case "broken":
                return Reply(502, "<html><title>Bad gateway</title></html>")
            case "malformed":
                return Reply(200, '{"half')
        try:
            return self.take(request)
        except AddressNotAllowed as refused:
            self.problems.append(str(refused))
            return self.refusal(str(refused))
        except Exception as error:
            self.problems.append(f"{type(error).__name__}: {error}")
            return Reply(500, "")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, parts.path, query, headers, self.rfile.read(length))
                fake.requests.append(request)
                reply = fake._reply(request)
                text = reply.content if isinstance(reply.content, str) else json.dumps(reply.content)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  (http.server's names)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay quiet."""

        return Handler
