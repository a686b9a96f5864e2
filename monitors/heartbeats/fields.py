"""The fields of a push, whatever they are written in: a query string, a form or loose text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from monitors.heartbeats.words import DOWN_WORDS, Verdict, is_number, judge, judge_exit_code

STATUS, EXIT = "status", "exit"
# Names that other tools use for a status. They may mean something else: only the known words count.
_ALSO_STATUS = ("state", "result", "outcome", "conclusion", "health")
_EXIT_CODES = ("exit", "exitcode", "exit_code", "exit-code", "exitstatus", "exit_status", "exit-status")
MESSAGES = ("msg", "message", "title", "text")
VALUES = ("value", "ping")
TEXTS = (*VALUES, *MESSAGES)
_TRUTHS = {"true": True, "false": False}
# Every name in lower case, with the one of its meaning.
_NAMES = {name: name for name in (STATUS, *_ALSO_STATUS, *TEXTS)} | dict.fromkeys(_EXIT_CODES, EXIT)
# What stands in front of a field whose value is not encoded: any separator before a status, only that of
# URLs and lines before other fields, because their text may have commas and spaces. All quantifiers here and
# below are bounded, so that no text makes this slow.
_OPENING = r"""[\s"'\[({]{0,8}"""
_CLOSING = r"""[\s"'\])}+]{0,8}="""
_EXIT_NAME = r"exit(?:[_-]?(?:code|status))?"
_SEPARATOR = re.compile(
    r"&(?:(?:amp|\#38|\#x26);){0,4}"
    rf"|(?:[?;,|+\s]|%20|%0[ad]|%09|%3b)(?={_OPENING}(?:status|{_EXIT_NAME}){_CLOSING})"
    rf"|[?;\r\n](?={_OPENING}(?:msg|message|value|ping){_CLOSING})",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w-]+")
# A status that says down in text of whatever notation: status=down, "status": "down", <status>down,
# "exit": 2. But "Exit: 2" is prose.
_BETWEEN = r"(?:%[0-9a-f]{2}|&\#?\w{1,6};|\\u00[0-9a-f]{2}|[^\w=:>&%])"
_DOWN_FIELD = re.compile(
    r"(?:(?<![\w-])|(?<=%[0-9a-f]{2})|(?<=\\u[0-9a-f]{4})|(?<=\\[nrtbf]))(?:"
    rf"status{_BETWEEN}{{0,12}}[=:>][=:>]?{_BETWEEN}{{0,12}}"
    rf"(?:{'|'.join(sorted(DOWN_WORDS, key=len, reverse=True))})"
    rf"|{_EXIT_NAME}{_BETWEEN}{{0,12}}(?:=|[\"']\s{{0,4}}:)=?{_BETWEEN}{{0,12}}0{{0,8}}[1-9]\d{{0,20}}"
    r")(?![\w-])",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Fields:
    """What the fields of a query or a body say.

    `unknown` is the first status that is no word we know, `doubtful` one in a place where it may be something
    else: inside a JSON object of an object, or under a composite name. `number` is a status that was written
    as a number. `texts` has the first value of each other field that has one, `quoted` those values of any
    field that mention a status.
    """

    up: bool = False
    down: bool = False
    unknown: str | None = None
    doubtful: str | None = None
    number: str = ""
    count: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    quoted: list[str] = field(default_factory=list)

    @property
    def has_status(self) -> bool:
        return self.up or self.down

    def take(self, name: str, value: str, *, nested: bool = False) -> None:
        """Take one field into account."""
        key, certain = canonical(name)
        if key and not certain and says_down(name):
            # {"status":"down"}= is a name with nothing behind it.
            self.down = True
        if not nested and (truth := _TRUTHS.get(value.strip().lower())) is not None:
            # ok=false, failed=true
            self.down |= judge(name) is (Verdict.DOWN if truth else Verdict.UP)
        certain = certain and not nested
        if key == STATUS:
            self.take_status(value, certain=certain)
        elif key == EXIT:
            self._count(judge_exit_code(value), value, certain=certain)
        elif key in _ALSO_STATUS:
            if not nested and not is_number(value):
                self._count(judge(value), None, certain=False)
        else:
            if certain and key in TEXTS and key not in self.texts and value.strip():
                self.texts[key] = value
            if _may_say_down(value):
                self.quoted.append(value)

    def suggest_message(self, text: object) -> None:
        """Use `text` as the message if no other is given; ignore it unless it is text."""
        if isinstance(text, str) and text.strip():
            self.texts.setdefault(TEXTS[-1], text)

    def take_status(self, value: str, *, certain: bool) -> None:
        """Take a status into account; if it is not `certain` to be one of a push, a number is none."""
        self.count += 1
        if not certain and is_number(value):
            return
        self._count(judge(value), value, certain=certain)
        if certain and not self.number and is_number(value):
            self.number = value.strip()

    def _count(self, verdict: Verdict, value: str | None, *, certain: bool) -> None:
        match verdict:
            case Verdict.UP:
                self.up = True
            case Verdict.DOWN:
                self.down = True
            case Verdict.UNKNOWN if value is not None and certain:
                self.unknown = value if self.unknown is None else self.unknown
            case Verdict.UNKNOWN if value is not None:
                self.doubtful = value if self.doubtful is None else self.doubtful


@lru_cache(maxsize=256)
def canonical(name: str) -> tuple[str, bool]:
    """Return the name of a field in our spelling, "" if it is none of ours, and whether that is certain.

    `Status`, `"status"` and `status[]` certainly are. `data[status]` and `data-status` may be.
    """
    if name in _NAMES:
        return _NAMES[name], True
    words = [word.strip("_-") for word in _WORD.findall(_plain(name)) if not word.isdigit()]
    certain = len(words) == 1
    for word in words:
        key = _NAMES.get(word, "")
        if key in (STATUS, EXIT) or (key and certain):
            return key, certain
    return "", False


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def read_pairs(text: str, *, complete: bool = True) -> Fields:
    """Return what a query string or a form says.

    Args:
        text: not decoded yet.
        complete: whether this is all of it; otherwise the last field is left out.
    """
    fields = Fields()
    for name, value in _pairs(text, complete=complete):
        if value is not None:
            fields.take(name, value)
        elif not is_number(name) and judge(name) is Verdict.DOWN:
            # ?down
            fields.down = True
    if not fields.down:
        note_quoted_down(fields, text)
    return fields


def note_quoted_down(fields: Fields, text: str) -> None:
    """Take a down into account that stands in `text` in a notation of its own."""
    lower = text.lower()
    if (lower.count(STATUS) > fields.count or EXIT in lower) and says_down(text):
        fields.down = True


def quotes_down(fields: Fields) -> bool:
    """Return whether a value mentions a status that says down, as when fields were encoded as one value."""
    return any(says_down(text) for text in fields.quoted)


def _may_say_down(text: str) -> bool:
    """Return whether it is worth looking whether `text` says down."""
    lower = text.lower()
    return STATUS in lower or EXIT in lower


def says_down(text: str) -> bool:
    """Return whether there is a status in `text` that says down, in whatever notation."""
    return _DOWN_FIELD.search(text) is not None


def names_in(text: str) -> Iterator[str]:
    """Yield those names of a form that are certainly ours."""
    for name, value in _pairs(text, complete=True):
        key, certain = canonical(name)
        if key and certain and value is not None:
            yield key


def _pairs(text: str, *, complete: bool) -> Iterator[tuple[str, str | None]]:
    """Yield names with their values, None if there is no equals sign."""
    pieces = text.split("&")
    # A field that is separated by anything else is glued to another one.
    if ";" in text or text.count("=") > len(pieces):
        pieces = _SEPARATOR.split(text)
    for piece in pieces if complete else pieces[:-1]:
        name, equals, value = piece.partition("=")
        if piece:
            yield _decode(name), _decode(value) if equals else None


def _decode(text: str) -> str:
    if "%" in text:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")
    return text.replace("+", " ") if "+" in text else text
