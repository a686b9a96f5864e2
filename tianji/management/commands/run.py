"""`manage.py run web|worker|beat`: one of Tianji's processes, as containers start them."""

from __future__ import annotations

import importlib
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser

from tianji.runtime.processes import ROLES, become


class Command(BaseCommand):
    help = (
        "Runs one of Tianji's processes in the foreground: the web server, a worker or Celery Beat. "
        "Without a role: the web server if DATABASE_URL is set, otherwise everything, as `up` does."
    )

    # `prepare` runs them. They are about the program, and loading all pages for them delays the start.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", nargs="?", choices=ROLES)

    def handle(self, *args: Any, role: Any, **options: Any) -> None:
        if role is None and not settings.DATABASE_URL_IS_SET:
            call_command("up")
            return
        # Here, what is wrong with it is one line; inside Celery, a page.
        importlib.import_module("tianji.celeryconfig")
        become(role or "web")
