"""What every test would make again, made once: migrated databases, accounts and collected static files.

The runner makes it before the tests and names it in their environment (TESTS_PREPARED,
TESTS_POSTGRES_TEMPLATE). Where pytest is called by hand, a test that needs it makes it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER, TEMPLATE = "TESTS_PREPARED", "TESTS_POSTGRES_TEMPLATE"
PASSWORD = "correct horse battery"
# The product's name for its database, empty; and the same with workspaces.
EMPTY, WITH_WORKSPACES = "tianji.sqlite3", "with-workspaces.sqlite3"
# The folders with tests of the whole product.
_OF_WHOLE = ("e2e", "integration")
_COMMAND_LINE = ("shell", "--no-imports", "-c", "from tests.support.prepared import main; main()")


def workspace_names() -> list[str]:
    """Return the names of the workspaces: one for each file of tests of the whole product."""
    tests = ROOT / "tests"
    return sorted(workspace_name(path) for path in tests.glob("*/test_*.py") if path.parent.name in _OF_WHOLE)


def workspace_name(file: Path) -> str:
    """Return the name of the workspace of a file of tests."""
    name = file.stem.removeprefix("test_")
    return name if file.parent.name == "e2e" else f"{file.parent.name}_{name}"


def owner_of(workspace_name: str) -> str:
    """Return the email address of the owner of a workspace."""
    return f"owner@{workspace_name.replace('_', '-')}.example.com"


def bare_environment() -> dict[str, str]:
    """Return this process's environment without anything that Tianji reads."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TIANJI_") and name not in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL")
    }


@cache
def prepared() -> Path:
    """Return the folder of what was made before: EMPTY, WITH_WORKSPACES and `static`."""
    if folder := os.environ.get(FOLDER):
        return Path(folder)
    made = Path(tempfile.mkdtemp(prefix="tianji-prepared-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    prepare(made)
    return made


def prepare(folder: Path, *postgres: str) -> None:
    """Make what `prepared` returns in `folder`, and migrate the empty databases at `postgres`."""
    makers = [_manage(folder, *_COMMAND_LINE)]
    makers += [_manage(folder, "migrate", "-v0", DATABASE_URL=url) for url in postgres]
    for maker in makers:
        output, _nothing = maker.communicate()
        if maker.returncode:
            raise RuntimeError(f"{maker.args}\n{output}")


def _manage(folder: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    ours = {
        "TIANJI_DATA": str(folder),
        "TIANJI_STATIC": str(folder / "static"),
        "SECRET_KEY": "prepared-only-" + "k" * 50,
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**bare_environment(), **ours, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main() -> None:
    """In a process that has the settings of a product: make everything in its data folder."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    from tianji.runtime import static_files

    static_files.collect()
    call_command("migrate", interactive=False, verbosity=0)
    # What the last connection closes is all in one file.
    connection.close()
    data = Path(settings.TIANJI_DATA)
    empty, copied = data / EMPTY, data / "copied.sqlite3"
    shutil.copy(empty, copied)
    _move_in()
    connection.close()
    empty.rename(data / WITH_WORKSPACES)
    copied.rename(empty)


def _move_in() -> None:
    from django.contrib.auth.hashers import make_password

    from accounts.models import Membership, Role, User, Workspace

    # A safe hash takes a third of a second, and all have the same.
    password = make_password(PASSWORD)
    for name in workspace_names():
        owner = User.objects.create(email=owner_of(name), password=password)
        workspace = Workspace.objects.create(name=name)
        Membership.objects.create(user=owner, workspace=workspace, role=Role.OWNER)
