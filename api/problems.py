"""What went wrong, as RFC 9457 says it: `application/problem+json`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.utils.translation import gettext_lazy as _
from rest_framework import exceptions, status
from rest_framework.response import Response

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. Its `type` is the address of a page that explains it."""

    status: int
    title: Any
    explanation: Any


KINDS = {
    "malformed": Kind(
        400,
        _("The request cannot be read"),
        _("The body is not JSON, or not the JSON that the schema asks for."),
    ),
    "invalid": Kind(
        400,
        _("Something in the request is not allowed"),
        _("Each entry of errors names a field and says what is allowed there. Nothing was changed."),
    ),
    "impossible": Kind(
        422,
        _("What is asked for cannot be done"),
        _("Each field may have its value by itself, but not together or not here. Nothing was changed."),
    ),
    "unauthenticated": Kind(
        401,
        _("Say who you are"),
        _("Send Authorization: Bearer tja_... with an API key that is neither revoked nor expired."),
    ),
    "forbidden": Kind(
        403,
        _("This key or role may only read"),
        _("Changes need a key with the scope write or, in the browser, the role of an owner or admin."),
    ),
    "not-found": Kind(
        404, _("There is no such thing here"), _("It does not exist, or it belongs to another workspace.")
    ),
    "method-not-allowed": Kind(405, _("This address has no such method"), _("Allow lists those it has.")),
    "conflict": Kind(
        409,
        _("It conflicts with how things stand"),
        _("Something else has the name, or is in progress. The detail says what, and what to do."),
    ),
    "changed-meanwhile": Kind(
        412,
        _("It was changed meanwhile"),
        _("If-Match names another version than there is now. Read it again, then decide anew."),
    ),
    "too-large": Kind(413, _("The body is too large"), _("Send less at once.")),
    "unsupported-media-type": Kind(415, _("Send JSON"), _("Bodies are Content-Type: application/json.")),
    "key-reused": Kind(
        422,
        _("This Idempotency-Key belongs to another request"),
        _("A key stands for one request for 24 hours. Use a new key for a new request."),
    ),
    "too-many-requests": Kind(
        429, _("Too many requests"), _("Try again after the seconds that Retry-After gives.")
    ),
    "unavailable": Kind(
        503,
        _("Not possible right now"),
        _("The database cannot answer. Try again after Retry-After seconds."),
    ),
    "fault": Kind(
        500,
        _("Tianji made a mistake"),
        _("What happened is in its log, under the id that X-Request-ID gives."),
    ),
}


def type_of(kind: str) -> str:
    """Return the `type` of a kind of problem: the address of the page that explains it."""
    return f"/api/problems/{kind}/"


class Problem(exceptions.APIException):
    """A problem of one of KINDS. `detail` says what, in a sentence; `errors` are (field, sentence)."""

    def __init__(
        self,
        kind: str,
        detail: Any = "",
        *,
        errors: list[tuple[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind, self.errors, self.headers = kind, errors or [], headers or {}
        self.status_code = KINDS[kind].status


def impossible(field: str, detail: Any) -> Problem:
    """Return that the value of `field` cannot be had here, though the schema allows it."""
    return Problem("impossible", detail, errors=[(field, detail)])


def problem(
    kind: str,
    detail: Any = "",
    *,
    errors: list[tuple[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the answer that says a problem."""
    known = KINDS[kind]
    content: dict[str, Any] = {
        "type": type_of(kind),
        "title": str(known.title),
        "status": known.status,
        "detail": str(detail or known.explanation),
    }
    if errors:
        content["errors"] = [{"field": field, "detail": str(sentence)} for field, sentence in errors]
    return Response(content, status=known.status, content_type=MEDIA_TYPE, headers=headers)


_OF_STATUS = {
    status.HTTP_401_UNAUTHORIZED: "unauthenticated",
    status.HTTP_403_FORBIDDEN: "forbidden",
    status.HTTP_404_NOT_FOUND: "not-found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "method-not-allowed",
    status.HTTP_413_REQUEST_ENTITY_TOO_LARGE: "too-large",
    status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "unsupported-media-type",
    status.HTTP_429_TOO_MANY_REQUESTS: "too-many-requests",
}


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Turn an exception of a view into a problem; our own faults are logged and a 500."""
    match error:
        case Problem():
            return problem(error.kind, error.detail, errors=error.errors, headers=error.headers)
        case exceptions.ValidationError():
            errors = list(_flat(error.detail))
            return problem("invalid", _summary(errors), errors=errors)
        case exceptions.ParseError():
            return problem("malformed", error.detail)
        case Http404() | ObjectDoesNotExist():
            # The latter: somebody deleted it between looking it up and changing it.
            return problem("not-found")
        case PermissionDenied():
            return problem("forbidden")
        case exceptions.APIException():
            # A wrong CSRF token says so; the rest has its explanation.
            detail = error.detail if "CSRF" in str(error.detail) else ""
            kind = _OF_STATUS.get(error.status_code, "malformed")
            return problem(kind, detail, headers=_headers_of(error))
        case OperationalError() | InterfaceError():
            log.error("request not served", error=str(error))
            return problem("unavailable", headers={"Retry-After": str(_RETRY_AFTER_SECONDS)})
    log.error("request failed", exc_info=error)
    return problem("fault")


def _headers_of(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, int(wait) + 1))
    return headers


def _flat(detail: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the (field, sentence) pairs of what a serializer complains of; "a.b" is b inside a."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            below = path if name == "non_field_errors" else f"{path}.{name}" if path else str(name)
            yield from _flat(inner, below)
    elif isinstance(detail, list):
        for inner in detail:
            yield from _flat(inner, path)
    else:
        yield path, detail


def _summary(errors: list[tuple[str, Any]]) -> str:
    field, sentence = errors[0]
    return f"{field}: {sentence}" if field else str(sentence)
