"""`manage.py run web|worker|beat`: one of Tianji's processes, as containers start them."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tianji.runtime.processes import ROLES, command


class Command(BaseCommand):
    help = "Runs one of Tianji's processes in the foreground: the web server, a worker or Celery Beat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", choices=ROLES)

    def handle(self, *args: Any, role: Any, **options: Any) -> None:
        argv = command(role)
        os.execv(argv[0], argv)  # noqa: S606  (the command line is our own)
