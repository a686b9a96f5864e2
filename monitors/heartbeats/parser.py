"""Parses the parts of an HTTP request into a `Push` or a `Rejection`, without I/O.

What can't be understood is never good news: any status that says down wins, and a push is up only if all of
it that may be a status was understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from monitors.domain.state_machine import MESSAGE_LENGTH
from monitors.heartbeats.body import PUSH_BODY_LIMIT, Content, read_body
from monitors.heartbeats.fields import MESSAGES, VALUES, Said, quotes_down, read_pairs
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
# C0, DEL and C1 control characters, and lone surrogates, which no database stores.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
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
    asked = read_pairs(query.decode("utf-8", "replace")) if query else Said()
    if not body and extent in (Extent.WHOLE, Extent.PERHAPS_WHOLE):
        return _without_body(asked)
    content = read_body(body, content_type, content_encoding, extent)
    said = content.said
    if asked.up and not asked.down and content.from_alerts:
        # A watchdog is an alert that always fires: the URL says what its notifications mean.
        return _push(True, asked, said, [])
    if asked.down or said.down:
        return _push(False, asked, said, _body_warnings(content))
    if asked.unknown is not None or (asked.doubtful is not None and not asked.up):
        return _unknown(asked)
    if asked.up:
        warnings = _body_warnings(content)
        if said.unknown is not None:
            warnings.append(f"status “{_quoted(said.unknown)}” in the body was ignored.")
        return _push(True, asked, said, warnings)
    return _by_body(asked, content)


def _without_body(asked: Said) -> Push | Rejection:
    if asked.down:
        return _push(False, asked, None, [])
    if asked.unknown is not None or (asked.doubtful is not None and not asked.up):
        return _unknown(asked)
    return _push(asked.up or not quotes_down(asked), asked, None, [])


def _by_body(asked: Said, content: Content) -> Push | Rejection:
    """Return what a push says whose query has no status."""
    said = content.said
    if content.extent is Extent.INCOMPLETE:
        # The missing part may be the word "down".
        return Rejection(400, "Incomplete body; nothing was recorded.")
    if said.unknown is not None or (said.doubtful is not None and not said.up):
        return _unknown(said)
    if content.extent is Extent.CUT and not said.up:
        return Rejection(413, f"Body too large; send at most {PUSH_BODY_LIMIT} bytes.")
    if content.problem:
        return Rejection(400, f"{content.problem} Nothing was recorded.")
    if content.extent is Extent.PERHAPS_WHOLE and not said.up and not content.shows_its_end:
        return Rejection(
            400, "The body may be incomplete; send a status, or Content-Length. Nothing was recorded."
        )
    up = said.up or not (quotes_down(asked) or quotes_down(said))
    return _push(up, asked, said, _body_warnings(content))


def _body_warnings(content: Content) -> list[str]:
    match content:
        case Content(extent=Extent.INCOMPLETE):
            return ["The body was incomplete."]
        case Content(problem=problem) if problem:
            return [f"{problem} {'Only its status was read.' if content.said.down else 'It was ignored.'}"]
        case Content(extent=Extent.CUT):
            return [f"The body was cut after {PUSH_BODY_LIMIT} bytes."]
    return []


def _unknown(said: Said) -> Rejection:
    status = said.unknown if said.unknown is not None else said.doubtful or ""
    return Rejection(400, f"Unknown status “{_quoted(status)}”. {ALLOWED}")


def _push(up: bool, asked: Said, said: Said | None, warnings: list[str]) -> Push:
    number = asked.number or (said.number if said else "")
    if number:
        word = "up" if up else "down"
        warnings.append(f"status {_quoted(number)} was read as {word}; send an exit code as exit=.")
    message = clean(_first(MESSAGES, asked, said)) or DEFAULT_MESSAGE[up]
    text = _first(VALUES, asked, said)
    if not text:
        return Push(up, message, None, " ".join(warnings))
    reading = read_value(text)
    if reading.number is not None:
        if reading.note:
            warnings.append(reading.note)
        return Push(up, message, reading.number, " ".join(warnings))
    warnings.append("value is not a finite number and was not recorded.")
    return Push(up, message, None, " ".join(warnings), _quoted(text))


def _first(names: tuple[str, ...], asked: Said, said: Said | None) -> str:
    """Return the first value, of the first of `names` that has one; those of the query come first."""
    for source in (asked, said):
        if source is not None and source.texts:
            for name in names:
                if text := source.texts.get(name):
                    return text
    return ""


def clean(text: str) -> str:
    """Remove unprintable characters (a line break becomes a space) and cut at the limit."""
    text = text[: MESSAGE_LENGTH * 4]
    if not text.isprintable():
        text = _UNPRINTABLE.sub("", text.replace("\r\n", " ").replace("\n", " ").replace("\t", " "))
    return text.strip()[:MESSAGE_LENGTH]


def _quoted(text: str) -> str:
    """Return text as it is quoted in an answer: short, and never empty."""
    return clean(text)[:_QUOTED_LENGTH] or "?"
