"""`manage.py change_email`: gives an account another email address."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from accounts.actors import COMMAND
from accounts.addresses import require_plain
from accounts.models import User
from accounts.services import email_changes


class Command(BaseCommand):
    help = "Gives an account another email address at once, as people can't do without a mail server."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("old", help="The email address that the account has.")
        parser.add_argument("new", help="The one that it is to have.")

    def handle(self, *args: Any, **options: Any) -> None:
        old, new = options["old"], options["new"].strip()
        user = User.objects.with_address(old)
        if user is None:
            raise CommandError(f"There is no account with the address {old}.")
        try:
            validate_email(new)
            require_plain(new)
        except ValidationError as error:
            raise CommandError(f"{new!r} is not an email address: {' '.join(error.messages)}") from error
        try:
            user = email_changes.change_to(user=user, email=new, by=COMMAND)
        except email_changes.AddressTaken:
            raise CommandError(f"Another account has the address {new}.") from None
        self.stdout.write(f"The account {old} now has the address {user.email}.")
