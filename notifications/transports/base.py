"""What a transport takes and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from notifications.messages.single import Message

# How long one attempt may take in total, in seconds. Well within the lease of a claim.
TOTAL_SECONDS = 15.0
# How much of a response is read, and for how many seconds.
RESPONSE_LIMIT = 64 * 1024
RESPONSE_SECONDS = 3.0


class Tone(StrEnum):
    """What a message is about, for colours, priorities, and receivers that keep incidents."""

    DOWN = "down"
    UP = "up"
    LATE = "late"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to be sent. `id` is the same for every attempt.

    `at` is the time of the attempt, by the database's clock: signatures and headers have no other.
    `thread` identifies the outage, the same from its first message to its recovery; None for a test, a
    digest and a failing channel. `tone` is UP if the outage is over.
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
