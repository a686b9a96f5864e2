"""What a turn of a channel costs with every rule set: `make bench-rules`, or `python -m bench.rules`.

On SQLite, where a turn keeps pushes waiting, 600 monitors are down with thresholds, reminders, delays,
maintenance by tag, snoozes, urgencies and an escalation step. Measures the turn that finds the digest of
them, its queries compared with those for 2 monitors, and the pushes that a web process answers in the
meantime.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.push import Web

MONITORS, FEW, TURNS, PUSHES = 600, 2, 9, 50
TURN_SECONDS, PUSH_SECONDS = 0.3, 0.2


def main() -> None:
    with contextlib.ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ |= {
            "DATABASE_URL": f"sqlite:///{data / 'bench.sqlite3'}",
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "TIANJI_DATA": str(data),
            "TIANJI_LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        few, _secret = _prepare(FEW)
        many, secret = _prepare(MONITORS)
        port = stack.enter_context(Web()).port
        pusher = stack.enter_context(_Pusher(f"http://127.0.0.1:{port}/api/push/{secret}"))
        failures = _measure(few, many, pusher)
    for failure in failures:
        print(f"MISSED TARGET: {failure}")
    sys.exit(1 if failures else 0)


def _prepare(count: int) -> tuple[Any, str]:
    """Create a workspace whose monitors are down, with every rule; return its channel and a push token."""
    from core.clock import database_now
    from monitors.models import Incident, MaintenanceWindow, Monitor, MonitorDefaults, MonitorState
    from monitors.services import tokens
    from notifications.models import ChannelRule, EscalationStep, MonitorRules, WorkspaceRules
    from tests.support.factories import make_channel, make_workspace

    workspace, now = make_workspace(), database_now()
    channel = make_channel(workspace=workspace, config={"url": "http://127.0.0.1:9/"}, on_late=True)
    other = make_channel(workspace=workspace, config={"url": "http://127.0.0.1:9/"}, enabled=False)
    MonitorDefaults.objects.create(workspace=workspace, missed_needed=3, missed_of=5, recovery_needed=2)
    WorkspaceRules.objects.create(workspace=workspace, remind_every=3600, remind_most=10, flap_changes=5)
    EscalationStep.objects.create(workspace=workspace, channel=other, after=600, least_urgency="high")
    MaintenanceWindow.objects.create(
        workspace=workspace,
        name="Work",
        kind="once",
        starts_at=now - timedelta(hours=1),
        ends_at=now + timedelta(hours=1),
        tags=["work"],
    )
    monitors = Monitor.objects.bulk_create(
        Monitor(
            workspace=workspace,
            name=f"job {n}",
            slug=f"job-{n}",
            timeout=3600,
            tags=["work"] if n % 10 == 9 else ["nightly"],
            urgency=("low", "normal", "high")[n % 3],
        )
        for n in range(count)
    )
    MonitorState.objects.bulk_create(
        MonitorState(monitor=monitor, status="down", status_changed_at=now, recent_outcomes=-1)
        for monitor in monitors
    )
    ago = now - timedelta(minutes=5)
    Incident.objects.bulk_create(
        Incident(monitor=monitor, cause="missed", started_at=ago, detected_at=ago, confirmed_at=ago)
        for monitor in monitors
    )
    MonitorRules.objects.bulk_create(
        MonitorRules(
            monitor=monitor,
            remind_every=1800,
            snoozed_until=now + timedelta(hours=1) if n % 10 == 8 else None,
        )
        for n, monitor in enumerate(monitors)
        if n % 2 == 0
    )
    ChannelRule.objects.bulk_create(
        ChannelRule(monitor=monitor, channel=channel, delay=60 * (n % 4))
        for n, monitor in enumerate(monitors)
    )
    extra = Monitor.objects.create(
        workspace=workspace, name="pushes", slug="pushes", timeout=3600, push_rate=0
    )
    MonitorState.objects.create(monitor=extra, status="new", status_changed_at=now)
    return channel, tokens.issue(monitor=extra, label="bench").secret


class _Pusher:
    """Sends PUSHES heartbeats per second and records how long each took."""

    def __init__(self, url: str) -> None:
        self.url, self.took, self._over = url, list[float](), threading.Event()
        self._thread = threading.Thread(target=self._push)

    def __enter__(self) -> _Pusher:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _push(self) -> None:
        while not self._over.wait(1 / PUSHES):
            began = time.perf_counter()
            with urllib.request.urlopen(
                urllib.request.Request(self.url, method="POST"), timeout=30
            ) as answer:
                answer.read()
            self.took.append(time.perf_counter() - began)


def _measure(few: Any, many: Any, pusher: _Pusher) -> list[str]:
    time.sleep(1)
    pusher.took.clear()
    time.sleep(3)
    alone = sorted(pusher.took)
    _took, _cpu, expected = _turn(few)
    turns, slowest = [], []
    for _ in range(TURNS):
        pusher.took.clear()
        turns.append(_turn(many))
        time.sleep(0.5)
        slowest.append(max(pusher.took))
    took = statistics.median(each[0] for each in turns)
    cpu = statistics.median(each[1] for each in turns)
    counts = {each[2] for each in turns}
    print(f"a turn with {MONITORS} monitors and every rule: {took * 1000:.0f} ms, {cpu * 1000:.0f} ms of CPU")
    print(f"queries: {sorted(counts)}, with {FEW} monitors {expected}")
    print(
        f"pushes, {PUSHES}/s: slowest {alone[-1] * 1000:.0f} ms alone,"
        f" {statistics.median(slowest) * 1000:.0f} ms beside a turn (median of {TURNS} turns)"
    )
    failures = []
    if took >= TURN_SECONDS:
        failures.append(f"a turn under {TURN_SECONDS} s")
    if statistics.median(slowest) >= PUSH_SECONDS:
        failures.append(f"no push over {PUSH_SECONDS} s beside a turn")
    if len(counts) != 1 or max(counts) > expected + 1:
        failures.append(f"as many queries as with {FEW} monitors")
    return failures


def _turn(channel: Any) -> tuple[float, float, int]:
    """Make all of the monitors news of a storm, take the turn; return its seconds, CPU and queries."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from core.clock import database_now
    from notifications.dispatch import enqueue, turn
    from notifications.models import Belief, Channel, Delivery

    Belief.objects.filter(channel=channel).delete()
    Delivery.objects.filter(channel=channel).delete()
    enqueue.recheck(channel=channel)
    now = database_now()
    Belief.objects.filter(channel=channel).update(check_at=now - timedelta(seconds=10))
    Channel.objects.filter(pk=channel.pk).update(digest_at=now)
    began, cpu = time.perf_counter(), time.thread_time()
    with CaptureQueriesContext(connection) as queries:
        claim = turn.take_turn(channel.pk)
    assert claim is not None, "there is a digest to send"
    return time.perf_counter() - began, time.thread_time() - cpu, len(queries)


if __name__ == "__main__":
    main()
