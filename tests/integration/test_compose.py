"""docker-compose.yml, without an engine: its own commands, as processes, on a real PostgreSQL and Redis.

Two web servers, two workers and two Celery Beats at once: each event still makes one incident and one
delivery a channel.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
import yaml

from tests.support.product import EMAIL, PASSWORD, ROOT, START_WITHIN, Person, Process, is_ready, wait_for
from tests.support.servers import Redis, free_port
from tests.support.sinks import HttpSink, notifications_in

OURS = ("prepare", "web", "worker", "beat")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def command_of(service: dict[str, Any]) -> list[str]:
    """The service's command, run from this checkout instead of the image's wheel."""
    program, *arguments = [str(part) for part in service["command"]]
    assert program == "tianji"
    return [sys.executable, "-m", "tianji", *arguments]


def environment_of(service: dict[str, Any], **ours: str) -> dict[str, str]:
    """The service's environment with its `${...}` filled in, and what differs outside a container."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # Null means: from the shell, where it is set; here nothing is.
    given = {name: value for name, value in service["environment"].items() if value is not None}
    declared = {name: _filled_in(str(value), ours) for name, value in given.items()}
    return {**kept, **declared, **ours, "PYTHONUNBUFFERED": "1"}


def _filled_in(value: str, given: dict[str, str]) -> str:
    def replacement(found: re.Match[str]) -> str:
        return given.get(found[1], found[2] or "")

    return re.sub(r"\$\{(\w+)(?::?[-?]([^}]*))?\}", replacement, value)


def test_every_service_has_a_health_check_and_restarts(services: dict[str, Any]):
    for name, service in services.items():
        if name == "prepare":
            # It runs once; what waits for it waits for its exit code.
            continue
        assert service["healthcheck"]["test"], name
        assert service["restart"], name


def test_no_secret_has_a_default(services: dict[str, Any]):
    text = (ROOT / "docker-compose.yml").read_text()
    for secret in ("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        uses = re.findall(r"\$\{" + secret + r"([^}]*)\}", text)
        assert uses, secret
        assert all(use.startswith(":?") for use in uses), f"{secret} must be required: {uses}"


def test_our_services_wait_for_the_database_to_be_prepared(services: dict[str, Any]):
    for name in ("web", "worker", "beat"):
        assert services[name]["depends_on"]["prepare"]["condition"] == "service_completed_successfully"


class Stack:
    """The compose file's processes: web and its addresses, workers, Celery Beats."""

    def __init__(self, urls: list[str], processes: list[Process], database: str, folder: str) -> None:
        self.urls, self.processes, self.database, self.folder = urls, processes, database, folder

    def alive(self, number: int) -> Path:
        """The file that a process touches."""
        return Path(self.folder) / f"alive-{number}"

    def output(self) -> str:
        """What the processes printed, for a failure's message."""
        return "\n".join(f"{process.name}:\n{process.output}" for process in self.processes)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def stack(services: dict[str, Any], postgres_url: str, own_redis: Redis) -> Iterator[Stack]:
    name = f"compose_{os.getpid()}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
    database = postgres_url.rsplit("/", 1)[0] + "/" + name
    with tempfile.TemporaryDirectory() as data, contextlib.ExitStack() as running:
        ports = [free_port(), free_port()]
        shared = {
            "DATABASE_URL": database,
            "REDIS_URL": own_redis.url,
            "SECRET_KEY": "compose-test-" + "k" * 50,
            "TIANJI_DATA": data,
            "TIANJI_STATIC": str(Path(data) / "static"),
            "TIANJI_HOST": "127.0.0.1",
            "TIANJI_URL": f"http://127.0.0.1:{ports[0]}",
            "TIANJI_ALLOW_PRIVATE_WEBHOOKS": "127.0.0.0/8",
            "TIANJI_ADMIN_EMAIL": EMAIL,
            "TIANJI_ADMIN_PASSWORD": PASSWORD,
        }
        # Twice at once, as two hosts might.
        preparing = [
            Process(command_of(services["prepare"]), environment_of(services["prepare"], **shared))
            for _ in range(2)
        ]
        assert [process.wait(START_WITHIN) for process in preparing] == [0, 0], (
            preparing[0].output + preparing[1].output
        )
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        processes = []
        for service, port in (
            *(("web", ports[0]), ("web", ports[1])),
            *(("worker", ports[0]), ("worker", ports[0])),
            *(("beat", ports[0]), ("beat", ports[0])),
        ):
            own = {"TIANJI_PORT": str(port), "TIANJI_ALIVE": f"{data}/alive-{len(processes)}"}
            environment = environment_of(services[service], **shared, **own)
            process = Process(command_of(services[service]), environment, name=service)
            running.callback(process.stop)
            processes.append(process)
        for url in urls:
            wait_for(
                lambda url=url: is_ready(url), seconds=START_WITHIN, describe=lambda: processes[0].output
            )
        yield Stack(urls, processes, database, data)


def test_two_of_everything_make_one_incident_and_one_delivery_an_event(stack: Stack):
    with HttpSink() as web, Person(stack.urls[0]) as person:
        person.submit("/channels/new/webhook/", name="Ops", url=web.url, scope="all", enabled="on")
        monitors = [
            person.create_monitor(f"monitor {number}", timeout="2", grace="0") for number in range(20)
        ]
        paths = [monitor.push_url.removeprefix(stack.urls[0]) for monitor in monitors]

        def push_all() -> None:
            for number, path in enumerate(paths):
                answer = requests.post(stack.urls[number % 2] + path, timeout=10)
                assert answer.text == '{"ok":true}'

        def notified() -> Counter[tuple[str, str]]:
            return Counter(each for request in list(web.requests) for each in notifications_in(request.json))

        push_all()
        # The first five at once, the others together when 30 s have passed.
        wait_for(lambda: len(notified()) >= 20, seconds=60, describe=stack.output)
        assert len(web.requests) < 20
        # Time enough for anything that would be told twice.
        time.sleep(2)
        assert notified() == Counter({("incident.opened", f"monitor {n}"): 1 for n in range(20)})
        # So that they stay up now: a relapse that nobody heard the end of would be no news.
        stack.rows("UPDATE monitors_monitor SET timeout = 3600 RETURNING id")
        push_all()
        wait_for(lambda: len(notified()) >= 40, seconds=60, describe=stack.output)
        deliveries = stack.rows(
            "SELECT incident_id, event FROM notifications_delivery WHERE incident_id IS NOT NULL"
            " GROUP BY 1, 2 HAVING count(*) > 1"
        )
        assert deliveries == []
        sent = Counter(request.headers["webhook-id"] for request in web.requests)
        assert set(sent.values()) == {1}, "a delivery was sent twice"
        open_twice = stack.rows(
            "SELECT monitor_id FROM monitors_incident WHERE resolved_at IS NULL"
            " GROUP BY monitor_id HAVING count(*) > 1"
        )
        assert open_twice == []
    for process in stack.processes:
        assert process.running(), process.output
        assert "Traceback" not in process.output, process.output


def test_losing_every_hint_and_the_broker_for_a_while_changes_only_latency(stack: Stack, own_redis: Redis):
    with HttpSink() as web, Person(stack.urls[0]) as person:
        person.submit("/channels/new/webhook/", name="Second", url=web.url, scope="all", enabled="on")
        monitor = person.create_monitor("through an outage", timeout="1 h")
        own_redis.stop()
        for url in (monitor.push_url + "?status=up", monitor.push_url + "?status=down&msg=broken"):
            answer = requests.post(url, timeout=10)
            assert answer.status_code == 200, answer.text
        time.sleep(1)
        own_redis.start()
        wait_for(lambda: web.requests, seconds=60, describe=stack.output)
        assert web.requests[0].json["monitor"]["name"] == "through an outage"
        assert web.requests[0].json["message"] == "broken"


# --- Health checks -------------------------------------------------------------------------------

WORKER, BEAT = 2, 4
IN_THE_IMAGE = "/tmp/alive"  # noqa: S108  (of a container, which has it to itself)


def is_healthy(service: dict[str, Any], alive: Path) -> bool:
    """Whether a service's check, which looks at the file in the image, is content with `alive`."""
    kind, script = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert IN_THE_IMAGE in script
    ran = subprocess.run(["sh", "-c", script.replace(IN_THE_IMAGE, str(alive))], check=False)
    return ran.returncode == 0


def grow_old(alive: Path) -> None:
    os.utime(alive, (time.time() - 120, time.time() - 120))


@pytest.mark.parametrize(("name", "number"), [("worker", WORKER), ("beat", BEAT)])
def test_what_works_is_healthy_and_what_hangs_is_not(
    services: dict[str, Any], stack: Stack, name: str, number: int
):
    alive, process = stack.alive(number), stack.processes[number]
    assert process.name == name
    wait_for(lambda: is_healthy(services[name], alive), seconds=30, describe=stack.output)
    process.signal(signal.SIGSTOP)
    try:
        grow_old(alive)
        time.sleep(8)
        assert not is_healthy(services[name], alive)
    finally:
        process.signal(signal.SIGCONT)
    wait_for(lambda: is_healthy(services[name], alive), seconds=30, describe=stack.output)


def test_a_worker_without_redis_is_not_healthy_and_is_again_with_it(
    services: dict[str, Any], stack: Stack, own_redis: Redis
):
    alive = stack.alive(WORKER)
    own_redis.stop()
    try:
        # One may just be under way.
        time.sleep(6)
        grow_old(alive)
        time.sleep(8)
        assert not is_healthy(services["worker"], alive)
    finally:
        own_redis.start()
    wait_for(lambda: is_healthy(services["worker"], alive), seconds=60, describe=stack.output)


def test_a_check_takes_next_to_no_processor_time(services: dict[str, Any], stack: Stack):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(10):
        is_healthy(services["worker"], stack.alive(WORKER))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 10
    assert used < 0.05
