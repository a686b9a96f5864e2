"""How fast missed heartbeats are detected: `make bench-sweep`, or `python -m bench.sweep`.

With PostgreSQL and 100,000 monitors, measures the cost of an idle sweep, and how long after their deadlines
1,000 monitors that miss them in the same second all have incidents, with Celery Beat, a worker and Redis
running as in production.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from tests.support.servers import postgres, redis_server

MONITORS, FALLING, IDLE_SWEEPS = 100_000, 1_000, 100
ROOT = Path(__file__).parent.parent


def main() -> None:
    with postgres(durable=True) as server, redis_server() as broker, tempfile.TemporaryDirectory() as data:
        os.environ |= {
            "DATABASE_URL": server.create_database("bench"),
            "REDIS_URL": broker.url,
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "TIANJI_DATA": data,
            "TIANJI_LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
        }
        import django

        django.setup()
        prepare()
        idle = idle_sweep()
        print(f"{MONITORS} monitors: an idle sweep takes {idle * 1000:.1f} ms (median of {IDLE_SWEEPS})")
        with processes():
            median, all_there = fall_silent()
        print(
            f"{FALLING} deadlines in one second: detected {median:.2f} s after the deadline at the median,"
            f" all committed {all_there:.2f} s after the last one"
        )
    failures = []
    if idle >= 0.020:
        failures.append("an idle sweep under 20 ms")
    if all_there >= 3.0:
        failures.append(f"{FALLING} incidents within 3 s")
    for failure in failures:
        print(f"MISSED TARGET: {failure}")
    sys.exit(1 if failures else 0)


def prepare() -> None:
    """Create the monitors, all up and due within the next hours, and a channel for notifications."""
    from django.core.management import call_command
    from django.db import connection

    from core.clock import database_now
    from monitors.models import Monitor, MonitorState
    from tests.support.factories import make_channel, make_workspace

    call_command("migrate", verbosity=0)
    workspace = make_workspace()
    make_channel(workspace=workspace)
    now = database_now()
    monitors = Monitor.objects.bulk_create(
        (
            Monitor(workspace=workspace, name=f"m{n}", slug=f"m{n}", timeout=36_000, grace=0)
            for n in range(MONITORS)
        ),
        batch_size=2000,
    )
    MonitorState.objects.bulk_create(
        (
            MonitorState(
                monitor=monitor,
                status="up",
                status_changed_at=now,
                last_heartbeat_at=now,
                due_at=now + timedelta(seconds=7200 + number % 3600),
            )
            for number, monitor in enumerate(monitors)
        ),
        batch_size=2000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def idle_sweep() -> float:
    """Return the median time in seconds of a sweep that finds nothing."""
    from monitors.heartbeats.missed import declare_missed

    taken = []
    for _ in range(IDLE_SWEEPS):
        started = time.perf_counter()
        assert declare_missed().missed == 0
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def fall_silent() -> tuple[float, float]:
    """Let 1,000 deadlines pass within one second.

    Return, in seconds, how long after its deadline an incident was detected at the median, and how
    long after the last deadline all of them could be read.
    """
    from core.clock import database_now
    from monitors.models import Incident, MonitorState

    # Ticks must already be coming when the deadlines pass.
    first = database_now() + timedelta(seconds=8)
    states = list(MonitorState.objects.order_by("?")[:FALLING])
    for number, state in enumerate(states):
        state.due_at = first + timedelta(milliseconds=number)
        state.last_heartbeat_at = state.due_at - timedelta(seconds=36_000)
    MonitorState.objects.bulk_update(states, ["due_at", "last_heartbeat_at"], batch_size=500)
    deadline = time.monotonic() + 60
    while Incident.objects.count() < FALLING:
        assert time.monotonic() < deadline, (
            f"{Incident.objects.count()} of {FALLING} incidents after a minute"
        )
        time.sleep(0.05)
    # What matters is when the last of them can be read, which is after its commit.
    all_there = (database_now() - first).total_seconds() - FALLING / 1000
    detected = [
        (detected - started).total_seconds()
        for detected, started in Incident.objects.values_list("detected_at", "started_at")
    ]
    return statistics.median(detected), all_there


@contextlib.contextmanager
def processes() -> Iterator[None]:
    from tianji.runtime.processes import command

    running = [subprocess.Popen(command(role), cwd=ROOT) for role in ("worker", "beat")]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


if __name__ == "__main__":
    main()
