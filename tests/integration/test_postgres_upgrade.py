"""The recipe of docs/operations.md for a new major version of PostgreSQL, with its own commands.

From Debian's version, where it is installed, to that of the tests, which is newer.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.support.prepared import ROOT, bare_environment
from tests.support.servers import Postgres, postgres, postgres_binaries

FILL = """
from tests.support.factories import make_monitor
from tests.support.heartbeats import push
monitor = make_monitor(name="nightly")
for number in range(20):
    push(monitor, message=f"run {number}", value=number)
"""
HEARTBEATS = "SELECT tableoid::regclass::text, count(*) FROM monitors_heartbeat GROUP BY 1"
TABLES = (
    "SELECT relname, relkind FROM pg_class"
    " WHERE relkind IN ('r', 'p', 'i', 'I') AND relnamespace = 'public'::regnamespace"
)


def older_binaries() -> Path:
    """The programs of Debian's PostgreSQL, where it is installed and older, else those of the tests."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[0].parent if found else postgres_binaries()


@pytest.fixture
def servers() -> Iterator[tuple[Postgres, Postgres]]:
    """The old and the new server. Both have the Compose file's user."""
    with postgres(binaries=older_binaries()) as old, postgres() as new:
        for server in (old, new):
            with psycopg.connect(server.url(), autocommit=True) as connection:
                connection.execute("CREATE ROLE tianji SUPERUSER LOGIN")
            server.create_database("tianji")
        yield old, new


def command(program: str, server: Postgres) -> list[str]:
    """The command with `program` in the recipe, which runs in the container of the database."""
    page = (ROOT / "docs" / "operations.md").read_text()
    recipe = page.partition("### A new major version\n")[2].partition("\n### ")[0]
    (line,) = re.findall(rf"docker compose exec -T db {program} ([^<>\n]*)", recipe)
    return [str(server.binary(program)), "-h", "127.0.0.1", "-p", str(server.port), *line.split()]


def manage(database: str, *arguments: str) -> str:
    environment = {**bare_environment(), "DATABASE_URL": database, "SECRET_KEY": "upgrade-only-" + "k" * 50}
    ran = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def rows(database: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database) as connection:
        return sorted(connection.execute(query).fetchall())  # type: ignore[call-overload]


def test_everything_is_in_the_new_server_and_it_is_up_to_date(
    servers: tuple[Postgres, Postgres], tmp_path: Path
):
    old, new = servers
    before, after = old.url("tianji"), new.url("tianji")
    manage(before, "migrate", "-v0")
    manage(before, "shell", "--no-imports", "-c", FILL)
    dump = tmp_path / "tianji.dump"
    with dump.open("wb") as file:
        subprocess.run(command("pg_dump", old), stdout=file, check=True)
    with dump.open("rb") as file:
        subprocess.run(command("pg_restore", new), stdin=file, check=True)
    heartbeats = rows(after, HEARTBEATS)
    assert heartbeats == rows(before, HEARTBEATS)
    assert sum(int(str(count)) for _table, count in heartbeats) == 20
    assert rows(after, TABLES) == rows(before, TABLES)
    manage(after, "migrate", "--check")
    assert "tja_" in manage(after, "create_api_key", "--name", "after the upgrade")
