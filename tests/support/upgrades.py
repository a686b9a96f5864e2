"""Databases in the state of an earlier version, for tests of the migrations."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connections


@pytest.fixture
def empty_database(tmp_path, django_db_setup, django_db_blocker):
    """The alias of a database without any table, beside the one of the tests, and gone after the test."""
    with django_db_blocker.unblock():
        yield from _empty_database(tmp_path)


def _empty_database(tmp_path: Path) -> Iterator[str]:
    ours = connections["default"]
    name = f"upgrade_{uuid.uuid4().hex[:12]}"
    if ours.vendor == "sqlite":
        name = str(tmp_path / "upgrade.sqlite3")
    else:
        with ours.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    connections.databases["upgrade"] = {**ours.settings_dict, "NAME": name}
    try:
        yield "upgrade"
    finally:
        connections["upgrade"].close()
        if ours.vendor != "sqlite":
            # It outlives the connection, and the next test's database has the same alias.
            connections["upgrade"].close_pool()
        del connections["upgrade"], connections.databases["upgrade"]
        if ours.vendor != "sqlite":
            with ours.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def in_place_of_ours(alias: str) -> Iterator[None]:
    """Make the product use the database `alias` in the block, with its own code."""
    ours = connections["default"]
    connections["default"] = connections[alias]
    try:
        yield
    finally:
        connections["default"] = ours
