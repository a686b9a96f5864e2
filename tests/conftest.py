"""What all tests share. The database is DATABASE_URL's, or SQLite where it is not set."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support import prepared


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings):
    """A file for SQLite's test database: in memory, two threads cannot wait for each other's locks.

    What the runner has migrated is copied, not migrated again in each process.
    """
    from django.db import connection

    test = connection.settings_dict["TEST"]
    if connection.vendor == "sqlite":
        test["NAME"] = os.path.join(os.environ["TIANJI_DATA"], "tests.sqlite3")
        if folder := os.environ.get(prepared.FOLDER):
            shutil.copy(Path(folder) / prepared.EMPTY, test["NAME"])
            test["MIGRATE"] = False
    elif template := os.environ.get(prepared.TEMPLATE):
        test["TEMPLATE"] = template
        test["MIGRATE"] = False


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb):
    """Keep a database that was copied: else it would be made anew, without a table."""
    from django.db import connection

    return django_db_keepdb or (connection.vendor == "sqlite" and prepared.FOLDER in os.environ)


def pytest_configure():
    """Serve static files by their plain names: nothing collects them for tests."""
    from django.conf import settings

    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    # Signing in is not what most tests are about, and a safe hash takes a third of a second.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session", autouse=True)
def close_own_connection(django_db_setup):
    """Close the pushes' connection before the test database is dropped under it."""
    from monitors.api.push import notebook, own_connection

    # Nor does a thread write what was refused into another test.
    notebook.by_itself = False
    yield
    own_connection.close()


@pytest.fixture
def workspace(db):
    from tests.support.factories import make_workspace

    return make_workspace()


@pytest.fixture
def admin(client, workspace):
    """The test client, signed in as somebody who may change what is in `workspace`."""
    from accounts.models import Role
    from tests.support.factories import make_user

    client.force_login(make_user(workspace=workspace, role=Role.ADMIN))
    return client


@pytest.fixture
def viewer(client, workspace):
    """The test client, signed in as somebody who may only read `workspace`."""
    from accounts.models import Role
    from tests.support.factories import make_user

    client.force_login(make_user(workspace=workspace, role=Role.VIEWER))
    return client
