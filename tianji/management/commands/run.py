"""`manage.py run web|worker|beat`: one of Tianji's processes, as containers start them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from tianji.runtime.processes import ROLES, become


class Command(BaseCommand):
    help = "Runs one of Tianji's processes in the foreground: the web server, a worker or Celery Beat."

    # `prepare` runs them. They are about the program, and loading all pages for them delays the start.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("role", choices=ROLES)

    def handle(self, *args: Any, role: Any, **options: Any) -> None:
        become(role)
