"""Fixtures for all tests. The database is DATABASE_URL, or SQLite if that is not set."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support import prepared, tools

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.product import Up
    from tests.support.sinks import SmtpSink

# Options for a headless Chromium in a container, without connections to other hosts.
_BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

# How fast a machine is says nothing about the code; speed is measured in bench/.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_addoption(parser):
    parser.addoption("--database-only", action="store_true", help="leave out the tests that use no database")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--database-only"):
        return
    fixtures = {"db", "transactional_db", "live_server", "empty_database"}
    with_database = [
        item
        for item in items
        if item.get_closest_marker("django_db") or fixtures & set(getattr(item, "fixturenames", ()))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(with_database)])
    items[:] = with_database


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """Forget the language and the time zone that the test's last request left to this thread."""
    from django.utils import timezone, translation

    try:
        yield
    finally:
        translation.deactivate()
        timezone.deactivate()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings):
    """Use a file for SQLite's test database: in memory, threads cannot wait for each other's locks.

    A database that the runner has migrated is copied, not migrated again in each process.
    """
    from django.db import connection

    test = connection.settings_dict["TEST"]
    if connection.vendor == "sqlite":
        # No test of this process outlives a power cut: nothing waits for the disk, as on PostgreSQL.
        options = connection.settings_dict["OPTIONS"]
        options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")
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
    """Serve static files under their plain names, because they are not collected for tests."""
    from django.conf import settings as django_settings

    django_settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
    django_settings.STORAGES["staticfiles"]["BACKEND"] = (
        "django.contrib.staticfiles.storage.StaticFilesStorage"
    )
    # Most tests are not about signing in, and a secure hash takes a third of a second.
    django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session", autouse=True)
def close_own_connection(django_db_setup):
    """Close the pushes' connection before the test database is dropped under it."""
    from monitors.heartbeats.pipeline import process_pipeline

    # And stop its thread from writing rejected pushes of one test into the next.
    process_pipeline().rejections.by_itself = False
    yield
    process_pipeline().close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser for all tests of this process, in which there can be no second one."""
    # Most processes need none.
    from playwright.sync_api import sync_playwright

    path = tools.browser()
    assert path, f"The browser tests need Chromium: apt-get install {tools.BROWSERS[0]}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def mail() -> Iterator[SmtpSink]:
    """The mail server of the shared product."""
    from tests.support.sinks import SmtpSink

    with SmtpSink() as sink:
        yield sink


@pytest.fixture(scope="session")
def shared(mail: SmtpSink) -> Iterator[Up]:
    """The product that all tests of this process share; they push as fast as they can."""
    from tests.support.product import up

    with up(with_workspaces=True, TIANJI_EMAIL_URL=mail.url, TIANJI_PUSH_RATE="0") as product:
        yield product


@pytest.fixture(scope="module")
def product(request: pytest.FixtureRequest, shared: Up) -> Up:
    """The shared product, and in it a workspace of this module's own, which nobody else sees."""
    return shared.of(prepared.workspace_name(request.path))


@pytest.fixture
def workspace(db):
    from tests.support.factories import make_workspace

    return make_workspace()


@pytest.fixture
def admin(client, workspace):
    """The test client, signed in as an admin of `workspace`."""
    from accounts.models import Role
    from tests.support.factories import make_user

    client.force_login(make_user(workspace=workspace, role=Role.ADMIN))
    return client


@pytest.fixture
def viewer(client, workspace):
    """The test client, signed in as a viewer of `workspace`."""
    from accounts.models import Role
    from tests.support.factories import make_user

    client.force_login(make_user(workspace=workspace, role=Role.VIEWER))
    return client
