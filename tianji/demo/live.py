"""Keeps pushing to the sample monitors, over HTTP as real senders do, and lets some fail now and then."""

from __future__ import annotations

import heapq
import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from urllib.parse import urlsplit

from core.clock import database_now
from monitors.domain.state_machine import Cause
from monitors.models import Monitor
from monitors.services import tokens
from tianji.demo import people
from tianji.demo.catalogue import JOBS
from tianji.demo.jobs import FLAPS, Fate, Job

_TIMEOUT = 10.0
# How long to wait after a failed push, in seconds.
_PATIENCE = 3.0
# Jobs that push at least this often (in seconds) fail now and then: one push in _FAILS_ONE_IN.
_OFTEN = 600
_FAILS_ONE_IN = 150
# Monitors with these fates get no pushes.
_SILENT = (Fate.LATE, Fate.MISSED, Fate.MAINTENANCE, Fate.SNOOZED, Fate.NEW)
_FAULTS = {Fate.REPORTED: Cause.REPORTED, Fate.VALUE: Cause.VALUE}

Say = Callable[[str], None]


@dataclass(slots=True)
class _Sender:
    """The sender of one monitor; its next `bad_for` pushes fail with `fault`."""

    job: Job
    secrets: list[str]
    fault: Cause | None = None
    bad_for: int = 0

    def next_after(self, at: float) -> float:
        schedule = self.job.set_times
        if schedule is None:
            return at + self.job.every
        starts = next(schedule.times_after(datetime.fromtimestamp(at, UTC)))
        return starts.timestamp() + self.job.voice.took[1]


class Gone(Exception):
    """The sample workspace does not exist, or no longer exists."""


def push(url: str, *, seed: int, say: Say, until: Callable[[], bool] = lambda: False) -> None:
    """Push to the product at `url` until Ctrl-C, or until `until` returns True; print what fails."""
    rng, link = Random(seed), _Link(url)
    try:
        turns = _turns(rng)
        say(f"Pushing to {url} for {len(turns)} monitors (press Ctrl-C to stop)")
        while turns and not until():
            at, number, sender = heapq.heappop(turns)
            time.sleep(max(at - time.time(), 0))
            _push(link, sender, rng, say)
            heapq.heappush(turns, (sender.next_after(at), number, sender))
    except KeyboardInterrupt:
        say("Stopped.")
    except Gone:
        say("The workspace Demo no longer exists.")
    finally:
        link.close()


def _turns(rng: Random) -> list[tuple[float, int, _Sender]]:
    """Return senders by the time of their next push, as a heap; overdue ones push within seconds."""
    workspace = people.workspace()
    if workspace is None:
        raise Gone
    now, here = database_now().timestamp(), time.time()
    monitors = {
        monitor.name: monitor
        for monitor in Monitor.objects.filter(workspace=workspace).select_related("state")
    }
    turns = []
    for number, job in enumerate(JOBS):
        monitor = monitors.get(job.name)
        if monitor is None or job.fate in _SILENT:
            continue
        sender = _Sender(job, _secrets_of(monitor))
        last_heartbeat_at = monitor.state.last_heartbeat_at
        due = sender.next_after(last_heartbeat_at.timestamp() if last_heartbeat_at else now) - now
        turns.append((here + max(due, rng.uniform(0, 5)), number, sender))
    heapq.heapify(turns)
    return turns


def _secrets_of(monitor: Monitor) -> list[str]:
    """Return the secrets of its tokens, including a revoked one, which a sender still uses."""
    found = [tokens.reveal(token) for token in monitor.tokens.order_by("pk")]
    return [secret for secret in found if secret is not None]


def _push(link: _Link, sender: _Sender, rng: Random, say: Say) -> None:
    fault = _fault(sender, rng, say)
    if fault is Cause.MISSED:
        return
    report = sender.job.report(datetime.now(UTC), 0.0, rng, fault=fault)
    body: dict[str, object] = {
        "status": "up" if report.up else "down",
        "msg": report.message,
        "value": report.value,
    }
    for secret in _secrets_to_push(sender, rng):
        answer = link.push(secret, body)
        # One monitor's old server still uses a revoked token.
        revoked = sender.job.fate is Fate.REJECTED and secret == sender.secrets[0]
        if answer != (404 if revoked else 200):
            say(f"{sender.job.name}: {answer}")
            time.sleep(_PATIENCE)


def _secrets_to_push(sender: _Sender, rng: Random) -> list[str]:
    match sender.job.fate:
        case Fate.REJECTED:
            return sender.secrets
        case Fate.ROTATING:
            return [rng.choice(sender.secrets)]
    return sender.secrets[:1]


def _fault(sender: _Sender, rng: Random, say: Say) -> Cause | None:
    job = sender.job
    if job.fate in _FAULTS:
        return _FAULTS[job.fate]
    if job.fate is Fate.FLAPPING:
        return Cause.REPORTED if rng.random() < FLAPS else None
    if sender.bad_for:
        sender.bad_for -= 1
        if not sender.bad_for:
            say(f"{job.name} has recovered")
    elif job.every and job.every <= _OFTEN and not rng.randrange(_FAILS_ONE_IN):
        causes = [Cause.MISSED, Cause.REPORTED] + [Cause.VALUE] * any(job.voice.bad)
        sender.fault, sender.bad_for = rng.choice(causes), rng.randint(2, 6)
        say(f"{job.name} fails ({sender.fault}) for {sender.bad_for} pushes")
    return sender.fault if sender.bad_for else None


class _Link:
    """A persistent connection to the product; it is reopened after an error."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._link = kind(parts.hostname or "127.0.0.1", parts.port, timeout=_TIMEOUT)
        self._path = parts.path.rstrip("/")

    def push(self, secret: str, body: Mapping[str, object]) -> int | str:
        """Send a heartbeat; return the status of the response, or the error."""
        headers = {"Content-Type": "application/json"}
        try:
            self._link.request("POST", f"{self._path}/api/push/{secret}", json.dumps(body), headers)
            answer = self._link.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._link.close()
            return f"not sent: {error or type(error).__name__}"
        return answer.status

    def close(self) -> None:
        self._link.close()
