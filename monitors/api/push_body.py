"""Reading the body of a push: the one place where its length is limited."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from monitors.heartbeats.parser import BODY_LIMIT


class BodyTooLarge(Exception):
    """The body has more than BODY_LIMIT bytes."""


class BodyCutOff(Exception):
    """The connection ended before the body did."""


class TooManyBodies(Exception):
    """Half of the threads wait for bodies already."""


# A slow body keeps a thread waiting. Some threads stay free for everyone else.
_bodies = BoundedSemaphore(max(1, settings.TIANJI_WEB_THREADS // 2))
_BODY_TURN_WITHIN_SECONDS = 1.0


def read_body(request: HttpRequest) -> bytes:
    """Return the body. A body that is too large is not read.

    Raises:
        BodyTooLarge, BodyCutOff, TooManyBodies: the push must not be recorded.
    """
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    if length > BODY_LIMIT:
        raise BodyTooLarge
    if length <= 0 and not chunked:
        return b""
    if not _bodies.acquire(timeout=_BODY_TURN_WITHIN_SECONDS):
        raise TooManyBodies
    try:
        # Django reads no more than Content-Length, which a chunked body doesn't have.
        body = request.body if length > 0 else _read_to_end(request.META["wsgi.input"])
    except OSError as error:
        raise BodyCutOff from error
    finally:
        _bodies.release()
    if len(body) < length:
        raise BodyCutOff
    return body


def _read_to_end(stream: Any) -> bytes:
    """Return all of `stream`, which may arrive in pieces. Raises BodyTooLarge."""
    body = b""
    while piece := stream.read(BODY_LIMIT + 1 - len(body)):
        body += piece
        if len(body) > BODY_LIMIT:
            raise BodyTooLarge
    return body
