"""What the tests of notifications share."""

from __future__ import annotations

import pytest

from tianji import hints


@pytest.fixture(autouse=True)
def hinted(monkeypatch):
    """The tasks that hints asked for; nothing is published."""
    tasks: list[str] = []
    monkeypatch.setattr(hints, "_publish", lambda task, args: tasks.append(task))
    return tasks
