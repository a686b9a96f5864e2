"""The proxies' files, the compose file and the pages about them agree with the web server and each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitors.heartbeats.body import PUSH_BODY_LIMIT
from tianji.runtime import bodies, drain
from tianji.runtime.processes import command

ROOT = Path(__file__).parents[2]
PROXIES = ("deploy/Caddyfile", "deploy/nginx.conf")


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text_of("docker-compose.yml"))
    return loaded


def option(name: str) -> int:
    """Return the value of an option of the web server."""
    line = command("web")
    return int(line[line.index(name) + 1])


@pytest.mark.parametrize(
    "limit",
    [
        f"{option('--backpressure'):,} at once, and {option('--backlog'):,} more",
        f"| {option('--http1-header-read-timeout') // 1000} s. Tested",
        f"| Head of a request | {option('--http1-buffer-size') // 1024} KiB |",
        f"| {bodies.BODY_SECONDS:.0f} s, {bodies.BODY_MOST / 1_048_576:.1f} MiB, received without a thread |",
        f"| {bodies.BODIES_MOST // 1_048_576} MiB; ones over {bodies.SMALL // 1024} KiB may have half |",
        f"| Body of a push | 10 s, {PUSH_BODY_LIMIT:,} bytes, received without a thread |",
    ],
)
def test_the_page_about_security_has_the_limits(limit: str):
    assert limit in text_of("docs/security.md")


def test_tests_that_the_page_about_security_names_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)`", text_of("docs/security.md"))
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_a_web_server_stops_before_it_is_killed():
    line = command("web")
    allowed = int(line[line.index("--workers-kill-timeout") + 1])
    assert allowed > 2 * drain.CLOSING_SECONDS
    assert int(compose()["services"]["web"]["stop_grace_period"].removesuffix("s")) > allowed


def test_proxies_let_go_of_idle_connections_before_the_web_server_does():
    """Otherwise one would be closed just when a push is sent on it."""
    kept = option("--http1-header-read-timeout") // 1000
    (caddys,) = re.findall(r"^\t+keepalive (\d+)s$", text_of("deploy/Caddyfile"), re.MULTILINE)
    (nginxs,) = re.findall(r"^ +keepalive_timeout (\d+)s;$", text_of("deploy/nginx.conf"), re.MULTILINE)
    assert int(caddys) < kept
    assert int(nginxs) < kept


def test_nginx_takes_the_largest_form():
    (most,) = re.findall(r"client_max_body_size (\d+)m;", text_of("deploy/nginx.conf"))
    assert int(most) * 1_048_576 >= bodies.BODY_MOST


def test_the_compose_files_proxy_has_its_file_its_ports_and_its_address():
    proxy, caddyfile = compose()["services"]["proxy"], text_of("deploy/Caddyfile")
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in proxy["volumes"]}
    assert (ROOT / mounted["/etc/caddy/Caddyfile"]).is_file()
    # Certificates outlive the container.
    assert mounted["/data"] in compose()["volumes"]
    inside = {port.rpartition(":")[2] for port in proxy["ports"]}
    plain = set(re.findall(r"^:(\d+) \{$", caddyfile, re.MULTILINE))
    assert inside == {*plain, "443"}
    given = set(re.findall(r"\{\$(\w+)", caddyfile))
    assert given - {"WEB_HOST", "WEB_PORT"} == set(proxy["environment"])
    # Where they are not given, they lead to the service.
    assert "{$WEB_HOST:web}" in caddyfile
    assert "{$WEB_PORT:8000}" in caddyfile


def test_by_default_pages_are_only_published_on_the_machine_itself():
    ports = compose()["services"]["proxy"]["ports"]
    assert "${PUBLISH:-127.0.0.1:8000}:8000" in ports


def test_every_published_port_can_be_moved_and_is_documented():
    for port in compose()["services"]["proxy"]["ports"]:
        (name,) = re.findall(r"^\$\{(\w+):-", port)
        assert f"`{name}`" in text_of("docs/settings.md"), name


@pytest.mark.parametrize("name", PROXIES)
def test_no_proxy_logs_push_urls_or_redirects_pushes(name: str):
    text = text_of(name)
    if name.endswith("Caddyfile"):
        # Caddy logs requests only with an error, unless it is told to.
        (told,) = re.findall(r"^\s*log\b.*?\n\t\}", text, re.MULTILINE | re.DOTALL)
        assert "request>uri delete" in told
        assert "request>headers delete" in told
    else:
        pushes = re.findall(r"location /api/push \{.*?^    \}", text, re.MULTILINE | re.DOTALL)
        assert len(pushes) == text.count("listen ")
        for block in pushes:
            assert "access_log off;" in block
            assert "error_log stderr crit;" in block
            assert "proxy_pass http://tianji;" in block
