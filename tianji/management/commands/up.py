"""`manage.py up`: the whole product in one command, with SQLite, and a folder as the broker."""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from accounts.services import setup
from tianji import cli, paths
from tianji.runtime import beat_schedule, forks, static_files
from tianji.runtime.forks import Fork
from tianji.runtime.processes import ROLES, become, command, management
from tianji.runtime.reload import Files
from tianji.runtime.supervisor import Child, Supervisor

_PATIENCE = 30.0
_CHECK_FOR_CHANGES_EVERY = 0.5


class Command(BaseCommand):
    help = "Runs everything: web server, worker and Celery Beat. Stop it with Ctrl-C."

    # They are about the program, not about this installation, and loading all pages delays the start.
    requires_system_checks = []
    _announced = _complained = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--reload",
            action="store_true",
            help="For development: restarts everything when a file changes.",
        )
        parser.add_argument(
            "--demo",
            nargs="?",
            const="",
            metavar="PASSWORD",
            help="Fills an empty installation with sample data, keeps pushing to it, and prints what the "
            "channels send to this machine. PASSWORD is for signing in; a random one otherwise.",
        )
        parser.add_argument("--demo-days", metavar="DAYS", help="Days of history in the sample data.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["reload"] and not paths.is_checkout():
            raise CommandError("--reload is for a checkout; an installed program doesn't change.")
        data: Path = settings.TIANJI_DATA
        with paths.writing("TIANJI_DATA", data):
            # It contains sessions, password hashes and the secret key.
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _lock(data / "up.lock")
        # Held until this process exits, for whatever reason.
        with lock:
            _require_free_port(settings.TIANJI_HOST, settings.TIANJI_PORT)
            self.say(f"Data folder: {data}")
            demo: str | None = options["demo"]
            self._apart("prepare", self._prepare)
            if demo is not None:
                # Before the processes start: on SQLite, one transaction writes at a time.
                days = [f"--days={options['demo_days']}"] if options["demo_days"] else []
                fill = partial(call_command, "demo", f"--password={demo}", *days, stdout=self.stdout)
                self._apart("demo", fill)
            receiver = [Child("sink", [sys.executable, "-m", "tianji.demo.sink"], essential=False)]
            supervisor = Supervisor(
                [*(receiver if demo is not None else []), *_roles(reload=options["reload"])],
                say=self.say,
                environment={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            reloader = _Reloader(supervisor) if options["reload"] else None
            started = time.monotonic()

            def meanwhile() -> None:
                if self._announce_once(started) and demo is not None:
                    supervisor.add(Child("demo", management("demo", "--live"), essential=False))
                if reloader:
                    reloader.check()

            supervisor.run(meanwhile=meanwhile)
            self.say("Stopped.")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _apart(self, name: str, run: Callable[[], object]) -> None:
        """Call `run` in a fork, so that this process keeps neither its connections nor its memory.

        Raises:
            SystemExit: it failed, and has said why.
        """
        if not forks.AVAILABLE:
            run()
            connections.close_all()
            return

        def reporting() -> None:
            try:
                run()
            except CommandError as error:
                self.stderr.write(f"{type(error).__name__}: {error}")
                sys.exit(error.returncode)
            except cli.FAULTS as error:
                sys.exit(cli.sentence_of(error))

        if code := Fork(name, reporting).wait():
            sys.exit(abs(code))

    def _prepare(self) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        static_files.collect()
        for fault in beat_schedule.faults():
            self.say(f"Warning: {fault}")
        if settings.TIANJI_ADMIN_EMAIL and setup.is_needed():
            self.say(f"Created the owner account {setup.create_owner_from_settings()}.")

    def _announce_once(self, started: float) -> bool:
        """Print the address as soon as the site responds; return whether it was printed now."""
        if self._announced:
            return False
        if _is_ready():
            self._announced = True
            self.say(f"Tianji is running at {settings.TIANJI_URL}/ (press Ctrl-C to stop)")
            self._apart("setup-link", self._say_setup_link)
            return True
        if time.monotonic() - started > _PATIENCE and not self._complained:
            self._complained = True
            self.say(f"Not ready after {_PATIENCE:.0f} s, still trying. See the messages above.")
        return False

    def _say_setup_link(self) -> None:
        if setup.is_needed():
            self.say(f"Create the first account: {settings.TIANJI_URL}{setup.new_link()}")


def _roles(*, reload: bool) -> list[Child]:
    """Return the processes of the product: forks of this one, unless they must read changed files."""
    if reload or not forks.AVAILABLE:
        return [Child(role, command(role)) for role in ROLES]
    forks.load()
    return [Child(role, run=partial(become, role)) for role in ROLES]


class _Reloader:
    """Restarts the processes when a file of the program has changed."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.files = Files(paths.home())
        self.next_check = 0.0

    def check(self) -> None:
        if time.monotonic() < self.next_check:
            return
        if changed := self.files.changed():
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            self.supervisor.say(f"{changed[0]}{more} changed; restarting.")
            if any("migrations" in path.parts for path in changed):
                # In another process: this one knows only the migrations that it started with.
                subprocess.run(management("migrate", "--verbosity", "0"), check=False)
            self.supervisor.restart()
        self.next_check = time.monotonic() + _CHECK_FOR_CHANGES_EVERY


def _lock(path: Path) -> IO[str]:
    """Take the data folder's lock and return it; raises CommandError if another process holds it."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise CommandError(
            f"Tianji is already running on the data folder {path.parent} ({owner}). "
            "Stop it first, or set TIANJI_DATA to another folder."
        ) from None
    file.truncate(0)
    file.write(f"process {os.getpid()}, {settings.TIANJI_URL}")
    file.flush()
    # A fork would hold the lock for as long as it runs.
    os.register_at_fork(after_in_child=file.close)
    return file


def _require_free_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"Cannot listen on {host} port {port}: {error.strerror or error}. "
                "Set TIANJI_PORT or TIANJI_HOST to change it."
            ) from None


def _is_ready() -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.TIANJI_HOST, settings.TIANJI_HOST)
    # Not urllib, which would use a proxy from the environment.
    link = http.client.HTTPConnection(host, settings.TIANJI_PORT, timeout=2)
    try:
        link.request("GET", "/readyz")
        return link.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()
