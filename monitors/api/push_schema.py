"""The push endpoint in the OpenAPI document, written by hand: the generator sees only the other views."""

from __future__ import annotations

from typing import Any

from monitors.heartbeats.parser import PUSH_BODY_LIMIT
from monitors.heartbeats.push_token import ACCEPTABLE
from monitors.heartbeats.words import DOWN_WORDS, UP_WORDS
from monitors.models import MESSAGE_LENGTH

_TOKEN = {
    "name": "token",
    "in": "path",
    "required": True,
    "description": "The push token, the last part of a push URL.",
    "schema": {"type": "string", "pattern": f"^{ACCEPTABLE}$"},
}
# In any case, which a pattern of OpenAPI can only say letter by letter.
_WORDS = "|".join(
    "".join(f"[{letter.upper()}{letter}]" if letter.isalpha() else letter for letter in word)
    for word in (*UP_WORDS, *DOWN_WORDS)
)
_STATUS = f"^({_WORDS}|[0-9]{{1,3}})?$"
_WHAT = {
    "status": (
        f"Up ({', '.join(UP_WORDS)}) or down ({', '.join(DOWN_WORDS)}), in any case; a number other than 0 "
        "and 1 is down. Defaults to up. Of several, any down wins. Anything else is 400, and nothing is "
        "recorded."
    ),
    "exit": "An exit code: 0 is up, any other down.",
    "msg": (
        f"Free text, cut at {MESSAGE_LENGTH} characters. Defaults to OK for up and Reported down for down."
    ),
    "value": (
        "A finite number; a decimal comma and a unit are understood. Anything else is out of range under a "
        "value rule; otherwise it is ignored, and the response has a warning."
    ),
}
_IN_QUERY: dict[str, dict[str, Any]] = {
    "status": {"type": "string", "pattern": _STATUS, "default": "up"},
    "exit": {"type": "string", "pattern": "^[0-9]{0,3}$"},
    "msg": {"type": "string"},
    "value": {"type": "string"},
}
_IN_BODY = {
    **_IN_QUERY,
    "exit": {"type": ["integer", "string"], "pattern": "^[0-9]{0,3}$"},
    "value": {"type": ["number", "string"]},
}
_PROBLEMS = {
    "400": "Unknown status, or a body that can't be read; nothing was recorded.",
    "404": "The token is unknown, revoked or expired.",
    "405": "Use GET, HEAD or POST; some monitors accept only POST.",
    "413": f"The body is larger than {PUSH_BODY_LIMIT} bytes, and its first part has no status.",
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
                "The query takes precedence over the body, but a status that says down wins wherever it is. "
                "The body is read by what it is, whatever its type says. One that can't be read is 400, or "
                "ignored with a warning if the query has a status."
            ),
            "parameters": [*path, *query],
            "requestBody": {
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/PushRequest"}},
                    "application/x-www-form-urlencoded": {
                        "schema": {"$ref": "#/components/schemas/PushRequest"}
                    },
                    "text/plain": {"schema": {"type": "string"}},
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
