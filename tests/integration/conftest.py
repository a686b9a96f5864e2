"""The servers that `tests.run` started, or new ones if pytest is run directly."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers import Postgres, Redis, postgres, redis_server


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
def own_redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server
