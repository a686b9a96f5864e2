"""How fast notifications are when everything goes down at once: `make bench-deliver`, or
`python -m bench.deliver`.

With PostgreSQL, Redis and all processes running, 5,000 monitors of one workspace miss their deadlines within
one second, with three channels each, while other monitors continue to push. Measures when the first
notification of each channel arrives and what is in the digests that follow, how long the sweep takes to open
all incidents, and the latency of the pushes compared with before. With `--thresholds`, two of the last three
heartbeats must have failed, and one has; all other rules are set too.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.push import Web
from tests.support.servers import postgres, redis_server
from tests.support.sinks import HttpSink

FALLING, CHANNELS, PUSHING, PUSHES = 5_000, 3, 200, 100
IDLE_SECONDS, STORM_SECONDS = 20.0, 50.0
FIRST_MESSAGE, SWEPT, PUSH_RATIO = 2.0, 5.0, 2.0
ROOT = Path(__file__).parent.parent


def main() -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres(durable=True))
        broker = stack.enter_context(redis_server())
        os.environ |= {
            "DATABASE_URL": server.create_database("bench"),
            "REDIS_URL": broker.url,
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "TIANJI_DATA": stack.enter_context(tempfile.TemporaryDirectory()),
            "TIANJI_LOG_LEVEL": "ERROR",
            "TIANJI_ALLOW_PRIVATE_WEBHOOKS": "127.0.0.0/8",
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
        }
        import django

        django.setup()
        sinks = [stack.enter_context(HttpSink()) for _ in range(CHANNELS)]
        thresholds = "--thresholds" in sys.argv
        print(f"thresholds and other rules: {'set' if thresholds else 'the defaults'}")
        secrets = _prepare([sink.url for sink in sinks], thresholds=thresholds)
        port = stack.enter_context(Web()).port
        stack.enter_context(_processes())
        pusher = stack.enter_context(_Pusher(port, secrets))
        failures = _measure(sinks, pusher)
    for failure in failures:
        print(f"MISSED TARGET: {failure}")
    sys.exit(1 if failures else 0)


def _prepare(addresses: list[str], *, thresholds: bool) -> list[str]:
    """Create the monitors, all up, and the channels; return the secrets of those that keep pushing."""
    from django.core.management import call_command
    from django.db import connection

    from core.clock import database_now
    from monitors.models import Monitor, MonitorDefaults, MonitorState
    from monitors.services import tokens
    from notifications.models import WorkspaceRules
    from tests.support.factories import make_channel, make_workspace

    call_command("migrate", verbosity=0)
    workspace = make_workspace()
    for address in addresses:
        make_channel(workspace=workspace, config={"url": address})
    if thresholds:
        MonitorDefaults.objects.create(workspace=workspace, missed_needed=2, missed_of=3, recovery_needed=2)
        WorkspaceRules.objects.create(workspace=workspace, remind_every=3600, remind_most=10, flap_changes=10)
    now = database_now()
    monitors = Monitor.objects.bulk_create(
        (
            Monitor(workspace=workspace, name=f"job {n}", slug=f"job-{n}", timeout=3600, grace=0)
            for n in range(FALLING + PUSHING)
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
                due_at=now + timedelta(hours=1),
                # The heartbeat before the last one failed.
                recent_outcomes=0b10 if thresholds else 0,
            )
            for monitor in monitors
        ),
        batch_size=2000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return [tokens.issue(monitor=monitor, label="bench").secret for monitor in monitors[FALLING:]]


@contextlib.contextmanager
def _processes() -> Iterator[None]:
    from tianji.runtime.processes import command

    running = [subprocess.Popen(command(role), cwd=ROOT) for role in ("worker", "beat")]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)


class _Pusher:
    """Sends PUSHES heartbeats per second, evenly spaced, and records how long each took."""

    def __init__(self, port: int, secrets: list[str]) -> None:
        self.port, self.secrets = port, secrets
        self.took: list[float] = []
        self.refused = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._push, args=(share,)) for share in range(4)]

    def __enter__(self) -> _Pusher:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def take(self) -> list[float]:
        """Return the durations since the last call, sorted."""
        took, self.took = self.took, []
        return sorted(took)

    def _push(self, share: int) -> None:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        number, turn = share, time.monotonic()
        while not self._over.wait(max(turn - time.monotonic(), 0)):
            turn += len(self._threads) / PUSHES
            began = time.perf_counter()
            link.request("POST", f"/api/push/{self.secrets[number % len(self.secrets)]}?status=up")
            answer = link.getresponse()
            answer.read()
            self.took.append(time.perf_counter() - began)
            self.refused += answer.status != 200
            number += len(self._threads)


def _measure(sinks: list[HttpSink], pusher: _Pusher) -> list[str]:
    from monitors.models import Incident

    time.sleep(5)
    pusher.take()
    time.sleep(IDLE_SECONDS)
    idle = pusher.take()
    last = _let_fall()
    _wait(lambda: Incident.objects.count() >= FALLING, "incidents")
    swept = (_now() - last).total_seconds()
    _wait(lambda: all(sink.requests for sink in sinks), "first messages")
    beside: list[float] = []
    _wait(lambda: all(len(sink.requests) >= 6 for sink in sinks), "digests")
    time.sleep(max(0.0, STORM_SECONDS - (_now() - last).total_seconds()))
    beside = pusher.take()
    failures = []
    firsts = [sink.requests[0].at - _monotonic_of(last) for sink in sinks]
    print(f"{FALLING} monitors went down within one second, with {CHANNELS} channels each")
    print(f"all incidents open {swept:.2f} s after the last deadline")
    print(f"first notification of each channel {', '.join(f'{first:.2f}' for first in firsts)} s after it")
    if max(firsts) >= FIRST_MESSAGE:
        failures.append(f"the first notification of each channel within {FIRST_MESSAGE:.0f} s")
    if swept >= SWEPT:
        failures.append(f"all incidents within {SWEPT:.0f} s")
    for number, sink in enumerate(sinks, 1):
        failures += _check(number, [request.json for request in sink.requests])
    ratio = _p(beside, 0.99) / _p(idle, 0.99)
    print(
        f"pushes, {PUSHES}/s: before p50 {_p(idle, 0.5) * 1000:.1f} ms, p99 {_p(idle, 0.99) * 1000:.1f} ms;"
        f" during p50 {_p(beside, 0.5) * 1000:.1f} ms, p99 {_p(beside, 0.99) * 1000:.1f} ms: {ratio:.1f} x"
    )
    if ratio > PUSH_RATIO:
        failures.append(f"the p99 of pushes at most {PUSH_RATIO:.0f} x what it was before")
    if pusher.refused:
        failures.append(f"{pusher.refused} pushes were not answered with 200")
    return failures


def _check(number: int, received: list[dict[str, Any]]) -> list[str]:
    """Print what a channel received; return what is wrong with it."""
    from notifications.models import BURST

    counted = [one["digest"]["counts"]["down"] if one["event"] == "digest" else 1 for one in received]
    print(f"channel {number}: {len(received)} notifications for {' + '.join(map(str, counted))} monitors")
    alone = [one for one in received if one["event"] == "incident.opened"]
    listed = [
        member
        for one in received
        if one["digest"]
        for member in (*one["digest"]["monitors"], *one["digest"]["others"])
    ]
    keys = [one["outage"] for one in (*alone, *listed)]
    failures = []
    if sum(counted) != FALLING or len(alone) != BURST or len(received) > BURST + 2:
        failures.append(
            f"channel {number}: {FALLING} monitors in {BURST} notifications and one or two digests"
        )
    if len(set(keys)) != len(keys) or None in keys:
        failures.append(f"channel {number}: an outage of its own for each monitor")
    return failures


def _let_fall() -> datetime:
    """Move the deadlines into one second in the near future; return the last of them."""
    from django.db import connection

    first = _now() + timedelta(seconds=4)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE monitors_monitorstate SET due_at = %s + number * interval '1 second' / %s,"
            " last_heartbeat_at = %s + number * interval '1 second' / %s - interval '1 hour'"
            " FROM (SELECT monitor_id AS id, row_number() OVER (ORDER BY monitor_id) AS number"
            "       FROM monitors_monitorstate ORDER BY monitor_id LIMIT %s) AS falling"
            " WHERE monitor_id = falling.id",
            [first, FALLING, first, FALLING, FALLING],
        )
    return first + timedelta(seconds=1)


def _now() -> datetime:
    from core.clock import database_now

    return database_now()


def _monotonic_of(moment: datetime) -> float:
    """Convert a time of the database's clock, which runs on this machine, to the monotonic clock."""
    return time.monotonic() - (_now() - moment).total_seconds()


def _wait(until: Any, what: str, *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"not all {what} within {seconds:.0f} s"
        time.sleep(0.05)


def _p(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


if __name__ == "__main__":
    main()
