"""Whether a busy installation stays as it is: `make soak`, or `python -m bench.soak`.

With PostgreSQL, Redis, the web server, a worker and Celery Beat, 100,000 monitors push 1,000 times a second
for ten minutes, while deadlines move on, half hours are rolled up and 20 dashboards are open. Nothing may
fail, p99 stays under 100 ms, and neither the memory of the processes nor the hot tables grow. It stops after
that.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import load, steady
from bench.dashboard import version_in
from bench.push import Web
from bench.sweep import processes
from tests.support.servers import Postgres, postgres, redis_server

P99, HOT, GROWTH = 0.100, 0.95, 1.10
# How much larger a hot table may get than it was when the run had warmed up.
BLOAT = 1.5
TAB_SECONDS, STEP = 2.2, 30.0
_STATES = "monitors_monitorstate"
_HOT_TABLES = (_STATES, "monitors_pushtoken")


@dataclass(frozen=True)
class Sample:
    """What was measured at one moment. Memory in MiB, as PSS; `tables` in bytes, with their indexes."""

    pushes: int
    p99: float
    memory: dict[str, float]
    tables: dict[str, int]


@dataclass
class Tabs:
    """What open dashboards were answered."""

    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def main() -> None:
    options = _options()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres(durable=True))
        broker = stack.enter_context(redis_server())
        os.environ |= {
            "DATABASE_URL": server.create_database("bench"),
            "REDIS_URL": broker.url,
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "TIANJI_DATA": stack.enter_context(tempfile.TemporaryDirectory()),
            "TIANJI_LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
        }
        cookies, secrets = _prepare(options.monitors, options.workspaces)
        web = Web()
        port = stack.enter_context(web).port
        worker, beat = stack.enter_context(processes())
        _start_now(options.monitors / options.rate)
        pids = {"web": web.process.pid, "worker": worker, "beat": beat}
        failures = _run(server, port, secrets, cookies, pids, options)
    for failure in failures:
        print(f"MISSED TARGET: {failure}")
    sys.exit(1 if failures else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures whether a busy installation stays as it is.")
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="how long (default %(default)s)")
    add("--rate", type=int, default=1000, help="pushes a second (default %(default)s)")
    add("--monitors", type=int, default=100_000, help="how many there are (default %(default)s)")
    add("--workspaces", type=int, default=20, help="how many they are in (default %(default)s)")
    add("--tabs", type=int, default=20, help="open dashboards (default %(default)s)")
    add("--connections", type=int, default=32, help="of senders (default %(default)s)")
    return parser.parse_args()


def _prepare(monitors: int, workspaces: int) -> tuple[list[str], list[str]]:
    """Return the cookie of an owner of each workspace, and the tokens of all monitors."""
    import django
    import psycopg

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.test import Client

    from tests.support import crowd
    from tests.support.factories import make_user, make_workspace

    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    made = [make_workspace() for _ in range(workspaces)]
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        # Without rollups, so that all of the past is rolled up during the run.
        crowd.fill(connection.cursor(), monitors, workspaces=made, rollups=0, notified=False)
        connection.execute("VACUUM ANALYZE")
    cookies = []
    for workspace in made:
        reader = Client()
        reader.force_login(make_user(workspace=workspace))
        name = settings.SESSION_COOKIE_NAME
        cookies.append(f"{name}={reader.cookies[name].value}")
    return cookies, [secret for workspace in made for secret in crowd.secrets_of(workspace)]


def _start_now(period: float) -> None:
    """Let each monitor expect a push within twice the time between its pushes, and none be silent yet."""
    from django.db import connection

    timeout = max(int(period * 2), 10)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("UPDATE monitors_monitor SET kind = 'interval', timeout = %s", [timeout])
        # Not all at once, as if they had been pushing for long.
        cursor.execute(
            "UPDATE monitors_monitorstate SET last_heartbeat_at = now() - random() * interval '1 second',"
            " due_at = CASE WHEN due_at IS NOT NULL THEN now() + random() * %s * interval '1 second' END"
            " WHERE last_heartbeat_at IS NOT NULL",
            [timeout],
        )
        cursor.execute("VACUUM ANALYZE monitors_monitor, monitors_monitorstate")
        cursor.execute("CHECKPOINT")


# --- The run ---------------------------------------------------------------------------------------


def _run(
    server: Postgres,
    port: int,
    secrets: list[str],
    cookies: list[str],
    pids: dict[str, int],
    options: argparse.Namespace,
) -> list[str]:
    requests = [load.post(f"/api/push/{secret}?status=up&msg=OK&value=12.5") for secret in secrets]
    samples: list[Sample] = []
    before, warm, stored = _updates(server), 0, _heartbeats(server)
    with (
        _open_tabs(port, cookies, options.tabs) as tabs,
        steady.sending(port, requests, rate=options.rate, connections=options.connections) as sent,
    ):
        began = time.monotonic()
        over = began + options.minutes * 60
        while time.monotonic() < over and not sent.error:
            first = len(sent.latencies)
            time.sleep(max(min(STEP, over - time.monotonic()), 0.1))
            samples.append(_sample(server, pids, sent, first))
            _print(samples[-1])
            # Each row moves once, to where its page has room; only then can it be updated in place.
            if not warm and time.monotonic() - began >= options.minutes * 60 / 3:
                before, warm = _updates(server), sent.statuses.get(200, 0)
    acknowledged = sent.statuses.get(200, 0)
    hot = _hot_shares(before, _updates(server), acknowledged - warm)
    print(
        f"pushes: {sent.statuses}, p50 {sent.percentile(0.5) * 1000:.0f} ms, p99 {_ms(sent.percentile(0.99))}"
    )
    print(f"dashboards: {tabs.statuses}, p99 {_ms(_percentile(tabs.latencies))}")
    shares = ", ".join(f"{table} {share:.1%}" for table, share in hot.items())
    print(f"pushes that touched no index: {shares}")
    failures = _judge(samples, hot, sent, tabs)
    recorded = _heartbeats(server) - stored
    if recorded != acknowledged:
        failures.append(f"every acknowledged push stored: {recorded} are")
    if acknowledged < options.rate * options.minutes * 60 * 0.98:
        failures.append(f"{options.rate} pushes/s")
    return failures


def _judge(samples: list[Sample], hot: dict[str, float], sent: steady.Sent, tabs: Tabs) -> list[str]:
    found = []
    if sent.error or set(sent.statuses) != {200}:
        found.append(f"no push fails: {sent.statuses} {sent.error}")
    if tabs.errors or not set(tabs.statuses) <= {200, 204}:
        found.append(f"no dashboard fails: {tabs.statuses} {tabs.errors[:1]}")
    if sent.percentile(0.99) >= P99:
        found.append(f"p99 of pushes under {P99 * 1000:.0f} ms")
    found += [f"{HOT:.0%} of pushes are HOT in {table}" for table, share in hot.items() if share < HOT]
    # By a third of the time, caches are filled and tables have the free space that they keep.
    warm, last = samples[len(samples) // 3], samples[-1]
    for name, pss in last.memory.items():
        if pss > warm.memory[name] * GROWTH:
            found.append(f"the memory of {name} is flat: {warm.memory[name]:.0f}, then {pss:.0f} MiB")
    for table, size in last.tables.items():
        if size > warm.tables[table] * BLOAT:
            found.append(f"{table} doesn't grow: {warm.tables[table]}, then {size} bytes")
    return found


def _sample(server: Postgres, pids: dict[str, int], sent: steady.Sent, first: int) -> Sample:
    sizes = _ask(
        server,
        "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname = ANY(%s)",
        [list(_HOT_TABLES)],
    )
    memory = {name: _pss(pid) for name, pid in pids.items()}
    return Sample(len(sent.latencies), sent.percentile(0.99, since=first), memory, dict(sizes))


def _print(sample: Sample) -> None:
    memory = ", ".join(f"{name} {pss:.0f}" for name, pss in sample.memory.items())
    tables = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in sample.tables.items())
    print(f"{sample.pushes:8} pushes, p99 {_ms(sample.p99)}; MiB: {memory}, {tables}", flush=True)


def _updates(server: Postgres) -> dict[str, tuple[int, int]]:
    """Return how many rows of each hot table were updated, and how many of them without touching an index."""
    # Each backend reports what it did once a second at most.
    time.sleep(1.5)
    rows = _ask(
        server,
        "SELECT relname, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = ANY(%s)",
        [list(_HOT_TABLES)],
    )
    return {table: (updated, hot) for table, updated, hot in rows}


def _hot_shares(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]], pushes: int
) -> dict[str, float]:
    """Return the share of `pushes` that updated a row without touching an index, by table.

    The sweep's updates of states never do: it moves deadlines, which have an index. The use of a token is
    written once a minute.
    """
    shares = {}
    for table, (updated, hot) in after.items():
        of = pushes if table == _STATES else updated - before[table][0]
        shares[table] = (hot - before[table][1]) / max(of, 1)
    return shares


def _heartbeats(server: Postgres) -> int:
    return int(_ask(server, "SELECT count(*) FROM monitors_heartbeat", [])[0][0])


def _ask(server: Postgres, statement: str, params: list[Any]) -> list[Any]:
    import psycopg

    with psycopg.connect(server.url("bench"), autocommit=True) as connection:
        return connection.execute(statement, params).fetchall()  # type: ignore[arg-type]


def _pss(pid: int) -> float:
    """Return the memory of a process and all its descendants in MiB; shared pages count once."""
    total, left = 0, [pid]
    while left:
        pid = left.pop()
        # One may end in the meantime.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
            for task in Path(f"/proc/{pid}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
    return total / 1024


def _percentile(latencies: list[float]) -> float:
    return steady.Sent(latencies=latencies).percentile(0.99)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


# --- Dashboards ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _open_tabs(port: int, cookies: list[str], number: int) -> Iterator[Tabs]:
    """Keep `number` dashboards open, that poll every two seconds, each in the next workspace."""
    tabs, over = Tabs(), threading.Event()
    threads = [
        threading.Thread(target=_poll, args=(port, cookies[tab % len(cookies)], tabs, over, tab / number))
        for tab in range(number)
    ]
    for thread in threads:
        thread.start()
    try:
        yield tabs
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _poll(port: int, cookie: str, tabs: Tabs, over: threading.Event, offset: float) -> None:
    link, version = http.client.HTTPConnection("127.0.0.1", port, timeout=30), ""
    over.wait(offset * TAB_SECONDS)
    while not over.is_set():
        headers = {"Cookie": cookie, "Accept-Encoding": "gzip", "HX-Request": "true"}
        began = time.perf_counter()
        try:
            link.request("GET", "/", headers=headers | ({"Tianji-Version": version} if version else {}))
            answer = link.getresponse()
            body = answer.read()
        except http.client.RemoteDisconnected:
            # As browsers do when the server has closed an idle connection.
            link.close()
            continue
        except OSError as error:
            tabs.errors.append(str(error) or type(error).__name__)
            return
        tabs.latencies.append(time.perf_counter() - began)
        tabs.statuses[answer.status] = tabs.statuses.get(answer.status, 0) + 1
        version = version_in(body) or version
        over.wait(TAB_SECONDS)
    link.close()


if __name__ == "__main__":
    main()
