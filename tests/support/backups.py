"""`tianji backup` and `tianji restore` as processes, on databases of either kind."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.support.prepared import EMPTY, ROOT, bare_environment, prepared
from tianji.backup.format import Reader, Summary

KEY = "backup-tests-" + "k" * 50


@dataclass(frozen=True)
class Place:
    """A database, and the data folder of the product that uses it. Without `url`, it is SQLite in there."""

    data: Path
    url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        ours = {"TIANJI_DATA": str(self.data), "SECRET_KEY": KEY, "TIANJI_STATIC": str(prepared() / "static")}
        return {**bare_environment(), **ours, **({"DATABASE_URL": self.url} if self.url else {})}

    @property
    def file(self) -> Path:
        """The database's file on SQLite."""
        return Path(self.url.removeprefix("sqlite:///")) if self.url else self.data / EMPTY

    @property
    def is_postgresql(self) -> bool:
        return self.url.startswith("postgresql")

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tianji", *arguments],
            cwd=ROOT,
            env={**self.environment, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, given: bytes = b"", **settings: str) -> subprocess.CompletedProcess[bytes]:
        process = self.start(*arguments, **settings)
        output, errors = process.communicate(given, timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def done(self, *arguments: str, given: bytes = b"", **settings: str) -> bytes:
        """Run a command that must succeed, and return its output."""
        ended = self.run(*arguments, given=given, **settings)
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout

    def refused(self, *arguments: str, given: bytes = b"", **settings: str) -> str:
        """Run a command that must fail, and return the one line that it says."""
        ended = self.run(*arguments, given=given, **settings)
        said = ended.stderr.decode()
        assert ended.returncode == 1, said
        (line,) = said.splitlines()
        return line

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        if self.is_postgresql:
            with psycopg.connect(self.url) as connection:
                return connection.execute(statement).fetchall()  # type: ignore[call-overload]
        with contextlib.closing(sqlite3.connect(self.file)) as lite:
            return lite.execute(statement).fetchall()

    def execute(self, *statements: str) -> None:
        if self.is_postgresql:
            with psycopg.connect(self.url) as connection:
                for statement in statements:
                    connection.execute(statement)  # type: ignore[call-overload]
            return
        with contextlib.closing(sqlite3.connect(self.file)) as lite, lite:
            for statement in statements:
                lite.execute(statement)

    def leftovers(self) -> list[str]:
        """What a restore that was not finished has left beside the database."""
        if self.is_postgresql:
            return [
                name for (name,) in self.rows("SELECT nspname FROM pg_namespace WHERE nspname ~ '^tianji'")
            ]
        return sorted(path.name for path in self.file.parent.iterdir() if ".restoring" in path.name)


def heartbeats(place: Place, count: int, *, monitor: int, days: int = 30) -> None:
    """Store so many heartbeats of a monitor (its row id), over the last `days`, in one statement."""
    columns = "workspace_id, monitor_id, received_at, status, value, message, source, token_id"
    if place.is_postgresql:
        numbers, at = f"generate_series(1, {count}) AS n", "clock_timestamp() - n * interval '{} seconds'"
        value = "CASE WHEN n % 3 = 0 THEN NULL ELSE n / 7.0 END"
        source = "'192.0.2.7'::inet"
    else:
        counted = f"SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}"
        numbers = f"(WITH RECURSIVE s(n) AS ({counted}) SELECT n FROM s)"
        at = "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (n * {}) || ' seconds') || '123'"
        value, source = "CASE WHEN n % 3 = 0 THEN NULL ELSE n / 7.0 END", "'192.0.2.7'"
    at = at.format(days * 86_400 / count)
    status = "CASE WHEN n % 11 = 0 THEN 'down' ELSE 'up' END"
    place.execute(
        f"INSERT INTO monitors_heartbeat ({columns}) SELECT w.workspace_id, w.id, {at}, {status}, {value},"
        f" 'é ' || n, {source}, NULL FROM {numbers} CROSS JOIN monitors_monitor w WHERE w.id = {monitor}"
    )


def summary_of(backup: bytes | Path) -> Summary:
    """Read a backup, and return how many rows its tables have, and their digests."""
    if isinstance(backup, Path):
        backup = backup.read_bytes()
    return Reader(io.BufferedReader(io.BytesIO(backup))).check()


def differing(one: Summary, other: Summary, *, without: Sequence[str] = ()) -> list[str]:
    """Return the tables whose rows are not the same in both."""
    labels = one.digests.keys() | other.digests.keys()
    return sorted(
        label
        for label in labels
        if label not in without and one.digests.get(label) != other.digests.get(label)
    )


def fill(place: Place, *, released: bool = False) -> None:
    """Store a row in each of our tables, in a database that is prepared; or in an empty one, as released."""
    place.done("shell", "--no-imports", "-c", f"from tests.support import backups; backups._fill({released})")


def _fill(released: bool) -> None:
    """In a process of the place."""
    from django.apps import apps
    from django.contrib.sessions.models import Session
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor
    from django.utils import timezone

    from tests.tianji import test_migrations

    models: Any = apps
    if released:
        executor = MigrationExecutor(connection)
        ours = dict(test_migrations.RELEASED)
        rest = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in ours]
        models = executor.migrate([*rest, *test_migrations.RELEASED]).apps
    # They have one row at most.
    only_row = {"monitors.watermark": {"id": 1}, "monitors.rollupprogress": {"id": 1}}
    test_migrations.SPECIAL.update(only_row)
    made = test_migrations.fill(models, "default")
    group = models.get_model("auth", "Group").objects.create(name="on call")
    made["accounts.user"].groups.add(group)
    made["notifications.channel"].monitors.add(made["monitors.monitor"])
    Session.objects.create(session_key="s" * 32, session_data="secret", expire_date=timezone.now())
    if not released:
        # What waits is compared later after a restore; the tests of that are elsewhere.
        models.get_model("notifications", "Belief").objects.update(check_at=None)
