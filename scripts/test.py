"""`make test`: runs all linters and tests; the last lines are a summary.

Linters, and the tests of the whole product, as processes and in a real browser. These wait much of their
time, so beside them all other tests run on SQLite, and then those that use a database again on a real
PostgreSQL. With `--fast` (`make test-fast`), only the linters and the tests on SQLite that are not marked
`slow`; with names of steps, only those. With TESTS_SHOTS=1 in the environment, the browser tests save
screenshots in tests/shots/.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import prepared, tools
from tests.support.servers import PORTS_BESIDE, Postgres, Redis, postgres, redis_server

ROOT = Path(__file__).parent.parent
# Tests that start the whole product and browsers are a step of their own; support has no tests.
_APART = ("e2e", "integration", "support")
EVERYWHERE = tuple(
    f"tests/{path.parent.name}"
    for path in sorted(ROOT.glob("tests/*/__init__.py"))
    if path.parent.name not in _APART
)
# Of the tests of the installation as a whole, only these depend on the database.
ON_POSTGRESQL = (
    *(name for name in EVERYWHERE if name != "tests/tianji"),
    *(str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("tests/tianji/test_admin_*.py"))),
    *(f"tests/tianji/{name}.py" for name in ("test_demo", "test_demo_command", "test_migrations")),
)
# Each file runs in one process. The longest start first, so that they don't delay the end. A process is given
# two files at once: of four processes, the first runs the fifth of these after the first, and so on.
LONGEST_FIRST = (
    *("integration/test_notification_faults.py", "integration/test_database_faults.py"),
    *("integration/test_attacks.py", "integration/test_restarts.py", "integration/test_proxies.py"),
    *("integration/test_chaos.py", "integration/test_clocks.py"),
    *("integration/test_wheel.py", "integration/test_up.py", "integration/test_schema.py"),
    *("integration/test_compose.py", "integration/test_no_token_leaks.py", "e2e/test_flows_everywhere.py"),
    *("e2e/test_everywhere.py", "e2e/test_overview.py", "e2e/test_flows.py", "integration/test_snippets.py"),
    *("integration/test_examples.py", "integration/test_api_docs.py", "integration/test_raw_requests.py"),
)
# Tests wait for clocks, disks and each other's processes: those of products about half of their time.
PROCESSORS = os.cpu_count() or 1
WORKERS = {"sqlite": PROCESSORS + 1, "postgres": PROCESSORS + 1, "products": PROCESSORS + 2}
# What runs beside the products takes the processor time that they leave: they have their times to keep.
NICE = 10
TEMPLATE = "migrated"


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass
class Run:
    """The result of a run: the counts, the failed steps, and the versions it ran on."""

    count: Count = field(default_factory=Count)
    failures: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)

    def add(self, other: Run) -> None:
        self.count.passed += other.count.passed
        self.count.failed += other.count.failed
        self.count.skipped += other.count.skipped
        self.failures += other.failures


@dataclass(frozen=True)
class Servers:
    """What the steps need besides Python; None for what no selected step needs."""

    folder: Path
    database: Postgres | None
    broker: Redis | None
    browser: str | None

    def environment(self) -> dict[str, str]:
        """The environment variables that pass all of it to the tests."""
        variables = {prepared.FOLDER: str(self.folder / "prepared")}
        if self.database:
            variables |= {"TESTS_POSTGRES_URL": self.database.url(), prepared.TEMPLATE: TEMPLATE}
        if self.broker:
            variables["TESTS_REDIS_URL"] = self.broker.url
        if self.browser:
            variables["TESTS_CHROMIUM"] = self.browser
        return variables

    def versions(self) -> list[str]:
        found = [f"SQLite {sqlite_version()}"]
        if self.database:
            found.append(f"PostgreSQL {postgres_version(self.database.url())}")
        if self.broker:
            found.append(f"Redis {redis_version(self.broker.url)}")
        if self.browser:
            found.append(chromium_version(self.browser))
        return found


# The steps that run pytest, by their name on the command line: title and arguments.
STEPS: dict[str, tuple[str, list[str]]] = {
    "sqlite": ("Tests on SQLite", [*EVERYWHERE]),
    "postgres": ("Tests on PostgreSQL", [*ON_POSTGRESQL, "--database-only"]),
    "products": (
        "Whole products, and a browser",
        ["--dist", "loadfile", "--no-loadscope-reorder", "--durations", "8"],
    ),
}
# The programs that the tests of a step run where they are there: the others need none, and install none.
PROGRAMS = {
    "sqlite": ("xgettext", "node"),
    "products": tuple(name for name in tools.PACKAGES if name != "xgettext"),
}
ALL = ("linters", *STEPS)
FAST = ("linters", "sqlite")


def main() -> int:
    options = arguments()
    os.chdir(ROOT)
    # The tests must not depend on the developer's own settings.
    for name in list(os.environ):
        if name.startswith("TIANJI_") or name in ("DATABASE_URL", "REDIS_URL", "SECRET_KEY"):
            del os.environ[name]
    # Some images set it. Hundreds of processes would each compile the whole program and all tests.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    started, run = time.monotonic(), Run()
    steps = FAST if options.fast else tuple(name for name in ALL if name in (options.steps or ALL))
    if not options.fast:
        tools.install_missing(dict.fromkeys(name for step in steps for name in PROGRAMS.get(step, ())))
    tests = [name for name in steps if name in STEPS]
    with ThreadPoolExecutor(1) as beside:
        # One of them takes longer than all others; meanwhile, the tests get what they need and begin.
        linted = beside.submit(lint) if "linters" in steps else None
        if tests:
            with serving(tests) as servers:
                run_tests(run, tests, servers, fast=options.fast)
                run.versions = servers.versions()
        if linted:
            run.failures += linted.result()
    report(run, time.monotonic() - started)
    failed = run.failures or run.count.failed or (tests and not run.count.passed)
    return 1 if failed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make test", description="Runs the tests, all or some steps.")
    parser.add_argument("--fast", action="store_true", help="what an inner loop needs, on SQLite")
    parser.add_argument("steps", nargs="*", metavar="step", help=f"of {', '.join(ALL)}; all by default")
    options = parser.parse_args()
    if unknown := set(options.steps) - set(ALL):
        parser.error(f"no step {', '.join(sorted(unknown))}: there are {', '.join(ALL)}")
    return options


def report(run: Run, seconds: float) -> None:
    on = ", ".join([sys.version.split()[0], *run.versions])
    print(f"\nRan on Python {on} in {seconds:.0f} s.")
    if run.failures:
        print(f"Failed: {', '.join(run.failures)}.")
    count = run.count
    print(f"Total: {count.passed} passed, {count.failed} failed, {count.skipped} skipped")


@contextlib.contextmanager
def serving(steps: list[str]) -> Iterator[Servers]:
    """Start what `steps` need, and create once what every test would otherwise create again."""
    beside = {"postgres", "products"}.intersection(steps)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(postgres()) if beside else None
        broker = stack.enter_context(redis_server()) if beside else None
        made = folder / "prepared"
        made.mkdir()
        prepared.prepare(made, *([database.create_database(TEMPLATE)] if database else []))
        yield Servers(folder, database, broker, chromium() if "products" in steps else None)


def run_tests(run: Run, names: list[str], servers: Servers, *, fast: bool) -> None:
    """Run the steps one after the other, but that of products beside the others."""
    beside = [name for name in names if name != "products"] if "products" in names else []
    # Set when those of products are over: what begins after the products has the machine to itself.
    alone = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        # Their output comes in one piece as each ends, so that it does not mix with that of the products.
        others = [pool.submit(test, name, servers, alone, fast=fast, quiet=True) for name in beside]
        try:
            for name in names:
                if name not in beside:
                    run.add(test(name, servers, None, fast=fast, quiet=False))
            alone.set()
            for other in others:
                run.add(other.result())
        except BaseException:
            # Ctrl-C ends the steps that run; the others do not start.
            pool.shutdown(cancel_futures=True)
            raise


def test(name: str, servers: Servers, alone: threading.Event | None, *, fast: bool, quiet: bool) -> Run:
    """Run a step with pytest and return its result; `alone` is not set while products run beside it."""
    beside = alone is not None and not alone.is_set()
    title, given = STEPS[name]
    results = servers.folder / f"{name}.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={results}", *given]
    command += ["-n", str(PROCESSORS if beside else WORKERS[name])]
    if name == "products":
        command += files_of_products()
    if fast:
        command += ["-m", "not slow"]
    environment = servers.environment()
    if name == "postgres" and servers.database:
        environment["DATABASE_URL"] = servers.database.url("tests")
    if beside:
        environment[PORTS_BESIDE] = "1"
        command = ["nice", "-n", str(NICE), *command]
    ok = step(title, command, environment, quiet=quiet)
    return Run(count_in(results), [] if ok else [title])


def files_of_products() -> list[str]:
    """Return the files whose tests start the whole product and browsers, in the order to start them."""
    tests = ROOT / "tests"
    found = [*tests.glob("e2e/test_*.py"), *tests.glob("integration/test_*.py")]
    names = sorted(str(path.relative_to(tests)) for path in found)
    first = [name for name in LONGEST_FIRST if name in names]
    return [f"tests/{name}" for name in (*first, *(name for name in names if name not in first))]


def step(title: str, command: list[str], environment: dict[str, str], *, quiet: bool = False) -> bool:
    """Run a step and return whether it is ok. If `quiet`, its output is printed when it has ended."""
    started = time.monotonic()
    if not quiet:
        print(f"\n== {title}", flush=True)
    ran = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        text=True,
        check=False,
    )
    before = f"\n\n== {title}\n{ran.stdout}" if quiet else ""
    word = "ok" if ran.returncode == 0 else "FAILED"
    print(f"{before}== {title}: {word} ({time.monotonic() - started:.0f} s)", flush=True)
    return ran.returncode == 0


def lint() -> list[str]:
    """Run the linters, one per processor at a time; return the titles of those that failed."""
    with tempfile.TemporaryDirectory() as data, ThreadPoolExecutor(os.cpu_count()) as pool:
        return [title for title in pool.map(failing, linters(data)) if title]


def failing(linter: tuple[str, list[str], dict[str, str]]) -> str:
    """Run a linter and print all its output at once; return its title if it fails, else ""."""
    title, command, environment = linter
    started = time.monotonic()
    ran = subprocess.run(
        ["nice", "-n", str(NICE), *command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    word = "ok" if ran.returncode == 0 else "FAILED"
    print(f"\n== {title}\n{ran.stdout}== {title}: {word} ({time.monotonic() - started:.0f} s)", flush=True)
    return title if ran.returncode else ""


def linters(data: str) -> list[tuple[str, list[str], dict[str, str]]]:
    """Return the title, command and environment of each linter, the slowest first."""
    python = [sys.executable, "-m"]
    manage = [sys.executable, "manage.py"]
    templates = [str(path) for path in sorted(ROOT.glob("templates/**/*.html"))]
    secret = {"SECRET_KEY": "only-for-checks-" + "0123456789abcdef" * 4, "TIANJI_DATA": data}
    production = {**secret, "TIANJI_URL": "https://tianji.example.com", "TIANJI_TRUST_PROXY": "1"}
    deploy = ["check", "--deploy", "--fail-level", "WARNING"]
    binaries = Path(sys.executable).parent
    return [
        ("mypy", [*python, "mypy"], secret),
        ("ruff check", [*python, "ruff", "check"], {}),
        ("ruff format", [*python, "ruff", "format", "--check"], {}),
        ("djade", [str(binaries / "djade"), "--check", "--target-version", "5.2", *templates], {}),
        ("import-linter", [str(binaries / "lint-imports")], secret),
        ("migrations are complete", [*manage, "makemigrations", "--check", "--dry-run"], secret),
        ("check --deploy", [*manage, *deploy], production),
    ]


def chromium() -> str:
    """Return the path of Debian's Chromium, installing it if possible."""
    best = tools.BROWSERS[0]
    for name in tools.BROWSERS:
        if not shutil.which(name):
            tools.install(name)
        if path := shutil.which(name):
            return path
    sys.exit(f"The browser tests need Chromium: `apt-get install {best}` (or chromium), then run this again.")


def count_in(report: Path) -> Count:
    """Return the figures of a report; a run without a report counts as one failure."""
    if not report.exists():
        return Count(failed=1)
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped = int(suite.get("skipped", 0))
    return Count(int(suite.get("tests", 0)) - failed - skipped, failed, skipped)


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
