"""What the tests of monitors share."""

from __future__ import annotations

import pytest

from core import wakeups
from tests.support.announced import Announced


@pytest.fixture(autouse=True)
def hinted(monkeypatch):
    """The hints that were given, as (task, arguments); nothing is published."""
    given: list[tuple[str, tuple[object, ...]]] = []
    monkeypatch.setattr(wakeups, "_publish", lambda task, args: given.append((task, args)))
    return given


@pytest.fixture
def announced():
    """What the monitors app says about incidents."""
    with Announced() as announced:
        yield announced
