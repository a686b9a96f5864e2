"""Django behind the push gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tianji.runtime import pages as pages_module
from tianji.runtime.pages import Pages


def ask(pages: Pages, *, send: Any = None, **scope: Any) -> list[dict[str, Any]]:
    """Send a request; return the messages of the response."""
    messages: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"abc", "more_body": False}

    async def keep(message: Any) -> None:
        messages.append(message)

    asyncio.run(asyncio.wait_for(pages(scope_of(**scope), receive, send or keep), 20))
    return messages


def scope_of(**scope: Any) -> dict[str, Any]:
    given = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": [], **scope}
    return given | {"http_version": "1.1", "scheme": "http", "client": ("192.0.2.7", 1), "server": ("x", 80)}


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


LENGTH = [(b"content-length", b"300000")]


async def never() -> dict[str, Any]:
    await asyncio.sleep(60)
    raise AssertionError


@pytest.mark.parametrize("leaves", [True, False])
def test_a_request_whose_body_breaks_off_is_not_handled(monkeypatch, leaves: bool):
    """A form that is cut would be read as one without the rest of its fields."""
    monkeypatch.setattr(pages_module, "_AHEAD_SECONDS", 0.3)
    messages: list[Any] = []
    application = Application()
    parts = [{"type": "http.request", "body": b"name=a", "more_body": True}]
    parts += [{"type": "http.disconnect"}] if leaves else []

    async def run() -> None:
        async def receive() -> dict[str, Any]:
            return parts.pop(0) if parts else await never()

        async def send(message: Any) -> None:
            messages.append(message)

        await asyncio.wait_for(Pages(application, threads=1)(scope_of(headers=LENGTH), receive, send), 20)

    asyncio.run(run())
    assert messages[0]["status"] == 408
    assert not application.finished


def test_a_large_body_that_stalls_gives_its_thread_back(monkeypatch):
    monkeypatch.setattr(pages_module, "_BODY_SECONDS", 0.5)
    errors: list[Exception] = []

    def read(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            errors.append(error)
        start_response("400 Bad Request", [])
        return []

    async def run() -> None:
        parts = [{"type": "http.request", "body": b"x" * 70_000, "more_body": True}]

        async def receive() -> dict[str, Any]:
            return parts.pop(0) if parts else await never()

        async def send(message: Any) -> None:
            pass

        await asyncio.wait_for(Pages(read, threads=1)(scope_of(headers=LENGTH), receive, send), 20)

    asyncio.run(run())
    assert len(errors) == 1


def test_a_page_is_answered_while_bodies_are_slow():
    application = Application()
    pages = Pages(application, threads=1)

    async def run() -> None:
        async def send(message: Any) -> None:
            pass

        slow = [asyncio.create_task(pages(scope_of(headers=LENGTH), never, send)) for _ in range(3)]
        await asyncio.sleep(0.1)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"abc", "more_body": False}

        await asyncio.wait_for(pages(scope_of(), receive, send), 5)
        for each in slow:
            each.cancel()

    asyncio.run(run())
    assert application.finished == 1


def test_a_large_body_arrives_whole():
    application = Application()
    pages = Pages(lambda environ, start: read_all(application, environ, start), threads=1)
    parts = [bytes([number]) * 50_000 for number in range(6)]

    async def run() -> None:
        left = list(parts)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

        async def send(message: Any) -> None:
            pass

        await asyncio.wait_for(pages(scope_of(headers=LENGTH), receive, send), 20)

    asyncio.run(run())
    assert application.body == b"".join(parts)


def read_all(application: Application, environ: dict[str, Any], start_response: Any) -> Any:
    application.body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return application.iterate()
