"""What years of history cost: `make bench-history`, or `python -m bench.history`.

Fills one partition a day with heartbeats, by SQL, in a database of its own that is dropped at the end: on an
embedded PostgreSQL, or on the one that `--database` names. Measures a monitor's page with 90 days, its log,
and making and dropping days while pushes go on. Filling stops after `--fill` seconds, with what is there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.support.servers import postgres

PAGE, LOG, DROP, PUSH_WAITS, HOT = 0.300, 0.100, 0.100, 0.050, 0.95
ROLLUP_DAYS, DROPPED = 90, 5


def main() -> None:
    options = _options()
    with contextlib.ExitStack() as stack:
        server = options.database or stack.enter_context(postgres(durable=True)).url()
        os.environ |= {
            "DATABASE_URL": stack.enter_context(_database_of_its_own(server)),
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "REDIS_URL": "",
            "TIANJI_DATA": stack.enter_context(tempfile.TemporaryDirectory()),
            "TIANJI_PUSH_RATE": "0",
            "TIANJI_LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
        }
        failures = _run(options)
    for failure in failures:
        print(f"MISSED TARGET: {failure}")
    sys.exit(1 if failures else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures what history costs.")
    parser.add_argument("--database", help="the URL of a PostgreSQL, for a database beside the one it names")
    parser.add_argument(
        "--heartbeats", type=int, default=50_000_000, help="how many heartbeats (default %(default)s)"
    )
    parser.add_argument("--days", type=int, default=40, help="over how many days (default %(default)s)")
    parser.add_argument(
        "--monitors", type=int, default=1000, help="of how many monitors (default %(default)s)"
    )
    parser.add_argument(
        "--fill", type=float, default=1800, help="fill for at most this many seconds (default %(default)g)"
    )
    parser.add_argument("--requests", type=int, default=30, help="requests per page (default %(default)s)")
    return parser.parse_args()


@contextlib.contextmanager
def _database_of_its_own(server: str) -> Iterator[str]:
    """Create a database on `server`, yield its URL, and drop it."""
    name = f"tianji_bench_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def _run(options: argparse.Namespace) -> list[str]:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from tests.support.factories import make_monitor, make_workspace

    try:
        call_command("migrate", verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        workspace = make_workspace("Bench")
        monitors = [make_monitor(workspace=workspace, timeout=86_400) for _ in range(options.monitors)]
        _fill([monitor.pk for monitor in monitors], options)
        _let_them_be_up(monitors)
        failures = _read(workspace, monitors[len(monitors) // 2], options.requests)
        return failures + _change(monitors)
    finally:
        for connection in connections.all():
            connection.close()
            connection.close_pool()


# --- Data ------------------------------------------------------------------------------------------


def _fill(ids: list[int], options: argparse.Namespace) -> None:
    """Write the heartbeats, each day's in the order of time, and rollups of 90 days."""
    from django.db import connection

    from core.clock import database_now
    from monitors.services import partitions

    # In place of the partition for the time before the upgrade, which is empty here.
    (before,) = [each for each in partitions.partitions() if each.start is None and each.end]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {before.name}")
    today = database_now()
    partitions.make_ahead(now=today - timedelta(days=options.days), days=options.days + 7)
    a_day = options.heartbeats // options.days
    every = timedelta(days=1) * len(ids) / a_day
    began, written = time.monotonic(), 0
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        connection.connection.respond_within = None
        for back in range(options.days, 0, -1):
            if time.monotonic() - began > options.fill:
                print(f"filled for {options.fill:.0f} s, which is the limit: {back} days are left out")
                break
            cursor.execute(
                "INSERT INTO monitors_heartbeat"
                " (workspace_id, monitor_id, received_at, status, value, message)"
                " SELECT workspace_id, id, at + random() * interval '1 second', 'up',"
                " 100 + 10 * random(), 'OK'"
                " FROM generate_series(%s - %s * interval '1 day',"
                " %s - %s * interval '1 day' - interval '1 second', %s) AS at"
                " CROSS JOIN (SELECT workspace_id, id FROM monitors_monitor WHERE id = ANY(%s)) AS m",
                [today, back, today, back - 1, every, ids],
            )
            written += cursor.rowcount
        cursor.execute(
            "INSERT INTO monitors_rollup"
            " (workspace_id, monitor_id, start, ups, downs, last_message, value_count, value_min, value_max,"
            " value_sum) SELECT workspace_id, id, start, 60, 0, 'OK', 60, 100, 110, 6300"
            " FROM (SELECT workspace_id, id FROM monitors_monitor WHERE id = ANY(%s)) AS m"
            " CROSS JOIN generate_series(date_trunc('hour', now() - %s * interval '1 day'),"
            " date_trunc('hour', now()) - interval '1 hour', interval '30 minutes') AS start",
            [ids, ROLLUP_DAYS],
        )
        cursor.execute("INSERT INTO monitors_rolledup SELECT DISTINCT start FROM monitors_rollup")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
        cursor.execute(
            "SELECT pg_size_pretty(sum(pg_total_relation_size(relid))) FROM pg_partition_tree(%s)",
            [partitions.TABLE],
        )
        (size,) = cursor.fetchone()
    number = len([each for each in partitions.partitions() if each.is_of_one_day])
    print(f"{written} heartbeats ({size}) in {number} days, written in {time.monotonic() - began:.0f} s")


def _let_them_be_up(monitors: list[Any]) -> None:
    """Make all monitors up, since before their first heartbeat."""
    from core.clock import database_now
    from monitors.models import MonitorState, Transition

    now = database_now()
    born = now - timedelta(days=ROLLUP_DAYS + 1)
    MonitorState.objects.update(
        status="up", status_changed_at=born, last_heartbeat_at=now, due_at=now + timedelta(days=1)
    )
    Transition.objects.bulk_create(
        Transition(monitor=each, at=born, source="new", target="up", reason="heartbeat") for each in monitors
    )


# --- Measurements ----------------------------------------------------------------------------------


@dataclass
class _Judge:
    failures: list[str] = field(default_factory=list)

    def times(self, what: str, took: list[float], goal: float) -> None:
        """Print the times; the median must be below `goal`."""
        ordered = sorted(took)
        p50, p95 = statistics.median(ordered), ordered[min(int(len(ordered) * 0.95), len(ordered) - 1)]
        print(f"{what:34} p50 {p50 * 1000:7.1f} ms   p95 {p95 * 1000:7.1f} ms   goal {goal * 1000:.0f} ms")
        if p50 >= goal:
            self.failures.append(f"{what} takes {goal * 1000:.0f} ms or more")


def _timed(act: Callable[[], Any]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _read(workspace: Any, monitor: Any, requests: int) -> list[str]:
    """Measure pages, in this process: what the database and the program take, without a web server."""
    from django.test import Client

    from tests.support.factories import make_user

    client, judge = Client(SERVER_NAME="127.0.0.1"), _Judge()
    client.force_login(make_user(workspace=workspace))
    page = f"/monitors/{monitor.public_id}/"
    for what, path, goal in (
        ("page with 90 days", f"{page}?range=90d", PAGE),
        ("charts of 90 days", f"{page}charts/?range=90d", PAGE),
        ("first page of the log", f"{page}log/", LOG),
        ("log of one past day", f"{page}log/?{_of_a_past_day()}", LOG),
    ):

        def get(path: str = path) -> None:
            response = client.get(path)
            assert response.status_code == 200, (path, response.status_code)

        for _ in range(3):
            get()
        judge.times(what, [_timed(get) for _ in range(requests)], goal)
    return judge.failures


def _of_a_past_day() -> str:
    from core.clock import database_now

    day = database_now() - timedelta(days=20)
    return f"from={day:%Y-%m-%d}T00:00&to={day:%Y-%m-%d}T23:59"


def _change(monitors: list[Any]) -> list[str]:
    """Measure making and dropping days, and pushes at the same time."""
    from core.clock import database_now
    from monitors.services import partitions

    judge, today, updates = _Judge(), database_now(), _updates()
    pushes = _Pushes(monitors[:20])
    with pushes.going_on():
        time.sleep(5)
        alone = max(pushes.took)
        pushes.took.clear()
        far = today + timedelta(days=1000)
        made = [
            _timed(lambda n=n: partitions.make_ahead(now=far + timedelta(days=n), days=0))
            for n in range(DROPPED)
        ]
        oldest = [each for each in partitions.partitions() if each.end and each.end < today][:DROPPED]
        dropped = [_timed(lambda end=each.end: partitions.drop_old(before=end)) for each in oldest]
        during = max(pushes.took)
    judge.times("making a day", made, DROP)
    judge.times("dropping a day", dropped, DROP)
    print(
        f"slowest push: {alone * 1000:.1f} ms alone, {during * 1000:.1f} ms while days were made and dropped"
    )
    if during >= alone + PUSH_WAITS:
        judge.failures.append(
            f"a push took {PUSH_WAITS * 1000:.0f} ms longer while days were made and dropped"
        )
    in_place, all_of_them = (after - before for before, after in zip(updates, _updates(), strict=True))
    share = in_place / all_of_them
    print(f"updates of states in place (HOT): {share:.1%}")
    if share <= HOT:
        judge.failures.append(f"more than {HOT:.0%} of the updates of states in place")
    return judge.failures


class _Pushes:
    """Records one push after the other, in a thread of its own, and how long each took."""

    def __init__(self, monitors: list[Any]) -> None:
        self.took: list[float] = []
        self._monitors = monitors
        self._over = threading.Event()

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        thread = threading.Thread(target=self._go_on)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _go_on(self) -> None:
        from django.db import connection

        from monitors.heartbeats import recorder
        from tests.support.heartbeats import arrival

        arrivals = [arrival(monitor) for monitor in self._monitors]
        while not self._over.is_set():
            for each in arrivals:
                self.took.append(_timed(lambda each=each: recorder.record([each])))
        connection.close()


def _updates() -> tuple[int, int]:
    """Return how many updates of states there were in place, and in all."""
    from django.db import connection

    # A connection reports what it did when it ends, and from time to time.
    connection.close()
    time.sleep(1)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n_tup_hot_upd, n_tup_upd FROM pg_stat_user_tables WHERE relname = 'monitors_monitorstate'"
        )
        in_place, all_of_them = cursor.fetchone()
    return in_place, all_of_them


if __name__ == "__main__":
    main()
