"""Django as an ASGI application, for all that is not a push."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote_from_bytes

from a2wsgi import WSGIMiddleware

from monitors.heartbeats.gateway import Receive, Scope, Send

# All that a URL may contain, with percent signs, which are there already.
_IN_QUERIES = "".join(map(chr, range(33, 127)))


class Pages:
    """Serves a WSGI application in threads, one for each request until its response is complete.

    Args:
        wsgi: the application. (Django and a2wsgi each name the types of WSGI in their own way.)
        threads: how many requests it handles at once.
    """

    def __init__(self, wsgi: Any, *, threads: int) -> None:
        self._application: Any = WSGIMiddleware(wsgi, workers=threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_in_loop() -> MutableMapping[str, Any]:
            # Called from a thread; what granian returns is awaitable, but no coroutine.
            return await receive()

        await self._application(_cleaned(scope), receive_in_loop, _Response(send))


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
