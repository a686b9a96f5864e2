"""Reads the number in a `value`, as senders write numbers."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_LENGTH = 400
# Patterns, not float(): that also accepts "nan", "inf", "1_000" and digits of other scripts.
_PLAIN = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_DECORATED = re.compile(
    r"([+-]?(?:[0-9]+(?:[.,][0-9]+)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"\s*([%‰°µμ]?(?:[^\W\d_]{1,16}(?:/[^\W\d_]{1,8})?)?)"
)
# 1,234 may be a thousand or so, or a bit more than one.
_THOUSANDS_OR_DECIMALS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
# Not units: the rest of a number that was cut off, or multipliers. "1.2k" is not 1.2.
_NOT_A_UNIT = frozenset(("e", "E", "k", "K", "M", "G", "T", "P"))


@dataclass(frozen=True, slots=True)
class Reading:
    """A number, or None if there is none; and, if it was not written plainly, how it was read."""

    number: float | None
    note: str = ""


def read_value(text: str) -> Reading:
    """Return the finite number in `text`, which is not empty: plain, with a decimal comma, or with a unit."""
    text = text.strip()
    if len(text) > _LENGTH:
        return Reading(None)
    if _PLAIN.fullmatch(text):
        return Reading(_finite(text))
    bare = text.strip("\"' ")
    match = _DECORATED.fullmatch(bare)
    if match is None or match[2] in _NOT_A_UNIT or _THOUSANDS_OR_DECIMALS.fullmatch(match[1]):
        return Reading(None)
    number = _finite(match[1].replace(",", "."))
    if number is None:
        return Reading(None)
    return Reading(number, f"value “{text}” was read as {number:.15g}.")


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
