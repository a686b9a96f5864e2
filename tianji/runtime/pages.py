"""Django as an ASGI application, for all that is not a push.

A request gets a thread only for as long as Django works on it: not before its body is there, and not while a
file is sent. So however slowly people send and read, no thread waits for them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import IO, Any
from urllib.parse import quote_from_bytes

from a2wsgi import WSGIMiddleware

from monitors.heartbeats.gateway import Receive, Scope, Send
from tianji.runtime.bodies import Bodies, Refused

# All that a URL may contain, with percent signs, which are there already.
_IN_QUERIES = "".join(map(chr, range(33, 127)))
# Where a request's body travels to its thread.
_BODY = "tianji.body"
_BY_PATH = "http.response.pathsend"
# As the view of the same address answers.
LIVE = b'{"status": "ok"}'
_LIVE_HEADERS = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"max-age=0, no-cache, no-store, must-revalidate, private"),
    (b"content-length", b"%d" % len(LIVE)),
]


class Pages:
    """Serves a WSGI application in threads.

    Args:
        wsgi: the application. (Django and a2wsgi each name the types of WSGI in their own way.)
        threads: how many requests it handles at once.
        bodies: the room that bodies share.
    """

    def __init__(self, wsgi: Any, *, threads: int, bodies: Bodies | None = None) -> None:
        self._application: Any = WSGIMiddleware(_prepared(wsgi), workers=threads)
        self._bodies = bodies or Bodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/livez" and scope["method"] in ("GET", "HEAD"):
            # Also while all threads wait, for example for the database: no restart would help.
            await send({"type": "http.response.start", "status": 200, "headers": _LIVE_HEADERS})
            await send({"type": "http.response.body", "body": LIVE if scope["method"] == "GET" else b""})
            return
        with self._bodies.new() as body:
            try:
                content = await body.receive(receive, dict(scope["headers"]))
            except Refused as refused:
                await refused.send(_Response(send))
                return
            await self._application(_cleaned(scope, content), receive, _Response(send))


class _Response:
    """Sends a response, and lets its thread finish when the client is gone."""

    def __init__(self, send: Send) -> None:
        self._send: Send | None = send

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if self._send is None:
            return
        body = message.get("body")
        try:
            if isinstance(body, _Path):
                await self._send({"type": _BY_PATH, "path": body.decode()})
                # That was all of it.
                self._send = None
            else:
                await self._send(message)
        except Exception:  # granian's own. The thread would wait for ever to hand over the next part
            self._send = None


class _Path(bytes):
    """Stands for the content of the file at this path."""


class _File:
    """What a WSGI application returns instead of a file's content: the server sends it without a thread."""

    def __init__(self, file: IO[bytes], size: int = 8192) -> None:
        self._file, self._size = file, size

    def __iter__(self) -> Iterator[bytes]:
        if isinstance(path := getattr(self._file, "name", None), str):
            yield _Path(path.encode())
        else:
            while part := self._file.read(self._size):
                yield part

    def close(self) -> None:
        self._file.close()


def _prepared(wsgi: Any) -> Any:
    """Give a WSGI application the body that was received, and let it answer with files."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        scope = environ["asgi.scope"]
        environ["wsgi.input"] = io.BytesIO(scope.pop(_BODY))
        if _BY_PATH in scope.get("extensions", {}):
            environ["wsgi.file_wrapper"] = _File
        answer: Iterable[bytes] = wsgi(environ, start_response)
        return answer

    return application


def _cleaned(scope: Scope, body: bytes) -> Scope:
    """Return the request as WSGI can express it, with its body.

    WSGI makes the same name of `X_Forwarded_For` and of the proxy's `X-Forwarded-For`, so names with
    underscores are left out; queries are ASCII; and a body has a length, however it arrived. Parts of files
    are not served: that would take a thread for as long as someone reads them.
    """
    query = scope["query_string"]
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if b"_" not in name and name not in (b"content-length", b"transfer-encoding", b"range")
    ]
    if body:
        headers.append((b"content-length", b"%d" % len(body)))
    return {
        **scope,
        "query_string": query if query.isascii() else quote_from_bytes(query, safe=_IN_QUERIES).encode(),
        "headers": headers,
        _BODY: body,
    }
