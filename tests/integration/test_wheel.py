"""The wheel, as somebody without a checkout meets it: installed in an empty environment, run elsewhere.

It's built from what .dockerignore lets into the image, without isolation, as the image builds it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from core import __version__
from tests.support.product import EMAIL, PASSWORD, ROOT, Person, Process, environment_of, is_ready, wait_for
from tests.support.servers import free_port
from tests.support.sinks import HttpSink

_BINARIES = Path(sys.executable).parent


def run(*argv: str | Path) -> str:
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        name = line.strip("!/")
        if line.startswith("!") and (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif line.startswith("!") and (ROOT / name).exists():
            (source / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", built, source)
    (wheel,) = built.glob("*.whl")
    return wheel


def test_the_wheel_has_everything_that_the_program_reads(wheel: Path):
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("templates", "static", "locale", "docs"):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert files
        assert {f"tianji/bundled/{path}" for path in files} - inside == set()


def test_the_wheel_has_nothing_that_only_developers_need(wheel: Path):
    top = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert top & {"tests", "bench", "scripts", "manage.py", "requirements"} == set()


@dataclass
class Installed:
    """An environment that has the wheel and what is locked for it, and a home of its own."""

    environment: Path
    home: Path

    @property
    def program(self) -> str:
        return str(self.environment / "bin" / "tianji")

    @property
    def data(self) -> Path:
        return self.home / ".local" / "share" / "tianji"

    def settings(self, port: int) -> dict[str, str]:
        """The environment variables of a person who has set nothing but a port and the first account."""
        more = {"TIANJI_ADMIN_EMAIL": EMAIL, "TIANJI_ADMIN_PASSWORD": PASSWORD, "HOME": str(self.home)}
        given = environment_of(self.data, port, **more)
        for name in ("TIANJI_DATA", "TIANJI_STATIC", "XDG_DATA_HOME", "PYTHONPATH", "DJANGO_SETTINGS_MODULE"):
            given.pop(name, None)
        return given

    def start(self, *arguments: str, port: int = 8000) -> Process:
        return Process([self.program, *arguments], self.settings(port), cwd=self.home)

    def ask(self, *arguments: str) -> str:
        process = self.start(*arguments)
        assert process.wait(90) == 0, process.output
        return process.output


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    install(environment, "--require-hashes", "-r", ROOT / "requirements" / "base.txt")
    install(environment, "--no-deps", wheel)
    yield Installed(environment, tmp_path_factory.mktemp("home"))
    shutil.rmtree(environment)


def install(environment: Path, *what: str | Path) -> None:
    """Install with uv, which is quick; with pip where only pip knows which index this machine uses."""
    python = environment / "bin" / "python"
    by_uv = [_BINARIES / "uv", "pip", "install", "--quiet", "--python", python, *what]
    if subprocess.run(by_uv, capture_output=True, check=False).returncode != 0:
        run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *what)


def test_the_lock_has_all_that_the_wheel_asks_for(installed: Installed):
    python = installed.environment / "bin" / "python"
    assert "No broken requirements found" in run(sys.executable, "-m", "pip", "--python", python, "check")


def test_it_says_its_version_and_lists_its_commands(installed: Installed):
    assert installed.ask("--version") == f"tianji {__version__}"
    listed = installed.ask()
    assert "create-api-key" in listed
    settings = re.search(r"described in (\S+)\.$", listed, re.MULTILINE)
    assert settings
    assert Path(settings[1]).read_text().startswith("# Settings")
    assert list(installed.home.iterdir()) == []


def test_it_starts_takes_pushes_and_says_that_a_monitor_is_down(installed: Installed):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # The bytecode is written by this one process: the four of a start would each compile all of it.
    assert "no issues" in installed.ask("check")
    process = installed.start("up", port=port)
    try:
        process.line_with(f"Tianji is running at {url}/", seconds=180)
        with HttpSink() as web, Person(url) as person:
            person.submit("/channels/new/webhook/", name="Ops", url=web.url, scope="all", enabled="on")
            monitor = person.create_monitor("nightly backup", timeout="1", grace="0")
            assert requests.post(monitor.push_url, timeout=10).text == '{"ok":true}'
            wait_for(lambda: web.requests, seconds=120, describe=lambda: process.output)
            assert web.requests[0].json["type"] == "incident.opened"
            assert web.requests[0].json["monitor"]["name"] == "nightly backup"
            _pages_are_whole(person)
    finally:
        process.stop()
    assert "Traceback" not in process.output
    assert f"Data folder: {installed.data}" in process.output
    # In the home, not among the program's files, and the same whatever the current folder is.
    assert (installed.data / "tianji.sqlite3").is_file()
    assert list(installed.environment.rglob("*.sqlite3")) == []
    assert "tja_" in installed.ask("create-api-key", "--name", "ci")


def _pages_are_whole(person: Person) -> None:
    """Hold that templates, static files and both kinds of catalogues are there."""
    at_two = person.create_monitor("nightly", kind="cron", cron="0 2 * * *")
    page = person.session.get(person.url + at_two.path, headers={"Accept-Language": "id"}, timeout=20).text
    assert '<html lang="id"' in page
    assert "Pukul 02:00" in page
    sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page)
    assert sheets
    for sheet in sheets:
        assert person.session.get(person.url + sheet, timeout=20).status_code == 200


def other_pythons() -> list[str]:
    """The versions that pyproject.toml names, without the one that runs the tests."""
    text = (ROOT / "pyproject.toml").read_text()
    versions = re.findall(r"Programming Language :: Python :: (3\.\d+)", text)
    return [version for version in versions if version != f"3.{sys.version_info.minor}"]


def python(version: str) -> Path | None:
    """Return a Python of this machine, on the PATH or made by pyenv."""
    named = [Path(found)] if (found := shutil.which(f"python{version}")) else []
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for program in [*named, *sorted(pyenv.glob(f"versions/{version}*/bin/python{version}"))]:
        # pyenv's own are there for versions that it does not run.
        if subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0:
            return program
    return None


@pytest.mark.parametrize("version", other_pythons())
def test_it_runs_on_every_python_that_it_is_for(wheel: Path, tmp_path: Path, version: str):
    program = python(version)
    if program is None:
        pytest.skip(f"Python {version} is not installed, so nothing was run on it")
    environment, home = tmp_path / "environment", tmp_path / "home"
    home.mkdir()
    run(program, "-m", "venv", "--without-pip", environment)
    install(environment, "--require-hashes", "-r", ROOT / "requirements" / "base.txt")
    install(environment, "--no-deps", wheel)
    installed, port = Installed(environment, home), free_port()
    url = f"http://127.0.0.1:{port}"
    process = installed.start("up", port=port)
    try:
        process.line_with(f"Tianji is running at {url}/", seconds=240)
        with HttpSink() as web, Person(url) as person:
            person.submit("/channels/new/webhook/", name="Ops", url=web.url, scope="all", enabled="on")
            monitor = person.create_monitor("nightly backup", timeout="1", grace="0")
            assert requests.post(monitor.push_url, timeout=10).text == '{"ok":true}'
            wait_for(lambda: web.requests, seconds=120, describe=lambda: process.output)
    finally:
        process.stop()
    assert "Traceback" not in process.output
    assert "DeprecationWarning" not in process.output


def test_its_processes_can_be_run_one_by_one(installed: Installed):
    installed.ask("prepare")
    port = free_port()
    processes = [installed.start("run", role, port=port) for role in ("web", "worker", "beat")]
    try:
        wait_for(
            lambda: is_ready(f"http://127.0.0.1:{port}"), seconds=180, describe=lambda: processes[0].output
        )
        assert all(process.running() for process in processes)
    finally:
        for process in processes:
            process.stop()
