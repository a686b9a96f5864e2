"""Django as an ASGI application, for all that is not a push."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote_from_bytes

from a2wsgi import WSGIMiddleware

from monitors.heartbeats.gateway import Receive, Scope, Send

# All that a URL may contain, with percent signs, which are there already.
_IN_QUERIES = "".join(map(chr, range(33, 127)))
# A request gets a thread once this much of its body is there, or all of it, as of nearly all. The rest may
# take as long as a form of the largest size takes on a slow line, but not for ever.
_BODY_AHEAD, _AHEAD_SECONDS, _BODY_SECONDS = 65_536, 30.0, 60.0


class Pages:
    """Serves a WSGI application in threads, one for each request until its response is complete.

    A request whose body arrives slowly gets no thread until it is there, and none if it breaks off: a form
    that is cut would be read as one that is filled in differently.

    Args:
        wsgi: the application. (Django and a2wsgi each name the types of WSGI in their own way.)
        threads: how many requests it handles at once.
    """

    def __init__(self, wsgi: Any, *, threads: int) -> None:
        self._application: Any = WSGIMiddleware(wsgi, workers=threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(receive)
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]):
            try:
                await body.read_ahead()
            except OSError:
                await _send_incomplete(send)
                return
        await self._application(_cleaned(scope), body.receive, _Response(send))


class _Body:
    """Receives a body, the beginning of it ahead; raises OSError if it breaks off or takes too long."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ahead = bytearray()
        self._more = True
        self._until = asyncio.get_running_loop().time() + _BODY_SECONDS

    async def read_ahead(self) -> None:
        until = asyncio.get_running_loop().time() + _AHEAD_SECONDS
        while self._more and len(self._ahead) < _BODY_AHEAD:
            self._ahead += await self._next(until)

    # Called from a thread; what granian returns is awaitable, but no coroutine.
    async def receive(self) -> MutableMapping[str, Any]:
        if self._ahead or not self._more:
            body, self._ahead = bytes(self._ahead), bytearray()
        else:
            body = await self._next(self._until)
        return {"type": "http.request", "body": body, "more_body": self._more}

    async def _next(self, until: float) -> bytes:
        async with asyncio.timeout_at(until):  # its TimeoutError is an OSError
            message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError
        self._more = message.get("more_body", False)
        return bytes(message.get("body", b""))


async def _send_incomplete(send: Send) -> None:
    answer = b"The request did not arrive completely."
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(answer))]
    send = _Response(send)
    await send(
        {"type": "http.response.start", "status": 408, "headers": [*headers, (b"connection", b"close")]}
    )
    await send({"type": "http.response.body", "body": answer})


class _Response:
    """Sends a response, and lets its thread finish when the client is gone."""

    def __init__(self, send: Send) -> None:
        self._send: Send | None = send

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if self._send is None:
            return
        try:
            await self._send(message)
        except Exception:  # granian's own. The thread would wait for ever to hand over the next part
            self._send = None


def _cleaned(scope: Scope) -> Scope:
    """Return the request as WSGI can express it.

    WSGI makes the same name of `X_Forwarded_For` and of the proxy's `X-Forwarded-For`, so names with
    underscores are left out; and queries are ASCII.
    """
    query = scope["query_string"]
    return {
        **scope,
        "query_string": query if query.isascii() else quote_from_bytes(query, safe=_IN_QUERIES).encode(),
        "headers": [(name, value) for name, value in scope["headers"] if b"_" not in name],
    }
