"""What notifications are made of: a title and lines, times and values; without a database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from core.text import CONTROLS, without_bidi

# Lines that start with this form a list.
BULLET = "• "

# Control characters including line breaks: none may reach a mail header. Nor may characters that change the
# direction of text, which would disguise a name.
_CONTROL = re.compile(rf"[{CONTROLS}\ud800-\udfff]+")
_TITLE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Message:
    """A one-line title and one-line paragraphs, as plain text. `url` is the page with the details.

    `ack_url` is where an outage can be acknowledged. `manage_url` is the page where these notifications are
    changed or turned off; `list_id` identifies all notifications of a channel. `line_urls` has the link of
    each line that has one. `written` is the whole text if the channel's own template produced it; `language`
    is the language of the text.
    """

    title: str
    lines: tuple[str, ...]
    url: str
    ack_url: str = ""
    manage_url: str = ""
    list_id: str = ""
    written: str = ""
    language: str = "en"
    line_urls: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The whole notification as plain text, links last."""
        if self.written:
            return self.written
        links = [self.url]
        if self.ack_url:
            links.append(f"{self.ack_label}: {self.ack_url}")
        return "\n\n".join(part for part in (self.body(), *links) if part)

    def body(self, *, line_urls: bool = True) -> str:
        """Return the lines as plain text: paragraphs, with each list right below its heading.

        Args:
            line_urls: with the links of single lines.
        """
        text = ""
        for block in self.blocks:
            if text:
                text += "\n" if text.endswith(":") and block[0].startswith(BULLET) else "\n\n"
            text += "\n".join(map(self._with_url, block) if line_urls else block)
        return text

    @property
    def blocks(self) -> list[tuple[str, ...]]:
        """The lines as paragraphs: one each, except that the lines of a list stay together."""
        return [
            part
            for is_list, lines in groupby(self.lines, lambda line: line.startswith(BULLET))
            for part in ([tuple(lines)] if is_list else [(line,) for line in lines])
        ]

    def _with_url(self, line: str) -> str:
        url = self.line_urls.get(line)
        return f"{line} {url}" if url else line

    @property
    def ack_label(self) -> str:
        """The label of the link to `ack_url`, in the language of the message."""
        with override(self.language):
            return _("Acknowledge")

    @property
    def url_label(self) -> str:
        """The label of the link to `url`, in the language of the message."""
        with override(self.language):
            return _("Open in Tianji")


def one_line(text: str) -> str:
    """Return `text` on one line, without control characters: safe in a header."""
    return " ".join(_CONTROL.sub(" ", without_bidi(text)).split())


def plain(text: str) -> str:
    """Return `text` with its line breaks, but without other control characters or surrounding white space."""
    lines = without_bidi(text).splitlines()
    return "\n".join(_CONTROL.sub(" ", line).rstrip() for line in lines).strip()


def cut(title: str) -> str:
    """Return a title of at most 200 characters."""
    return title if len(title) <= _TITLE_LENGTH else title[: _TITLE_LENGTH - 1] + "…"


def moment(time: datetime) -> str:
    """Return a time to the second, in the current zone, with its name: "2026-11-22 22:52:45 WIB"."""
    local = timezone.localtime(time)
    return f"{local:%Y-%m-%d %H:%M:%S} {_zone_of(local)}"


def clock(time: datetime, *, beside: datetime) -> str:
    """Return a time as `moment` does, without the date if it is on the same day as `beside`."""
    local = timezone.localtime(time)
    if local.date() != timezone.localtime(beside).date():
        return moment(time)
    return f"{local:%H:%M:%S} {_zone_of(local)}"


def _zone_of(local: datetime) -> str:
    name = local.tzname() or ""
    # Many zones have no abbreviation, only an offset.
    return f"UTC{name}" if name[:1] in "+-" else name
