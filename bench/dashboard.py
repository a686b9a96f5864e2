"""How fast the pages are: `make bench-dashboard`, or `python -m bench.dashboard`.

Starts PostgreSQL and the web server with 10,000 monitors in one workspace. 1,000 of them have 30 days of
heartbeats, one per minute, and continue to get pushes. Measures the first page of the overview, a poll when
nothing changed, the server load of 200 open tabs, and a monitor's page with 90 days, each with its ratio to
a no-op view in the same server and run.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import heapq
import http.client
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.push import Web
from tests.support.servers import postgres

MONITORS, BUSY = 10_000, 1_000
TABS, TAB_SECONDS, TAB_THREADS = 200, 2.2, 4
FIRST_PAGE, UNCHANGED, TABS_SHARE, DETAIL, WEIGHT = 0.200, 0.005, 0.20, 0.300, 150_000


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures how fast the pages are.")
    parser.add_argument("--days", type=int, default=30, help="days of heartbeats (default %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="seconds with open tabs (default %(default)s)"
    )
    parser.add_argument("--requests", type=int, default=60, help="requests per page (default %(default)s)")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres())
        data = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ |= {
            "DATABASE_URL": server.create_database("bench"),
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "REDIS_URL": "",
            "TIANJI_DATA": data,
            "DJANGO_SETTINGS_MODULE": "bench.settings",
        }
        began = time.monotonic()
        seeded = _seed(options.days)
        print(f"{MONITORS} monitors and {seeded.heartbeats} heartbeats in {time.monotonic() - began:.0f} s")
        web = Web()
        port = stack.enter_context(web).port
        reader = _Reader(port, seeded.cookie)
        stack.enter_context(_pushing(port, seeded.secrets))
        failures = _measure(reader, web.process.pid, seeded, options.requests, options.seconds)
    for failure in failures:
        print(f"MISSED TARGET: {failure}")
    sys.exit(1 if failures else 0)


# --- Data ------------------------------------------------------------------------------------------


@dataclass
class _Seeded:
    cookie: str
    busy: list[str]
    secrets: list[str]
    heartbeats: int = 0


def _seed(days: int) -> _Seeded:
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from core.clock import database_now
    from monitors.models import Monitor, MonitorState, Transition
    from monitors.services import tokens
    from tests.support.factories import make_user, make_workspace

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    workspace, now = make_workspace("Bench"), database_now()
    reader = Client()
    reader.force_login(make_user(workspace=workspace))
    rng = random.Random(1)
    words = ("backup", "sync", "worker", "import", "report", "gateway", "cleanup", "mail")
    born = now - timedelta(days=days + 1)
    monitors = Monitor.objects.bulk_create(
        Monitor(
            workspace=workspace,
            name=f"{rng.choice(words)} {rng.choice(words)} {number:05}",
            slug=f"monitor-{number}",
            tags=rng.sample(words, 2),
            timeout=300 if number % (MONITORS // BUSY) == 0 else 86_400,
        )
        for number in range(MONITORS)
    )
    busy = monitors[:: MONITORS // BUSY]
    # Some of the quiet ones are down, paused or new.
    status = {
        monitor.pk: rng.choices(["up", "down", "paused", "new"], [94, 2, 2, 2])[0] for monitor in monitors
    }
    status |= {monitor.pk: "up" for monitor in busy}
    MonitorState.objects.bulk_create(
        MonitorState(
            monitor=monitor,
            status=(is_now := status[monitor.pk]),
            status_changed_at=born if is_now == "up" else now - timedelta(hours=5),
            last_heartbeat_at=None if is_now == "new" else now - timedelta(seconds=rng.uniform(0, 60)),
            last_message="OK",
            due_at=now + timedelta(seconds=60) if is_now == "up" else None,
        )
        for monitor in monitors
    )
    changes = [
        Transition(monitor=m, at=born, source="new", target="up", reason="heartbeat") for m in monitors
    ]
    for monitor in busy:
        for _ in range(4):
            at = now - timedelta(minutes=rng.uniform(60, days * 1440))
            back = at + timedelta(minutes=5)
            changes.append(Transition(monitor=monitor, at=at, source="up", target="down", reason="deadline"))
            changes.append(
                Transition(monitor=monitor, at=back, source="down", target="up", reason="heartbeat")
            )
    Transition.objects.bulk_create(changes, batch_size=5000)
    with connection.cursor() as cursor:
        heartbeats = _fill(cursor, [monitor.pk for monitor in busy], days)
        # Filling took minutes, and no monitor may be late when the measurements start.
        cursor.execute(
            "UPDATE monitors_monitorstate SET last_heartbeat_at = now() - random() * interval '60 seconds',"
            " due_at = CASE WHEN due_at IS NOT NULL THEN now() + interval '60 seconds' END"
            " WHERE last_heartbeat_at IS NOT NULL"
        )
    secrets = [tokens.issue(monitor=monitor, label="bench").secret for monitor in busy]
    return _Seeded(
        cookie=f"{settings.SESSION_COOKIE_NAME}={reader.cookies[settings.SESSION_COOKIE_NAME].value}",
        busy=[str(monitor.public_id) for monitor in busy],
        secrets=secrets,
        heartbeats=heartbeats,
    )


def _fill(cursor: Any, busy: list[int], days: int) -> int:
    """Write a heartbeat per minute for each of `busy`, and the rollups for them."""
    cursor.execute("SET statement_timeout = 0")
    cursor.execute("DROP INDEX heartbeat_monitor_received")
    for day in range(days, 0, -1):
        cursor.execute(
            "INSERT INTO monitors_heartbeat (monitor_id, received_at, status, value, message)"
            " SELECT id, at + random() * interval '20 seconds', 'up', 100 + 10 * random(), 'OK'"
            " FROM generate_series(now() - %s * interval '1 day',"
            " now() - %s * interval '1 day' - interval '1 minute', interval '1 minute') AS at"
            " CROSS JOIN unnest(%s::bigint[]) AS id",
            [day, day - 1, busy],
        )
    cursor.execute("SET maintenance_work_mem = '1GB'")
    cursor.execute(
        "CREATE INDEX heartbeat_monitor_received ON monitors_heartbeat (monitor_id, received_at DESC)"
    )
    half_hour = "date_bin('30 minutes', received_at, '2000-01-01')"
    cursor.execute(
        "INSERT INTO monitors_rollup (monitor_id, start, ups, downs, last_message, value_count, value_min,"
        f" value_max, value_sum) SELECT monitor_id, {half_hour}, count(*), 0, 'OK', count(value), min(value),"
        " max(value), sum(value) FROM monitors_heartbeat"
        " WHERE received_at < date_bin('30 minutes', now(), '2000-01-01') GROUP BY 1, 2"
    )
    cursor.execute("INSERT INTO monitors_rolledup SELECT DISTINCT start FROM monitors_rollup")
    cursor.execute("VACUUM ANALYZE")
    # Otherwise PostgreSQL writes it to disk during the measurements.
    cursor.execute("CHECKPOINT")
    cursor.execute("SELECT count(*) FROM monitors_heartbeat")
    return int(cursor.fetchone()[0])


# --- Clients ---------------------------------------------------------------------------------------


@dataclass
class _Reader:
    """A signed-in browser, as the server sees it."""

    port: int
    cookie: str
    latencies: list[float] = field(default_factory=list)

    def get(self, link: http.client.HTTPConnection, path: str, **headers: str) -> tuple[int, bytes]:
        sent = {"Cookie": self.cookie, "Accept-Encoding": "gzip", "Host": f"127.0.0.1:{self.port}"}
        link.request("GET", path, headers=sent | {k.replace("_", "-"): v for k, v in headers.items()})
        answer = link.getresponse()
        return answer.status, answer.read()

    def link(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def time(self, path: str, *, requests: int, expect: int = 200, **headers: str) -> list[float]:
        """Return the durations, in seconds, of those of `requests` requests with the status `expect`."""
        link, took = self.link(), []
        for _ in range(requests):
            began = time.perf_counter()
            status, _body = self.get(link, path, **headers)
            if status == expect:
                took.append(time.perf_counter() - began)
        return took


@contextlib.contextmanager
def _pushing(port: int, secrets: list[str]) -> Iterator[None]:
    """Send a heartbeat per minute for each of the busy monitors."""
    over = threading.Event()

    def push() -> None:
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        number = 0
        while not over.wait(60 / len(secrets)):
            link.request("POST", f"/api/push/{secrets[number % len(secrets)]}?status=up&value={number % 20}")
            link.getresponse().read()
            number += 1

    thread = threading.Thread(target=push)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Tabs:
    """Open tabs that poll about every two seconds and show what changed."""

    def __init__(self, reader: _Reader, path: str) -> None:
        self.reader, self.path = reader, path
        self.statuses: dict[int, int] = {}
        self.versions = [""] * TABS
        self.links = [reader.link() for _ in range(TABS)]

    def live_for(self, seconds: float) -> None:
        self.statuses.clear()
        shares = [range(first, TABS, TAB_THREADS) for first in range(TAB_THREADS)]
        threads = [threading.Thread(target=self._some, args=(seconds, tabs)) for tabs in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _some(self, seconds: float, tabs: range) -> None:
        rng, began = random.Random(tabs[0]), time.monotonic()
        turns = [(began + rng.uniform(0, TAB_SECONDS), tab) for tab in tabs]
        heapq.heapify(turns)
        while turns[0][0] < began + seconds:
            at, tab = heapq.heappop(turns)
            time.sleep(max(at - time.monotonic(), 0))
            self._ask(tab)
            heapq.heappush(turns, (time.monotonic() + TAB_SECONDS * rng.uniform(0.9, 1.1), tab))

    def _ask(self, tab: int) -> None:
        shown = self.versions[tab]
        headers = {"HX_Request": "true"} | ({"Tianji_Version": shown} if shown else {})
        try:
            status, body = self.reader.get(self.links[tab], self.path, **headers)
        except http.client.RemoteDisconnected:
            # As browsers do when the server has closed an idle connection.
            self.links[tab] = self.reader.link()
            status, body = self.reader.get(self.links[tab], self.path, **headers)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.versions[tab] = version_in(body) or shown


def version_in(body: bytes) -> str:
    page = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
    _, _, rest = page.partition(b'data-version="')
    return rest.partition(b'"')[0].decode()


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and all its descendants."""
    total, children = 0.0, [pid]
    while children:
        pid = children.pop()
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += map(int, (task / "children").read_text().split())
    return total


# --- Measurements ----------------------------------------------------------------------------------


def _measure(reader: _Reader, pid: int, seeded: _Seeded, requests: int, seconds: float) -> list[str]:
    """Measure and print; return the missed targets."""
    failures = []
    nothing = statistics.median(reader.time("/noop", requests=requests))
    print(f"no-op view              p50 {nothing * 1000:6.1f} ms")

    def judge(what: str, took: list[float], share: float, goal: float) -> None:
        if len(took) < requests / 2:
            failures.append(f"{what}: only {len(took)} of {requests} responses had the expected status")
            return
        ordered = sorted(took)
        p50, p95 = statistics.median(ordered), ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]
        figures = f"p50 {p50 * 1000:6.1f} ms   p95 {p95 * 1000:6.1f} ms   p50 / no-op {p50 / nothing:6.1f}"
        print(f"{what:23} {figures}")
        if (p95 if share > 0.5 else p50) >= goal:
            failures.append(f"{what} takes {goal * 1000:.0f} ms or more")

    reader.time("/", requests=5)
    judge("overview, first page", reader.time("/", requests=requests), 0.95, FIRST_PAGE)
    link = reader.link()
    _status, body = reader.get(link, "/")
    print(f"overview, compressed    {len(body) / 1000:.0f} kB")
    if len(body) >= WEIGHT:
        failures.append(f"the overview is {WEIGHT / 1000:.0f} kB or larger")
    # A page whose monitors are quiet, so that the polls find nothing changed.
    quiet = "/?status=paused"
    headers = {"HX_Request": "true", "Tianji_Version": version_in(reader.get(link, quiet)[1])}
    unchanged = reader.time(quiet, requests=requests * 5, expect=204, **headers)
    judge("unchanged poll", unchanged, 0.5, UNCHANGED)
    for what in ("24h", "90d"):
        for name, path in (("page", ""), ("charts", "charts/")):
            took = reader.time(f"/monitors/{seeded.busy[0]}/{path}?range={what}", requests=requests // 2)
            judge(f"monitor's {name}, {what}", took * 2, 0.95, DETAIL)
    failures += _tabs(reader, pid, seconds)
    return failures


def _tabs(reader: _Reader, pid: int, seconds: float) -> list[str]:
    before = _cpu_seconds(pid)
    time.sleep(seconds / 2)
    alone = (_cpu_seconds(pid) - before) / (seconds / 2)
    failures = []
    for name, path in (("first page", "/"), ("quiet page", "/?status=paused")):
        tabs = _Tabs(reader, path)
        tabs.live_for(TAB_SECONDS * 2)
        before, began = _cpu_seconds(pid), time.monotonic()
        tabs.live_for(seconds)
        share = (_cpu_seconds(pid) - before) / (time.monotonic() - began) - alone
        summary = ", ".join(f"{number} x {status}" for status, number in sorted(tabs.statuses.items()))
        print(f"{TABS} tabs, {name:10}  {share:6.1%} of a core, plus {alone:.1%} for pushes   ({summary})")
        if share >= TABS_SHARE:
            failures.append(f"{TABS} open tabs ({name}) cost {TABS_SHARE:.0%} of a core or more")
    return failures


if __name__ == "__main__":
    main()
