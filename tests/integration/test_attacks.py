"""The web server, as it is shipped, against clients that send and read slowly, or nothing at all.

On SQLite, and on PostgreSQL with two web processes. docs/security.md has the limits that these tests hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.support.plant import standing_plant
from tests.support.prepared import prepared
from tests.support.product import Person, up, wait_for
from tests.support.servers import Redis
from tests.support.slow_clients import SlowClients, answers_of, head, is_open, room_for, trickle

# More than there are threads in two processes.
MANY = 64
IDLE, HALF_HEADS = 3_000, 500
# A browser's form: with a cookie, it is read for the token that belongs to it.
FORM = ("Content-Type: application/x-www-form-urlencoded", f"Cookie: csrftoken={'a' * 32}")
SIGN_IN = "/accounts/login/"
HALF_HEAD = "POST /accounts/login/ HTTP/1.1\r\nHost: x\r\nX-Long: "
CHUNKED = "Transfer-Encoding: chunked"


class Site:
    """A running product under attack."""

    def __init__(self, url: str, person: Person, processes: int) -> None:
        self.url, self.processes = url, processes
        self.push_url = person.create_monitor("beside attacks").push_url
        self.push_path = self.push_url.removeprefix(url)

    def slowest(self) -> float:
        """Ask for what must always be answered; return how many seconds the slowest answer took."""
        took = []
        for url in (self.push_url, f"{self.url}/livez", f"{self.url}{SIGN_IN}"):
            started = time.monotonic()
            assert requests.get(url, timeout=30).status_code == 200
            took.append(time.monotonic() - started)
        return max(took)


@pytest.fixture(scope="module", params=["SQLite", "PostgreSQL"])
def site(
    request: pytest.FixtureRequest, migrated_database: Callable[[str], str], own_redis: Redis
) -> Iterator[Site]:
    with room_for(2 * (IDLE + HALF_HEADS) + 1_000):
        if request.param == "SQLite":
            with up(TIANJI_PUSH_RATE="0") as product, product.person() as person:
                yield Site(product.url, person, 1)
        else:
            with standing_plant(migrated_database("attacked"), own_redis.url) as plant:
                plant.start("web", TIANJI_PUSH_RATE="0", TIANJI_WEB_WORKERS="2")
                plant.wait_until_ready()
                with plant.person() as person:
                    yield Site(plant.url, person, 2)


@pytest.mark.slow
def test_pushes_and_pages_are_answered_through_every_kind_of_slow_client_at_once(site: Site):
    with SlowClients(site.url) as clients:
        idle = clients.open(IDLE)
        half_heads = clients.open(
            HALF_HEADS, "POST /accounts/login/ HTTP/1.1\r\nHost: x\r\nX-Long: ", "x" * 2000
        )
        slow = clients.open(MANY, head("POST", SIGN_IN, *FORM, "Content-Length: 30"), "login=")
        slow += clients.open(MANY, head("POST", SIGN_IN, *FORM, CHUNKED), "6\r\nlogin=\r\n")
        # Through a proxy that hands on what it has.
        slow += clients.open(120, head("POST", SIGN_IN, *FORM, "Content-Length: 10000"), "x" * 9_000)
        # So much that a server may believe that the rest will be there at once.
        slow += clients.open(MANY, head("POST", SIGN_IN, *FORM, "Content-Length: 200000"), "x" * 70_000)
        slow += clients.open(40, head("POST", site.push_path, "Content-Length: 30"), "msg=half")
        # Behind requests that are answered at once.
        pipelined = clients.open(
            MANY, head("GET", "/livez") * 20, head("POST", SIGN_IN, *FORM, "Content-Length: 30"), "login="
        )
        trickled = clients.open(MANY, head("POST", SIGN_IN, *FORM, "Content-Length: 1000"), "login=")
        trickled += clients.open(MANY, head("POST", SIGN_IN, *FORM, CHUNKED), "6\r\nlogin=\r\n")
        began = time.monotonic()
        slowest = []
        while time.monotonic() - began < 30:
            slowest.append(site.slowest())
            trickle(trickled[:MANY], b"x")
            trickle(trickled[MANY:], b"1\r\nx\r\n")
            time.sleep(0.7)
        assert max(slowest) < 5, slowest
        # Within their 10 s, all of them were given up, and none was good news.
        assert {line[:12] for line in answers_of(slow[:-40], seconds=1)} == {b"HTTP/1.1 408"}
        assert {line[:12] for line in answers_of(slow[-40:], seconds=1)} == {b"HTTP/1.1 400"}
        assert {line[:12] for line in answers_of(pipelined, seconds=1)} == {b"HTTP/1.1 200"}
        assert not any(map(is_open, trickled))
        # These hold no more than a connection each.
        assert all(map(is_open, idle))
        assert all(map(is_open, half_heads))


@pytest.mark.slow
def test_clients_that_do_not_read_hold_up_nobody(site: Site):
    static = prepared() / "static"
    largest = max(static.rglob("*.js*"), key=lambda path: path.stat().st_size)
    assert largest.stat().st_size > 1_000_000
    path = f"/static/{largest.relative_to(static)}"
    with SlowClients(site.url) as clients:
        readers = clients.open(MANY, head("GET", path), receives=4096)
        readers += clients.open(MANY, head("GET", path, "Range: bytes=1-"), receives=4096)
        time.sleep(2)
        assert max(site.slowest() for _ in range(3)) < 5
        assert answers_of(readers[:1], seconds=5) == [b"HTTP/1.1 200 OK"]
    assert requests.get(f"{site.url}{path}", timeout=30).content == largest.read_bytes()


def test_a_body_that_is_too_large_is_refused(site: Site):
    with SlowClients(site.url) as clients:
        announced = clients.open(1, head("POST", SIGN_IN, *FORM, "Content-Length: 2621441"))
        chunked = clients.open(1, head("POST", SIGN_IN, *FORM, CHUNKED), "280001\r\n", b"x" * 0x280001)
        assert {line[:12] for line in answers_of(announced + chunked, seconds=20)} == {b"HTTP/1.1 413"}


def test_all_bodies_of_a_process_share_a_room(site: Site):
    """Large ones find none in the end, and small ones still do."""
    # In half of 32 MiB, so many of them find room.
    most = 8 * site.processes
    with SlowClients(site.url) as clients:
        large = clients.open(24, head("POST", SIGN_IN, *FORM, "Content-Length: 2000001"), b"x" * 2_000_000)
        waiting = wait_for(lambda: (n := sum(map(is_open, large))) <= most and [n], seconds=20)
        assert requests.post(f"{site.url}{SIGN_IN}", {"login": "x"}, timeout=20).status_code == 403
        assert site.slowest() < 5
        assert waiting[0] > 0
        lines = answers_of(large, seconds=20)
        assert {line[:12] for line in lines} == {b"HTTP/1.1 503", b"HTTP/1.1 408"}
    # And it is given back.
    assert requests.post(f"{site.url}{SIGN_IN}", b"x" * 100_000, timeout=20).status_code == 403


def test_a_head_without_end_is_refused(site: Site):
    with SlowClients(site.url) as clients:
        endless = clients.open(1, HALF_HEAD, "x" * 100_000)
        assert answers_of(endless, seconds=20)[0][:12] == b"HTTP/1.1 431"


def test_many_half_heads_take_bounded_memory(site: Site):
    with SlowClients(site.url) as clients:
        clients.open(500, HALF_HEAD, "x" * 60_000)
        assert site.slowest() < 5
