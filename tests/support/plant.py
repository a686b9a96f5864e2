"""The product on PostgreSQL and Redis, as processes that tests start and kill."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row
from requests.cookies import RequestsCookieJar

from tests.support.product import (
    EMAIL,
    PASSWORD,
    START_WITHIN,
    Person,
    Process,
    environment_of,
    is_ready,
    manage,
    wait_for,
)
from tests.support.servers import free_port


class Plant:
    """The product on PostgreSQL and Redis, each process by itself, to be killed and started."""

    def __init__(self, database: str, environment: dict[str, str], url: str) -> None:
        self.database, self.environment, self.url = database, environment, url
        self.cookies: RequestsCookieJar | None = None
        self.processes: dict[str, list[Process]] = {}

    def start(self, role: str, **settings: str) -> Process:
        process = Process(manage("run", role), {**self.environment, **settings}, fork=True)
        self.processes.setdefault(role, []).append(process)
        return process

    def kill(self, role: str) -> None:
        """Kill all processes of a role with all below them, as a power cut does."""
        for process in self.processes.pop(role, []):
            kill_all(process)

    def stop(self, *roles: str) -> None:
        """Ask the processes of `roles` to stop, and wait; by default all."""
        for role in roles or list(self.processes):
            for process in self.processes.pop(role, []):
                process.stop()

    def wait_until_ready(self) -> None:
        wait_for(
            lambda: is_ready(self.url),
            seconds=START_WITHIN,
            describe=lambda: self.processes["web"][0].output,
        )

    def query(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.database, row_factory=dict_row) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def deliveries(self) -> list[dict[str, Any]]:
        return self.query(
            "SELECT d.*, (SELECT count(*) FROM notifications_deliveryattempt a WHERE a.delivery_id = d.id)"
            " AS attempts FROM notifications_delivery d ORDER BY id"
        )

    def let_the_lease_run_out(self) -> None:
        """Make what is being sent as much older; the clock is the database's and cannot be turned."""
        self.query(
            "UPDATE notifications_delivery SET next_attempt_at = next_attempt_at - interval '61 seconds'"
            " WHERE status = 'sending'"
        )

    def let_retries_come(self) -> None:
        self.query("UPDATE notifications_delivery SET next_attempt_at = now() WHERE status = 'pending'")
        self.query("UPDATE notifications_channel SET paused_until = NULL")

    def add_channels(self, *addresses: str) -> None:
        with self.person() as person:
            for number, address in enumerate(addresses):
                fields = {"name": f"c{number}", "url": address, "scope": "all", "enabled": "on"}
                person.submit("/channels/new/webhook/", **fields)

    def monitor(self, name: str) -> str:
        """Create a monitor and return its push URL."""
        with self.person() as person:
            return person.create_monitor(name).push_url

    def person(self) -> Person:
        """Return the owner, who signs in the first time and stays signed in."""
        if self.cookies is None:
            with Person(self.url) as person:
                self.cookies = person.session.cookies
        return Person(self.url, cookies=self.cookies)


def kill_all(process: Process) -> None:
    """Kill a process with all below it."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.signal(signal.SIGKILL)
    for child in children:
        subprocess.run(["kill", "-9", child], check=False)
    process.wait(10)


@contextlib.contextmanager
def standing_plant(database: str, redis_url: str) -> Iterator[Plant]:
    """A product with an owner, none of whose processes runs yet.

    Args:
        database: empty, or a migrated one, which takes less time.
    """
    with tempfile.TemporaryDirectory() as data:
        port = free_port()
        environment = environment_of(
            Path(data),
            port,
            DATABASE_URL=database,
            REDIS_URL=redis_url,
            SECRET_KEY="telling-" + "k" * 50,
            TIANJI_ADMIN_EMAIL=EMAIL,
            TIANJI_ADMIN_PASSWORD=PASSWORD,
        )
        done = Process(manage("prepare"), environment, fork=True)
        assert done.wait(START_WITHIN) == 0, done.output
        made = Plant(database, environment, f"http://127.0.0.1:{port}")
        try:
            yield made
        finally:
            made.stop()
