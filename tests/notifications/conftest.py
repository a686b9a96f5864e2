"""What the tests of notifications share."""

from __future__ import annotations

import pytest

from core import wakeups
from notifications.integrations import kinds
from tests.support.admin_site import root, samples, superuser
from tests.support.memory_integration import Memory

__all__ = ["root", "samples", "superuser"]


@pytest.fixture(autouse=True)
def hinted(monkeypatch):
    """The tasks that hints asked for; nothing is published."""
    tasks: list[str] = []
    monkeypatch.setattr(wakeups, "_publish", lambda task, args: tasks.append(task))
    return tasks


@pytest.fixture
def memory(monkeypatch):
    """Channels of kind "memory" arrive here, those of "single" do not merge, "slow" ones rest 10 s."""
    memory = Memory()
    for kind in (
        memory.kind("memory"),
        memory.kind("single", merges=False),
        memory.kind("slow", spacing=10.0),
    ):
        monkeypatch.setitem(kinds(), kind.slug, kind)
    return memory
