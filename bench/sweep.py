"""How fast missed heartbeats are detected: `make bench-sweep`, or `python -m bench.sweep`.

With PostgreSQL and 100,000 monitors, measures the cost of an idle sweep, and how long after their deadlines
1,000 and then 10,000 monitors that miss them in the same second have incidents. Celery Beat, a worker and
the web server run as in production, and other monitors push.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench import load, steady
from bench.push import Web
from tests.support.servers import postgres, redis_server

MONITORS, IDLE_SWEEPS, RATE = 100_000, 100, 200
# How many fall silent in one second, and within how many seconds after the last deadline all have incidents.
FALLING = ((1_000, 3.0), (10_000, 10.0))
IDLE, FIRST, PUSHES = 0.020, 2.0, 0.100
ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures how fast missed heartbeats are detected.")
    parser.add_argument(
        "--monitors", type=int, default=MONITORS, help="how many there are (default %(default)s)"
    )
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres(durable=True))
        broker = stack.enter_context(redis_server())
        os.environ |= {
            "DATABASE_URL": server.create_database("bench"),
            "REDIS_URL": broker.url,
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "TIANJI_DATA": stack.enter_context(tempfile.TemporaryDirectory()),
            "TIANJI_LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
        }
        import django

        django.setup()
        secrets = prepare(options.monitors)
        idle = idle_sweep()
        print(
            f"{options.monitors} monitors: an idle sweep takes {idle * 1000:.1f} ms (median of {IDLE_SWEEPS})"
        )
        failures = [] if idle < IDLE else [f"an idle sweep under {IDLE * 1000:.0f} ms"]
        port = stack.enter_context(Web()).port
        stack.enter_context(processes())
        for number, within in FALLING:
            if number < options.monitors / 2:
                failures += judge(number, within, port, secrets)
    for failure in failures:
        print(f"MISSED TARGET: {failure}")
    sys.exit(1 if failures else 0)


def judge(number: int, within: float, port: int, secrets: list[str]) -> list[str]:
    """Let `number` monitors fall silent, print what was measured, and return the missed targets."""
    pushes = [load.post(f"/api/push/{secret}") for secret in secrets]
    with steady.sending(port, pushes, rate=RATE, connections=16) as sent:
        time.sleep(3)
        before = len(sent.latencies)
        fell = fall_silent(number)
    p99 = sent.percentile(0.99, since=before)
    print(
        f"{number} deadlines in one second: the first detected {fell.first:.2f} s after its deadline,"
        f" {fell.median:.2f} s at the median, all committed {fell.all_there:.2f} s after the last one;"
        f" meanwhile p99 of pushes {p99 * 1000:.0f} ms"
    )
    failures = []
    if fell.first >= FIRST:
        failures.append(f"the first of {number} incidents within {FIRST:.0f} s")
    if fell.all_there >= within:
        failures.append(f"{number} incidents within {within:.0f} s")
    if p99 >= PUSHES:
        failures.append(f"p99 of pushes under {PUSHES * 1000:.0f} ms while {number} fall silent")
    if sent.error or set(sent.statuses) != {200}:
        failures.append(f"every push acknowledged: {sent.statuses} {sent.error}")
    return failures


def prepare(monitors: int) -> list[str]:
    """Create the monitors, most of them up and due in an hour or later, and a channel for notifications.

    Return the tokens of those that push, which are not among those that fall silent.
    """
    import psycopg
    from django.core.management import call_command

    from tests.support import crowd
    from tests.support.factories import make_channel, make_workspace

    call_command("migrate", verbosity=0)
    workspace = make_workspace()
    make_channel(workspace=workspace)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        crowd.fill(connection.cursor(), monitors, workspaces=[workspace], heartbeats=1, notified=False)
    return crowd.secrets_of(workspace)[: monitors // 20]


def idle_sweep() -> float:
    """Return the median time in seconds of a sweep that finds nothing."""
    from monitors.heartbeats.missed import declare_missed

    taken = []
    for _ in range(IDLE_SWEEPS):
        started = time.perf_counter()
        assert declare_missed().missed == 0
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


@dataclass(frozen=True)
class Fell:
    """How long after its deadline the first incident was detected, and the one at the median, in seconds.

    All could be read `all_there` seconds after the last deadline.
    """

    first: float
    median: float
    all_there: float


def fall_silent(number: int) -> Fell:
    """Let the deadlines of the last `number` monitors with an interval that are up pass within one second."""
    from django.db import connection

    from core.clock import database_now
    from monitors.models import Incident

    # Ticks must already be coming when the deadlines pass.
    first = database_now() + timedelta(seconds=8)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE monitors_monitorstate AS s SET due_at = chosen.at,"
            " last_heartbeat_at = chosen.at - (timeout + least(300, timeout / 10)) * interval '1 second'"
            " FROM (SELECT id, timeout, %s + row_number() OVER () / %s * interval '1 second' AS at"
            " FROM monitors_monitor JOIN monitors_monitorstate ON monitor_id = id"
            " WHERE kind = 'interval' AND status = 'up' ORDER BY id DESC LIMIT %s) AS chosen"
            " WHERE chosen.id = s.monitor_id",
            [first, float(number), number],
        )
        assert cursor.rowcount == number
    ours: Any = Incident.objects.filter(started_at__gte=first)
    deadline = time.monotonic() + 120
    while (found := ours.count()) < number:
        assert time.monotonic() < deadline, f"{found} of {number} incidents after two minutes"
        time.sleep(0.05)
    # What matters is when the last of them can be read, which is after its commit.
    all_there = (database_now() - first).total_seconds() - 1
    detected = [
        (detected - started).total_seconds()
        for detected, started in ours.order_by("started_at").values_list("detected_at", "started_at")
    ]
    return Fell(detected[0], statistics.median(detected), all_there)


@contextlib.contextmanager
def processes() -> Iterator[list[int]]:
    """Run a worker and Celery Beat; yield their process ids."""
    from tianji.runtime.processes import command

    running = [subprocess.Popen(command(role), cwd=ROOT) for role in ("worker", "beat")]
    try:
        yield [process.pid for process in running]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(30)


if __name__ == "__main__":
    main()
