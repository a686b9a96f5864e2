"""`make dev`: a changed file shows within seconds, a broken one too, and Ctrl-C ends all of it.

In a copy of the checkout, so that no other test meets the changes.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.support.product import ROOT, Process, environment_of, wait_for
from tests.support.servers import free_port
from tianji import paths

# A change is looked for twice a second; stopping and starting takes the rest.
_WITHIN = 120.0
_EDIT = """
_unedited = application


async def application(scope, receive, send):
    async def edited(message):
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-edited", b"yes")]
        await send(message)

    await _unedited(scope, receive, edited)
"""


class Checkout:
    """A copy of the checkout in which `make dev` runs."""

    def __init__(self, folder: Path, process: Process, url: str) -> None:
        self.folder, self.process, self.url = folder, process, url

    def append(self, name: str, text: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(text)

    def replace(self, name: str, before: str, after: str) -> None:
        text = (self.folder / name).read_text()
        assert before in text
        (self.folder / name).write_text(text.replace(before, after))

    def sign_in_page(self) -> requests.Response | None:
        return self.page("/accounts/login/")

    def page(self, path: str) -> requests.Response | None:
        """Return a page, whatever its status; None while the web server is restarted."""
        try:
            return requests.get(f"{self.url}{path}", timeout=10)
        except requests.RequestException:
            return None

    def roles(self) -> dict[str, int]:
        """The process id of the web server, the worker and Celery Beat."""
        (supervisor,) = psutil.Process(self.process.pid).children()
        found = {}
        for child in supervisor.children():
            # One that ended a moment ago has no command line.
            with contextlib.suppress(psutil.Error):
                line = " ".join(child.cmdline())
                for role, part in (("web", "runtime.web"), ("worker", " worker "), ("beat", " beat ")):
                    if part in line:
                        found[role] = child.pid
        return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A copy that all tests share, until the last of them ends it."""
    tmp_path = tmp_path_factory.mktemp("checkout")
    for name in (*paths.PACKAGES, "templates", "static", "locale"):
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", "Makefile", "requirements"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    # As if everything had been installed there: this interpreter's environment is used instead.
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("bin/python", ".dev-installed"):
        (tmp_path / ".venv" / name).touch()
    port = free_port()
    environment = environment_of(tmp_path, port)
    for name in ("TIANJI_DATA", "TIANJI_STATIC", "TIANJI_ALLOW_PRIVATE_WEBHOOKS"):
        del environment[name]
    process = Process(
        ["make", "dev", f"BIN={Path(sys.executable).parent}", "DEMO_DAYS=2"],
        environment,
        name="make dev",
        cwd=tmp_path,
    )
    try:
        process.line_with("Tianji is running at", seconds=180)
        yield Checkout(tmp_path, process, f"http://127.0.0.1:{port}")
    finally:
        if process.running():
            process.stop()


def test_changes_show_and_a_mistake_is_survived(checkout: Checkout):
    assert (checkout.folder / "data" / "dev" / "tianji.sqlite3").is_file()
    before = checkout.roles()
    assert before.keys() == {"web", "worker", "beat"}
    assert "Sign in at" in checkout.process.output

    checkout.append("tianji/asgi.py", _EDIT)
    checkout.process.line_with("tianji/asgi.py changed; restarting.")
    wait_for(lambda: (page := checkout.sign_in_page()) and "X-Edited" in page.headers, seconds=_WITHIN)
    after = wait_for(lambda: len(now := checkout.roles()) == 3 and now, seconds=_WITHIN)
    assert not set(before.values()) & set(after.values())

    checkout.append("tianji/asgi.py", "this is no Python\n")
    wait_for(lambda: checkout.sign_in_page() is None, seconds=_WITHIN)
    checkout.replace("tianji/asgi.py", "this is no Python\n", "")
    wait_for(checkout.sign_in_page, seconds=_WITHIN)

    checkout.replace("templates/account/login.html", "{% endblock content %}", "edited{% endblock content %}")
    wait_for(
        lambda: (page := checkout.sign_in_page()) and "edited" in page.text,
        seconds=_WITHIN,
        describe=lambda: checkout.process.output,
    )


def test_errors_are_shown_in_full_and_ctrl_c_ends_everything(checkout: Checkout):
    wait_for(
        lambda: (
            (missing := checkout.page("/no/such/page/")) is not None
            and missing.status_code == 404
            and "DEBUG = True" in missing.text
        ),
        seconds=_WITHIN,
    )
    family = psutil.Process(checkout.process.pid).children(recursive=True)
    assert len(family) >= 4
    # As a terminal does it: everything in the foreground gets the signal, and the supervisor's children
    # are not in it.
    family[0].send_signal(signal.SIGINT)
    checkout.process.wait(30)
    assert "Stopped." in checkout.process.output
    assert psutil.wait_procs(family, timeout=10)[1] == []
