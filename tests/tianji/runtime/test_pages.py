"""Django behind the push gateway."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tianji.runtime import bodies
from tianji.runtime.bodies import BODY_MOST, Bodies
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
    messages = ask(
        Pages(application, threads=1),
        path="/a",
        query_string=b"b=c",
        headers=[(b"content-length", b"3")],
    )
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


def parts_of(*bodies: bytes, ends: bool = True) -> Any:
    """Return a `receive` that gives these parts; after them, if the body does not end, nothing for ever."""
    left = list(bodies)

    async def receive() -> dict[str, Any]:
        if not left:
            return await never()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or not ends}

    return receive


def answer_to(pages: Pages, receive: Any, **scope: Any) -> dict[str, Any]:
    """Send a request; return the beginning of its response."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    asyncio.run(asyncio.wait_for(pages(scope_of(**scope), receive, send), 20))
    first: dict[str, Any] = messages[0]
    return first


def test_a_request_whose_client_leaves_is_not_handled():
    """A form that is cut would be read as one without the rest of its fields."""
    parts = [{"type": "http.request", "body": b"name=a", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> dict[str, Any]:
        return parts.pop(0)

    application = Application()
    assert answer_to(Pages(application, threads=1), receive, headers=LENGTH)["status"] == 408
    assert not application.finished


def test_a_request_whose_body_takes_too_long_is_not_handled(monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)
    application, room = Application(), Bodies()
    pages = Pages(application, threads=1, bodies=room)
    slow = parts_of(b"x" * 70_000, ends=False)
    assert answer_to(pages, slow, headers=LENGTH)["status"] == 408
    assert not application.finished
    assert room.held == 0


def test_each_part_of_a_body_buys_no_more_time(monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)

    async def trickle() -> dict[str, Any]:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    assert answer_to(Pages(Application(), threads=1), trickle, headers=LENGTH)["status"] == 408


def test_a_body_that_is_too_large_is_refused_before_it_is_received():
    length = [(b"content-length", b"%d" % (BODY_MOST + 1))]
    assert answer_to(Pages(Application(), threads=1), never, headers=length)["status"] == 413


def test_a_body_without_length_is_limited_as_well():
    endless = parts_of(*[b"x" * 500_000] * 6, ends=False)
    chunked = [(b"transfer-encoding", b"chunked")]
    assert answer_to(Pages(Application(), threads=1), endless, headers=chunked)["status"] == 413


def test_a_body_without_length_reaches_the_application_with_one():
    application = Application()
    chunked = [(b"transfer-encoding", b"chunked")]
    answer_to(Pages(application, threads=1), parts_of(b"ab", b"c"), headers=chunked)
    assert application.body == b"abc"
    assert application.environ["CONTENT_LENGTH"] == "3"
    assert "HTTP_TRANSFER_ENCODING" not in application.environ


def test_bodies_that_find_no_room_are_to_come_again():
    room = Bodies(100_000)
    pages = Pages(Application(), threads=1, bodies=room)
    room.held = 99_000
    first = answer_to(pages, parts_of(b"x" * 2000), headers=LENGTH)
    assert first["status"] == 503
    assert (b"retry-after", b"5") in first["headers"]
    assert room.held == 99_000
    assert answer_to(pages, parts_of(b"x" * 500), headers=LENGTH)["status"] == 200
    assert room.held == 99_000


def test_large_bodies_leave_room_for_small_ones():
    room = Bodies(400_000)
    pages = Pages(Application(), threads=1, bodies=room)
    room.held = 150_000
    assert answer_to(pages, parts_of(b"x" * 70_000), headers=LENGTH)["status"] == 503
    assert answer_to(pages, parts_of(b"x" * 60_000), headers=LENGTH)["status"] == 200


def test_a_body_keeps_its_room_until_its_response_is_sent():
    room, held = Bodies(), []

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        held.append(room.held)
        start_response("200 OK", [])
        return []

    answer_to(Pages(application, threads=1, bodies=room), parts_of(b"x" * 1000), headers=LENGTH)
    assert (held, room.held) == ([1000], 0)


def test_a_page_is_answered_while_bodies_are_slow():
    application = Application()
    pages = Pages(application, threads=1)

    async def run() -> None:
        async def send(message: Any) -> None:
            pass

        slow = [
            asyncio.create_task(pages(scope_of(headers=LENGTH), parts_of(b"x" * 70_000, ends=False), send))
            for _ in range(3)
        ]
        await asyncio.sleep(0.1)
        await asyncio.wait_for(pages(scope_of(), never, send), 5)
        for each in slow:
            each.cancel()

    asyncio.run(run())
    assert application.finished == 1


def test_a_large_body_arrives_whole():
    def read_all(environ: dict[str, Any], start_response: Any) -> Any:
        read.append(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    read: list[bytes] = []
    parts = [bytes([number]) * 50_000 for number in range(6)]
    answer_to(Pages(read_all, threads=1), parts_of(*parts), headers=LENGTH)
    assert read == [b"".join(parts)]


def test_a_file_is_sent_by_the_server_and_not_by_a_thread(tmp_path: Path):
    path = tmp_path / "café.js"
    path.write_bytes(b"x" * 100_000)
    opened = path.open("rb")

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        asked.append(environ.get("HTTP_RANGE"))
        start_response("200 OK", [("Content-Length", "100000")])
        return environ["wsgi.file_wrapper"](opened)

    asked: list[str | None] = []
    extensions = {"http.response.pathsend": {}}
    messages = ask(
        Pages(application, threads=1), extensions=extensions, headers=[(b"range", b"bytes=1-")], method="GET"
    )
    assert [message["type"] for message in messages] == ["http.response.start", "http.response.pathsend"]
    assert messages[1]["path"] == str(path)
    assert opened.closed
    # A part of a file would have to be read by a thread.
    assert asked == [None]


def test_livez_is_answered_while_all_threads_are_busy():
    release = threading.Event()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        release.wait(20)
        start_response("200 OK", [])
        return []

    async def run() -> list[Any]:
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        async def ignore(message: Any) -> None:
            pass

        pages = Pages(application, threads=1)
        busy = [asyncio.create_task(pages(scope_of(), never, ignore)) for _ in range(2)]
        await asyncio.sleep(0.1)
        await asyncio.wait_for(pages(scope_of(path="/livez", method="GET"), never, send), 5)
        release.set()
        await asyncio.gather(*busy)
        return messages

    start, body = asyncio.run(run())
    assert start["status"] == 200
    assert body["body"] == b'{"status": "ok"}'


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_livez_is_answered_as_its_view_does(client: Client, method: str):
    start, body = ask(Pages(Application(), threads=1), path="/livez", method=method)
    view = client.generic(method, "/livez")
    assert (start["status"], body["body"]) == (view.status_code, view.content)
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert headers["content-type"] == view["Content-Type"]
    assert headers["cache-control"] == view["Cache-Control"]
