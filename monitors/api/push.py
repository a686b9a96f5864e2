"""The push endpoint as a view, which the API's schema shows.

A web server calls `monitors/heartbeats/gateway.py` instead, which is compared with it byte for byte.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from core.client_ip import address_of
from monitors.api.push_body import TooManyBodies, read_body
from monitors.heartbeats import answers
from monitors.heartbeats.answers import Answer
from monitors.heartbeats.group_commit import QueueFull
from monitors.heartbeats.parser import Rejection, parse_push
from monitors.heartbeats.pipeline import process_pipeline
from monitors.heartbeats.push_path import read_path
from monitors.heartbeats.push_token import bearer_of, digest_of
from monitors.heartbeats.recorder import Arrival


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

    # All that are sent are in the answer.
    default_response_headers: ClassVar[dict[str, str]] = {}

    def get(self, request: Request, token: str | None = None) -> HttpResponse:
        return self._receive(request._request, token)

    post = head = get

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        """Answer a browser's preflight."""
        return _response(answers.PREFLIGHT)

    def http_method_not_allowed(  # type: ignore[override]
        self, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        digest = _digest(request._request, kwargs.get("token"))
        return self._noted(answers.METHOD_NOT_ALLOWED, request._request, digest)

    def _receive(self, request: HttpRequest, token: str | None) -> HttpResponse:
        digest = _digest(request, token)
        if digest is None:
            return _response(answers.NO_TOKEN)
        return self._noted(self._record(request, digest), request, digest)

    def _record(self, request: HttpRequest, digest: str) -> Answer:
        """Answer a push, once it is committed or was turned away."""
        try:
            body, extent = read_body(request)
        except TooManyBodies:
            return answers.TOO_MANY_BODIES
        parsed = parse_push(
            request.method or "",
            _query_of(request),
            body,
            request.META.get("CONTENT_TYPE", ""),
            request.META.get("HTTP_CONTENT_ENCODING", ""),
            extent,
        )
        if isinstance(parsed, Rejection):
            return answers.for_rejection(parsed)
        try:
            result = self.pipeline.submit(
                Arrival(digest, parsed, request.method == "POST", address_of(request))
            )
        except QueueFull:
            return answers.QUEUE_FULL
        except (DatabaseError, InterfaceError):
            return answers.NOT_RECORDED
        return answers.for_result(result, parsed)

    def _noted(self, answer: Answer, request: HttpRequest, digest: str | None) -> HttpResponse:
        """Return an answer, which is kept for the page of the token's monitor if it is an error."""
        if answer.noted and digest is not None:
            self.pipeline.note(answer, digest=digest, method=request.method or "", source=address_of(request))
        return _response(answer)


push = PushView.as_view()


def push_gate(request: HttpRequest) -> HttpResponse | None:
    """Return the response if `request` is a push, else None."""
    path = read_path(request.path_info)
    if path is None:
        return None
    query = path.with_query(_query_of(request))
    request.META["QUERY_STRING"] = query.decode("latin-1")
    return push(request, token=path.token)


def _query_of(request: HttpRequest) -> bytes:
    return request.META.get("QUERY_STRING", "").encode("latin-1", "replace")


def _digest(request: HttpRequest, token: str | None) -> str | None:
    return digest_of(token or bearer_of(request.META.get("HTTP_AUTHORIZATION", "")))


def _response(answer: Answer) -> HttpResponse:
    response = HttpResponse(answer.body, status=answer.status)
    # Django's own type of content is none of an empty answer's.
    del response["Content-Type"]
    for name, value in answer.headers:
        response[name.decode().title()] = value.decode()
    return response
