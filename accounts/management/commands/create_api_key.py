"""Make a key to the management API and print it."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from accounts.actors import COMMAND
from accounts.models import ApiKey, Workspace
from accounts.services import api_keys
from core.clock import database_now

_NAME_LENGTH = 60
_DAYS_MAX = 3650


class Command(BaseCommand):
    help = (
        "Make a key to the management API and print it, alone on the last line. It is shown only this once."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True, help="Which program uses it, such as ci.")
        parser.add_argument(
            "--scope", choices=ApiKey.Scope.values, default=ApiKey.Scope.READ.value, help="Default: read."
        )
        parser.add_argument("--workspace", default="", help="A name or UUID; needed where there are several.")
        parser.add_argument("--expires-days", type=int, help="After how many days it ends; default: never.")

    def handle(self, *args: Any, **options: Any) -> None:
        name, days = options["name"].strip(), options["expires_days"]
        if not 1 <= len(name) <= _NAME_LENGTH:
            raise CommandError(f"Give a name of 1 to {_NAME_LENGTH} characters.")
        if days is not None and not 1 <= days <= _DAYS_MAX:
            raise CommandError(
                f"Give 1 to {_DAYS_MAX} days, or leave --expires-days out for a key that stays."
            )
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
            f"The API key “{name}” ({scope}) of the workspace “{workspace.name}”, shown only this once:"
        )
        self.stdout.write(issued.secret)


def _workspace(wanted: str) -> Workspace:
    """Return the workspace with the name or UUID `wanted`, or the only one.

    Raises:
        CommandError: there is none, or more than one.
    """
    everyone = list(Workspace.objects.order_by("name", "id"))
    if not everyone:
        raise CommandError("There is no workspace yet. Create the first owner: open the set-up link.")
    found = [w for w in everyone if _is(w, wanted)] if wanted else everyone
    if len(found) == 1:
        return found[0]
    problem = (
        f"There is no workspace “{wanted}”."
        if not found
        else f"There are {len(found)} workspaces “{wanted}”; name one by its UUID."
        if wanted
        else "There are several workspaces; name one with --workspace."
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
