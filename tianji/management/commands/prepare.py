"""`manage.py prepare`: the one-time work before the processes start."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection

from accounts.services import setup
from monitors.services import partitions
from tianji.runtime import beat_schedule, static_files

# Any number will do, as long as all containers use the same.
_ADVISORY_LOCK = 7_215_001
_ASK_AGAIN_SECONDS = 0.2


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
        with _one_at_a_time():
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


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Make containers that start at the same time migrate one after the other."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        # Another container's migrations may take longer than any request may wait.
        cursor.execute(
            "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"
        )
        connection.connection.respond_within = None
        # Asked again and again: a statement that waits would keep the other container from creating an index
        # concurrently, which waits for all others.
        while not _has_lock(cursor):
            time.sleep(_ASK_AGAIN_SECONDS)
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_ADVISORY_LOCK])


def _has_lock(cursor: Any) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ADVISORY_LOCK])
    return bool(cursor.fetchone()[0])
