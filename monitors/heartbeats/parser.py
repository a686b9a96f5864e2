"""Parses the parts of an HTTP request into a `Push` or a `Rejection`, without I/O."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from urllib.parse import parse_qsl

from monitors.domain.state_machine import MESSAGE_LENGTH

# The front of the endpoint enforces it, where it reads the body (monitors/api/push_body.py).
BODY_LIMIT = 10_000
METHODS = ("GET", "HEAD", "POST")

DEFAULT_MESSAGE = {True: "OK", False: "Reported down"}
# C0, DEL and C1 control characters, and lone surrogates, which no database stores.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NUMBER_LENGTH = 400
_MAX_FIELDS = 100
# Content types that senders set by default, so they say nothing about the body.
_UNTOLD = ("", "text/plain", "application/x-www-form-urlencoded")


@dataclass(frozen=True, slots=True)
class Push:
    """A well-formed push. `message` has 1-500 printable characters, `value` is finite or None."""

    up: bool
    message: str
    value: float | None = None
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected push: the HTTP status of the response, and a message that says what is allowed."""

    status: int
    message: str


def parse_push(method: str, query: bytes, body: bytes = b"", content_type: str = "") -> Push | Rejection:
    """Parse a request of `method` with a raw `query` string and `body`. Never raises.

    Query parameters take precedence over those of a form or JSON body, which only a POST may have. Of
    repeated parameters the first counts. A body that can't be read is ignored, with a warning: the
    heartbeat itself is not in doubt.
    """
    if method not in METHODS:
        return Rejection(405, "Method not allowed; use GET, HEAD or POST.")
    fields = _pairs(query)
    warnings = []
    if method == "POST" and body:
        from_body = _body_fields(body, content_type)
        if isinstance(from_body, str):
            warnings.append(from_body)
        else:
            fields = {**from_body, **fields}

    said = _text(fields.get("status")).strip().lower()
    if said not in ("", "up", "down"):
        return Rejection(400, "status must be up or down.")
    up = said != "down"
    message = _clean(_text(fields.get("msg"))) or DEFAULT_MESSAGE[up]
    value, problem = _value(fields)
    if problem:
        warnings.append(problem)
    return Push(up, message, value, " ".join(warnings))


def _pairs(raw: bytes) -> dict[str, object]:
    """Return the first value of each name in a URL-encoded string."""
    fields: dict[str, object] = {}
    if not raw:
        return fields
    # parse_qsl decodes %XX itself; unescaped non-ASCII bytes are decoded as UTF-8 or replaced.
    text = raw.decode("utf-8", "replace")
    for name, value in parse_qsl(text, keep_blank_values=True, errors="replace"):
        if len(fields) >= _MAX_FIELDS:
            break
        fields.setdefault(name, value)
    return fields


def _body_fields(body: bytes, content_type: str) -> Mapping[str, object] | str:
    """Return the fields of a body, or a sentence saying why there are none."""
    kind = content_type.split(";", 1)[0].strip().lower()
    text = body.decode("utf-8-sig", "replace")
    # curl -d and fetch() label a JSON string as a form or plain text; trusting the label would turn a
    # reported "down" into an "up".
    looks_like_json = kind in _UNTOLD and text.lstrip().startswith("{")
    if looks_like_json or kind == "application/json" or kind.endswith("+json"):
        try:
            parsed = json.loads(text, parse_int=_integer)
        except (ValueError, RecursionError):
            return "The body is not valid JSON and was ignored."
        if not isinstance(parsed, dict):
            return "The JSON body is not an object and was ignored."
        return parsed
    if kind in ("", "application/x-www-form-urlencoded"):
        return _pairs(body)
    if kind == "multipart/form-data":
        return _parts(body, content_type)
    return "The body was ignored; send a form or a JSON object."


def _integer(digits: str) -> int | str:
    """Return an integer of JSON, or its digits if it is so long that int() would reject the body."""
    return int(digits) if len(digits) <= _NUMBER_LENGTH else digits


def _parts(body: bytes, content_type: str) -> Mapping[str, object] | str:
    """Return the fields of a multipart form, as `curl -F` sends it."""
    head = b"Content-Type: " + content_type.encode("ascii", "replace") + b"\r\n\r\n"
    fields: dict[str, object] = {}
    try:
        for part in message_from_bytes(head + body).walk():
            name = part.get_param("name", header="Content-Disposition")
            content = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(content, bytes) and not part.get_filename():
                fields.setdefault(name, content.decode("utf-8", "replace"))
    except (MessageError, ValueError, LookupError, TypeError, AttributeError):
        return "The form could not be read and was ignored."
    return fields


def _text(value: object) -> str:
    """Return a parameter as text: JSON null is empty, other JSON values keep their JSON form."""
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False)


def _clean(text: str) -> str:
    """Remove unprintable characters (a line break becomes a space) and cut at the limit."""
    text = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return _UNPRINTABLE.sub("", text[: MESSAGE_LENGTH * 4]).strip()[:MESSAGE_LENGTH]


def _value(fields: Mapping[str, object]) -> tuple[float | None, str]:
    """Return the value, and a warning if the parameter is not a finite number."""
    given = fields.get("value")
    if _text(given).strip() == "":
        given = fields.get("ping")
    text = _text(given).strip()
    if text == "":
        return None, ""
    # A pattern, not float(): that also accepts "nan", "inf", "1_000" and digits of other scripts.
    if len(text) <= _NUMBER_LENGTH and text.isascii() and _NUMBER.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return number, ""
    return None, "value is not a finite number and was not recorded."
