"""Reads the body of a push by what it is, whatever its type says: JSON, a form or plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.errors import MessageError
from email.message import Message
from urllib.parse import unquote

from monitors.heartbeats import json_body
from monitors.heartbeats.fields import Fields, names_in, read_pairs, says_down
from monitors.heartbeats.unpack import Extent, Unreadable, decode, inflate, is_text
from monitors.heartbeats.values import read_value
from monitors.heartbeats.words import Verdict, is_number, judge

# The front of the endpoint enforces it, where it reads the body (monitors/api/push_body.py).
PUSH_BODY_LIMIT = 10_000

_PART_HEADER = "content-disposition:"
_FORM = "application/x-www-form-urlencoded"
# A name that may be that of a form's first field: without spaces, which a form would have encoded.
_FORM_START = re.compile(r"[?&\s\"']*[\w.%+\[\]-]+[\"'\s]*=")
_SHOWS_JSON = re.compile(r"[\s\"'(]*\{")
_SHOWS_LIST = re.compile(r"\s*\[\s*(?:[\[{\"\]]|$)")
_WHITE_SPACE = re.compile(r"\s")
_WORD = re.compile(r"\W*(\w+)\W*")
_BOUNDARY = re.compile(r"boundary=\"?([^\";,\s]{1,200})", re.IGNORECASE)
# What programs write where they have nothing to say.
_NOTHINGS = frozenset(("null", "nil", "none", "nan", "undefined", "[object object]", "infinity"))


@dataclass(slots=True)
class Content:
    """What a body says.

    `problem` is why it can't be read, "" if it can; `fields` may contain a down even so. `shows_its_end`
    is whether it could not be read if its end were missing. `from_alerts` is whether it is a notification of
    Alertmanager or Grafana, whose status is that of their own alerts.
    """

    fields: Fields = field(default_factory=Fields)
    problem: str = ""
    extent: Extent = Extent.WHOLE
    shows_its_end: bool = False
    from_alerts: bool = False


def read_body(body: bytes, content_type: str, content_encoding: str, extent: Extent) -> Content:
    """Return what a body says; of one that is not whole, what its part says. Never raises."""
    problem = ""
    try:
        body, extent = inflate(body, content_encoding, limit=PUSH_BODY_LIMIT, extent=extent)
        text = decode(body, content_type)
    except Unreadable as unreadable:
        problem, text = str(unreadable), body.decode("utf-8", "replace")
    content = Content(extent=extent, problem=problem)
    if not text.strip():
        return content
    if not problem:
        _read(content, body, text, content_type)
    if content.problem and not content.fields.down:
        content.fields.down = says_down(text)
    return content


def _read(content: Content, body: bytes, text: str, content_type: str) -> None:
    whole = content.extent in (Extent.WHOLE, Extent.PERHAPS_WHOLE)
    kind = content_type.split(";", 1)[0].strip().lower()
    if (kind == "multipart/form-data" or body.lstrip()[:2] == b"--") and _read_parts(
        content, body, content_type, whole
    ):
        return
    if _SHOWS_JSON.match(text) or _SHOWS_LIST.match(text) or text.lstrip()[:1] == '"':
        _read_json(content, text, whole)
    elif kind == "multipart/form-data" and _shows_parts(text):
        content.problem = "The form could not be read."
    elif _is_form(text, kind):
        content.fields = read_pairs(text, complete=whole)
        if not _FORM_START.match(text):
            content.fields.suggest_message(text)
    else:
        _read_text(content, text, whole)


def _shows_parts(text: str) -> bool:
    return text.lstrip()[:2] == "--" or _PART_HEADER in text.lower()


def _is_form(text: str, kind: str) -> bool:
    if kind in (_FORM, "") and _FORM_START.match(text) and not _WHITE_SPACE.search(text.strip()):
        return True
    return any(names_in(text))


def _read_json(content: Content, text: str, whole: bool) -> None:
    try:
        content.fields, content.from_alerts = json_body.read_json(text, whole=whole)
        content.shows_its_end = True
    except json_body.JustText as found:
        _read_text(content, found.text, whole)
    except json_body.NotJson as error:
        content.problem = str(error)
        # It shows in the log what could not be read.
        content.fields.texts["msg"] = text


def _read_text(content: Content, text: str, whole: bool) -> None:
    """Read plain text: it is the message, unless it is no more than the word for a status."""
    stripped = text.strip()
    content.problem = _problem_of(stripped)
    if not content.problem:
        content.fields.texts["msg"] = text
    word = _WORD.fullmatch(stripped) if whole else None
    if word is not None and not is_number(word[1]) and not content.problem:
        verdict = judge(word[1])
        content.fields.up, content.fields.down = verdict is Verdict.UP, verdict is Verdict.DOWN
    elif says_down(text) or ("%" in text and says_down(unquote(text))):
        content.fields.down = True


def _problem_of(text: str) -> str:
    """Return why plain text can't be read; "" if it can."""
    if text[:1] == "<":
        return "The body is XML or HTML; send a form or a JSON object."
    if text.lower() in _NOTHINGS or not is_text(text) or _PART_HEADER in text.lower():
        return "The body could not be read; send a form or a JSON object."
    # "200 OK" is a message.
    if read_value(text).number is not None and len(text.split()) == 1:
        return "The body is only a number; send it as value= or exit=."
    return ""


def _read_parts(content: Content, body: bytes, content_type: str, whole: bool) -> bool:
    """Read a multipart form, as `curl -F` sends it; return whether it is one."""
    declared = _BOUNDARY.search(content_type)
    boundary = declared[1].encode("utf-8", "replace") if declared else b""
    if boundary and body.strip() == b"--" + boundary + b"--":
        content.shows_its_end = True
        return True
    if not boundary or b"--" + boundary not in body:
        # Its type says something else than it does.
        first = body.lstrip().split(b"\n", 1)[0].strip()
        boundary = first[2:].replace(b'"', b"") if first.startswith(b"--") else b""
    if not boundary or b"content-disposition" not in body.lower():
        return False
    try:
        form = message_from_bytes(
            b'Content-Type: multipart/form-data; boundary="%s"\r\n\r\n%s' % (boundary, body)
        )
        found = list(_parts(form))
    except (MessageError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False
    content.shows_its_end = body.rstrip().endswith(b"--")
    for name, text in found if whole else found[:-1]:
        content.fields.take(name, text)
    if says_down(f"{form.preamble} {form.epilogue}"):
        content.fields.down = True
    return bool(found)


def _parts(form: Message) -> Iterator[tuple[str, str]]:
    for part in form.walk():
        name = part.get_param("name", header="Content-Disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            yield name, payload.decode("utf-8", "replace")
