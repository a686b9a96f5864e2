"""How each fault of a plan begins and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import redis

from bench.chaos.installation import Group, Installation
from bench.chaos.plan import Fault
from tests.support.sinks import Answer, HttpSink

_DISK_MEGABYTES = 64
_LOCKS = {
    "states": "SELECT 1 FROM monitors_monitorstate ORDER BY monitor_id FOR UPDATE",
    "one-state": "SELECT 1 FROM monitors_monitorstate ORDER BY monitor_id LIMIT 1 FOR UPDATE",
    "heartbeats": "LOCK TABLE monitors_heartbeat IN ACCESS EXCLUSIVE MODE",
    "watermark": "SELECT 1 FROM monitors_watermark FOR UPDATE",
    "channels": "SELECT 1 FROM notifications_channel FOR UPDATE",
    "deliveries": "LOCK TABLE notifications_delivery IN ACCESS EXCLUSIVE MODE",
}


class CannotDo(Exception):
    """This machine does not allow this fault."""


class SmallDisk:
    """A file system of a few megabytes under the table of heartbeats, in memory: only root can mount it.

    It is mounted in a mount namespace of this process (see __main__.py), and gone with it.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None

    def mount(self, folder: Path, installation: Installation) -> None:
        """Move the table of heartbeats to a new file system at `folder`, if root is allowed to mount it."""
        folder.mkdir()
        size = f"size={_DISK_MEGABYTES}m"
        mount = ["mount", "-t", "tmpfs", "-o", size, "none", folder]
        if os.geteuid() or subprocess.run(mount, check=False).returncode:
            return
        self._folder = folder
        own = folder / "tablespace"
        own.mkdir()
        os.chown(own, installation.postgres.user_id, -1)
        with psycopg.connect(installation.database, autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{own}'")  # type: ignore[call-overload]
            # The rows are in its partitions.
            partitions = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"
            for (name,) in connection.execute(partitions, ["monitors_heartbeat"]).fetchall():
                connection.execute(f"ALTER TABLE {name} SET TABLESPACE small")

    def unmount(self) -> None:
        """Give it up, when PostgreSQL has ended."""
        if self._folder is not None:
            subprocess.run(["umount", self._folder], check=False)

    def fill(self) -> None:
        if self._folder is None:
            raise CannotDo("only root can mount a small disk")
        with (self._folder / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def clear(self) -> None:
        if self._folder is not None:
            (self._folder / "filling").unlink(missing_ok=True)


class Faults:
    """Begins and ends faults. `sink` is the receiver that misbehaves."""

    def __init__(self, installation: Installation, sink: HttpSink, disk: SmallDisk) -> None:
        self._at, self._sink, self._disk = installation, sink, disk
        self._holders: dict[str, psycopg.Connection] = {}

    def begin(self, fault: Fault) -> None:
        """Begin a fault.

        Raises:
            CannotDo: this machine does not allow it.
        """
        _BEGIN[fault.family](self, fault)

    def end(self, fault: Fault) -> None:
        _END.get(fault.family, Faults._nothing)(self, fault)

    def heal(self) -> None:
        """End every fault, whatever was begun."""
        self._at.resume_servers()
        self._disk.clear()
        self._sink.default = Answer()
        for target in list(self._holders):
            self._unlock(target)
        if self._at.postgres.pid is None:
            self._at.postgres.start()
        if self._at.redis.pid is None:
            self._at.redis.start()
        for group in self._at.groups.values():
            group.send(signal.SIGCONT)
            group.start()

    # --- Processes -------------------------------------------------------------------------------

    def _groups(self, target: str) -> list[Group]:
        """Return the groups of a target: one, all of a role, or all."""
        role, _, number = target.partition("-")
        groups = self._at.groups.values()
        return [
            g for g in groups if target in (g.name, "machine") or (number == "all" and g.name[:-2] == role)
        ]

    def _kill(self, fault: Fault) -> None:
        for group in self._groups(fault.target):
            group.kill()

    def _start(self, fault: Fault) -> None:
        for group in self._groups(fault.target):
            group.start()

    def _stop(self, fault: Fault) -> None:
        for group in self._groups(fault.target):
            group.send(signal.SIGSTOP)
        for server in ("postgres", "redis"):
            if fault.target in (server, "machine"):
                self._at.suspend(server)

    def _go_on(self, fault: Fault) -> None:
        for server in ("postgres", "redis"):
            if fault.target in (server, "machine"):
                self._at.resume(server)
        for group in self._groups(fault.target):
            group.send(signal.SIGCONT)

    # --- Servers ---------------------------------------------------------------------------------

    def _shut_down(self, fault: Fault) -> None:
        if fault.target == "redis-empty":
            self._at.redis.stop()
        else:
            self._at.postgres.stop(crash=fault.target == "postgres-crash")

    def _start_up(self, fault: Fault) -> None:
        server = self._at.redis if fault.target == "redis-empty" else self._at.postgres
        if server.pid is None:
            server.start()

    def _cut(self, fault: Fault) -> None:
        if fault.target == "postgres":
            self._at.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        else:
            with redis.Redis.from_url(self._at.redis.url, socket_timeout=3) as client:
                for kind in ("normal", "pubsub"):
                    client.client_kill_filter(_type=kind, skipme=True)

    def _lock(self, fault: Fault) -> None:
        connection = psycopg.connect(self._at.database, connect_timeout=3)
        self._holders[fault.target] = connection
        # Waiting here must not make everything else wait for long.
        connection.execute("SET lock_timeout = '3s'")
        connection.execute(_LOCKS[fault.target])  # type: ignore[call-overload]

    def _unlock_of(self, fault: Fault) -> None:
        self._unlock(fault.target)

    def _unlock(self, target: str) -> None:
        # Whoever cuts all connections has ended it already.
        with contextlib.suppress(KeyError, psycopg.Error):
            self._holders.pop(target).close()

    def _fill(self, fault: Fault) -> None:
        self._disk.fill()

    def _clear(self, fault: Fault) -> None:
        self._disk.clear()

    def _set_clock(self, fault: Fault) -> None:
        self._at.query("UPDATE clock.step SET seconds = seconds + %s", fault.seconds)

    def _misbehave(self, fault: Fault) -> None:
        self._sink.default = Answer(500) if fault.target == "fails" else Answer(delay=3.0)

    def _behave(self, fault: Fault) -> None:
        self._sink.default = Answer()

    def _nothing(self, fault: Fault) -> None:
        """Some faults are over at once."""


_BEGIN: dict[str, Callable[[Faults, Fault], None]] = {
    "kill": Faults._kill,
    "stop": Faults._stop,
    "sleep": Faults._stop,
    "restart": Faults._shut_down,
    "cut": Faults._cut,
    "lock": Faults._lock,
    "full": Faults._fill,
    "clock": Faults._set_clock,
    "sink": Faults._misbehave,
}
_END: dict[str, Callable[[Faults, Fault], None]] = {
    "kill": Faults._start,
    "stop": Faults._go_on,
    "sleep": Faults._go_on,
    "restart": Faults._start_up,
    "lock": Faults._unlock_of,
    "full": Faults._clear,
    "sink": Faults._behave,
}
