"""`manage.py demo`: sample data for developers, screenshots and browser tests."""

from __future__ import annotations

import secrets
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tianji.demo import channels, fill, live, people

_HELP = """
Creates a workspace named Demo with 40 monitors in all states, 30 days of history, incidents, three channels
and maintenance windows, and prints how to sign in. Running it again changes nothing.
With --live it keeps pushing to the monitors until Ctrl-C, and lets some of them fail.
"""


class Command(BaseCommand):
    help = _HELP.strip()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reset", action="store_true", help="recreate the workspace Demo")
        parser.add_argument(
            "--yes",
            action="store_true",
            help="run even if the database has other workspaces; they are not changed",
        )
        parser.add_argument(
            "--password",
            default="",
            help=f"password for {people.OWNER} (default: a random one, which is printed)",
        )
        parser.add_argument(
            "--days", type=float, default=fill.DAYS, help="days of history (default %(default)g; 2 to 90)"
        )
        parser.add_argument("--seed", type=int, default=fill.SEED, help="random seed of the history")
        parser.add_argument(
            "--sink",
            default=channels.SINK,
            metavar="URL",
            help="URL that the ntfy and webhook channels send to (default %(default)s; received by "
            "python -m tianji.demo.sink)",
        )
        parser.add_argument("--live", action="store_true", help="then keep pushing until Ctrl-C")
        parser.add_argument(
            "--url",
            default=settings.TIANJI_URL,
            help="address that --live pushes to (default %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 2 <= options["days"] <= 90:
            raise CommandError("--days must be 2 to 90.")
        others = people.others_with_data()
        if others and not options["yes"]:
            names = ", ".join(f"“{each}”" for each in others[:3])
            raise CommandError(
                f"This database is in use: it has monitors in {names}. "
                "Use --yes to add the sample workspace anyway; the others are not changed."
            )
        self._make(options)
        if options["live"]:
            live.push(options["url"], seed=options["seed"], say=self._say)

    def _make(self, options: dict[str, Any]) -> None:
        there = people.workspace()
        if there is not None and options["reset"]:
            self._say("Removing the workspace Demo")
            fill.remove(there)
            there = None
        if there is not None:
            self._say("The workspace Demo already exists; use --reset to recreate it.")
            if options["password"]:
                people.set_password(options["password"])
                self._say_how_to_sign_in(options["password"])
            return
        password = options["password"] or secrets.token_urlsafe(9)
        began = time.monotonic()
        fill.fill(
            password=password,
            sink=options["sink"].rstrip("/"),
            days=options["days"],
            seed=options["seed"],
            say=self._say,
        )
        self._say(f"Done in {time.monotonic() - began:.0f} s.")
        self._say_how_to_sign_in(password)

    def _say_how_to_sign_in(self, password: str) -> None:
        self._say(f"Sign in at {settings.TIANJI_URL}/ as {people.OWNER} with the password {password}")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
