"""Text on one line, times and values as messages write them; without a database."""

from __future__ import annotations

import re
from datetime import datetime

from django.utils import timezone

# C0 with the line breaks, DEL, C1, the Unicode line and paragraph separators and what overrides the
# direction of text: none of it may reach a mail header or turn a name into something else.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_TITLE_LENGTH = 200


def one_line(text: str) -> str:
    """Return `text` on one line, without control characters: safe in a header."""
    return " ".join(_CONTROL.sub(" ", text).split())


def plain(text: str) -> str:
    """Return `text` in its lines, without other control characters and without blanks around it."""
    return "\n".join(_CONTROL.sub(" ", line).rstrip() for line in text.splitlines()).strip()


def cut(title: str) -> str:
    """Return a title of at most 200 characters."""
    return title if len(title) <= _TITLE_LENGTH else title[: _TITLE_LENGTH - 1] + "…"


def moment(time: datetime) -> str:
    """Return a time to the second, in the current zone and naming it: "2026-11-22 22:52:45 WIB"."""
    local = timezone.localtime(time)
    return f"{local:%Y-%m-%d %H:%M:%S} {_zone_of(local)}"


def clock(time: datetime, *, beside: datetime) -> str:
    """Return a time as `moment` does, without its date where that is the date of `beside` too."""
    local = timezone.localtime(time)
    if local.date() != timezone.localtime(beside).date():
        return moment(time)
    return f"{local:%H:%M:%S} {_zone_of(local)}"


def _zone_of(local: datetime) -> str:
    name = local.tzname() or ""
    # Many zones have no letters of their own, only a distance.
    return f"UTC{name}" if name[:1] in "+-" else name


def number(value: float) -> str:
    """Return a value as its sender would write it: 12.5, 3, 1e+300."""
    return f"{value:.15g}"
