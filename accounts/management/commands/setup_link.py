"""Print a new set-up link."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from accounts.services import setup


class Command(BaseCommand):
    help = "Print a new one-time link on which the first owner is created; earlier links stop working."

    def handle(self, *args: Any, **options: Any) -> None:
        if not setup.is_needed():
            raise CommandError("An account exists already; sign in with it.")
        self.stdout.write(f"{settings.TIANJI_URL}{setup.new_link()}")
