"""The base of all management API views: rate limit, strict parameters, Idempotency-Key and If-Match."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ClassVar

from django.conf import settings
from django.db.models import Model
from django.utils.translation import gettext as _
from redis.exceptions import RedisError
from rest_framework.exceptions import MethodNotAllowed, ParseError, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from accounts.actors import Actor, actor_of
from accounts.models import AuditEntry, User, Workspace
from api import idempotency, problems
from api.authentication import (
    ApiKeyAuthentication,
    BrowserAuthentication,
    ReadsOrMayChange,
    may_change,
    workspace_of,
)
from api.idempotency import Answer
from api.parsers import JsonBody
from api.problems import Problem
from api.schema import OperationSchema

# The syntax of If-Match in RFC 9110.
_QUOTED = r'(W/)?"[!#-~]*"'
_ETAGS = re.compile(rf"\*|{_QUOTED}(, ?{_QUOTED})*")
_KEY = re.compile(r"[!-~]{1,255}")


class _JsonByDefault(DefaultContentNegotiation):
    """Falls back to JSON if nothing in Accept is available: a 406 would be JSON as well."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        accepted = request.META.get("HTTP_ACCEPT", "")
        usual, *others = renderers
        renderer = next((one for one in others if one.media_type and one.media_type in accepted), usual)
        return renderer, renderer.media_type


class ApiRate(SimpleRateThrottle):
    """TIANJI_API_RATE requests per minute for each API key or user."""

    rate = "set by TIANJI_API_RATE"

    def parse_rate(self, rate: str | None) -> Any:
        return settings.TIANJI_API_RATE, 60

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"api-rate:{owner_of(request)}"

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not settings.TIANJI_API_RATE:
            return True
        try:
            return bool(super().allow_request(request, view))
        except (OSError, RedisError):
            # The cache is not available. A limit that cannot be counted must not block requests.
            return True


class ApiView(APIView):
    """Base of the management API's views.

    `query` names the parameters that a GET accepts. Any other is an error, so that a misspelt filter does
    not silently return everything.
    """

    authentication_classes = (ApiKeyAuthentication, BrowserAuthentication)
    permission_classes = (ReadsOrMayChange,)
    throttle_classes = (ApiRate,)
    parser_classes = (JsonBody,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = _JsonByDefault
    metadata_class = None
    # Without "options": the API is not meant for scripts on other sites.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    schema = OperationSchema()
    query: ClassVar[tuple[str, ...]] = ()

    def get_exception_handler(self) -> Any:
        return problems.handle

    @property
    def default_response_headers(self) -> dict[str, str]:
        # Responses may contain push tokens.
        return {**super().default_response_headers, "Cache-Control": "no-store"}

    def check_permissions(self, request: Request) -> None:
        # Checked before permissions: a method that does not exist is 405, whatever the key may do.
        if request.method not in self.allowed_methods:
            raise MethodNotAllowed(str(request.method))
        super().check_permissions(request)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
            raise ParseError(_("Chunked bodies are not supported. Send the length in Content-Length."))
        known = self.query if request.method in ("GET", "HEAD") else ()
        unknown = sorted(set(request.query_params) - set(known))
        if unknown:
            allowed = ", ".join(known) or _("none")
            raise ValidationError(
                {name: [_("Unknown parameter. Allowed: %s.") % allowed] for name in unknown}
            )
        for name in request.query_params:
            if len(request.query_params.getlist(name)) > 1:
                raise ValidationError({name: [_("Give this parameter only once.")]})

    @property
    def workspace(self) -> Workspace:
        return workspace_of(self.request)

    @property
    def may_change(self) -> bool:
        return may_change(self.request)

    @property
    def actor(self) -> Actor:
        return actor_of(self.request, via=AuditEntry.Via.API)

    def read(
        self, serializer: type[Serializer[Any]], *, partial: bool = False, **context: Any
    ) -> dict[str, Any]:
        """Return the request's body, validated by `serializer`. Raises ValidationError."""
        body = serializer(data=self.request.data, partial=partial, context={"view": self, **context})
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def read_query(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """Return the query parameters, validated by `serializer`. Raises ValidationError."""
        parameters = serializer(data=self.request.query_params.dict())
        parameters.is_valid(raise_exception=True)
        return dict(parameters.validated_data)


def owner_of(request: Request) -> str:
    """Return the key or user that a rate limit or an Idempotency-Key belongs to."""
    if request.auth is not None:
        return f"key:{request.auth.pk}"
    return f"user:{request.user.pk}" if isinstance(request.user, User) else "nobody"


Handler = Callable[..., Response]


def idempotent(handler: Handler) -> Handler:
    """Make a POST handler support `Idempotency-Key`: it runs once and replays its response for 24 hours."""
    return _idempotent(handler, idempotency.once)


def idempotent_outside(handler: Handler) -> Handler:
    """Do the same for a handler that uses the network, which must not happen inside a transaction."""
    return _idempotent(handler, idempotency.once_outside)


def _idempotent(handler: Handler, once: Callable[..., Answer]) -> Handler:
    @wraps(handler)
    def handle(view: ApiView, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key")
        if key is None:
            return handler(view, request, *args, **kwargs)
        if not _KEY.fullmatch(key):
            sentence = _("Must be 1 to 255 printable ASCII characters without spaces.")
            raise ValidationError({"Idempotency-Key": [sentence]})

        def run() -> Answer:
            response = handler(view, request, *args, **kwargs)
            # Store what is sent: ids and times as text.
            data = json.loads(JSONRenderer().render(response.data))
            return Answer(response.status_code, dict(response.headers), data)

        # The parsed body, because whitespace does not matter. And the workspace, because the user may have
        # switched to another one.
        body = JSONRenderer().render(request.data).decode()
        fingerprint = f"{view.workspace.public_id} {request.method} {request.path}\n{body}"
        try:
            answer = once(
                owner=owner_of(request),
                key=key,
                request_digest=hashlib.sha256(fingerprint.encode()).hexdigest(),
                run=run,
            )
        except idempotency.KeyReused:
            raise Problem("key-reused") from None
        except idempotency.StillRunning:
            detail = _("The first request with this Idempotency-Key is still in progress.")
            raise Problem("conflict", detail, headers={"Retry-After": "1"}) from None
        headers = {**answer.headers, "Idempotency-Replayed": "true"} if answer.repeated else answer.headers
        return Response(answer.data, status=answer.status, headers=headers)

    return handle


def etag(row: Any) -> str:
    """Return the ETag of a monitor or channel: its version, which every edit changes."""
    return f'"{row.version}"'


def named_etags(request: Request) -> set[str] | None:
    """Return the ETags in `If-Match`, or None without the header. Raises Problem if it is malformed."""
    given = request.headers.get("If-Match")
    if given is None:
        return None
    if not _ETAGS.fullmatch(given):
        sentence = _("If-Match is not a valid ETag. Send the ETag you read, including the quotes.")
        raise Problem("precondition-failed", sentence)
    # Compression on the way makes an ETag weak, but it still names a version.
    return {part.strip().removeprefix("W/") for part in given.split(",")}


def expected_version(request: Request, row: Model) -> int | None:
    """Return the version that `If-Match` asks for, or None without the header or with `*`.

    Raises Problem if the current version is a different one.
    """
    named = named_etags(request)
    if named is None or "*" in named:
        return None
    if etag(row) not in named:
        raise Problem("precondition-failed")
    return int(row.version)  # type: ignore[attr-defined]
