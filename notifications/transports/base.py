"""What a transport takes and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from notifications.messages import Message

# How long one attempt may take in all, in seconds. Well inside the lease of a claim.
TOTAL_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message ready to leave. `id` stays the same for every attempt; `thread` is the incident's id."""

    id: UUID
    message: Message
    payload: Mapping[str, Any]
    thread: UUID | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The other side took it; `detail` is what it said."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not arrive, or nobody knows. `permanent`: trying again cannot help."""

    detail: str
    retry_after: timedelta | None = None
    permanent: bool = False


Result = Sent | Failed


class Transport(Protocol):
    """One way to reach a channel."""

    def send(self, config: Mapping[str, Any], outgoing: Outgoing) -> Result:
        """Send once, within TOTAL_SECONDS. May raise; that is a failed attempt too."""
