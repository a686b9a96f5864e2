"""Django behind the push gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tianji.runtime.pages import Pages


def ask(pages: Pages, *, send: Any = None, **scope: Any) -> list[dict[str, Any]]:
    """Send a request; return the messages of the response."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"abc", "more_body": False}

    async def keep(message: Any) -> None:
        messages.append(message)

    given = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], **scope}
    given |= {"http_version": "1.1", "scheme": "http", "client": ("192.0.2.7", 1), "server": ("x", 80)}
    asyncio.run(asyncio.wait_for(pages(given, receive, send or keep), 20))
    return messages


class Application:
    """A WSGI application that remembers its last request, and answers in many parts."""

    def __init__(self, parts: int = 1) -> None:
        self.parts, self.finished = parts, 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.environ = environ
        self.body = environ["wsgi.input"].read(3)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return self.iterate()

    def iterate(self) -> Any:
        for _ in range(self.parts):
            yield b"part"
        self.finished += 1


def test_a_request_reaches_the_application_with_its_body():
    application = Application()
    messages = ask(Pages(application, threads=1), path="/a", query_string=b"b=c")
    assert (application.environ["PATH_INFO"], application.environ["QUERY_STRING"]) == ("/a", "b=c")
    assert application.body == b"abc"
    assert messages[0]["status"] == 200
    assert b"".join(message.get("body", b"") for message in messages) == b"part"


@pytest.mark.parametrize("name", [b"x_forwarded_for", b"x-forwarded_for"])
def test_a_header_that_would_pass_for_the_proxys_is_dropped(name: bytes):
    application = Application()
    ask(
        Pages(application, threads=1),
        headers=[(name, b"203.0.113.9"), (b"x-forwarded-for", b"192.0.2.7"), (b"accept", b"*/*")],
    )
    assert application.environ["HTTP_X_FORWARDED_FOR"] == "192.0.2.7"
    assert application.environ["HTTP_ACCEPT"] == "*/*"


def test_a_query_that_is_not_ascii_arrives_escaped():
    application = Application()
    ask(Pages(application, threads=1), query_string="q=café%20&x=".encode() + b"\xff")
    assert application.environ["QUERY_STRING"] == "q=caf%C3%A9%20&x=%FF"


def test_clients_that_leave_keep_no_thread():
    application = Application(parts=50)
    pages = Pages(application, threads=2)

    async def leave(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise ConnectionError

    for _ in range(4):
        assert ask(pages, send=leave) == []
    assert application.finished == 4
