"""Plain functions that create rows for tests, with sensible defaults."""

from __future__ import annotations

import itertools
from typing import Any

from accounts.models import Membership, Role, User, Workspace
from monitors.models import Monitor
from monitors.services import monitors as monitor_service
from monitors.services import tokens
from notifications.models import Channel

_numbers = itertools.count(1)
PASSWORD = "correct horse battery"


def make_workspace(name: str = "") -> Workspace:
    return Workspace.objects.create(name=name or f"Workspace {next(_numbers)}")


def make_user(*, workspace: Workspace | None = None, role: Role = Role.OWNER, email: str = "") -> User:
    user = User.objects.create_user(email or f"user{next(_numbers)}@example.com", PASSWORD)
    if workspace:
        Membership.objects.create(user=user, workspace=workspace, role=role)
    return user


def make_monitor(*, workspace: Workspace | None = None, name: str = "", **fields: Any) -> Monitor:
    """A monitor as created in the interface: with its state and one push token."""
    return monitor_service.create(
        workspace=workspace or make_workspace(), name=name or f"Monitor {next(_numbers)}", **fields
    )


def secret_of(monitor: Monitor) -> str:
    """The push token of a monitor that has one."""
    secret = tokens.reveal(monitor.tokens.get(revoked_at=None))
    assert secret
    return secret


def make_channel(*, workspace: Workspace, monitors: list[Monitor] | None = None, **fields: Any) -> Channel:
    """A webhook channel for all monitors, or for those given."""
    fields.setdefault("name", f"Channel {next(_numbers)}")
    fields.setdefault("kind", "webhook")
    if fields["kind"] == "webhook":
        fields.setdefault("config", {"url": "http://127.0.0.1:9/"})
    channel = Channel.objects.create(workspace=workspace, all_monitors=monitors is None, **fields)
    channel.monitors.set(monitors or [])
    return channel
