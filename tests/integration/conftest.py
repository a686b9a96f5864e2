"""The servers that `make test` started, or new ones if pytest is run directly."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.prepared import TEMPLATE, prepare
from tests.support.servers import Postgres, Redis, postgres, redis_server, unique_name


@pytest.fixture(scope="session")
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL that tests can stop and start, because nothing else uses it."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    if url := os.environ.get("TESTS_POSTGRES_URL"):
        yield url
        return
    with postgres() as server:
        yield server.url()


@pytest.fixture(scope="session")
def migrated_database(postgres_url: str) -> Callable[[str], str]:
    """Return a function that makes a database of a name like the one given, migrated, and returns its URL."""
    template = os.environ.get(TEMPLATE) or _template(postgres_url)

    def make(name: str) -> str:
        name = unique_name(name)
        _create(postgres_url, name, template)
        return _url(postgres_url, name)

    return make


def _template(server: str) -> str:
    name = f"template{os.getpid()}"
    _create(server, name, "template1")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), _url(server, name))
    return name


def _create(server: str, name: str, template: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')  # type: ignore[call-overload]


def _url(server: str, name: str) -> str:
    return f"{server.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="session")
def own_redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server
