"""What senders were answered and what sinks received, written down as it happens; and the rows after it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.support.sinks import Received

# How a notification is understood: as the beginning of an outage, as a part of it, or as its end.
_MEANINGS = {
    "incident.opened": "down",
    "monitor.flapping": "flapping",
    "incident.resolved": "up",
    "incident.passed": "up",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One push. `due`, `began` and `ended` are monotonic, in seconds; `wall` is a Unix time.

    `due` is when the sender meant to send it: a machine that is busy lets it begin later. `message` is
    different in each, and is stored with the heartbeat. `answer` is a status, or "refused", "reset" or
    "timeout". `token` is the last four characters.
    """

    sender: str
    message: str
    status: str
    token: str
    web: int
    due: float
    began: float
    ended: float
    wall: float
    answer: str

    @property
    def acknowledged(self) -> bool:
        return self.answer == "200"


@dataclass(frozen=True, slots=True)
class Silence:
    """A sender fell silent on purpose, after `message` was acknowledged. `ended` is when it pushed again."""

    sender: str
    message: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class News:
    """What a notification says of one monitor: "down", "flapping" or "up".

    `started_at` is when the incident started that it is about, and `outage` the key of the outage.
    """

    meaning: str
    monitor: str
    started_at: str
    outage: str


@dataclass(frozen=True, slots=True)
class Message:
    """A notification that a sink received, whatever it answered. `at` is monotonic, in seconds."""

    channel: str
    id: str
    event: str
    at: float
    news: tuple[News, ...]


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident in the database. Times are the database's."""

    monitor: str
    cause: str
    started_at: datetime
    resolved_at: datetime | None
    opening_message: str
    closing_message: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery in the database, and the `id` under which it was sent: its digest's if it went into one."""

    channel: str
    monitor: str
    started_at: datetime
    event: str
    status: str
    note: str
    id: str


@dataclass(frozen=True, slots=True)
class Rows:
    """What the database holds at the end.

    `received` has the messages of heartbeats, in the order in which they were stored, each with its times.
    """

    received: dict[str, list[datetime]]
    incidents: list[Incident]
    deliveries: list[Delivery]
    gaps: list[tuple[datetime, datetime]]


@dataclass
class Ledger:
    """Everything in memory, and each entry in a file at once: the run may end in any way."""

    path: Path | None = None
    attempts: list[Attempt] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._file = None if self.path is None else self.path.open("a", buffering=1)

    def write(self, entry: Attempt | Silence | Message) -> None:
        """Add an entry; any thread may do so."""
        with self._lock:
            match entry:
                case Attempt():
                    self.attempts.append(entry)
                case Silence():
                    self.silences.append(entry)
                case Message():
                    self.messages.append(entry)
            self.note(type(entry).__name__.lower(), asdict(entry))

    def note(self, kind: str, what: dict[str, Any]) -> None:
        """Write something to the file alone."""
        if self._file is not None and not self._file.closed:
            self._file.write(json.dumps({"kind": kind, **what}) + "\n")

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()

    def of(self, senders: Iterable[str]) -> dict[str, list[Attempt]]:
        """Return the attempts of each of `senders`, in order."""
        found: dict[str, list[Attempt]] = {sender: [] for sender in senders}
        for attempt in self.attempts:
            if attempt.sender in found:
                found[attempt.sender].append(attempt)
        return found


def read_message(channel: str, request: Received) -> Message:
    """Return what a request to a sink says."""
    body = request.json
    parts = body["digest"]["monitors"] if body["digest"] is not None else [body]
    news = [
        News(
            _MEANINGS[part["event"]],
            part["name"] if "name" in part else part["monitor"]["name"],
            part["incident"]["started_at"],
            part["outage"],
        )
        for part in parts
        if part["event"] in _MEANINGS
    ]
    return Message(channel, request.headers["webhook-id"], body["event"], request.at, tuple(news))


def iso(moment: datetime) -> str:
    """Return a time as notifications have it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
