"""Caddy and nginx with the files of deploy/ in front of the product: HTTPS, headers, and many web servers."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import tools
from tests.support.certificates import certificate_for
from tests.support.plant import Plant, standing_plant
from tests.support.product import ROOT, START_WITHIN, Process, is_ready, manage, wait_for
from tests.support.proxies import Names, Proxy, caddy, for_version, nginx
from tests.support.servers import Redis, free_port
from tests.support.slow_clients import SlowClients, answers_of, head

CADDY, NGINX = tools.program("caddy"), tools.program("nginx")
ADDRESSES = ("127.0.0.1", "127.0.0.2")
# What senders may claim, and must not be believed: the address that Tianji sees is 127.0.0.1.
CLAIMS = [{name: "203.0.113.9"} for name in ("X_Forwarded_For", "X-Forwarded_For", "X_FORWARDED-FOR")]
SPOOFS = [*CLAIMS, {"X-Forwarded-For": "203.0.113.9"}, {"Forwarded": "for=203.0.113.9"}]

needs_caddy = pytest.mark.skipif(CADDY is None, reason="Caddy is not installed")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture(scope="module")
def plant(migrated_database: Callable[[str], str], own_redis: Redis) -> Iterator[Plant]:
    """Two web servers on one port of two addresses."""
    with standing_plant(migrated_database("proxied"), own_redis.url) as made:
        made.environment |= {
            "TIANJI_PUSH_RATE": "0",
            "TIANJI_TRUST_PROXY": "true",
            "TIANJI_WEB_WORKERS": "1",
            "TIANJI_URL": "https://localhost",
            "TIANJI_ALLOWED_HOSTS": "*",
        }
        for address in ADDRESSES:
            made.start("web", TIANJI_HOST=address)
        port = made.environment["TIANJI_PORT"]
        for address in ADDRESSES:
            wait_for(lambda url=f"http://{address}:{port}": is_ready(url), seconds=START_WITHIN)
        yield made


class Sender:
    """A monitor with its push path, and what its heartbeats say of their sender."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        command = Process(
            manage("create_api_key", "--name", "proxies", "--scope", "write"), plant.environment
        )
        assert command.wait(START_WITHIN) == 0, command.output
        self.key = command.lines[-1]
        made = requests.post(
            f"{plant.url}/api/v1/monitors/",
            json={"name": "behind proxies", "schedule": {"kind": "interval", "timeout": 60}},
            headers={"Authorization": f"Bearer {self.key}", "X-Forwarded-Proto": "https"},
            timeout=20,
        )
        assert made.status_code == 201, made.text
        self.path = made.json()["push_url"].removeprefix("https://localhost")

    def sources(self) -> set[str]:
        """Return the addresses that heartbeats came from, and those of what was done over the API."""
        rows = self._plant.query(
            "SELECT host(source) AS source FROM monitors_heartbeat"
            " UNION SELECT host(address) FROM accounts_auditentry WHERE action = 'monitor.changed'"
        )
        return {row["source"] for row in rows}

    def change(self, url: str, **options: Any) -> int:
        """Change the monitor over the API; return the status of the response."""
        where = f"{url}/api/v1/monitors/by-slug/behind-proxies/"
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        found = requests.get(where, headers=headers, timeout=20, **options)
        assert found.status_code == 200, found.text
        body = {"description": f"at {time.monotonic()}"}
        where = f"{url}/api/v1/monitors/{found.json()['id']}/"
        return requests.patch(where, json=body, headers=headers, timeout=20, **options).status_code


@pytest.fixture(scope="module")
def sender(plant: Plant) -> Sender:
    return Sender(plant)


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    with Names(*ADDRESSES) as made:
        yield made


@pytest.fixture(scope="module")
def behind_caddy(plant: Plant, names: Names) -> Iterator[Proxy]:
    assert CADDY is not None
    with caddy(
        CADDY, names, port=int(plant.environment["TIANJI_PORT"]), url="https://localhost:{secure}"
    ) as made:
        yield made


@pytest.fixture(scope="module")
def behind_nginx(plant: Plant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    assert NGINX is not None
    certificate, key = certificate_for("localhost", tmp_path_factory.mktemp("certificate"))
    port = int(plant.environment["TIANJI_PORT"])
    addresses = [f"{address}:{port}" for address in ADDRESSES]
    with nginx(NGINX, addresses, certificate=certificate, key=key) as made:
        yield made


@pytest.fixture(
    params=[
        pytest.param("behind_caddy", marks=needs_caddy),
        pytest.param("behind_nginx", marks=needs_nginx),
    ]
)
def proxy(request: pytest.FixtureRequest) -> Proxy:
    made: Proxy = request.getfixturevalue(request.param)
    return made


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_header_with_underscores_beats_the_proxys(plant: Plant, sender: Sender, claim: dict[str, str]):
    """Sent to the web server itself, as by a proxy that lets them through."""
    proxys = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
    assert requests.get(plant.url + sender.path, headers={**claim, **proxys}, timeout=20).status_code == 200
    assert sender.change(plant.url, headers={**claim, **proxys}) == 200
    assert sender.sources() == {"127.0.0.1"}


@pytest.mark.parametrize("claim", SPOOFS)
def test_behind_a_proxy_the_senders_address_is_its_own(proxy: Proxy, sender: Sender, claim: dict[str, str]):
    for url in (f"http://localhost:{proxy.plain}", f"https://localhost:{proxy.secure}"):
        answer = requests.post(url + sender.path, headers=claim, verify=proxy.authority, timeout=20)
        assert answer.status_code == 200
    assert sender.change(f"https://localhost:{proxy.secure}", headers=claim, verify=proxy.authority) == 200
    assert sender.sources() == {"127.0.0.1"}


def test_pages_are_redirected_to_https_and_pushes_are_not(proxy: Proxy, sender: Sender):
    plain = f"http://localhost:{proxy.plain}"
    page = requests.get(f"{plain}/accounts/login/?next=/", allow_redirects=False, timeout=20)
    assert page.status_code == 308
    assert page.headers["Location"].endswith("/accounts/login/?next=/")
    assert page.headers["Location"].startswith("https://localhost")
    for method in ("GET", "HEAD", "POST"):
        answer = requests.request(method, plain + sender.path, allow_redirects=False, timeout=20)
        assert answer.status_code == 200
    page = requests.get(
        f"https://localhost:{proxy.secure}/accounts/login/",
        allow_redirects=False,
        verify=proxy.authority,
        timeout=20,
    )
    assert page.status_code == 200
    assert "Secure" in page.headers["Set-Cookie"]


def test_slow_clients_of_a_proxy_hold_up_nobody(proxy: Proxy, sender: Sender):
    plain, secure = f"http://localhost:{proxy.plain}", f"https://localhost:{proxy.secure}"
    with SlowClients(f"http://127.0.0.1:{proxy.plain}") as clients:
        slow = clients.open(120, head("POST", sender.path, "Content-Length: 10000"), "x" * 9_000)
        clients.open(64, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Half: ")
        began = time.monotonic()
        assert requests.get(plain + sender.path, timeout=20).status_code == 200
        page = requests.get(f"{secure}/accounts/login/", verify=proxy.authority, timeout=20)
        assert page.status_code == 200
        assert time.monotonic() - began < 5
        # They are given up, by the proxy or by the web server behind it, and recorded nothing.
        assert all(b" 200 " not in line for line in answers_of(slow, seconds=40))


@needs_caddy
def test_caddy_serves_this_machine_without_https(behind_caddy: Proxy):
    for host in ("localhost", "127.0.0.1", "anything.example"):
        url = f"http://127.0.0.1:{behind_caddy.inside}/livez"
        assert requests.get(url, headers={"Host": host}, timeout=20).json() == {"status": "ok"}


@needs_caddy
def test_caddy_without_https_hangs_up_on_its_ports(plant: Plant, names: Names):
    assert CADDY is not None
    with caddy(CADDY, names, port=int(plant.environment["TIANJI_PORT"]), url="http://localhost:8000") as made:
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{made.plain}/", timeout=20)
        assert requests.get(f"http://127.0.0.1:{made.inside}/livez", timeout=20).status_code == 200


@needs_caddy
def test_caddy_finds_web_servers_that_come_and_go(
    plant: Plant, names: Names, behind_caddy: Proxy, sender: Sender
):
    url = f"http://127.0.0.1:{behind_caddy.inside}{sender.path}"
    try:
        # As after `--scale web=1`, or with a container that is gone.
        for addresses in (ADDRESSES[:1], ADDRESSES[1:], ("127.0.0.3", ADDRESSES[0]), ADDRESSES):
            names.addresses = list(addresses)
            until = time.monotonic() + 3
            while time.monotonic() < until:
                assert requests.get(url, timeout=30).status_code == 200
    finally:
        names.addresses = list(ADDRESSES)


@needs_caddy
def test_caddy_logs_no_push_url_when_nobody_answers(plant: Plant, sender: Sender):
    assert CADDY is not None
    with Names() as nobody, caddy(CADDY, nobody, port=int(plant.environment["TIANJI_PORT"])) as made:
        answer = requests.get(f"http://127.0.0.1:{made.inside}{sender.path}", timeout=40)
        assert answer.status_code in (502, 503)
        token = sender.path.rpartition("/")[2]
        made.process.line_with('"status":50', seconds=10)
        assert token not in made.process.output


@needs_nginx
def test_nginx_logs_no_push_url_when_nobody_answers(tmp_path: Path):
    assert NGINX is not None
    certificate, key = certificate_for("localhost", tmp_path)
    with nginx(NGINX, [f"127.0.0.1:{free_port()}"], certificate=certificate, key=key) as made:
        for scheme, port in (("http", made.plain), ("https", made.secure)):
            url = f"{scheme}://localhost:{port}/api/push/tjp_secret"
            assert requests.get(url, verify=made.authority, timeout=20).status_code == 502
        page = f"https://localhost:{made.secure}/an-address"
        assert requests.get(page, verify=made.authority, timeout=20).status_code == 502
        made.process.line_with("an-address", seconds=10)
        assert "tjp_secret" not in made.process.output


@needs_caddy
def test_the_documented_lines_for_caddy_are_valid(tmp_path: Path):
    assert CADDY is not None
    page = (ROOT / "docs" / "operations.md").read_text()
    (lines,) = re.findall(r"^```\n(tianji\.example\.com\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "Caddyfile").write_text(for_version(CADDY, lines))
    ran = subprocess.run(
        [CADDY, "adapt", "--validate", "--config", tmp_path / "Caddyfile"],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
