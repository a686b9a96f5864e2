"""`manage.py prepare`: the one-time work before the processes start."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError

from accounts.services import setup
from monitors.services import partitions
from tianji.runtime import beat_schedule, static_files
from tianji.runtime.patience import one_at_a_time


class Command(BaseCommand):
    help = (
        "Prepares a new version: migrates the database and collects static files. "
        "While no account exists, it creates the owner or prints a setup link."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--static-only",
            action="store_true",
            help="Only collect static files, for the build of an image.",
        )

    def handle(self, *args: Any, static_only: bool, **options: Any) -> None:
        if static_only:
            static_files.collect()
            return
        with one_at_a_time():
            static_files.collect()
            call_command("migrate", interactive=False, verbosity=0)
            self._make_partitions()
            for fault in beat_schedule.faults():
                self.stdout.write(f"Warning: {fault}")
            if not setup.is_needed():
                return
            if settings.TIANJI_ADMIN_EMAIL:
                owner = setup.create_owner_from_settings()
                self.stdout.write(f"Created the owner account {owner}.")
                return
            self.stdout.write(f"Create the first account: {settings.TIANJI_URL}{setup.new_link()}")

    def _make_partitions(self) -> None:
        try:
            partitions.make_ahead()
        except OperationalError as error:
            # Nothing has to wait for them: a worker tries again, and heartbeats are stored without them.
            self.stdout.write(f"Warning: the partitions for heartbeats could not be made: {error}")
