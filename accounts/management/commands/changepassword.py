"""`manage.py changepassword`: Django's command, after which the change is recorded and announced."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import changepassword

from accounts.actors import COMMAND
from accounts.models import User
from accounts.services import sign_in_changes


class Command(changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> Any:
        """Ask for the password and store it; not in one transaction, as people take their time."""
        said = super().handle(*args, **options)
        user = User.objects.with_address(options["username"] or "")
        if user is not None:
            sign_in_changes.password_changed(user=user, by=COMMAND)
        return said
