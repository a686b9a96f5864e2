"""Fixtures for the tests of the API."""

from tests.support.api import client, no_hints, reader, writer

__all__ = ["client", "no_hints", "reader", "writer"]
