"""What a web process does between the signal to stop and its end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.product import ROOT, environment_of
from tests.support.servers import free_port
from tianji.runtime import drain
from tianji.runtime.drain import Drained


async def answer(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await send({"type": "http.response.body", "body": b"hello"})


def ask(application: Drained) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []

    async def keep(message: Any) -> None:
        messages.append(message)

    async def run() -> None:
        await application({"type": "http"}, None, keep)  # type: ignore[arg-type]

    asyncio.run(run())
    return messages


def test_responses_leave_connections_open():
    assert ask(Drained(answer))[0]["headers"] == [(b"a", b"b")]


def test_responses_close_their_connections_once_it_stops():
    application = Drained(answer)
    application.closing = True
    start, body = ask(application)
    assert start["headers"] == [(b"a", b"b"), (b"connection", b"close")]
    assert body["body"] == b"hello"


def test_a_process_that_nobody_used_stops_at_once(monkeypatch):
    monkeypatch.setattr(drain, "_listening", list)
    asyncio.run(asyncio.wait_for(Drained(answer).drain(), drain.CLOSING_SECONDS / 2))


_SCRIPT = """
import asyncio, json, os, socket, sys
import django
django.setup()
from tianji.runtime.drain import Drained

async def main():
    server = socket.create_server(("127.0.0.1", 0))
    waiting = socket.create_connection(server.getsockname())
    draining = asyncio.create_task(Drained(None).drain())
    await asyncio.sleep(0.3)
    found = {"done before it accepted": draining.done()}
    late = socket.socket()
    late.settimeout(0.5)
    try:
        late.connect(server.getsockname())
        found["who comes later"] = "connected"
    except ConnectionRefusedError:
        found["who comes later"] = "refused"
    except TimeoutError:
        found["who comes later"] = "waits"
    accepted, _ = server.accept()
    await asyncio.wait_for(draining, 5)
    # The one that came in time can still talk.
    waiting.sendall(b"hello")
    found["who came in time"] = accepted.recv(5).decode()
    print(json.dumps(found))

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such filters")
def test_connections_that_wait_are_accepted_and_no_others(tmp_path: Path):
    environment = environment_of(tmp_path, free_port(), DJANGO_SETTINGS_MODULE="tianji.settings")
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == {
        "done before it accepted": False,
        "who comes later": "waits",
        "who came in time": "hello",
    }
