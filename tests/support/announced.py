"""What the monitors app says about incidents, to whoever wants to notify of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from monitors import signals
from monitors.domain.state_machine import Status
from monitors.models import Incident, Transition


class Announced:
    """Keeps what is sent in the block: each event, with its incident."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Incident]] = []

    def events(self) -> list[str]:
        """The events in their order."""
        return [event for event, _incident in self.all]

    def __enter__(self) -> Self:
        signals.incidents_changed.connect(self._receive)
        return self

    def __exit__(self, *_error: object) -> None:
        signals.incidents_changed.disconnect(self._receive)

    def _receive(self, incidents: list[Incident], at: datetime, **_arguments: Any) -> None:
        for incident in incidents:
            if incident.confirmed_at == at:
                self.all.append(("opened", incident))
            if incident.resolved_at is not None:
                paused = Transition.objects.filter(incident=incident, target=Status.PAUSED).exists()
                self.all.append(("closed" if paused else "resolved", incident))


class Names:
    """Keeps what is sent in the block by one name for each incident: opened, resolved, passed or closed."""

    def __init__(self) -> None:
        self.all: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        signals.incidents_changed.connect(self._receive)
        return self

    def __exit__(self, *_error: object) -> None:
        signals.incidents_changed.disconnect(self._receive)

    def _receive(self, incidents: list[Incident], at: datetime, **_arguments: Any) -> None:
        for incident in incidents:
            self.all.append((self._name(incident, at), incident.pk))

    def _name(self, incident: Incident, at: datetime) -> str:
        if incident.resolved_at is None:
            return "opened"
        if Transition.objects.filter(incident=incident, target=Status.PAUSED).exists():
            return "closed"
        return "passed" if incident.confirmed_at == at else "resolved"
