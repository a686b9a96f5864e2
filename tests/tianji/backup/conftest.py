"""A database of either kind to restore into, and a real PostgreSQL for it."""

from __future__ import annotations

import shutil

import psycopg
import pytest

from tests.integration.conftest import migrated_database, postgres_url
from tests.support.backups import Place
from tests.support.prepared import EMPTY, prepared
from tests.support.servers import unique_name
from tests.support.upgrades import empty_database, kept_states, migrate_to

__all__ = ["empty_database", "kept_states", "migrate_to", "migrated_database", "postgres_url"]


@pytest.fixture
def empty(postgres_url, tmp_path):
    """Return a function that makes a place with nothing in it, of a kind."""

    def make(kind: str) -> Place:
        data = tmp_path / unique_name(kind)
        data.mkdir()
        if kind == "sqlite":
            return Place(data)
        name = data.name
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return Place(data, f"{postgres_url.rpartition('/')[0]}/{name}")

    return make


@pytest.fixture
def migrated(empty, migrated_database, tmp_path):
    """Return a function that makes a place that is prepared, of a kind; nobody has used it."""

    def make(kind: str) -> Place:
        if kind == "sqlite":
            place = empty(kind)
            shutil.copy(prepared() / EMPTY, place.file)
            return place
        data = tmp_path / unique_name(kind)
        data.mkdir()
        return Place(data, migrated_database("backup"))

    return make
