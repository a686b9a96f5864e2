"""The product as users run it: `manage.py up` as a process, used by a person over HTTP."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import requests
from requests.cookies import RequestsCookieJar

from tests.support import forked
from tests.support.prepared import (
    EMPTY,
    PASSWORD,
    ROOT,
    WITH_WORKSPACES,
    bare_environment,
    owner_of,
    prepared,
)
from tests.support.servers import free_port

EMAIL = "owner@example.com"
# What a start takes is not what most tests are about, and a busy machine takes its time.
START_WITHIN = 180.0
T = TypeVar("T")


def wait_for(
    what: Callable[[], T],
    *,
    seconds: float,
    every: float = 0.1,
    describe: str | Callable[[], str] = "",
) -> T:
    """Return the first true result of `what`; fail if there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        if time.monotonic() > deadline:
            description = describe() if callable(describe) else describe
            raise AssertionError(f"not within {seconds} s: {description or what}")
        time.sleep(every)
    return answer


def is_ready(url: str) -> bool:
    """Whether the site at `url` reports that it is ready."""
    try:
        return requests.get(f"{url}/readyz", timeout=10).status_code == 200
    except requests.RequestException:
        return False


def environment_of(data: Path, port: int, **more: str) -> dict[str, str]:
    """Return the environment of a product of its own on `data` and `port`."""
    ours = {
        "TIANJI_DATA": str(data),
        "TIANJI_PORT": str(port),
        # Collected once for all products of a test run; what it holds depends on the checkout alone.
        "TIANJI_STATIC": str(prepared() / "static"),
        "PYTHONUNBUFFERED": "1",
        # The tests' receivers are on this machine.
        "TIANJI_ALLOW_PRIVATE_WEBHOOKS": "127.0.0.0/8,::1",
    }
    return {**bare_environment(), **ours, **more}


def migrated(data: Path, database: str = EMPTY) -> Path:
    """Put a database that is migrated into a data folder, as most starts find it; return the folder."""
    shutil.copy(prepared() / database, data / EMPTY)
    return data


class Process:
    """A process whose output is kept line by line.

    Args:
        fork: for a command line of the product, where its start is not what is tested: spare it the import
            of the libraries.
    """

    def __init__(
        self,
        argv: list[str],
        environment: dict[str, str],
        *,
        name: str = "",
        cwd: Path = ROOT,
        fork: bool = False,
    ) -> None:
        self.name = name or argv[-1]
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | forked.Fork
        if fork and forked.can_have(environment):
            self._process = forked.Fork(argv, environment, cwd=cwd)
        else:
            self._process = subprocess.Popen(
                argv, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(line.rstrip() for line in iter(self._process.stdout.readline, ""))

    def _drain(self) -> None:
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def line_with(self, text: str, *, seconds: float = START_WITHIN) -> str:
        """Wait for a line that contains `text` and return it."""
        return wait_for(
            lambda: next((line for line in list(self.lines) if text in line), ""),
            seconds=seconds,
            describe=lambda: f"a line with {text!r} in:\n{self.output}",
        )

    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        code = self._process.wait(seconds)
        self._drain()
        return code

    def stop(self) -> int:
        """Ask the process to stop and wait; kill it if it does not."""
        if self.running():
            self._process.terminate()
        try:
            return self.wait(25)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self.wait(5)
            raise


def manage(*arguments: str) -> list[str]:
    return [sys.executable, "manage.py", *arguments]


@contextlib.contextmanager
def up(*, with_workspaces: bool = False, fork: bool = True, **settings: str) -> Iterator[Up]:
    """A running `manage.py up` in a temporary, migrated data folder on a free port.

    With an owner, or else `with_workspaces`: with those of the files of tests, one of which `Up.of` returns.

    Args:
        fork: as of `Process`.
    """
    with tempfile.TemporaryDirectory(prefix="tianji-up-") as folder:
        port, data = free_port(), migrated(Path(folder), WITH_WORKSPACES if with_workspaces else EMPTY)
        settings = {"TIANJI_ADMIN_EMAIL": EMAIL, "TIANJI_ADMIN_PASSWORD": PASSWORD, **settings}
        process = Process(manage("up"), environment_of(data, port, **settings), fork=fork)
        try:
            # A busy machine takes its time.
            process.line_with("Tianji is running at")
            yield Up(process, data, f"http://127.0.0.1:{port}")
        finally:
            process.stop()


class Up:
    """What a test holds of a running product: where it is, and who is at home there."""

    def __init__(self, process: Process, data: Path, url: str, email: str = EMAIL) -> None:
        self.process, self.data, self.url, self.email = process, data, url, email

    def of(self, workspace_name: str) -> Up:
        """Return the same product as the owner of a workspace sees it."""
        return Up(self.process, self.data, self.url, owner_of(workspace_name))

    @cached_property
    def _jar(self) -> RequestsCookieJar:
        # A safe password takes the server a third of a second: the owner signs in once.
        with Person(self.url, email=self.email) as person:
            return person.session.cookies

    @property
    def cookies(self) -> list[dict[str, str]]:
        """The cookies of the owner, who is signed in, as a browser's context takes them."""
        return [{"name": n, "value": v, "url": self.url} for n, v in self._jar.get_dict().items()]

    def person(self) -> Person:
        """Return the owner, who is signed in."""
        return Person(self.url, email=self.email, cookies=self._jar)


class Person:
    """A user of the pages: signs in, fills in forms, reads; all over HTTP, including the CSRF token."""

    def __init__(self, url: str, *, email: str = EMAIL, cookies: RequestsCookieJar | None = None) -> None:
        self.url, self.email = url, email
        self.session = requests.Session()
        # Else each request looks through the whole environment for a proxy, which is not for this machine.
        self.session.trust_env = False
        if cookies:
            self.session.cookies.update(cookies)

    def __enter__(self) -> Person:
        if "sessionid" not in self.session.cookies:
            self.submit("/accounts/login/", login=self.email, password=PASSWORD)
        return self

    def __exit__(self, *exception: object) -> None:
        self.session.close()

    def read(self, path: str) -> str:
        answer = self.session.get(self.url + path, timeout=20)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return answer.text

    def submit(self, path: str, **fields: str | list[str]) -> requests.Response:
        """Fill in the form at `path` and send it; return the page it leads to."""
        self.session.get(self.url + path, timeout=20)
        token = self.session.cookies.get("csrftoken", "")
        answer = self.session.post(
            self.url + path,
            data={"csrfmiddlewaretoken": token, **fields},
            headers={"Referer": self.url + path},
            timeout=20,
        )
        assert answer.status_code == 200, f"{path}: {answer.status_code}\n{answer.text}"
        return answer

    def submit_to(self, path: str, **fields: str | list[str]) -> requests.Response:
        """Press a button whose form goes to `path`, which has no page of its own."""
        token = self.session.cookies.get("csrftoken", "")
        return self.session.post(
            self.url + path,
            data={"csrfmiddlewaretoken": token, **fields},
            headers={"Referer": self.url + "/"},
            timeout=20,
        )

    def create_monitor(self, name: str, **fields: str) -> Created:
        """Create a monitor with the form; return the URL of its page, and the push URL shown there once."""
        fields = {"kind": "interval", "timeout": "60", "grace": "", **fields}
        page = self.submit("/monitors/new/", name=name, **fields)
        found = re.search(re.escape(self.url) + r"/api/push/\w+", page.text)
        assert found, f"no push URL on the page of {name}:\n{page.text}"
        return Created(page.url.removeprefix(self.url), found[0])


class Created:
    """A monitor as its creator sees it."""

    def __init__(self, path: str, push_url: str) -> None:
        self.path, self.push_url = path, push_url
