"""The product as in production: separate processes that can be killed, stopped and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.rows import dict_row

from bench.chaos.plan import BEAT, WEB, WORKER
from tests.support.prepared import FOLDER, ROOT, bare_environment
from tests.support.product import START_WITHIN, manage, wait_for
from tests.support.servers import Postgres, Redis, free_port

# Ended processes are started again after this time, as a container engine does.
_RESTART_SECONDS = 1.0
# The clock that the product asks for, in a schema that is searched before PostgreSQL's own functions.
_CLOCK = """
CREATE SCHEMA clock;
CREATE TABLE clock.step (seconds double precision NOT NULL);
INSERT INTO clock.step VALUES (0);
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  'SELECT pg_catalog.clock_timestamp() + (SELECT seconds FROM clock.step) * interval ''1 second''';
"""


class Group:
    """A process and all below it, in a session of their own; what they print goes to a file."""

    def __init__(self, name: str, environment: dict[str, str], log: Path) -> None:
        self.name, self._environment, self._log = name, environment, log
        self._process: subprocess.Popen[bytes] | None = None
        # Whether it is meant to run: a fault may keep it away.
        self.wanted = False
        self.exits: list[int] = []
        self._ended_at = 0.0

    def start(self) -> None:
        self.wanted = True
        if self.running():
            return
        role, _, _number = self.name.partition("-")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                manage("run", role),
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """Kill all of it, as a power cut does; it stays away until it is started."""
        self.wanted = False
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(20)

    def look_after(self) -> None:
        """Start it again if it has ended although it should run."""
        if not self.wanted or self._process is None or self.running():
            return
        if not self._ended_at:
            self._ended_at = time.monotonic()
            self.exits.append(self._process.returncode)
            # Nothing of it may keep the port.
            self.send(signal.SIGKILL)
        elif time.monotonic() - self._ended_at >= _RESTART_SECONDS:
            self._ended_at = 0.0
            self.start()


class Installation:
    """Two web processes, two workers and two Celery Beats on PostgreSQL and Redis."""

    def __init__(self, postgres: Postgres, redis: Redis, database: str, folder: Path) -> None:
        self.postgres, self.redis, self.database = postgres, redis, database
        self.ports = [free_port() for _ in WEB]
        self.settings = {
            "DATABASE_URL": database,
            "REDIS_URL": redis.url,
            "SECRET_KEY": "chaos-only-" + "x" * 50,
            # Several processes are there already.
            "TIANJI_WEB_WORKERS": "1",
            "TIANJI_URL": f"http://127.0.0.1:{self.ports[0]}",
        }
        self.folder = folder
        (folder / "data").mkdir()
        ports = [*self.ports, *(self.ports[0] for _ in (*WORKER, *BEAT))]
        self.groups = {
            name: Group(name, self.environment(port), folder / f"{name}.log")
            for name, port in zip((*WEB, *WORKER, *BEAT), ports, strict=True)
        }
        self._over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def environment(self, port: int) -> dict[str, str]:
        """Return the environment of a process, a web server's with its port."""
        ours = {
            "TIANJI_DATA": str(self.folder / "data"),
            "TIANJI_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
            # The receivers are on this machine.
            "TIANJI_ALLOW_PRIVATE_WEBHOOKS": "127.0.0.0/8",
        }
        if made := os.environ.get(FOLDER):
            ours["TIANJI_STATIC"] = f"{made}/static"
        return {**bare_environment(), **ours, **self.settings}

    def prepare(self) -> None:
        """Migrate the database, and give it a clock that can be set."""
        with (self.folder / "prepare.log").open("wb") as log:
            subprocess.run(
                manage("prepare"),
                cwd=ROOT,
                env=self.environment(self.ports[0]),
                stdout=log,
                stderr=log,
                check=True,
                timeout=START_WITHIN,
            )
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(_CLOCK)
            name = connection.info.dbname
            # No table is created after this, which would be in the schema of the clock.
            connection.execute(f'ALTER DATABASE "{name}" SET search_path = clock, pg_catalog, public')  # type: ignore[call-overload]

    def start(self) -> None:
        for group in self.groups.values():
            group.start()
        self._supervisor.start()

    def wait_until_ready(self, *, seconds: float = START_WITHIN) -> None:
        wait_for(
            lambda: all(_is_ready(port) for port in self.ports), seconds=seconds, describe="both web servers"
        )

    def _supervise(self) -> None:
        while not self._over.wait(0.25):
            for group in self.groups.values():
                group.look_after()

    def end(self) -> None:
        """Kill every process of the product; the servers are left to those who started them."""
        self._over.set()
        if self._supervisor.ident is not None:
            self._supervisor.join(10)
        self.resume_servers()
        for group in self.groups.values():
            group.kill()

    def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run a statement in the product's database and commit it; return its rows."""
        with psycopg.connect(self.database, row_factory=dict_row, connect_timeout=3) as connection:
            cursor = connection.execute(statement, values)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    # --- Servers ---------------------------------------------------------------------------------

    def suspend(self, server: str) -> None:
        """Stop every process of "postgres" or "redis" where it is (SIGSTOP)."""
        for process in self.processes_of(server):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self, server: str) -> None:
        for process in self.processes_of(server):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def resume_servers(self) -> None:
        self.resume("postgres")
        self.resume("redis")

    def processes_of(self, server: str) -> Iterator[psutil.Process]:
        """Yield the processes of a server, the parent first: while it is stopped it makes no more."""
        pid = (self.postgres if server == "postgres" else self.redis).pid
        if pid is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid)
            yield parent
            yield from parent.children(recursive=True)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def pids_of(groups: Iterable[Group]) -> list[int]:
    """Return the processes of `groups` that are there, also of those that have lost their parent."""
    sessions = {group._process.pid for group in groups if group._process is not None}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found
