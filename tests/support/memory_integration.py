"""An integration whose receiver is this process: it keeps what arrives, and fails on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from notifications.integrations.base import Kind
from notifications.transports.base import Failed, Outgoing, Result, Sent

RETRY_AFTER = timedelta(minutes=2)


@dataclass
class Memory:
    """The receiver of channels whose `config` has a `box`.

    `answers` says how a box answers: "taken", "lost" (taken, but its answer does not arrive), "failed",
    "busy" (come back in RETRY_AFTER), "refused" (never this message) or "gone"; one that is not named takes
    everything. `arrived` are (box, what) in their order, a retry of what arrived before too; `on_arrival` is
    called for each.
    """

    answers: dict[str, str] = field(default_factory=dict)
    arrived: list[tuple[str, Outgoing]] = field(default_factory=list)
    on_arrival: Callable[[str, Outgoing], None] = lambda box, outgoing: None

    def send(self, config: Mapping[str, Any], outgoing: Outgoing) -> Result:
        box = config["box"]
        answer = self.answers.get(box, "taken")
        if answer in ("taken", "lost"):
            self.arrived.append((box, outgoing))
            self.on_arrival(box, outgoing)
        match answer:
            case "taken":
                return Sent("taken")
            case "busy":
                return Failed("come back later", retry_after=RETRY_AFTER)
            case "refused":
                return Failed("not like this", permanent=True)
            case "gone":
                return Failed("nobody here", permanent=True, gone=True)
        return Failed("lost" if answer == "lost" else "failed")

    def to(self, box: str) -> list[Outgoing]:
        """Return what arrived at `box`."""
        return [outgoing for name, outgoing in self.arrived if name == box]

    def events(self, box: str) -> list[str]:
        return [outgoing.payload["event"] for outgoing in self.to(box)]

    def kind(self, slug: str, *, merges: bool = True, spacing: float = 0.0) -> Kind:
        """Return an integration that sends here."""
        return Kind(
            slug=slug,
            label=slug,
            about="",
            fields=(),
            send=self.send,
            shown=lambda config, secrets: "",
            merges=merges,
            spacing=spacing,
        )
