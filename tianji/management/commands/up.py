"""`manage.py up`: the whole product in one command, with SQLite, and a folder as the broker."""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import time
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from accounts.services import setup
from tianji.runtime import beat_schedule, static_files
from tianji.runtime.processes import ROLES, command
from tianji.runtime.supervisor import Child, Supervisor

_PATIENCE = 30.0


class Command(BaseCommand):
    help = "Runs everything: web server, worker and Celery Beat. Stop it with Ctrl-C."

    # `migrate` runs the same checks, and running them twice would only delay the start.
    requires_system_checks = []
    _announced = _complained = False

    def handle(self, *args: Any, **options: Any) -> None:
        data: Path = settings.TIANJI_DATA
        # It contains sessions, password hashes and the secret key.
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Held until this process exits, for whatever reason.
        with _lock(data / "up.lock"):
            _require_free_port(settings.TIANJI_HOST, settings.TIANJI_PORT)
            self._prepare()
            supervisor = Supervisor(
                [Child(role, command(role)) for role in ROLES],
                say=self.say,
                environment={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            started = time.monotonic()
            supervisor.run(meanwhile=lambda: self._announce_once(started))
            self.say("Stopped.")

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()

    def _prepare(self) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        static_files.collect()
        for fault in beat_schedule.faults():
            self.say(f"Warning: {fault}")
        if settings.TIANJI_ADMIN_EMAIL and setup.is_needed():
            self.say(f"Created the owner account {setup.create_owner_from_settings()}.")

    def _announce_once(self, started: float) -> None:
        if self._announced:
            return
        if _is_ready():
            self._announced = True
            self.say(f"Tianji is running at {settings.TIANJI_URL}/ (press Ctrl-C to stop)")
            if setup.is_needed():
                self.say(f"Create the first account: {settings.TIANJI_URL}{setup.new_link()}")
            connections.close_all()
        elif time.monotonic() - started > _PATIENCE and not self._complained:
            self._complained = True
            self.say(f"Not ready after {_PATIENCE:.0f} s, still trying. See the messages above.")


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
