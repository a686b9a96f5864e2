"""Web servers that stop, start and crash while senders push: what was sent is answered, what was answered is
stored. Directly, and behind the proxies of deploy/.
"""

from __future__ import annotations

import http.client
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.support import tools
from tests.support.plant import Plant, kill_all, standing_plant
from tests.support.product import START_WITHIN, Process, is_ready, up, wait_for
from tests.support.proxies import Names, Proxy, caddy
from tests.support.servers import Redis

CADDY = tools.program("caddy")
# Two web servers on one port, as those of a compose file are.
ADDRESSES = ("127.0.0.1", "127.0.0.2")
PUSHES = 1_000
FORM = "application/x-www-form-urlencoded"


class Senders:
    """Threads that push without a pause, each push with a message of its own, in several ways."""

    def __init__(self, url: str, number: int, *, every: float = 0.0, bodies: bool = True) -> None:
        self._url, self._every, self._bodies = urlsplit(url), every, bodies
        self._numbers = itertools.count()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(number,), daemon=True) for number in range(number)
        ]
        # What was answered with 200, what with something else, and what got no answer after it was sent.
        self.stored: list[str] = []
        self.failed: list[str] = []
        self.lost: list[str] = []

    def __enter__(self) -> Senders:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def wait_for(self, more: int) -> None:
        """Wait until so many more pushes were stored."""
        wanted = len(self.stored) + more
        wait_for(lambda: len(self.stored) >= wanted, seconds=120, describe=self.describe)

    def describe(self) -> str:
        return f"{len(self.stored)} stored, failed: {self.failed[:5]}, lost: {self.lost[:5]}"

    def _send(self, number: int) -> None:
        # Every other sender keeps its connection.
        keeps, connection = bool(number % 2), None
        while not self._stopped.wait(self._every):
            if connection is None:
                connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=30)
            connection = self._push(connection, f"m{next(self._numbers)}", number, keeps=keeps)
        if connection is not None:
            connection.close()

    def _push(
        self, connection: http.client.HTTPConnection, message: str, number: int, *, keeps: bool
    ) -> http.client.HTTPConnection | None:
        fresh = connection.sock is None
        try:
            connection.connect() if fresh else None
        except OSError:
            # Nobody listens: nothing was sent.
            time.sleep(0.05)
            return None
        try:
            if number % 4 < 2 or not self._bodies:
                method = "GET" if number % 4 < 2 else "POST"
                connection.request(method, f"{self._url.path}?msg={message}")
            else:
                connection.request("POST", self._url.path, f"msg={message}", {"Content-Type": FORM})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # One that was kept may be closed between two requests.
            if fresh:
                self.lost.append(f"{message}: {error!r}")
            return None
        if answer.status == 200:
            self.stored.append(message)
        else:
            self.failed.append(f"{message}: {answer.status} {text!r}")
        if keeps and answer.getheader("Connection", "").lower() != "close":
            return connection
        connection.close()
        return None


def test_a_web_server_on_sqlite_that_stops_answers_whoever_reached_it():
    with up(TIANJI_PUSH_RATE="0") as product:
        with product.person() as person:
            url = person.create_monitor("until the end").push_url
        with Senders(url, 16) as senders:
            senders.wait_for(300)
            product.process.stop()
        with closing(sqlite3.connect(product.data / "tianji.sqlite3")) as database:
            stored = [text for (text,) in database.execute("SELECT message FROM monitors_heartbeat")]
    assert (senders.failed, senders.lost) == ([], [])
    assert sorted(stored) == sorted(senders.stored)


@pytest.fixture(scope="module")
def plant(migrated_database: Callable[[str], str], own_redis: Redis) -> Iterator[Plant]:
    with standing_plant(migrated_database("restarted"), own_redis.url) as made:
        made.environment |= {"TIANJI_PUSH_RATE": "0", "TIANJI_TRUST_PROXY": "true", "TIANJI_WEB_WORKERS": "1"}
        yield made


class Pair:
    """Two web servers, each with two processes, behind a proxy."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.port = int(plant.environment["TIANJI_PORT"])
        self._servers: dict[str, Process] = {}

    def start(self, address: str) -> None:
        self._servers[address] = self.plant.start("web", TIANJI_HOST=address)
        wait_for(
            lambda: is_ready(f"http://{address}:{self.port}"),
            seconds=START_WITHIN,
            describe=lambda: self._servers[address].output,
        )

    def stop(self, address: str) -> None:
        assert self._servers[address].stop() == 0

    def kill(self, address: str) -> None:
        kill_all(self._servers[address])

    def push_path(self, name: str) -> str:
        return self.plant.monitor(name).removeprefix(self.plant.url)

    def messages(self, name: str) -> list[str]:
        rows = self.plant.query(
            "SELECT message FROM monitors_heartbeat h JOIN monitors_monitor m ON m.id = monitor_id"
            " WHERE m.name = %s",
            name,
        )
        return [row["message"] for row in rows]


@pytest.fixture(scope="module")
def pair(plant: Plant) -> Pair:
    # Pages are only served under names that the installation has.
    plant.environment["TIANJI_ALLOWED_HOSTS"] = "127.0.0.1,127.0.0.2,localhost"
    made = Pair(plant)
    for address in ADDRESSES:
        made.start(address)
    return made


@pytest.fixture(scope="module")
def proxy(pair: Pair) -> Iterator[Proxy]:
    if CADDY is None:
        pytest.skip("Caddy is not installed")
    with Names(*ADDRESSES) as names, caddy(CADDY, names, port=pair.port) as made:
        yield made


def test_a_web_server_on_postgresql_that_stops_answers_whoever_reached_it(pair: Pair):
    address = ADDRESSES[1]
    path = pair.push_path("stopped")
    with Senders(f"http://{address}:{pair.port}{path}", 16) as senders:
        senders.wait_for(300)
        pair.stop(address)
    pair.start(address)
    assert (senders.failed, senders.lost) == ([], [])
    assert sorted(pair.messages("stopped")) == sorted(senders.stored)


@pytest.mark.parametrize("ends", ["stopped", "killed"])
def test_behind_caddy_no_push_fails_while_web_servers_are_restarted(pair: Pair, proxy: Proxy, ends: str):
    name = f"rolling, {ends}"
    path = pair.push_path(name)
    url = f"http://127.0.0.1:{proxy.inside}{path}"
    with Senders(url, 8, every=0.02, bodies=proxy.repeats_bodies) as senders:
        for address in ADDRESSES:
            senders.wait_for(100)
            (pair.stop if ends == "stopped" else pair.kill)(address)
            senders.wait_for(100)
            pair.start(address)
        senders.wait_for(max(100, PUSHES - len(senders.stored)))
    assert (senders.failed, senders.lost) == ([], [])
    assert len(senders.stored) >= PUSHES
    stored = pair.messages(name)
    assert set(senders.stored) <= set(stored)
    if ends == "stopped":
        # And each once.
        assert sorted(stored) == sorted(senders.stored)
