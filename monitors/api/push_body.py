"""Reading the body of a push from the connection, no further than its limit."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from monitors.heartbeats.body import PUSH_BODY_LIMIT, Extent


class TooManyBodies(Exception):
    """Half of the threads wait for bodies already."""


# A slow body keeps a thread waiting. Some threads stay free for everyone else.
_bodies = BoundedSemaphore(max(1, settings.TIANJI_WEB_THREADS // 2))
_BODY_TURN_WITHIN_SECONDS = 1.0


def read_body(request: HttpRequest) -> tuple[bytes, Extent]:
    """Return the body, and how much of it that is: at most PUSH_BODY_LIMIT bytes.

    Raises:
        TooManyBodies: the push must not be recorded.
    """
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    if length <= 0 and not chunked:
        return b"", Extent.WHOLE
    if not _bodies.acquire(timeout=_BODY_TURN_WITHIN_SECONDS):
        raise TooManyBodies
    try:
        return _read(request.META["wsgi.input"], length if length > 0 else None)
    finally:
        _bodies.release()


def _read(stream: Any, length: int | None) -> tuple[bytes, Extent]:
    """Read from `stream`, which may arrive in pieces; `length` is None if the body does not say its own."""
    wanted = PUSH_BODY_LIMIT + 1 if length is None else min(length, PUSH_BODY_LIMIT + 1)
    body = b""
    try:
        while len(body) < wanted and (piece := stream.read(wanted - len(body))):
            body += piece
    except OSError:
        return body[:PUSH_BODY_LIMIT], Extent.INCOMPLETE
    if len(body) > PUSH_BODY_LIMIT:
        return body[:PUSH_BODY_LIMIT], Extent.CUT
    if length is None:
        # The server ends the stream alike after the last chunk and when the connection breaks off.
        return body, Extent.PERHAPS_WHOLE
    return body, Extent.WHOLE if len(body) == length else Extent.INCOMPLETE
