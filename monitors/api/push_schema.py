"""The push endpoint in the OpenAPI document. It answers in front of what describes the other views."""

from __future__ import annotations

from typing import Any

from monitors.heartbeats.parser import BODY_LIMIT

_TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "The push token, as it stands at the end of a push URL.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$"},
}
_STATUS = "^([Uu][Pp]|[Dd][Oo][Ww][Nn])?$"
_WHAT = {
    "status": "up or down, in any case, up unless given; anything else is 400 and nothing is recorded.",
    "msg": "Free text, cut at 500 characters. OK for up and Reported down for down unless given.",
    "value": "A finite number. What is none is left out, and the answer carries a warning.",
}
_IN_QUERY: dict[str, dict[str, Any]] = {
    "status": {"type": "string", "pattern": _STATUS, "default": "up"},
    "msg": {"type": "string"},
    "value": {"type": "string"},
}
_IN_BODY = {**_IN_QUERY, "value": {"type": ["number", "string"]}}
_PROBLEMS = {
    "400": "A parameter cannot be read; nothing was recorded.",
    "404": "The token is unknown, revoked or expired.",
    "405": "Use GET, HEAD or POST; some monitors accept only POST.",
    "413": f"The body has more than {BODY_LIMIT} bytes.",
    "429": "The token pushes too often, and this push would have changed nothing.",
    "503": "The heartbeat could not be recorded. Try again after Retry-After seconds.",
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
        "description": "The same text twice, for senders that read one or the other.",
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
    """Add the push endpoint, with the token in the address and without, to the document."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {}).update(_COMPONENTS)
    components.setdefault("securitySchemes", {})["pushToken"] = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "tjp_...",
        "description": "A push token, where it is not in the address.",
    }
    result["paths"]["/api/push/{token}"] = _operations("push", [_TOKEN], [])
    # Who gives no token is answered as one who gives an unknown one, with 404: nobody is asked to sign in.
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
                "What the query says comes before what the body says. A body that cannot be read does not "
                "cost the heartbeat: it is left out, and the answer carries a warning."
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
