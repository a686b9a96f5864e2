"""`manage.py setup_link`: prints a new setup link."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.services import setup


class Command(BaseCommand):
    help = "Prints a new one-time link for creating the first owner. Earlier links stop working."

    def handle(self, *args: Any, **options: Any) -> None:
        if not setup.is_needed():
            raise CommandError("An account already exists. Sign in with it.")
        self.stdout.write(f"{settings.TIANJI_URL}{setup.new_link()}")
