"""The ASGI application that granian serves: the push gateway, and Django behind it, in threads."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import quote_from_bytes

import django
from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tianji.settings")
django.setup(set_prefix=False)

from monitors.heartbeats.gateway import Gateway, Receive, Scope, Send  # noqa: E402  (needs the apps, loaded above)
from monitors.heartbeats.pipeline import process_pipeline  # noqa: E402

# All but what a URL may contain, and percent signs, which are there already.
_QUERY = "".join(map(chr, range(33, 127)))


class Pages:
    """Django as an ASGI application, with a thread for each request until its response is complete."""

    def __init__(self) -> None:
        # Both name the types of WSGI in their own way.
        wsgi: Any = get_wsgi_application()
        self._application: Any = WSGIMiddleware(wsgi, workers=settings.TIANJI_WEB_THREADS)

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
        except Exception:  # granian's own; otherwise the thread would wait for ever for its next part to go
            self._send = None


def _cleaned(scope: Scope) -> Scope:
    """Return the request as WSGI can express it.

    WSGI makes the same name of `X_Forwarded_For` and of the proxy's `X-Forwarded-For`, so names with
    underscores are left out; and queries are ASCII.
    """
    query = scope["query_string"]
    return {
        **scope,
        "query_string": query if query.isascii() else quote_from_bytes(query, safe=_QUERY).encode(),
        "headers": [(name, value) for name, value in scope["headers"] if b"_" not in name],
    }


application = Gateway(Pages(), process_pipeline())

# From here on this process receives pushes.
process_pipeline().listener.start()
