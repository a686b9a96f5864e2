"""The push endpoint: parse, record, answer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from threading import BoundedSemaphore
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from core.client_ip import address_of
from monitors.heartbeats.connection import OwnConnection
from monitors.heartbeats.group_commit import GroupCommit, QueueFull
from monitors.heartbeats.parser import BODY_LIMIT, METHODS, Rejection, parse_push
from monitors.heartbeats.rate_limit import Limiter, RedisStore
from monitors.heartbeats.recorder import Arrival, Limited, Outcome, Result, record
from monitors.heartbeats.rejections import Notebook, Reason
from monitors.services import tokens

log = structlog.get_logger(__name__)

PATH = re.compile(r"/api/push(?:/(?P<token>[^/]*))?/?")
_RETRY_AFTER_SECONDS = 5
_OK = b'{"ok":true}'
_NOT_KNOWN = "Unknown push token."
# Why a push is rejected, by the HTTP status of the response.
_REASONS = {400: Reason.PARAMETER, 405: Reason.METHOD, 413: Reason.TOO_LARGE}

own_connection = OwnConnection()
limiter = Limiter(RedisStore(settings.REDIS_URL) if settings.REDIS_URL else None)
notebook = Notebook()


def _record(arrivals: Sequence[Arrival]) -> list[Result]:
    # The group commit lets one thread at a time record.
    with own_connection.used():
        return record(arrivals, limiter=limiter)


group_commit = GroupCommit(
    _record, queue_limit=settings.TIANJI_PUSH_QUEUE, batch_limit=settings.TIANJI_PUSH_BATCH
)


class _JsonWhateverIsAccepted(BaseContentNegotiation):
    """Ignore the Accept header: senders are shells and devices, and it must not cost a heartbeat."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class PushView(APIView):
    """`GET`, `HEAD` or `POST` `/api/push/<token>`: one heartbeat. 200 means that it was committed.

    The token may also be sent to `/api/push` as `Authorization: Bearer <token>`. Parameters and
    responses are described in docs/push-endpoint.md.
    """

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = _JsonWhateverIsAccepted

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {
            "Access-Control-Allow-Origin": "*",
            "Cache-Control": "no-store",
        }

    def get(self, request: Request, token: str | None = None) -> HttpResponse:
        return _receive(request._request, token)

    post = head = get

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        """Answer a browser's preflight; without it, a page on another site can't push JSON."""
        return HttpResponse(
            status=204,
            headers={
                "Access-Control-Allow-Methods": ", ".join(METHODS),
                "Access-Control-Allow-Headers": "Authorization, Content-Type",
                "Access-Control-Max-Age": "86400",
            },
        )

    def http_method_not_allowed(  # type: ignore[override]
        self, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        digest = tokens.digest_of(kwargs.get("token") or _bearer(request._request))
        message = "Method not allowed; use GET, HEAD or POST."
        _note(request._request, digest, Reason.METHOD, message)
        return _refuse(405, message, Allow=", ".join(METHODS))


push = PushView.as_view()


def push_gate(request: HttpRequest) -> HttpResponse | None:
    """Return the response if `request` is a push, else None."""
    if not request.path_info.startswith("/api/push"):
        return None
    match = PATH.fullmatch(request.path_info)
    return push(request, token=match["token"]) if match else None


def _receive(request: HttpRequest, token: str | None) -> HttpResponse:
    digest = tokens.digest_of(token or _bearer(request))
    if digest is None:
        return _unknown_token()
    try:
        body = _body(request)
    except _BodyTooLarge:
        message = f"Body too large; send at most {BODY_LIMIT} bytes."
        return _refuse_noted(request, digest, Reason.TOO_LARGE, 413, message)
    except _BodyCutOff:
        # The missing part may be the word "down".
        message = "Incomplete body; nothing was recorded."
        return _refuse_noted(request, digest, Reason.PARAMETER, 400, message)
    except _TooManyBodies:
        return _unavailable("Too many uploads in progress; try again shortly.")
    said = parse_push(
        request.method or "",
        request.META.get("QUERY_STRING", "").encode("latin-1", "replace"),
        body,
        request.META.get("CONTENT_TYPE", ""),
    )
    if isinstance(said, Rejection):
        return _refuse_noted(request, digest, _REASONS[said.status], said.status, said.message)
    arrival = Arrival(digest, said, posted=request.method == "POST", source=address_of(request))
    try:
        outcome = group_commit.submit(arrival)
    except QueueFull:
        return _unavailable("Too many pushes are queued; try again shortly.")
    except (DatabaseError, InterfaceError) as error:
        log.error("push not recorded", error=str(error))
        return _unavailable("The heartbeat could not be recorded; try again shortly.")
    match outcome:
        case Outcome.RECORDED:
            return _answer(200, {"ok": True, "warning": said.warning} if said.warning else _OK)
        case Outcome.POST_ONLY:
            message = "This monitor only accepts POST."
            return _refuse_noted(request, digest, Reason.METHOD, 405, message, Allow="POST")
        case Outcome.UNKNOWN_TOKEN:
            # Includes revoked and expired tokens: the response doesn't tell which, the monitor's page does.
            _note(request, digest, None, _NOT_KNOWN)
            return _unknown_token()
        case Limited(retry_after=seconds):
            message = f"Rate limit exceeded; try again in {seconds} s."
            again = {"Retry-After": str(seconds)}
            return _refuse_noted(request, digest, Reason.LIMIT, 429, message, **again)


class _BodyTooLarge(Exception):
    pass


class _BodyCutOff(Exception):
    pass


class _TooManyBodies(Exception):
    pass


# A slow body keeps a thread waiting. Some threads stay free for everyone else.
_bodies = BoundedSemaphore(max(1, settings.TIANJI_WEB_THREADS // 2))
_BODY_TURN_WITHIN_SECONDS = 1.0


def _body(request: HttpRequest) -> bytes:
    """Return the body. A body that is too large is not read.

    Raises:
        _BodyTooLarge, _BodyCutOff, _TooManyBodies: the push must not be recorded.
    """
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    if length > BODY_LIMIT:
        raise _BodyTooLarge
    if length <= 0 and not chunked:
        return b""
    if not _bodies.acquire(timeout=_BODY_TURN_WITHIN_SECONDS):
        raise _TooManyBodies
    try:
        # Django reads no more than Content-Length, which a chunked body doesn't have.
        body = request.body if length > 0 else _read_to_end(request.META["wsgi.input"])
    except OSError as error:
        raise _BodyCutOff from error
    finally:
        _bodies.release()
    if len(body) < length:
        raise _BodyCutOff
    return body


def _read_to_end(stream: Any) -> bytes:
    """Return all of `stream`, which may arrive in pieces. Raises _BodyTooLarge."""
    body = b""
    while piece := stream.read(BODY_LIMIT + 1 - len(body)):
        body += piece
        if len(body) > BODY_LIMIT:
            raise _BodyTooLarge
    return body


def _bearer(request: HttpRequest) -> str:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _answer(status: int, content: bytes | dict[str, Any], **headers: str) -> HttpResponse:
    if isinstance(content, dict):
        content = json.dumps(content, separators=(",", ":")).encode()
    # The middleware that would add Content-Length runs only behind the gate.
    headers["Content-Length"] = str(len(content))
    return HttpResponse(content, status=status, content_type="application/json", headers=headers)


def _refuse(status: int, message: str, **headers: str) -> HttpResponse:
    # The same text twice: there are two families of existing senders, and each reads one of the keys.
    return _answer(status, {"ok": False, "error": message, "msg": message}, **headers)


def _refuse_noted(
    request: HttpRequest, digest: str, reason: str, status: int, message: str, **headers: str
) -> HttpResponse:
    """Reject a push, and note it for the page of the token's monitor."""
    _note(request, digest, reason, message)
    return _refuse(status, message, **headers)


def _note(request: HttpRequest, digest: str | None, reason: str | None, message: str) -> None:
    if digest is not None:
        source = address_of(request)
        notebook.note(digest, reason, method=request.method or "", source=source, detail=message)


def _unknown_token() -> HttpResponse:
    return _refuse(404, _NOT_KNOWN)


def _unavailable(message: str) -> HttpResponse:
    response = _refuse(503, message)
    response["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return response
