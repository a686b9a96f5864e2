"""`manage.py restore`: from a backup of `manage.py backup` into an empty database."""

from __future__ import annotations

import io
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tianji.backup import keys
from tianji.backup.errors import in_a_sentence
from tianji.backup.format import Reader, Summary
from tianji.backup.restore import QUIET, Options, restore


class Command(BaseCommand):
    help = (
        "Restores a backup of `tianji backup` into an empty database, and migrates it to this version. "
        "If it fails or is interrupted, the database is as it was before."
    )

    # They are about the program, and delay the start.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="The backup; - for standard input.")
        parser.add_argument(
            "--check",
            action="store_true",
            help="Only read the backup, check that it is whole, and say what is in it.",
        )
        parser.add_argument(
            "--with-another-key",
            action="store_true",
            help="Restore it even if SECRET_KEY is not the one with which its secrets were encrypted.",
        )

    def handle(self, *args: Any, file: str, check: bool, with_another_key: bool, **options: Any) -> None:
        if check:
            with in_a_sentence("The backup is not usable."), _opened(file) as opened:
                self._say_what(Reader(opened).check())
            return
        with in_a_sentence("Nothing was restored."), _opened(file) as opened:
            summary = restore(opened, Options(with_another_key=with_another_key))
        self._say(
            f"Restored {summary}.",
            "The time since then is a gap: no monitor goes down because of it. Notifications that waited "
            f"then wait for another {QUIET.total_seconds() / 60:.0f} minutes. Everyone has to sign in again.",
            "Now start Tianji.",
        )

    def _say_what(self, summary: Summary) -> None:
        header = summary.header
        fits = "fits" if keys.fits(header.key) else "does not fit"
        self._say(
            f"The backup is whole: {summary}.",
            f"It was made by Tianji {header.tianji} on {header.database}. SECRET_KEY {fits}.",
            *(f"{count:>12,}  {name:<40} {summary.digests[name]}" for name, count in summary.counts.items()),
        )

    def _say(self, *lines: str) -> None:
        self.stdout.write("\n".join(lines))


@contextmanager
def _opened(file: str) -> Iterator[io.BufferedReader]:
    if file != "-":
        with open(file, "rb") as opened:
            yield opened
        return
    if sys.stdin.isatty():
        raise CommandError("Name the file of a backup, or redirect standard input.")
    assert isinstance(sys.stdin.buffer, io.BufferedReader)
    yield sys.stdin.buffer
