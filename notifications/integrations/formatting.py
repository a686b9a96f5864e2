"""Parts of a notification, cut to what a provider accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import override

from notifications.messages.text import Message
from notifications.transports.base import Outgoing, Tone

# Each is visible on a white and on a black background.
COLOURS = {
    Tone.DOWN: 0xD1242F,
    Tone.UP: 0x1A7F37,
    Tone.LATE: 0xBF8700,
    Tone.FLAPPING: 0xBC4C00,
    Tone.CLOSED: 0x57606A,
    Tone.INFO: 0x57606A,
}
SIGNS = {
    Tone.DOWN: "🔴",
    Tone.UP: "🟢",
    Tone.LATE: "🟡",
    Tone.FLAPPING: "🟠",
    Tone.CLOSED: "⚪",
    Tone.INFO: "🔵",
}


@dataclass(frozen=True, slots=True)
class Link:
    """A URL to open, with its label in the language of the message."""

    label: str
    url: str


def shorten(text: str, most: int) -> str:
    """Return `text` in at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def shorten_bytes(text: str, most: int) -> str:
    """Return `text` in at most `most` bytes of UTF-8, without half a character."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode()
    return f"{data[: most - len('…'.encode())].decode('utf-8', 'ignore').rstrip()}…"


def body(message: Message, *, line_urls: bool = True) -> str:
    """Return the text below the title, without the links of the whole message.

    Args:
        line_urls: with the links of single lines. False where they would not be clickable or too long.
    """
    return message.written or message.body(line_urls=line_urls)


def links(message: Message) -> list[Link]:
    """Return the links: to the details, and to acknowledge."""
    with override(message.language):
        found = [Link(_("Open"), message.url)]
        if message.ack_url:
            found.append(Link(message.ack_label, message.ack_url))
    return [link for link in found if link.url]


def signed(outgoing: Outgoing) -> str:
    """Return the title with the symbol of its tone in front."""
    return f"{SIGNS[outgoing.tone]} {outgoing.message.title}"


def occurred_at(outgoing: Outgoing) -> str:
    """Return when it happened, as ISO 8601."""
    at = outgoing.payload.get("at")
    return at if isinstance(at, str) and at else outgoing.at.isoformat(timespec="milliseconds")


def monitor_name(outgoing: Outgoing) -> str:
    """Return the name of the monitor that a message is about; empty if it isn't about one monitor."""
    monitor: Any = outgoing.payload.get("monitor")
    return str(monitor.get("name") or "") if isinstance(monitor, dict) else ""


def is_down(outgoing: Outgoing) -> bool:
    """Return whether something is down now: for the priorities that people set for that."""
    flapping: Any = outgoing.payload.get("flapping")
    return outgoing.tone is Tone.DOWN or (isinstance(flapping, dict) and flapping.get("is_down") is True)


def urgency(outgoing: Outgoing) -> str:
    """Return the urgency of the monitor that a message is about: "low", "normal" or "high"."""
    monitor: Any = outgoing.payload.get("monitor")
    return str(monitor.get("urgency") or "normal") if isinstance(monitor, dict) else "normal"


def thread_name(outgoing: Outgoing) -> str:
    """Return the key under which the receiver keeps the record of this outage, or of this message."""
    return f"tianji-{outgoing.thread or outgoing.id}"
