"""The push endpoint in the OpenAPI document, written by hand: the generator sees only the other views."""

from __future__ import annotations

from typing import Any

from monitors.heartbeats.parser import BODY_LIMIT
from monitors.models import MESSAGE_LENGTH
from monitors.services import tokens

_TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "The push token, the last part of a push URL.",
    "schema": {"type": "string", "pattern": f"^{tokens.ACCEPTABLE}$"},
}
_STATUS = "^([Uu][Pp]|[Dd][Oo][Ww][Nn])?$"
_WHAT = {
    "status": "up or down, in any case; defaults to up. Anything else is 400 and nothing is recorded.",
    "msg": (
        f"Free text, cut at {MESSAGE_LENGTH} characters. Defaults to OK for up and Reported down for down."
    ),
    "value": "A finite number. Anything else is ignored, and the response has a warning.",
}
_IN_QUERY: dict[str, dict[str, Any]] = {
    "status": {"type": "string", "pattern": _STATUS, "default": "up"},
    "msg": {"type": "string"},
    "value": {"type": "string"},
}
_IN_BODY = {**_IN_QUERY, "value": {"type": ["number", "string"]}}
_PROBLEMS = {
    "400": "Invalid parameter; nothing was recorded.",
    "404": "The token is unknown, revoked or expired.",
    "405": "Use GET, HEAD or POST; some monitors accept only POST.",
    "413": f"The body is larger than {BODY_LIMIT} bytes.",
    "429": "Rate limit exceeded, and this push would not have changed the monitor's status.",
    "503": "The heartbeat could not be recorded. Retry after Retry-After seconds.",
}
_COMPONENTS = {
    "Recorded": {
        "type": "object",
        "description": "The heartbeat is committed.",
        "properties": {"ok": {"const": True}, "warning": {"type": "string"}},
        "required": ["ok"],
        "additionalProperties": False,
    },
    "NotRecorded": {
        "type": "object",
        "description": "The same text twice, because senders read either key.",
        "properties": {"ok": {"const": False}, "error": {"type": "string"}, "msg": {"type": "string"}},
        "required": ["ok", "error", "msg"],
        "additionalProperties": False,
    },
    "PushRequest": {
        "type": "object",
        "properties": {key: {**what, "description": _WHAT[key]} for key, what in _IN_BODY.items()},
    },
}


def describe(result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Add the push endpoint, with and without the token in the URL, to the document."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {}).update(_COMPONENTS)
    components.setdefault("securitySchemes", {})["pushToken"] = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "tjp_...",
        "description": "A push token, if it is not in the URL.",
    }
    result["paths"]["/api/push/{token}"] = _operations("push", [_TOKEN], [])
    # A missing token is 404, like an unknown one: a sender is never asked to sign in.
    result["paths"]["/api/push"] = _operations("push_with_header", [], [{"pushToken": []}, {}])
    return result


def _operations(name: str, path: list[dict[str, Any]], security: list[dict[str, Any]]) -> dict[str, Any]:
    query = [
        {"name": key, "in": "query", "description": _WHAT[key], "schema": what}
        for key, what in _IN_QUERY.items()
    ]
    common = {"tags": ["push"], "security": security, "responses": _responses()}
    return {
        "get": {**common, "operationId": name, "summary": "Push a heartbeat", "parameters": [*path, *query]},
        "post": {
            **common,
            "operationId": f"{name}_by_post",
            "summary": "Push a heartbeat",
            "description": (
                "The query takes precedence over the body. A body that can't be read is ignored: the "
                "heartbeat is recorded, and the response has a warning."
            ),
            "parameters": [*path, *query],
            "requestBody": {
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/PushRequest"}},
                    "application/x-www-form-urlencoded": {
                        "schema": {"$ref": "#/components/schemas/PushRequest"}
                    },
                }
            },
        },
    }


def _responses() -> dict[str, Any]:
    refused = {"application/json": {"schema": {"$ref": "#/components/schemas/NotRecorded"}}}
    recorded = {"application/json": {"schema": {"$ref": "#/components/schemas/Recorded"}}}
    return {
        "200": {"description": "The heartbeat is committed.", "content": recorded},
        **{status: {"description": text, "content": refused} for status, text in _PROBLEMS.items()},
    }
