"""The push endpoint in front of Django: an ASGI application that answers pushes, and hands on the rest.

A push costs a coroutine here, not a thread, however slowly it arrives, and none of Django's middleware.
`monitors/api/push.py` is the same endpoint as a view; a test compares their answers byte for byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import structlog
from django.db import Error

from core.client_ip import sender_address
from monitors.heartbeats import answers
from monitors.heartbeats.answers import Answer
from monitors.heartbeats.group_commit import QueueFull
from monitors.heartbeats.parser import METHODS, PUSH_BODY_LIMIT, Extent, Rejection, parse_push
from monitors.heartbeats.pipeline import Pipeline
from monitors.heartbeats.push_path import PushPath, read_path
from monitors.heartbeats.push_token import bearer_of, digest_of
from monitors.heartbeats.recorder import Arrival

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger("tianji.push")

# How long the body of a push may take to arrive. What came until then counts as incomplete.
_BODY_SECONDS = 10.0


class Gateway:
    """Answers pushes; `pages` answers everything else.

    Args:
        pages: the application behind it.
        pipeline: the way of a push to its commit.
    """

    def __init__(self, pages: Application, pipeline: Pipeline) -> None:
        self._pages = pages
        self._pipeline = pipeline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = read_path(scope["path"]) if scope["type"] == "http" else None
        if path is None:
            await self._pages(scope, receive, send)
            return
        try:
            answer = await self._answer(scope, path, receive)
        except Exception:
            log.exception("push not recorded")
            answer = answers.FAULT
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, path: PushPath, receive: Receive) -> Answer:
        method: str = scope["method"]
        if method == "OPTIONS":
            return answers.PREFLIGHT
        headers = _headers(scope["headers"])
        digest = digest_of(path.token or bearer_of(headers.get(b"authorization", "")))
        if method not in METHODS:
            answer = answers.METHOD_NOT_ALLOWED
        elif digest is None:
            return answers.NO_TOKEN
        else:
            answer = await self._record(scope, path, receive, headers, digest)
        if answer.noted and digest is not None:
            self._pipeline.note(answer, digest=digest, method=method, source=_source(scope, headers))
        return answer

    async def _record(
        self, scope: Scope, path: PushPath, receive: Receive, headers: dict[bytes, str], digest: str
    ) -> Answer:
        """Answer a push, once it is committed or was turned away."""
        body, extent = await _body(receive, headers)
        parsed = parse_push(
            scope["method"],
            path.with_query(scope["query_string"]),
            body,
            headers.get(b"content-type", ""),
            headers.get(b"content-encoding", ""),
            extent,
        )
        if isinstance(parsed, Rejection):
            return answers.for_rejection(parsed)
        posted = scope["method"] == "POST"
        try:
            result = await self._pipeline.submit_from_loop(
                Arrival(digest, parsed, posted, _source(scope, headers))
            )
        except QueueFull:
            return answers.QUEUE_FULL
        except Error:
            return answers.NOT_RECORDED
        return answers.for_result(result, parsed)


def _headers(given: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    """Return headers by name; of repeated ones the values are joined."""
    found: dict[bytes, str] = {}
    for name, value in given:
        text = value.decode("latin-1")
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _source(scope: Scope, headers: dict[bytes, str]) -> str | None:
    peer = scope["client"]
    return sender_address(peer[0] if peer else "", headers.get(b"x-forwarded-for"))


async def _body(receive: Receive, headers: dict[bytes, str]) -> tuple[bytes, Extent]:
    """Return the body, and how much of it that is: at most PUSH_BODY_LIMIT bytes."""
    try:
        length = int(headers.get(b"content-length") or 0)
    except ValueError:
        length = 0
    chunked = "chunked" in headers.get(b"transfer-encoding", "").lower()
    if length <= 0 and not chunked:
        return b"", Extent.WHOLE
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            await _read(receive, body)
    except TimeoutError:
        return bytes(body[:PUSH_BODY_LIMIT]), Extent.INCOMPLETE
    if len(body) > PUSH_BODY_LIMIT:
        return bytes(body[:PUSH_BODY_LIMIT]), Extent.CUT
    if length > 0:
        return bytes(body), Extent.WHOLE if len(body) == length else Extent.INCOMPLETE
    # As for the view, to which its server ends alike what is whole and what breaks off.
    return bytes(body), Extent.PERHAPS_WHOLE


async def _read(receive: Receive, body: bytearray) -> None:
    """Read into `body`, until its end or that of the connection, or until it is over the limit."""
    more = True
    while more and len(body) <= PUSH_BODY_LIMIT:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
