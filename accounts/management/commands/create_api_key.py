"""`manage.py create_api_key`: creates a management API key and prints it."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.actors import COMMAND
from accounts.models import KEY_DAYS_MAX, KEY_NAME_LENGTH, ApiKey, Workspace
from accounts.services import api_keys
from core.clock import database_now
from core.text import clean_line


class Command(BaseCommand):
    help = "Creates a management API key and prints it alone on the last line. The key is shown only once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True, help="The program that will use it, such as ci.")
        parser.add_argument(
            "--scope", choices=ApiKey.Scope.values, default=ApiKey.Scope.READ.value, help="Default: read."
        )
        parser.add_argument("--workspace", default="", help="Name or UUID; required if there are several.")
        parser.add_argument("--expires-days", type=int, help="Days until it expires. Default: no expiry.")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["expires_days"]
        try:
            name = clean_line(options["name"])
        except ValidationError as error:
            raise CommandError(f"--name: {' '.join(error.messages)}") from error
        if not 1 <= len(name) <= KEY_NAME_LENGTH:
            raise CommandError(f"--name must be 1 to {KEY_NAME_LENGTH} characters long.")
        if days is not None and not 1 <= days <= KEY_DAYS_MAX:
            raise CommandError(f"--expires-days must be 1 to {KEY_DAYS_MAX}. Leave it out for no expiry.")
        workspace = _workspace(options["workspace"])
        issued = api_keys.issue(
            workspace=workspace,
            name=name,
            scope=options["scope"],
            by=COMMAND,
            expires_at=database_now() + timedelta(days=days) if days else None,
        )
        scope = ApiKey.Scope(issued.key.scope).label.lower()
        self.stdout.write(
            f"API key “{name}” ({scope}) for the workspace “{workspace.name}”, shown only once:"
        )
        self.stdout.write(issued.secret)


def _workspace(wanted: str) -> Workspace:
    """Return the workspace with the name or UUID `wanted`, or the only one.

    Raises:
        CommandError: there is none, or more than one.
    """
    everyone = list(Workspace.objects.order_by("name", "id"))
    if not everyone:
        raise CommandError("There is no workspace yet. Open the setup link to create the first owner.")
    found = [w for w in everyone if _is(w, wanted)] if wanted else everyone
    if len(found) == 1:
        return found[0]
    problem = (
        f"There is no workspace “{wanted}”."
        if not found
        else f"{len(found)} workspaces are named “{wanted}”. Choose one by its UUID."
        if wanted
        else "There are several workspaces. Choose one with --workspace."
    )
    listed = "\n".join(f"  {w.public_id}  {w.name}" for w in found or everyone)
    raise CommandError(f"{problem}\n{listed}")


def _is(workspace: Workspace, wanted: str) -> bool:
    if workspace.name == wanted:
        return True
    try:
        return workspace.public_id == UUID(wanted)
    except ValueError:
        return False
