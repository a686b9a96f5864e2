"""The lock of a workspace."""

from __future__ import annotations

from accounts.models import Workspace


def lock_workspace(workspace: Workspace) -> Workspace:
    """Lock `workspace`, so that its settings and members change one at a time; return its current state.

    FOR NO KEY UPDATE: everything in the workspace references its row, and a stronger lock would block all
    new rows that do, such as those of the audit log.

    Raises:
        Workspace.DoesNotExist: it was deleted.
    """
    locked: Workspace = Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)
    return locked
