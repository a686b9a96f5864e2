"""Fixtures for the tests of the API."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.api.callers import Caller
from tianji import hints


@pytest.fixture(autouse=True)
def no_hints(monkeypatch):
    """Publish nothing."""
    monkeypatch.setattr(hints, "_publish", lambda task, args: None)


@pytest.fixture
def client():
    """A sender: no session, CSRF checks as for a browser, and server errors as responses."""
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


@pytest.fixture
def writer(workspace):
    """A program with a write key for `workspace`."""
    return Caller(workspace, "write")


@pytest.fixture
def reader(workspace):
    """A program with a read key for `workspace`."""
    return Caller(workspace, "read")
