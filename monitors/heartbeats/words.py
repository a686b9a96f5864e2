"""The words of a status: which mean up, which mean down, and which are unclear."""

from __future__ import annotations

import re
import unicodedata
from enum import Enum, auto

UP_WORDS = ("up", "ok", "okay", "success", "true", "1", "pass", "healthy", "alive", "resolved")
DOWN_WORDS = (
    *("down", "fail", "failed", "failure", "error", "err", "critical", "false", "firing", "nok", "dead"),
    "timeout",
)
ALLOWED = f"Up: {', '.join(UP_WORDS)}. Down: {', '.join(DOWN_WORDS)}, exit codes."

_UP, _DOWN = frozenset(UP_WORDS), frozenset(DOWN_WORDS)
_INTEGER = re.compile(r"[\"'\s\[({]{0,8}([+-]?)0{0,8}(\d{1,20})[\"'\s\])}]{0,8}", re.ASCII)
_WORD = re.compile(r"\w+")


class Verdict(Enum):
    """What a status says."""

    NOTHING = auto()
    UP = auto()
    DOWN = auto()
    UNKNOWN = auto()


def judge(text: str) -> Verdict:
    """Return what the text of a `status` says.

    Any word for down makes it down, whatever else it says. It is up only if it says nothing else. A number is
    an exit code: 0 is up and others are down, except for 1, which is how senders write true.
    """
    word = text.strip().lower()
    if word in _UP:
        return Verdict.UP
    if word in _DOWN:
        return Verdict.DOWN
    if not word:
        return Verdict.NOTHING
    if number := _INTEGER.fullmatch(word):
        return Verdict.UP if number[2] == "0" or (number[2] == "1" and number[1] != "-") else Verdict.DOWN
    words = _WORD.findall(unicodedata.normalize("NFKC", word))
    if any(each in _DOWN for each in words):
        return Verdict.DOWN
    return Verdict.UP if words and all(each in _UP for each in words) else Verdict.UNKNOWN


def judge_exit_code(text: str) -> Verdict:
    """Return what the text of an `exit` says: 0 is up, any other integer down."""
    if not text.strip():
        return Verdict.NOTHING
    number = _INTEGER.fullmatch(text)
    if number is None:
        return Verdict.DOWN if judge(text) is Verdict.DOWN else Verdict.UNKNOWN
    return Verdict.UP if number[2] == "0" else Verdict.DOWN


def is_number(text: str) -> bool:
    """Return whether a status is written as a number."""
    return _INTEGER.fullmatch(text) is not None
