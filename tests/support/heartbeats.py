"""What the tests of monitors do to them: push, and let time pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from monitors.heartbeats import recorder
from monitors.heartbeats.parser import Push
from monitors.heartbeats.push_token import digest_of
from monitors.heartbeats.rate_limit import Limiter, Over
from monitors.heartbeats.recorder import Arrival, Result
from monitors.models import Heartbeat, Incident, Monitor, MonitorState, Transition
from tests.support.factories import secret_of


def arrival(
    target: Monitor | str,
    *,
    up: bool = True,
    message: str = "OK",
    value: float | None = None,
    posted: bool = True,
    source: str | None = None,
) -> Arrival:
    """A push for a monitor, or with a secret."""
    secret = target if isinstance(target, str) else secret_of(target)
    return Arrival(digest_of(secret) or "", Push(up, message, value), posted=posted, source=source)


def push(target: Monitor | str, *, limiter: Limiter | None = None, **data: Any) -> Result:
    """Record one push by itself."""
    (result,) = recorder.record([arrival(target, **data)], limiter=limiter)
    return result


class TooFast(Limiter):
    """Says of every push that it comes `wait` seconds too early, by the token's own rate or another."""

    def __init__(self, wait: float = 1.0, *, push_rate: int | None = None) -> None:
        super().__init__()
        self._wait, self._push_rate = wait, push_rate

    def ask(self, digests):
        return [Over(self._wait, self._push_rate) for _ in digests]


def state_of(monitor: Monitor) -> MonitorState:
    return MonitorState.objects.get(monitor=monitor)


def let_pass(monitor: Monitor, **length: float) -> None:
    """Move all stored times of `monitor` back: the clock is the database's and cannot be turned."""
    age = timedelta(**length)
    for model, columns in (
        (MonitorState, ["status_changed_at", "last_heartbeat_at", "due_at"]),
        (Heartbeat, ["received_at"]),
        (Incident, ["started_at", "detected_at", "confirmed_at", "resolved_at", "last_heartbeat_at"]),
        (Transition, ["at"]),
    ):
        model.objects.filter(monitor=monitor).update(**{name: F(name) - age for name in columns})


def let_look(monitor: Monitor) -> None:
    """Make the sweep look at a monitor that is up, without anything being late: due early."""
    MonitorState.objects.filter(monitor=monitor).update(due_at=F("last_heartbeat_at"))


def transitions_of(monitor: Monitor) -> list[tuple[str, str, str]]:
    """The changes of status, oldest first: from, to, reason."""
    return list(monitor.transitions.order_by("id").values_list("source", "target", "reason"))


class Queries(CaptureQueriesContext):
    """Captures the statements of a block, without those that begin and end transactions."""

    def __init__(self) -> None:
        super().__init__(connection)

    @property
    def statements(self) -> list[str]:
        ends = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")
        return [query["sql"] for query in self.captured_queries if not query["sql"].startswith(ends)]


def quiet_statements() -> int:
    """How many statements record pushes that change no status, however many."""
    return 1 if connection.vendor == "postgresql" else 3
