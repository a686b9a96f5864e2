"""Parses the parts of an HTTP request into a `Push` or a `Rejection`, without I/O.

What can't be understood is never good news: any status that says down wins, and a push is up only if all of
it that may be a status was understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.text import BIDI, CONTROLS
from monitors.domain.state_machine import MESSAGE_LENGTH
from monitors.heartbeats.body import PUSH_BODY_LIMIT, Content, read_body
from monitors.heartbeats.fields import MESSAGES, VALUES, Fields, quotes_down, read_pairs
from monitors.heartbeats.unpack import Extent
from monitors.heartbeats.values import read_value
from monitors.heartbeats.words import ALLOWED

__all__ = [
    "DEFAULT_MESSAGE",
    "MESSAGE_LENGTH",
    "METHODS",
    "PUSH_BODY_LIMIT",
    "Extent",
    "Push",
    "Rejection",
    "parse_push",
]

METHODS = ("GET", "HEAD", "POST")

DEFAULT_MESSAGE = {True: "OK", False: "Reported down"}
# Control characters, those that change the direction of text, and lone surrogates, which no database stores.
_UNPRINTABLE = re.compile(rf"[{CONTROLS}{BIDI}\ud800-\udfff]+")
_BREAKS = re.compile("\r\n|[\n\t\u2028\u2029]")
_QUOTED_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Push:
    """A well-formed push. `message` has 1-500 printable characters, `value` is finite or None.

    `unreadable` is the text of a value that is not a number, else "".
    """

    up: bool
    message: str
    value: float | None = None
    warning: str = ""
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A rejected push: the HTTP status of the response, and a message that says what is allowed."""

    status: int
    message: str


_MAY_BE_INCOMPLETE = Rejection(
    400, "The body may be incomplete; send a status, or Content-Length. Nothing was recorded."
)


def parse_push(
    method: str,
    query: bytes,
    body: bytes = b"",
    content_type: str = "",
    content_encoding: str = "",
    extent: Extent = Extent.WHOLE,
) -> Push | Rejection:
    """Parse a request of `method` with a raw `query` string and `body`. Never raises.

    Query and body count alike, with any method: a down in either wins. For other fields, those of the query
    take precedence, and of repeated ones the first that is not empty. The body is read by what it is,
    whatever its type says. One that can't be read is a rejection, unless a status is known without it.
    """
    if method not in METHODS:
        return Rejection(405, "Method not allowed; use GET, HEAD or POST.")
    in_query = read_pairs(query.decode("utf-8", "replace")) if query else Fields()
    if not body and extent in (Extent.WHOLE, Extent.PERHAPS_WHOLE):
        # With other methods, a body is so rare that an empty one is more likely a proxy's than a broken one.
        return _without_body(in_query, certain=extent is Extent.WHOLE or method != "POST")
    content = read_body(body, content_type, content_encoding, extent)
    in_body = content.fields
    if in_query.up and not in_query.down and content.from_alerts:
        # A watchdog is an alert that always fires: the URL says what its notifications mean.
        return _push(True, in_query, in_body, [])
    if in_query.down or in_body.down:
        return _push(False, in_query, in_body, _body_warnings(content))
    if in_query.unknown is not None or (in_query.doubtful is not None and not in_query.up):
        return _unknown(in_query)
    if in_query.up:
        warnings = _body_warnings(content)
        if in_body.unknown is not None:
            warnings.append(f"status “{_quoted(in_body.unknown)}” in the body was ignored.")
        return _push(True, in_query, in_body, warnings)
    return _by_body(in_query, content)


def _without_body(in_query: Fields, *, certain: bool) -> Push | Rejection:
    if in_query.down:
        return _push(False, in_query, None, [])
    if in_query.unknown is not None or (in_query.doubtful is not None and not in_query.up):
        return _unknown(in_query)
    if not in_query.up and not certain:
        return _MAY_BE_INCOMPLETE
    return _push(in_query.up or not quotes_down(in_query), in_query, None, [])


def _by_body(in_query: Fields, content: Content) -> Push | Rejection:
    """Return what a push says whose query has no status."""
    in_body = content.fields
    if content.extent is Extent.INCOMPLETE:
        # The missing part may be the word "down".
        return Rejection(400, "Incomplete body; nothing was recorded.")
    if in_body.unknown is not None or (in_body.doubtful is not None and not in_body.up):
        return _unknown(in_body)
    if content.extent is Extent.CUT and not in_body.up:
        return Rejection(413, f"Body too large; send at most {PUSH_BODY_LIMIT} bytes.")
    if content.problem:
        return Rejection(400, f"{content.problem} Nothing was recorded.")
    if content.extent is Extent.PERHAPS_WHOLE and not in_body.up and not content.shows_its_end:
        return _MAY_BE_INCOMPLETE
    up = in_body.up or not (quotes_down(in_query) or quotes_down(in_body))
    return _push(up, in_query, in_body, _body_warnings(content))


def _body_warnings(content: Content) -> list[str]:
    match content:
        case Content(extent=Extent.INCOMPLETE):
            return ["The body was incomplete."]
        case Content(problem=problem) if problem:
            return [f"{problem} {'Only its status was read.' if content.fields.down else 'It was ignored.'}"]
        case Content(extent=Extent.CUT):
            return [f"The body was cut after {PUSH_BODY_LIMIT} bytes."]
    return []


def _unknown(fields: Fields) -> Rejection:
    status = fields.unknown if fields.unknown is not None else fields.doubtful or ""
    return Rejection(400, f"Unknown status “{_quoted(status)}”. {ALLOWED}")


def _push(up: bool, in_query: Fields, in_body: Fields | None, warnings: list[str]) -> Push:
    number = in_query.number or (in_body.number if in_body else "")
    if number:
        word = "up" if up else "down"
        warnings.append(f"status {_quoted(number)} was read as {word}; send an exit code as exit=.")
    message = clean(_first(MESSAGES, in_query, in_body)) or DEFAULT_MESSAGE[up]
    text = _first(VALUES, in_query, in_body)
    if not text:
        return Push(up, message, None, " ".join(warnings))
    reading = read_value(text)
    if reading.number is not None:
        if reading.note:
            warnings.append(reading.note)
        return Push(up, message, reading.number, " ".join(warnings))
    warnings.append("value is not a finite number and was not recorded.")
    return Push(up, message, None, " ".join(warnings), _quoted(text))


def _first(names: tuple[str, ...], in_query: Fields, in_body: Fields | None) -> str:
    """Return the first value, of the first of `names` that has one; those of the query come first."""
    for source in (in_query, in_body):
        if source is not None and source.texts:
            for name in names:
                if text := source.texts.get(name):
                    return text
    return ""


def clean(text: str) -> str:
    """Remove unprintable characters (a line break becomes a space) and cut at the limit."""
    text = text[: MESSAGE_LENGTH * 4]
    if not text.isprintable():
        text = _UNPRINTABLE.sub("", _BREAKS.sub(" ", text))
    return text.strip()[:MESSAGE_LENGTH]


def _quoted(text: str) -> str:
    """Return text as it is quoted in an answer: short, and never empty."""
    return clean(text)[:_QUOTED_LENGTH] or "?"
