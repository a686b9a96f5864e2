"""Databases in the state of an earlier version, for tests of the migrations."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.db.migrations.executor import MigrationExecutor


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
        # The pool too: it outlives the connection, and the next test's database has the same alias.
        _closed("upgrade")
        del connections["upgrade"], connections.databases["upgrade"]
        if ours.vendor != "sqlite":
            with ours.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True)
class Kept:
    """An earlier state: its models, and a copy of a database in it, without rows."""

    apps: Any
    database: str


@pytest.fixture(scope="session")
def kept_states(django_db_setup, django_db_blocker) -> Iterator[dict[tuple[Any, ...], Kept]]:
    """The earlier states that tests of this process have migrated a database to."""
    kept: dict[tuple[Any, ...], Kept] = {}
    yield kept
    ours = connections["default"]
    if ours.vendor != "sqlite":
        with django_db_blocker.unblock(), ours.cursor() as cursor:
            for state in kept.values():
                cursor.execute(f"DROP DATABASE {state.database}")


@pytest.fixture
def migrate_to(
    empty_database: str, kept_states: dict[tuple[Any, ...], Kept], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[list[tuple[str, str]]], Any]:
    """Return a function that brings `empty_database` to the given state of our apps and returns its models.

    To migrate takes seconds, which the next test that asks for the same state is spared: it gets a copy.
    """

    def migrate(targets: list[tuple[str, str]]) -> Any:
        if known := kept_states.get(tuple(targets)):
            _replace(empty_database, known.database)
            return known.apps
        executor = MigrationExecutor(connections[empty_database])
        apps_of_targets = {app for app, _name in targets}
        rest = [node for node in executor.loader.graph.leaf_nodes() if node[0] not in apps_of_targets]
        apps = executor.migrate([*rest, *targets]).apps
        copied = _copy(empty_database, tmp_path_factory.mktemp("earlier"))
        kept_states[tuple(targets)] = Kept(apps, copied)
        return apps

    return migrate


def _copy(alias: str, folder: Path) -> str:
    """Copy the database to another one, and return the name of that."""
    name = _closed(alias)
    if connections[alias].vendor == "sqlite":
        return str(shutil.copy(name, folder / "earlier.sqlite3"))
    copied = f"earlier_{uuid.uuid4().hex[:12]}"
    with connections["default"].cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {copied} TEMPLATE {name}")
    return copied


def _replace(alias: str, by: str) -> None:
    """Put a copy of the database `by` in the place of that of `alias`."""
    name = _closed(alias)
    if connections[alias].vendor == "sqlite":
        shutil.copy(by, name)
        return
    with connections["default"].cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {by}")


def _closed(alias: str) -> str:
    """Close all connections to the database, and return its name."""
    connection = connections[alias]
    connection.close()
    if connection.vendor != "sqlite":
        connection.close_pool()
    return str(connection.settings_dict["NAME"])


@contextmanager
def in_place_of_ours(alias: str) -> Iterator[None]:
    """Make the product use the database `alias` in the block, with its own code."""
    ours = connections["default"]
    connections["default"] = connections[alias]
    try:
        yield
    finally:
        connections["default"] = ours
