"""Error responses as in RFC 9457: `application/problem+json`."""

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
# After which a request is repeated that the database did not answer.
RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. Its `type` is the path of a page that explains it."""

    status: int
    title: Any
    explanation: Any


KINDS = {
    "malformed": Kind(
        400,
        _("Malformed request"),
        _("The body is not valid JSON, or does not match the schema."),
    ),
    "invalid": Kind(
        400,
        _("Validation failed"),
        _("Each entry in errors names a field and says what is allowed. Nothing was changed."),
    ),
    "impossible": Kind(
        422,
        _("Unprocessable request"),
        _(
            "Each value is valid on its own, but not in this combination or not for this resource. "
            "Nothing was changed."
        ),
    ),
    "unauthenticated": Kind(
        401,
        _("Authentication required"),
        _("Send Authorization: Bearer tja_... with an API key that is not revoked or expired."),
    ),
    "forbidden": Kind(
        403,
        _("This key or role is read-only"),
        _("Changes require an API key with the write scope or, in the browser, the owner or admin role."),
    ),
    "not-found": Kind(404, _("Not found"), _("It does not exist, or it belongs to another workspace.")),
    "method-not-allowed": Kind(
        405, _("Method not allowed"), _("The Allow header lists the supported methods.")
    ),
    "conflict": Kind(
        409,
        _("Conflict with the current state"),
        _(
            "The name is already taken, or another operation is in progress. The detail says which, and "
            "what to do."
        ),
    ),
    "precondition-failed": Kind(
        412,
        _("Changed since it was read"),
        _("If-Match does not match the current version. Read it again, then retry your change."),
    ),
    "too-large": Kind(413, _("Request body too large"), _("Send less data in one request.")),
    "unsupported-media-type": Kind(
        415, _("Unsupported media type"), _("Send the body as Content-Type: application/json.")
    ),
    "key-reused": Kind(
        422,
        _("Idempotency-Key already used"),
        _(
            "This key was used for a different request in the last 24 hours. Use a new key for each new "
            "request."
        ),
    ),
    "too-many-requests": Kind(
        429, _("Too many requests"), _("Retry after the number of seconds in Retry-After.")
    ),
    "unavailable": Kind(
        503,
        _("Temporarily unavailable"),
        _("The database is not responding. Retry after the number of seconds in Retry-After."),
    ),
    "fault": Kind(
        500,
        _("Internal server error"),
        _("Details are in the server log, under the ID in X-Request-ID."),
    ),
}


def type_of(kind: str) -> str:
    """Return the `type` of a kind of problem: the path of the page that explains it."""
    return f"/api/problems/{kind}/"


class Problem(exceptions.APIException):
    """A problem of one of KINDS. `detail` is a sentence; `errors` are (field, sentence) pairs."""

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
    """Return the problem that the schema allows the value of `field`, but this resource does not."""
    return Problem("impossible", detail, errors=[(field, detail)])


def problem(
    kind: str,
    detail: Any = "",
    *,
    errors: list[tuple[str, Any]] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return the response for a problem."""
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
    """Turn an exception raised by a view into a problem. Unexpected ones are logged and become a 500."""
    match error:
        case Problem():
            return problem(error.kind, error.detail, errors=error.errors, headers=error.headers)
        case exceptions.ValidationError():
            errors = list(_flat(error.detail))
            return problem("invalid", _summary(errors), errors=errors)
        case exceptions.ParseError():
            return problem("malformed", error.detail)
        case Http404() | ObjectDoesNotExist():
            # The latter if it was deleted between the lookup and the change.
            return problem("not-found")
        case PermissionDenied():
            return problem("forbidden")
        case exceptions.APIException():
            # A CSRF failure names its reason; the others have their explanation.
            detail = error.detail if "CSRF" in str(error.detail) else ""
            kind = _OF_STATUS.get(error.status_code, "malformed")
            return problem(kind, detail, headers=_headers_of(error))
        case OperationalError() | InterfaceError():
            log.error("request not served", error=str(error))
            return problem("unavailable", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})
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
    """Yield (field, sentence) pairs from a serializer's errors; "a.b" is field b inside a."""
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
