"""What the tests of the API share."""

from __future__ import annotations

import pytest
from django.test import Client

from tianji import hints


@pytest.fixture(autouse=True)
def no_hints(monkeypatch):
    """Publish nothing."""
    monkeypatch.setattr(hints, "_publish", lambda task, args: None)


@pytest.fixture
def client():
    """A sender: no session, CSRF enforced as for a browser, and server errors come as answers."""
    return Client(enforce_csrf_checks=True, raise_request_exception=False)
