"""The push endpoint: parse, record, answer."""

from __future__ import annotations

import json
from typing import Any

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from api.problems import RETRY_AFTER_SECONDS
from core.client_ip import address_of
from monitors.api.push_body import TooManyBodies, read_body
from monitors.heartbeats.group_commit import QueueFull
from monitors.heartbeats.parser import METHODS, Push, Rejection, parse_push
from monitors.heartbeats.pipeline import process_pipeline
from monitors.heartbeats.push_path import read_path
from monitors.heartbeats.recorder import Arrival, Limited, Outcome
from monitors.heartbeats.rejections import UNKNOWN, Reason
from monitors.services import tokens

_OK = b'{"ok":true}'
# Why a push is rejected, by the HTTP status of the response.
_REASONS = {400: Reason.PARAMETER, 405: Reason.METHOD, 413: Reason.TOO_LARGE}


class _JsonWhateverIsAccepted(BaseContentNegotiation):
    """Ignore the Accept header: senders are shells and devices, and it must not cost a heartbeat."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class PushView(APIView):
    """`GET`, `HEAD` or `POST` `/api/push/<token>`: one heartbeat. 200 means that it was committed.

    The token may also be sent to `/api/push` as `Authorization: Bearer <token>`. Parameters and
    responses are described in docs/push-endpoint.md.
    """

    pipeline = process_pipeline()

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
        return self._receive(request._request, token)

    post = head = get

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        """Answer a browser's preflight; without it, a page on another site can't push JSON."""
        return HttpResponse(
            status=204,
            headers={
                "Access-Control-Allow-Methods": ", ".join(METHODS),
                "Access-Control-Allow-Headers": "Authorization, Content-Encoding, Content-Type",
                "Access-Control-Max-Age": "86400",
            },
        )

    def http_method_not_allowed(  # type: ignore[override]
        self, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        digest = tokens.digest_of(kwargs.get("token") or _bearer(request._request))
        message = "Method not allowed; use GET, HEAD or POST."
        self._note(request._request, digest, Reason.METHOD, message)
        return _reject(405, message, Allow=", ".join(METHODS))

    def _receive(self, request: HttpRequest, token: str | None) -> HttpResponse:
        digest = tokens.digest_of(token or _bearer(request))
        if digest is None:
            return _unknown_token()
        parsed = self._read(request, digest)
        return parsed if isinstance(parsed, HttpResponse) else self._record(request, digest, parsed)

    def _read(self, request: HttpRequest, digest: str) -> Push | HttpResponse:
        """Return what a request says, or the error to answer with."""
        try:
            body, extent = read_body(request)
        except TooManyBodies:
            return _unavailable("Too many uploads in progress; try again shortly.")
        parsed = parse_push(
            request.method or "",
            _query_of(request),
            body,
            request.META.get("CONTENT_TYPE", ""),
            request.META.get("HTTP_CONTENT_ENCODING", ""),
            extent,
        )
        if isinstance(parsed, Rejection):
            return self._reject_noted(request, digest, _REASONS[parsed.status], parsed.status, parsed.message)
        return parsed

    def _record(self, request: HttpRequest, digest: str, sent: Push) -> HttpResponse:
        """Answer a well-formed push, once it is committed or was turned away."""
        arrival = Arrival(digest, sent, posted=request.method == "POST", source=address_of(request))
        try:
            outcome = self.pipeline.submit(arrival)
        except QueueFull:
            return _unavailable("Too many pushes are queued; try again shortly.")
        except (DatabaseError, InterfaceError):
            return _unavailable("The heartbeat could not be recorded; try again shortly.")
        match outcome:
            case Outcome.RECORDED:
                return _answer(200, {"ok": True, "warning": sent.warning} if sent.warning else _OK)
            case Outcome.LOCKED:
                return _unavailable("The monitor is locked; try again shortly.")
            case Outcome.POST_ONLY:
                message = "This monitor only accepts POST."
                return self._reject_noted(request, digest, Reason.METHOD, 405, message, Allow="POST")
            case Outcome.UNKNOWN_TOKEN:
                # Revoked and expired tokens too: the monitor's page tells which, the response doesn't.
                self._note(request, digest, None, UNKNOWN)
                return _unknown_token()
            case Limited(retry_after=seconds):
                message = f"Rate limit exceeded; try again in {seconds} s."
                again = {"Retry-After": str(seconds)}
                return self._reject_noted(request, digest, Reason.LIMIT, 429, message, **again)

    def _reject_noted(
        self, request: HttpRequest, digest: str, reason: str, status: int, message: str, **headers: str
    ) -> HttpResponse:
        """Reject a push, and note it for the page of the token's monitor."""
        self._note(request, digest, reason, message)
        return _reject(status, message, **headers)

    def _note(self, request: HttpRequest, digest: str | None, reason: str | None, message: str) -> None:
        self.pipeline.reject(
            digest, reason, method=request.method or "", source=address_of(request), detail=message
        )


push = PushView.as_view()


def push_gate(request: HttpRequest) -> HttpResponse | None:
    """Return the response if `request` is a push, else None."""
    path = read_path(request.path_info)
    if path is None:
        return None
    if path.fields:
        # The question mark was encoded, or forgotten.
        query = request.META.get("QUERY_STRING", "")
        request.META["QUERY_STRING"] = f"{path.fields.encode().decode('latin-1')}&{query}"
    return push(request, token=path.token)


def _query_of(request: HttpRequest) -> bytes:
    return request.META.get("QUERY_STRING", "").encode("latin-1", "replace")


def _bearer(request: HttpRequest) -> str:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _answer(status: int, content: bytes | dict[str, Any], **headers: str) -> HttpResponse:
    if isinstance(content, dict):
        content = json.dumps(content, separators=(",", ":")).encode()
    # The middleware that would add Content-Length runs only behind the gate.
    headers["Content-Length"] = str(len(content))
    return HttpResponse(content, status=status, content_type="application/json", headers=headers)


def _reject(status: int, message: str, **headers: str) -> HttpResponse:
    # The same text twice: there are two families of existing senders, and each reads one of the keys.
    return _answer(status, {"ok": False, "error": message, "msg": message}, **headers)


def _unknown_token() -> HttpResponse:
    return _reject(404, UNKNOWN)


def _unavailable(message: str) -> HttpResponse:
    response = _reject(503, message)
    response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
