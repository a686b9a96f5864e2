"""`make test`: all linters and tests in one command; the last lines say what ran on which versions.

Linters first, then all tests on SQLite, then those that use a database again on a real PostgreSQL with a
real Redis, then whole products as processes, with a real browser.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from tests.servers import postgres, redis_server
from tests.tools import install_missing

ROOT = Path(__file__).parent.parent
EVERYWHERE = ("tests", "--ignore=tests/e2e", "--ignore=tests/integration")
# What uses no database says the same on any.
DATABASE_TESTS = (*EVERYWHERE, "--ignore=tests/tianji", "tests/tianji/admin_site", "--database-only")


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0


class Failed(Exception):
    """A step failed; its output says why."""


def main() -> int:
    os.chdir(ROOT)
    # Test this checkout, without the developer's own settings.
    for name in list(os.environ):
        if name.startswith("TIANJI_") or name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY"):
            del os.environ[name]
    started, count, failures = time.monotonic(), Count(), []
    browser = chromium()
    install_missing()
    for title, command, environment in linters():
        if not step(title, command, environment):
            failures.append(title)
    with tempfile.TemporaryDirectory() as folder, postgres() as database, redis_server() as broker:
        reports = Path(folder)
        servers = {
            "TESTS_POSTGRES_URL": database.url(),
            "TESTS_REDIS_URL": broker.url,
            "TESTS_CHROMIUM": browser,
        }
        runs = [
            ("Tests on SQLite", [*EVERYWHERE, "-n", "2"], {}),
            ("Tests on PostgreSQL", [*DATABASE_TESTS, "-n", "2"], {"DATABASE_URL": database.url("tests")}),
            (
                "Whole products, and a browser",
                ["tests/e2e", "tests/integration", "-n", "2", "--dist", "loadfile", "--durations", "8"],
                servers,
            ),
        ]
        for number, (title, arguments, environment) in enumerate(runs):
            report = reports / f"{number}.xml"
            command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
            if not step(title, command, environment):
                failures.append(title)
            add(count, report)
        versions = ", ".join(
            (
                f"SQLite {sqlite_version()}",
                f"PostgreSQL {postgres_version(database.url())}",
                f"Redis {redis_version(broker.url)}",
                chromium_version(browser),
            )
        )
    python = sys.version.split()[0]
    print(f"\nRan on Python {python}, {versions} in {time.monotonic() - started:.0f} s.")
    if failures:
        print(f"Failed: {', '.join(failures)}.")
    print(f"Total: {count.passed} passed, {count.failed} failed, {count.skipped} skipped")
    return 1 if failures or count.failed or not count.passed else 0


def step(title: str, command: list[str], environment: dict[str, str]) -> bool:
    started = time.monotonic()
    print(f"\n== {title}", flush=True)
    code = subprocess.run(command, env={**os.environ, **environment}, check=False).returncode
    print(f"== {title}: {'ok' if code == 0 else 'FAILED'} ({time.monotonic() - started:.0f} s)", flush=True)
    return code == 0


def linters() -> list[tuple[str, list[str], dict[str, str]]]:
    python = [sys.executable, "-m"]
    manage = [sys.executable, "manage.py"]
    templates = [str(path) for path in sorted(ROOT.glob("templates/**/*.html"))]
    secret = {"SECRET_KEY": "only-for-checks-" + "0123456789abcdef" * 4, "TIANJI_DATA": tempfile.mkdtemp()}
    production = {**secret, "TIANJI_URL": "https://tianji.example.com", "TIANJI_TRUST_PROXY": "1"}
    deploy = ["check", "--deploy", "--fail-level", "WARNING"]
    binaries = Path(sys.executable).parent
    return [
        ("ruff check", [*python, "ruff", "check"], {}),
        ("ruff format", [*python, "ruff", "format", "--check"], {}),
        ("djade", [str(binaries / "djade"), "--check", "--target-version", "5.2", *templates], {}),
        ("mypy", [*python, "mypy"], secret),
        ("import-linter", [str(binaries / "lint-imports")], secret),
        ("migrations are complete", [*manage, "makemigrations", "--check", "--dry-run"], secret),
        ("check --deploy", [*manage, *deploy], production),
    ]


def chromium() -> str:
    """Return the path of Debian's Chromium; install it if possible."""
    if path := shutil.which("chromium"):
        return path
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("== Installing chromium with apt-get", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-qq", "-y", "chromium"]):
            subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=True)
        if path := shutil.which("chromium"):
            return path
    sys.exit(
        "The browser tests need Chromium: install it with `apt-get install chromium`, then run this again."
    )


def add(count: Count, report: Path) -> None:
    """Add the results of a run; a run without a report has failed, and adds one failure."""
    if not report.exists():
        count.failed += 1
        return
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped = int(suite.get("skipped", 0))
    count.failed += failed
    count.skipped += skipped
    count.passed += int(suite.get("tests", 0)) - failed - skipped


def sqlite_version() -> str:
    import sqlite3

    return sqlite3.sqlite_version


def postgres_version(url: str) -> str:
    import psycopg

    with psycopg.connect(url) as connection:
        return str(connection.info.server_version // 10000) + f".{connection.info.server_version % 10000}"


def redis_version(url: str) -> str:
    import redis

    with redis.Redis.from_url(url) as client:
        return str(client.info("server")["redis_version"])


def chromium_version(path: str) -> str:
    ran = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return ran.stdout.strip() or "Chromium"


if __name__ == "__main__":
    sys.exit(main())
