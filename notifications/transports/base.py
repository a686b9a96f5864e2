"""What a transport takes and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from notifications.messages.single import Message

# How long one attempt may take in all, in seconds. Well inside the lease of a claim.
TOTAL_SECONDS = 15.0


class Tone(StrEnum):
    """What a message is about, for colours, priorities and the records of those who keep some."""

    DOWN = "down"
    UP = "up"
    LATE = "late"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to leave. `id` stays the same for every attempt.

    `thread` names the outage, the same from the first message about it to its end; None for a test, a
    digest and news about channels. `tone` is UP where the outage is over.
    """

    id: UUID
    message: Message
    payload: Mapping[str, Any]
    thread: UUID | None = None
    tone: Tone = Tone.INFO


@dataclass(frozen=True, slots=True)
class Sent:
    """The other side took it; `detail` is what it said."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not arrive, or nobody knows. `permanent`: trying again cannot help.

    `gone`: the other side said that there is nobody any more, so the channel is switched off.
    """

    detail: str
    retry_after: timedelta | None = None
    permanent: bool = False
    gone: bool = False


Result = Sent | Failed


class Transport(Protocol):
    """One way to reach a channel."""

    def send(self, config: Mapping[str, Any], outgoing: Outgoing) -> Result:
        """Send once, within TOTAL_SECONDS. May raise; that is a failed attempt too."""
