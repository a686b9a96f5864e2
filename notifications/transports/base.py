"""What a transport takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from notifications.messages.digests import Section
from notifications.messages.events import Event, Reason
from notifications.messages.text import Message

# How long one attempt may take in total, in seconds. Well within the lease of a claim.
TOTAL_SECONDS = 15.0
# How much of a response is read, and for how many seconds.
RESPONSE_LIMIT = 64 * 1024
RESPONSE_SECONDS = 3.0


class Tone(StrEnum):
    """What a message is about, for colours, priorities, and receivers that keep incidents.

    CLOSED: no recovery, but nothing more will be said about the outage.
    """

    DOWN = "down"
    UP = "up"
    LATE = "late"
    FLAPPING = "flapping"
    CLOSED = "closed"
    INFO = "info"


# Receivers that keep incidents resolve them.
OVER = (Tone.UP, Tone.CLOSED)
_TONES = {
    Event.OPENED: Tone.DOWN,
    Event.REMINDER: Tone.DOWN,
    Event.RESOLVED: Tone.UP,
    Event.PASSED: Tone.UP,
    Event.ENDED: Tone.CLOSED,
    Event.FLAPPING: Tone.FLAPPING,
    Event.LATE: Tone.LATE,
}
_TONES_OF_SECTIONS = {
    Section.DOWN: Tone.DOWN,
    Section.REMINDER: Tone.DOWN,
    Section.FLAPPING: Tone.FLAPPING,
    Section.LATE: Tone.LATE,
    Section.RECOVERED: Tone.UP,
}


def tone_of(event: Event, reason: Reason | None = None) -> Tone:
    """Return the tone of a message about one monitor, a channel, or a test."""
    return Tone.UP if reason is Reason.ARRIVED else _TONES.get(event, Tone.INFO)


def tone_of_digest(counts: Mapping[Section, int]) -> Tone:
    """Return the tone of a digest: that of its most serious section."""
    found = (tone for section, tone in _TONES_OF_SECTIONS.items() if counts.get(section))
    return next(found, Tone.CLOSED)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to be sent. `id` is the same for every attempt.

    `at` is the time of the attempt, by the database's clock: signatures and headers have no other.
    `thread` is the key of the outage, the same from its first message to the one that ends it; None for a
    digest and a failing channel. `tone` is one of OVER if the outage is over.
    """

    id: UUID
    message: Message
    payload: Mapping[str, Any]
    at: datetime
    thread: UUID | None = None
    tone: Tone = Tone.INFO


@dataclass(frozen=True, slots=True)
class Sent:
    """The receiver accepted it; `detail` is its response."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not arrive, or that is unknown. `permanent`: retrying can't help.

    `gone`: the receiver answered that it no longer exists, so the channel is disabled.
    """

    detail: str
    retry_after: timedelta | None = None
    permanent: bool = False
    gone: bool = False


Result = Sent | Failed


class Transport(Protocol):
    """One way to reach a receiver."""

    def send(self, config: Mapping[str, Any], outgoing: Outgoing) -> Result:
        """Send once, within TOTAL_SECONDS. May raise, which is a failed attempt too."""
