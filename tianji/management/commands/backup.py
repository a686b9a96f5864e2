"""`manage.py backup`: a backup of the database into a file."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tianji.backup.errors import BackupError, in_a_sentence
from tianji.backup.format import Summary
from tianji.backup.save import complete_file, save, what_else_to_keep


class Command(BaseCommand):
    help = (
        "Writes a backup of the database to a file, also while Tianji is running. "
        "`tianji restore` restores it, into SQLite or PostgreSQL, with this version or a newer one."
    )

    # They are about the program, and delay the start.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="Where to write it, compressed; - for standard output.")

    def handle(self, *args: Any, file: str, **options: Any) -> None:
        with in_a_sentence("No backup was made."):
            summary = self._to_standard_output() if file == "-" else self._to_file(Path(file))
            # The backup itself may go to standard output.
            print(f"Backup of {summary}.", file=sys.stderr)
            print(what_else_to_keep(), file=sys.stderr)

    def _to_standard_output(self) -> Summary:
        if sys.stdout.isatty():
            raise CommandError("A backup is not for reading: name a file, or redirect standard output.")
        try:
            summary = save(sys.stdout.buffer)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            # Nor can Python flush what is left when it exits.
            sys.stdout = None
            raise BackupError("Whoever was to read the backup stopped reading.") from None
        return summary

    def _to_file(self, path: Path) -> Summary:
        with complete_file(path) as file:
            return save(file)
