"""Change the settings of a workspace."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts import audit
from accounts.actors import Actor
from accounts.audit import AuditTarget
from accounts.locks import lock_workspace
from accounts.models import AuditEntry, Workspace


def change(*, workspace: Workspace, by: Actor, **changes: Any) -> Workspace:
    """Change the named columns of `workspace`. If nothing differs, nothing is written.

    Raises:
        Workspace.DoesNotExist: it was deleted.
    """
    with transaction.atomic():
        workspace = lock_workspace(workspace)
        changed = sorted(name for name, value in changes.items() if getattr(workspace, name) != value)
        for name in changed:
            setattr(workspace, name, changes[name])
        if changed:
            workspace.save(update_fields=changed)
            target = AuditTarget(workspace.public_id, workspace.name, {"fields": changed})
            audit.record(
                workspace=workspace, by=by, action=AuditEntry.Action.WORKSPACE_CHANGED, target=target
            )
    return workspace
