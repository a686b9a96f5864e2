"""What the monitors app says about incidents, to whoever wants to notify of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from monitors import signals
from monitors.models import Incident

_SIGNALS = {
    "opened": signals.incidents_opened,
    "resolved": signals.incidents_resolved,
    "passed": signals.incidents_passed,
    "closed": signals.incidents_closed,
}


class Announced:
    """Keeps the signals that are sent in the block: each event, with its incident."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Incident]] = []
        self._receivers: dict[str, Callable[..., None]] = {}

    def events(self) -> list[str]:
        """The events in the order of their signals."""
        return [event for event, _incident in self.all]

    def __enter__(self) -> Self:
        for event, signal in _SIGNALS.items():
            self._receivers[event] = self._receiver(event)
            # The only reference to it is ours.
            signal.connect(self._receivers[event], weak=False)
        return self

    def __exit__(self, *_error: object) -> None:
        for event, signal in _SIGNALS.items():
            signal.disconnect(self._receivers[event])

    def _receiver(self, event: str) -> Callable[..., None]:
        def receive(incidents: list[Incident], **_arguments: Any) -> None:
            self.all += [(event, incident) for incident in incidents]

        return receive
