"""What the operations of the OpenAPI document have in common: problems, headers, pages."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

from api.fields import Text
from api.problems import KINDS, MEDIA_TYPE, type_of


class OperationSchema(AutoSchema):
    """Describes an operation by its own description, not by the docstring meant for developers."""

    def get_description(self) -> str:  # type: ignore[override]
        return ""

    def _insert_field_validators(self, field: Any, schema: dict[str, Any]) -> None:
        # TextSchema is complete. For a text that may be empty, the generator would add a "oneOf" of which
        # an empty text matches both.
        if not isinstance(field, Text):
            super()._insert_field_validators(field, schema)


class ProblemErrorSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(allow_blank=True, help_text="Path of the field, such as schedule.timeout.")
    detail = serializers.CharField(help_text="What is allowed.")


class ProblemSerializer(serializers.Serializer[Any]):
    """An error, as in RFC 9457."""

    type = serializers.CharField(help_text="The kind of problem: the path of the page that explains it.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = ProblemErrorSerializer(many=True, required=False)  # type: ignore[assignment]


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="A repeated request with the same key and body is not run again for 24 hours: it gets the"
    " stored response.",
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The ETag you read, including the quotes. 412 if the resource has changed since.",
)
ETAG = OpenApiParameter(
    "ETag",
    {"type": "string", "pattern": '^(W/)?"[0-9]+"$'},
    OpenApiParameter.HEADER,
    response=[200, 201],
    description="The current version, for If-Match.",
)
LOCATION = OpenApiParameter(
    "Location", OpenApiTypes.STR, OpenApiParameter.HEADER, response=[201], description="The new URL."
)


def problem_response(kind_status: int, description: str = "") -> OpenApiResponse:
    """Return the OpenAPI response for problems with one HTTP status."""
    titles = [str(kind.title) for kind in KINDS.values() if kind.status == kind_status]
    return OpenApiResponse(ProblemSerializer, description or " / ".join(titles))


def _problems(*statuses: int) -> dict[Any, OpenApiResponse]:
    return {(status, MEDIA_TYPE): problem_response(status) for status in statuses}


def answers(
    status: int,
    serializer: Any,
    *,
    writes: bool = False,
    changes: bool = False,
    conflict: bool = False,
    matched: bool = False,
) -> dict[Any, Any]:
    """Return the responses of an operation, by status and media type.

    Args:
        writes: it reads a body and changes something.
        changes: it changes something without a body.
        conflict: it may conflict with the current state.
        matched: it supports If-Match.
    """
    responses: dict[Any, Any] = {
        (status, "application/json") if serializer else status: OpenApiResponse(serializer)
    }
    statuses = {400, 401, 404, 429, 503}
    if writes:
        statuses |= {413, 415, 422}
    if writes or changes:
        statuses |= {403, 409, 422}
    if conflict:
        statuses.add(409)
    if matched:
        statuses.add(412)
    return {**responses, **_problems(*sorted(statuses))}


def paged(serializer: Any, name: str) -> dict[Any, Any]:
    """Return the responses of an operation that answers with pages by cursor."""
    page = inline_serializer(
        name,
        {
            "results": serializer(many=True),
            "next": serializers.URLField(allow_null=True),
            "previous": serializers.URLField(allow_null=True),
        },
    )
    return answers(200, page)


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "tja_...", "description": "An API key."}


class BrowserScheme(OpenApiAuthenticationExtension):
    target_class = "api.authentication.BrowserAuthentication"
    name = "browser"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The session of a signed-in user. Changes also require the X-CSRFToken header.",
        }


class TextSchema(OpenApiSerializerFieldExtension):
    """A text's length and pattern."""

    target_class = "api.fields.Text"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        field = self.target
        # JSON Schema requires the regular expression syntax of JavaScript.
        pattern = field.pattern.replace(r"\x", r"\u00").replace(r"\Z", "$")
        schema: dict[str, Any] = {"type": "string", "pattern": pattern}
        if field.min_length is not None:
            schema["minLength"] = field.min_length
        if field.max_length is not None:
            schema["maxLength"] = field.max_length
        return schema


def exact(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Post-process the document: request bodies allow no other fields, responses have all of theirs, ids are
    named after their resource, and each problem is described once."""
    _drop(result, "x-spec-enum-id")
    for name, schema in result["components"]["schemas"].items():
        if schema.get("type") != "object":
            continue
        if name.endswith("Request"):
            schema["additionalProperties"] = False
        elif name not in _SOMETIMES_LESS:
            schema["required"] = sorted(schema["properties"])
    result["paths"] = dict(_named(path, methods) for path, methods in result["paths"].items())
    for methods in result["paths"].values():
        for operation in methods.values():
            _share_problem_responses(operation["responses"])
    result["components"]["responses"] = {
        _name_of(status): _problem(status) for status in sorted({kind.status for kind in KINDS.values()})
    }
    return result


def _name_of(status: int | str) -> str:
    return f"Problem{status}"


def _share_problem_responses(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if set(response.get("content", ())) == {MEDIA_TYPE}:
            responses[status] = {"$ref": f"#/components/responses/{_name_of(status)}"}


def _problem(status: int) -> dict[str, Any]:
    kinds = {name: kind for name, kind in KINDS.items() if kind.status == status}
    examples = {
        name: {
            "value": {
                "type": type_of(name),
                "title": str(kind.title),
                "status": status,
                "detail": str(kind.explanation),
            }
        }
        for name, kind in kinds.items()
    }
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}
    description = " / ".join(str(kind.title) for kind in kinds.values())
    return {"description": description, "content": {MEDIA_TYPE: content}}


def _named(path: str, methods: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Rename the id of a monitor to "monitor_id" and that of a channel to "channel_id"."""
    if "/{public_id}" not in path:
        return path, methods
    collection = path.partition("/{public_id}")[0].rpartition("/")[2]
    name = f"{collection.removesuffix('s')}_id"
    for operation in methods.values():
        for parameter in operation["parameters"]:
            if parameter["name"] == "public_id":
                parameter["name"] = name
    return path.replace("{public_id}", f"{{{name}}}"), methods


# A problem has `errors` only if it is about certain fields.
_SOMETIMES_LESS = ("Problem",)


def _drop(schema: Any, key: str) -> None:
    if isinstance(schema, dict):
        schema.pop(key, None)
        for inner in schema.values():
            _drop(inner, key)
    elif isinstance(schema, list):
        for inner in schema:
            _drop(inner, key)


def only_the_api(endpoints: list[Any]) -> list[Any]:
    """Drop endpoints outside /api/v1/; the push endpoint is described separately."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/v1/")]
