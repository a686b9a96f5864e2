"""How many pushes Healthchecks' own server takes on this machine, and how many Tianji's does:
`python -m bench.healthchecks FOLDER --python PYTHON`.

FOLDER is a checkout of Healthchecks, and PYTHON the Python in which its requirements are installed, with
uWSGI, which its documentation uses, or else Gunicorn. Nothing of it is part of this repository, or is
installed. Both servers run on one PostgreSQL with its default durability, with 1,000 monitors or checks each,
and are pushed to in turn from 32 connections, of which each push opens a new one, as most senders do. The CPU
time of a push is that of the web server and of PostgreSQL.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench import load
from bench.push import MONITORS, PUSH_RATE, Measured, Web, cpu_of, prepare
from tests.support.servers import Postgres, free_port, postgres

CONNECTIONS = 32
# As in its docker/uwsgi.ini.
_PROCESSES = 4
_FILES = ("manage.py", "hc/wsgi.py", "hc/api/models.py")
_SERVERS = {
    "uwsgi": (
        *("--strict", "--master", "--die-on-term", "--thunder-lock", "--disable-write-exception"),
        *("--http-socket", "127.0.0.1:{port}", "--buffer-size", "32768", "--post-buffering", "16192"),
        *("--processes", str(_PROCESSES), "--enable-threads", "--threads", "1", "--disable-logging"),
        *("--max-fd", "10000", "--module", "hc.wsgi:application"),
    ),
    "gunicorn": (
        *("--bind", "127.0.0.1:{port}", "--workers", str(_PROCESSES), "--log-level", "warning"),
        "hc.wsgi:application",
    ),
}
_CODE = re.compile(r"check ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_CREATE = """
from django.contrib.auth.models import User
from hc.accounts.models import Profile, Project
from hc.api.models import Check

user = User.objects.create_user("bench", "bench@example.org")
Profile.objects.for_user(user)
project = Project.objects.create(owner=user, badge_key="bench")
for number in range({number}):
    print("check", Check.objects.create(project=project, name=f"check {{number}}").code)
"""


def main() -> None:
    options = arguments()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres(durable=True))
        os.environ |= {
            "DATABASE_URL": server.create_database("bench"),
            "SECRET_KEY": "bench-only-" + "x" * 50,
            "REDIS_URL": "",
            "TIANJI_DATA": stack.enter_context(tempfile.TemporaryDirectory()),
            "TIANJI_PUSH_RATE": str(PUSH_RATE),
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
        }
        secrets, _wild = prepare()
        ours = stack.enter_context(Web())
        database = server.create_database("healthchecks")
        theirs = stack.enter_context(Healthchecks(options.of, database, number=MONITORS))
        compare(server, ours, secrets, theirs, seconds=options.seconds, rounds=options.rounds)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options; exits with a message if what they name can't be used."""
    parser = argparse.ArgumentParser(description="Compares Tianji's web server with that of Healthchecks.")
    parser.add_argument("folder", help="a checkout of Healthchecks")
    parser.add_argument("--python", required=True, help="the Python that has its requirements")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a run (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each (default %(default)s)")
    options = parser.parse_args(given)
    try:
        options.of = checkout(options.folder, options.python)
    except Unusable as error:
        parser.error(str(error))
    return options


def compare(
    server: Postgres, ours: Web, secrets: list[str], theirs: Healthchecks, *, seconds: float, rounds: int
) -> None:
    """Push to both in turn, and print what each took."""
    name = f"healthchecks, {theirs.of.server.name}"
    ways = {
        "tianji": (ours.port, ours.process.pid, [f"/api/push/{secret}" for secret in secrets]),
        name: (theirs.port, theirs.process.pid, [f"/ping/{code}" for code in theirs.codes]),
    }
    measured = {way: Measured() for way in ways}
    # The first runs are for warming up.
    for number in range(rounds + 1):
        for way, (port, pid, paths) in ways.items():
            pushes = [load.post(path, close=True) for path in paths]
            before = cpu_of(pid) + cpu_of(server.pid)
            run = load.run(port, pushes, connections=CONNECTIONS, seconds=seconds, fresh=True)
            if number:
                measured[way].cpu.append(cpu_of(pid) + cpu_of(server.pid) - before)
                measured[way].runs.append(run)
            if set(run.statuses) != {200}:
                print(f"{way}: responses other than 200: {run.statuses}")
    print(f"{CONNECTIONS} connections, a new one for each push, median of {rounds} runs of {seconds:.0f} s")
    for way, each in measured.items():
        print(f"  {way:24} {each}")
    print(f"  tianji / healthchecks {measured['tianji'].against(measured[name]):.2f}")


class Unusable(Exception):
    """What the user named is not a checkout, or it can't be started; the text says why."""


@dataclass(frozen=True)
class Checkout:
    """A checkout of Healthchecks, the Python that has its requirements, and the web server beside that."""

    folder: Path
    python: Path
    server: Path


def checkout(folder: str, python: str) -> Checkout:
    """Return what the user named.

    Raises:
        Unusable: it isn't there, or lacks something.
    """
    where = Path(folder).resolve()
    if missing := [name for name in _FILES if not (where / name).is_file()]:
        raise Unusable(f"{where} is not a checkout of Healthchecks: it has no {missing[0]}.")
    # Not resolved: in a virtual environment it is a link.
    runs = Path(python).absolute()
    if not os.access(runs, os.X_OK) or runs.is_dir():
        raise Unusable(f"{runs} is not a Python that can be run.")
    servers = [runs.parent / name for name in _SERVERS if os.access(runs.parent / name, os.X_OK)]
    if not servers:
        raise Unusable(f"Neither uwsgi nor gunicorn is installed in {runs.parent}.")
    return Checkout(where, runs, servers[0])


class Healthchecks:
    """Its web server on a free port, with checks to ping. A context manager.

    Args:
        database: the URL of an empty database of PostgreSQL.
        number: how many checks to create.
    """

    def __init__(self, of: Checkout, database: str, *, number: int) -> None:
        self.of, self.port = of, free_port()
        self._number = number
        self._environment = {**os.environ, **environment(database, self.port)}
        self.codes: list[str] = []

    def __enter__(self) -> Healthchecks:
        self._manage("migrate", "--verbosity", "0")
        self.codes = _CODE.findall(self._manage("shell", "-c", _CREATE.format(number=self._number)))
        if len(self.codes) != self._number:
            raise Unusable(f"{len(self.codes)} of {self._number} checks were created.")
        options = [option.format(port=self.port) for option in _SERVERS[self.of.server.name]]
        self.process = subprocess.Popen([self.of.server, *options], cwd=self.of.folder, env=self._environment)
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.terminate()
        self.process.wait(20)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(
                    f"http://127.0.0.1:{self.port}/ping/{self.codes[0]}", timeout=5
                ).close()
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Unusable(f"Its web server did not answer a ping: {error}") from error
                time.sleep(0.2)

    def _manage(self, *arguments: str) -> str:
        ran = subprocess.run(
            [self.of.python, "manage.py", *arguments],
            cwd=self.of.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise Unusable(f"manage.py {arguments[0]} failed:\n{ran.stderr.strip()}")
        return ran.stdout


def environment(database: str, port: int) -> dict[str, str]:
    """Return the settings of its documentation for this database and port."""
    url = urlsplit(database)
    return {
        "DB": "postgres",
        "DB_HOST": str(url.hostname),
        "DB_PORT": str(url.port),
        "DB_NAME": url.path.lstrip("/"),
        "DB_USER": str(url.username),
        "DB_PASSWORD": url.password or "",
        # It sets its own.
        "DJANGO_SETTINGS_MODULE": "hc.settings",
        "SECRET_KEY": "bench-only-" + "x" * 50,
        "DEBUG": "False",
        "ALLOWED_HOSTS": "127.0.0.1",
        "SITE_ROOT": f"http://127.0.0.1:{port}",
    }


if __name__ == "__main__":
    main()
