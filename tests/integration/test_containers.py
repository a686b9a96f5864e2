"""What containers and pods run, as processes: the image's own command, Redis and its password, probes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
import requests
import yaml

from tests.support.prepared import ROOT, bare_environment, prepared
from tests.support.product import Process, is_ready, migrated, wait_for
from tests.support.servers import free_port, redis_binaries

DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
KEY = "containers-only-0123456789abcdef-ghijklmnop"


def command_of_the_image() -> list[str]:
    (command,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, *arguments = json.loads(command)
    assert program == "tianji"
    return [sys.executable, "-m", "tianji", *arguments]


def environment_of_the_image(data: Path, port: int, **settings: str) -> dict[str, str]:
    """What the image sets, with folders of a test instead of its own."""
    lines = re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)
    given = dict(part.partition("=")[::2] for line in lines for part in shlex.split(line))
    given = {name: value for name, value in given.items() if name.startswith("TIANJI_")}
    here = {
        "TIANJI_DATA": str(data),
        # Collected by the image's build.
        "TIANJI_STATIC": str(prepared() / "static"),
        "TIANJI_ALIVE": str(data / "alive"),
        "TIANJI_HOST": "127.0.0.1",
        "TIANJI_PORT": str(port),
    }
    assert here.keys() == given.keys()
    return {**bare_environment(), **here, "PYTHONUNBUFFERED": "1", **settings}


def is_healthy(environment: dict[str, str]) -> bool:
    (check,) = re.findall(r"^HEALTHCHECK .*? CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, *arguments = json.loads(check)
    assert program == "python"
    ran = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
    return ran.returncode == 0


def roles_below(process: Process) -> set[str]:
    """The roles that are running as children of a process."""
    children = [" ".join(child.cmdline()) for child in psutil.Process(process.pid).children()]
    return {role for role in ("web", "worker", "beat") if any(f"tianji {role}" in line for line in children)}


def test_the_image_alone_runs_everything_and_says_where_the_first_account_is_made(tmp_path):
    port = free_port()
    environment = environment_of_the_image(migrated(tmp_path), port)
    assert not is_healthy(environment)
    process = Process(command_of_the_image(), environment)
    try:
        process.line_with(f"Tianji is running at http://127.0.0.1:{port}/")
        assert f"http://127.0.0.1:{port}/setup/" in process.line_with("Create the first account")
        assert is_healthy(environment)
        assert roles_below(process) == {"web", "worker", "beat"}
        assert (tmp_path / "secret-key").stat().st_mode & 0o077 == 0
        process.signal(signal.SIGTERM)
        assert process.wait(25) == 0
    finally:
        process.stop()


@pytest.mark.parametrize("in_a_file", [False, True])
def test_with_a_database_the_image_runs_the_web_server_only(tmp_path, in_a_file: bool):
    port = free_port()
    address = f"sqlite:///{migrated(tmp_path) / 'tianji.sqlite3'}"
    (tmp_path / "address").write_text(address)
    where = {"DATABASE_URL_FILE": str(tmp_path / "address")} if in_a_file else {"DATABASE_URL": address}
    process = Process(
        command_of_the_image(), environment_of_the_image(tmp_path, port, SECRET_KEY=KEY, **where)
    )
    try:
        wait_for(lambda: is_ready(f"http://127.0.0.1:{port}"), seconds=120, describe=lambda: process.output)
        assert roles_below(process) == set()
    finally:
        process.stop()


# --- Redis ---------------------------------------------------------------------------------------


@pytest.fixture
def redis_service(tmp_path) -> Iterator[tuple[dict[str, str], int, dict[str, Any]]]:
    """The Compose file's Redis, on a port of its own: its environment, its port, and what the file says."""
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]
    port = free_port()
    server, client = redis_binaries() / "redis-server", redis_binaries() / "redis-cli"
    for name, script in (
        ("redis-server", f'exec "{server}" "$@" --port {port} --bind 127.0.0.1'),
        ("redis-cli", f'exec "{client}" -p {port} "$@"'),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        **dict.fromkeys(service["environment"], "hunter2"),
    }
    # Compose takes two dollars for one.
    command = [str(part).replace("$$", "$") for part in service["command"]]
    process = Process(command, environment, cwd=tmp_path)
    try:
        process.line_with("Ready to accept connections", seconds=30)
        yield environment, port, service
    finally:
        process.stop()


def test_redis_in_the_compose_file_asks_for_its_password(redis_service):
    _environment, port, _service = redis_service
    with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis.from_url(f"redis://:hunter2@127.0.0.1:{port}/0") as ours:
        assert ours.ping()
        settings = ours.config_get("*")
    assert (settings["save"], settings["appendonly"]) == ("", "no")


def test_the_password_of_redis_is_in_no_list_of_processes(redis_service):
    _environment, port, _service = redis_service
    servers = [
        each for each in psutil.process_iter(["cmdline"]) if "redis-server" in str(each.info["cmdline"])
    ]
    assert any(str(port) in str(each.info["cmdline"]) for each in servers)
    assert all("hunter2" not in str(each.info["cmdline"]) for each in servers)


def test_the_check_of_redis_passes(redis_service):
    environment, _port, service = redis_service
    _shell, script = service["healthcheck"]["test"]
    assert subprocess.run(["sh", "-c", script], env=environment, check=False).returncode == 0


# --- Probes --------------------------------------------------------------------------------------


def test_the_probes_of_a_pod_are_answered_where_only_the_public_name_is_allowed(tmp_path):
    (deployment, *_more) = yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / "web.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    program, *arguments = container["command"]
    assert program == "tianji"
    port = free_port()
    public = {"TIANJI_URL": "https://tianji.example.com", "TIANJI_TRUST_PROXY": "true"}
    address = f"sqlite:///{migrated(tmp_path) / 'tianji.sqlite3'}"
    environment = environment_of_the_image(tmp_path, port, SECRET_KEY=KEY, DATABASE_URL=address, **public)
    process = Process([sys.executable, "-m", "tianji", *arguments], environment)

    def answer(probe: dict[str, Any]) -> int:
        asked = probe["httpGet"]
        headers = {header["name"]: header["value"] for header in asked.get("httpHeaders", [])}
        try:
            url = f"http://127.0.0.1:{port}{asked['path']}"
            return requests.get(url, headers=headers, timeout=probe["timeoutSeconds"]).status_code
        except requests.RequestException:
            return 0

    try:
        wait_for(
            lambda: answer(container["readinessProbe"]) == 200, seconds=120, describe=lambda: process.output
        )
        assert answer(container["startupProbe"]) == answer(container["livenessProbe"]) == 200
        # What a kubelet would send otherwise: the address of the pod.
        pod = {"path": "/readyz", "httpHeaders": [{"name": "Host", "value": "10.0.0.7:8000"}]}
        assert answer({"httpGet": pod, "timeoutSeconds": 5}) == 400
    finally:
        process.stop()


def test_the_service_links_that_pods_do_without_would_keep_it_from_starting(tmp_path):
    """A Service named `tianji` gives pods TIANJI_PORT=tcp://..., unless `enableServiceLinks` is false."""
    environment = environment_of_the_image(tmp_path, 1, TIANJI_PORT="tcp://10.0.0.1:80")
    ended = subprocess.run(
        command_of_the_image(), env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "TIANJI_PORT" in ended.stderr
