"""What users run, run: senders in shell, Python and Node against the real product, with mail and webhook."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.product import Created, Person, Up, wait_for
from tests.support.sinks import HttpSink, SmtpSink

TIMEOUT, GRACE = 3, 1
# Design: people see it within two seconds after the grace.
NOTICED_WITHIN = 2.0

BASH_LOOP = """
while true; do
  curl -fsS -m 5 -X POST "$PUSH_URL?status=up&msg=loop" >/dev/null
  sleep 1
done
"""

BASH_CRON_SCRIPT = """
#!/usr/bin/env bash
"$@"
code=$?
if [ $code -eq 0 ]; then
  curl -fsS -m 5 -X POST "$PUSH_URL?status=up&msg=done"
else
  curl -fsS -m 5 -X POST "$PUSH_URL?status=down&msg=exit+code+$code"
fi
"""

PYTHON_LOOP = """
import os, time, requests
while True:
    requests.post(os.environ["PUSH_URL"], params={"status": "up", "msg": "loop", "value": 12.5}, timeout=5)
    time.sleep(1)
"""

NODE_LOOP = """
const url = process.env.PUSH_URL;
setInterval(() => fetch(`${url}?status=up&msg=loop&value=12.5`, { method: "POST" }), 1000);
"""


class Receivers:
    """The product with both channels, and what they were told of one monitor."""

    def __init__(self, product: Up, person: Person, mail: SmtpSink, web: HttpSink) -> None:
        self.product, self.person, self.mail, self.web = product, person, mail, web
        self.made: list[Created] = []

    def create_monitor(self, name: str, **fields: str) -> Created:
        self.made.append(self.person.create_monitor(name, **fields))
        return self.made[-1]

    def subjects(self, name: str) -> list[str]:
        return [mail.subject for mail in list(self.mail.mails) if name in mail.subject]

    def events(self, name: str) -> list[dict]:
        bodies = [request.json for request in list(self.web.requests)]
        return [body for body in bodies if body["monitor"] and body["monitor"]["name"] == name]

    def wait(self, name: str, count: int, *, seconds: float) -> None:
        wait_for(
            lambda: len(self.subjects(name)) >= count and len(self.events(name)) >= count,
            seconds=seconds,
            describe=f"{count} mails and webhooks about {name}\n{self.product.process.output}",
        )


@pytest.fixture
def receivers(product: Up, mail: SmtpSink) -> Iterator[Receivers]:
    """Channels of each test's own: what falls soon after a monitor of another test would be a storm."""
    with HttpSink() as web, product.person() as person:
        common = {"scope": "all", "enabled": "on"}
        made = [
            person.submit("/channels/new/email/", name="Team", addresses="team@example.com", **common),
            person.submit("/channels/new/webhook/", name="Ops", url=web.url, **common),
        ]
        receivers = Receivers(product, person, mail, web)
        yield receivers
        # Whose sender is gone would fall during the next test.
        for monitor in receivers.made:
            person.submit(f"{monitor.path}pause/")
        for page in made:
            person.submit(page.url.removeprefix(product.url) + "delete/")


@contextlib.contextmanager
def sender(command: list[str], push_url: str) -> Iterator[None]:
    """A sender that runs until the block ends."""
    process = subprocess.Popen(
        command, env={**os.environ, "PUSH_URL": push_url}, start_new_session=True, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        os.killpg(process.pid, 15)
        process.wait(10)


def status_of(receivers: Receivers, monitor: Created) -> str:
    """The status that the monitor's page shows."""
    page = receivers.person.read(monitor.path)
    found = re.findall(r'class="pill pill-(\w+) pill-large"', page)
    assert len(found) == 1, f"{found}\n{page}"
    return str(found[0])


def node() -> list[str]:
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not installed, so the JavaScript sender was not run")
    return [path, "-e", NODE_LOOP]


SENDERS = {
    "bash loop": lambda: ["bash", "-c", BASH_LOOP],
    "Python loop": lambda: [sys.executable, "-c", PYTHON_LOOP],
    "Node loop": node,
}


@pytest.mark.parametrize("name", SENDERS)
def test_a_sender_that_stops_is_detected_and_notified_down_and_up(receivers: Receivers, name: str):
    command = SENDERS[name]()
    monitor = receivers.create_monitor(name, timeout=str(TIMEOUT), grace=str(GRACE))
    with sender(command, monitor.push_url):
        wait_for(lambda: status_of(receivers, monitor) == "up", seconds=10)
        # Longer than the deadline: heartbeats go on arriving and nothing is told.
        time.sleep(TIMEOUT + GRACE + 1)
        assert status_of(receivers, monitor) == "up"
        assert receivers.events(name) == []
    stopped = time.monotonic()
    wait_for(lambda: status_of(receivers, monitor) == "down", seconds=TIMEOUT + GRACE + NOTICED_WITHIN)
    noticed = time.monotonic() - stopped
    assert noticed >= TIMEOUT + GRACE - 1.5, "declared down before the deadline"
    receivers.wait(name, 1, seconds=10)
    with sender(command, monitor.push_url):
        receivers.wait(name, 2, seconds=15)
        assert status_of(receivers, monitor) == "up"
    down, recovered = receivers.events(name)
    assert (down["event"], recovered["event"]) == ("incident.opened", "incident.resolved")
    assert down["incident"]["cause"] == "missed"
    assert down["message"] == "loop"
    assert recovered["incident"]["duration_seconds"] > 0
    assert recovered["incident"]["id"] == down["incident"]["id"]
    first, second = receivers.subjects(name)
    assert first.startswith("Down: ")
    assert second.startswith("Recovered: ")


def test_a_cron_script_reports_the_exit_code_of_its_job(receivers: Receivers):
    name = "nightly backup"
    monitor = receivers.create_monitor(name, timeout="1 h")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "with-heartbeat"
        script.write_text(BASH_CRON_SCRIPT)

        def run(*job: str) -> None:
            environment = {**os.environ, "PUSH_URL": monitor.push_url}
            ran = subprocess.run(
                ["bash", script, *job],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
                timeout=20,
            )
            assert ran.stdout == '{"ok":true}'

        run("true")
        assert status_of(receivers, monitor) == "up"
        run("bash", "-c", "exit 3")
        assert status_of(receivers, monitor) == "down"
        receivers.wait(name, 1, seconds=10)
        run("true")
        receivers.wait(name, 2, seconds=10)
    down, recovered = receivers.events(name)
    assert down["incident"]["cause"] == "reported"
    assert down["message"] == "exit code 3"
    assert recovered["message"] == "done"
    assert "exit code 3" in receivers.mail.mails[-2].text or "exit code 3" in "".join(
        m.text for m in receivers.mail.mails
    )


def test_a_real_cron_line_with_a_late_alert_still_leaves_one_incident(receivers: Receivers):
    """A push after the deadline, before any sweep looked, is one message that says both, or two in order."""
    name = "late by a little"
    monitor = receivers.create_monitor(name, timeout="1", grace="0")
    for _ in range(3):
        subprocess.run(["curl", "-fsS", "-X", "POST", monitor.push_url], check=True, capture_output=True)
        time.sleep(1.4)
    subprocess.run(["curl", "-fsS", "-X", "POST", monitor.push_url], check=True, capture_output=True)
    wait_for(lambda: len(receivers.events(name)) >= 2, seconds=15)
    for event in receivers.events(name):
        assert event["event"] in ("incident.opened", "incident.resolved", "incident.passed")
    ids = [(event["incident"]["id"], event["event"]) for event in receivers.events(name)]
    assert len(ids) == len(set(ids)), "an event was told twice"
