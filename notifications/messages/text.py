"""What messages are made of: a title and lines, times and values; without a database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

# A line that begins so is one of a list.
BULLET = "• "

# C0 with the line breaks, DEL, C1, the Unicode line and paragraph separators and what overrides the
# direction of text: none of it may reach a mail header or turn a name into something else.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_TITLE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Message:
    """A title of one line and paragraphs of one line each, plain text. `url` is where to read on.

    `ack_url` is where somebody says that they see to it, for a monitor that is down. `manage_url` is the
    page on which such messages are changed or ended, `list_id` what names all messages of a channel.
    `written` is the whole text where the channel's own template made it; `language` is that of the text.
    """

    title: str
    lines: tuple[str, ...]
    url: str
    ack_url: str = ""
    manage_url: str = ""
    list_id: str = ""
    written: str = ""
    language: str = "en"

    @property
    def text(self) -> str:
        """The whole message as plain text, the links last."""
        if self.written:
            return self.written
        blocks = ["\n".join(lines) for lines in self.blocks]
        links = [self.url]
        if self.ack_url:
            links.append(f"{self.ack_label}: {self.ack_url}")
        return "\n\n".join((*blocks, *links))

    @property
    def blocks(self) -> list[tuple[str, ...]]:
        """The lines in paragraphs: one each, but those of a list together."""
        return [
            part
            for is_list, lines in groupby(self.lines, lambda line: line.startswith(BULLET))
            for part in ([tuple(lines)] if is_list else [(line,) for line in lines])
        ]

    @property
    def ack_label(self) -> str:
        """What the link to `ack_url` is called, in the language of the message."""
        with override(self.language):
            return _("Acknowledge")

    @property
    def url_label(self) -> str:
        """What the link to `url` is called, in the language of the message."""
        with override(self.language):
            return _("Open in Tianji")


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
