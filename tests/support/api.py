"""The fixtures of tests that use the API over HTTP: a `conftest.py` imports those that its folder needs."""

from __future__ import annotations

import pytest
from django.test import Client

from core import wakeups
from tests.support.callers import Caller

__all__ = ["client", "no_hints", "reader", "writer"]


@pytest.fixture(autouse=True)
def no_hints(monkeypatch):
    """Publish nothing."""
    monkeypatch.setattr(wakeups, "_publish", lambda task, args: None)


@pytest.fixture
def client():
    """A sender: no session, CSRF enforced as for a browser, and server errors come as answers."""
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


@pytest.fixture
def writer(workspace):
    """A program that may change what is in `workspace`."""
    return Caller(workspace, "write")


@pytest.fixture
def reader(workspace):
    """A program that may read what is in `workspace`."""
    return Caller(workspace, "read")
