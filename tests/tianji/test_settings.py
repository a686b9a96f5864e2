"""Invalid settings: nothing starts, and one sentence names the setting."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.prepared import ROOT, bare_environment, prepared
from tests.support.product import migrated
from tianji import cli

KEY = "settings-only-0123456789abcdef-ghijklm"
# Nothing listens there.
NO_DATABASE = "postgresql://tianji:hunter2@127.0.0.1:1/tianji"

# Every variable of docs/settings.md, with values that make no sense. An empty one is among them, because a
# line such as `TIANJI_PORT=` in a file of settings is easily left behind.
RUBBISH: dict[str, tuple[str, ...]] = {
    "DATABASE_REPLICA_URL": ("rubbish", "sqlite:////tmp/replica.sqlite3", "postgresql://replica:port/x"),
    "DATABASE_URL": ("rubbish", "mysql://db/tianji", "postgresql://db:port/tianji"),
    "REDIS_URL": ("rubbish", "http://redis:6379/0", "redis://redis:port/0", "redis://redis/zero", "redis://"),
    "SECRET_KEY": (
        "changeme",
        "x" * 50,
        "django-insecure-0123456789abcdefghijklmnopqrstuvwxyz",
        "short-0123456789",
    ),
    "TIANJI_ALLOWED_HOSTS": ("",),
    "TIANJI_ALLOW_PRIVATE_WEBHOOKS": ("10.0.0.0/8,10.0.0.0/99", "https://chat.example.com/"),
    "TIANJI_API_RATE": ("", "fast", "-1"),
    "TIANJI_DAILY_ROLLUP_DAYS": ("", "399", "9999999999"),
    "TIANJI_DATA": ("",),
    "TIANJI_DB_POOL": ("", "0", "many"),
    "TIANJI_DB_PREPARE": ("", "perhaps"),
    "TIANJI_DEBUG": ("", "perhaps"),
    "TIANJI_EMAIL_FROM": ("", "nobody", "Tianji <@example.com>", "a@example.com\nBcc: b@example.com"),
    "TIANJI_EMAIL_URL": (
        "rubbish",
        "imap://mail.example.com:143",
        "smtp://mail.example.com:port",
        "smtp://[::1",
    ),
    "TIANJI_GAP_SHARE": ("", "half", "nan", "1.5"),
    "TIANJI_HISTORY_DAYS": ("", "29", "-1", "9999999999"),
    "TIANJI_AUDIT_DAYS": ("", "-1", "x", "9999999999"),
    "TIANJI_HOST": ("", "two words", "[::1]", "a/b"),
    "TIANJI_HSTS_SECONDS": ("", "-1", "a year"),
    "TIANJI_LANGUAGE": ("", "tlh", "English"),
    "TIANJI_LOG_FORMAT": ("", "xml"),
    "TIANJI_LOG_LEVEL": ("", "LOUD"),
    "TIANJI_PORT": ("", "0", "99999", "web"),
    "TIANJI_PUSH_BATCH": ("", "0"),
    "TIANJI_PUSH_QUEUE": ("", "0", "1.5"),
    "TIANJI_PUSH_RATE": ("", "-1"),
    "TIANJI_REJECTED_DAYS": ("", "0", "9999999999"),
    "TIANJI_RETENTION_DAYS": ("", "0", "9999999999"),
    "TIANJI_STATIC": ("",),
    "TIANJI_TIME_ZONE": ("", "Mars/Olympus", "../../etc/passwd", "europe"),
    "TIANJI_TRUST_PROXY": ("", "perhaps"),
    "TIANJI_URL": (
        "",
        "tianji.example.com",
        "http://tianji.example.com:99999",
        "http://",
        "ftp://example.com",
    ),
    "TIANJI_WEB_THREADS": ("", "0"),
    "TIANJI_WEB_WORKERS": ("", "0"),
    "TIANJI_WORKER_THREADS": ("", "0", "-5"),
}
# What a process meets only when it writes or connects.
AT_START: dict[str, tuple[str, ...]] = {
    "DATABASE_URL": ("sqlite:////no/such/folder/x",),
    "TIANJI_ADMIN_EMAIL": ("nobody",),
    # Its `static` is written to first.
    "TIANJI_DATA": ("/dev/null", "/proc/no-such-folder"),
    "TIANJI_STATIC": ("/dev/null/static", "/proc/no-such-folder"),
}
# Any text is one.
ANYTHING_GOES = {"SECRET_KEY_FALLBACKS", "TIANJI_ADMIN_PASSWORD", "TIANJI_ALIVE"}


def tianji(data: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command with `settings`, and no others, and return what it printed."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**bare_environment(), "TIANJI_DATA": str(data), **settings},
        capture_output=True,
        text=True,
        check=False,
        # A busy machine takes its time; one that went on would run for ever.
        timeout=300,
    )


def around(name: str, value: str) -> dict[str, str]:
    """What has to be set as well for a setting to be read."""
    others = {
        "DATABASE_REPLICA_URL": {"DATABASE_URL": NO_DATABASE},
        "TIANJI_DB_POOL": {"DATABASE_URL": NO_DATABASE},
        "TIANJI_DB_PREPARE": {"DATABASE_URL": NO_DATABASE},
        "TIANJI_ADMIN_EMAIL": {"TIANJI_ADMIN_PASSWORD": "long enough, surely"},
    }.get(name, {})
    return {"SECRET_KEY": KEY, **others, name: value}


def pairs(values: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(name, value) for name in values for value in values[name]]


def documented() -> set[str]:
    """The names in the tables of docs/settings.md."""
    return set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))


def test_every_setting_has_rubbish_to_be_tried_with():
    assert RUBBISH.keys() | AT_START.keys() | ANYTHING_GOES == documented()


def fault_in(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command would print when it reads `settings`; "" if they are fine."""
    for name in {*documented(), *(f"{name}_FILE" for name in documented())}:
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    try:
        runpy.run_path(str(ROOT / "tianji" / "settings.py"))
    except cli.FAULTS as error:
        return cli.sentence_of(error)
    return ""


@pytest.mark.parametrize(("name", "value"), pairs(RUBBISH))
def test_rubbish_in_a_setting_is_a_sentence_that_names_it(tmp_path, monkeypatch, name: str, value: str):
    sentence = fault_in({"TIANJI_DATA": str(tmp_path), **around(name, value)}, monkeypatch)
    assert name in sentence
    assert "\n" not in sentence


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), pairs(AT_START))
def test_so_is_what_only_shows_when_something_starts(tmp_path, name: str, value: str):
    static = {} if name == "TIANJI_DATA" else {"TIANJI_STATIC": str(prepared() / "static")}
    settings = {**static, **around(name, value)}
    ended = tianji(migrated(tmp_path), "prepare", **settings)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert name in line
    assert "Traceback" not in ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [("up",), ("run", "web"), ("run", "worker"), ("run", "beat")])
@pytest.mark.parametrize(("name", "value"), [("SECRET_KEY", "changeme"), ("TIANJI_DATA", "/dev/null")])
def test_every_command_that_starts_something_says_it_in_a_line(tmp_path, command, name: str, value: str):
    ended = tianji(tmp_path, *command, **around(name, value))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert name in line


@pytest.mark.slow
@pytest.mark.parametrize("command", ["prepare", "up"])
def test_a_database_that_does_not_respond_is_one_line_without_its_password(tmp_path, command: str):
    ended = tianji(tmp_path, command, SECRET_KEY=KEY, DATABASE_URL=NO_DATABASE)
    assert ended.returncode == 1
    assert "The database can't be used" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
    assert "hunter2" not in ended.stderr


@pytest.mark.slow
def test_for_who_looks_for_a_fault_in_the_program_there_is_a_traceback(tmp_path):
    ended = tianji(tmp_path, "check", "--traceback", SECRET_KEY=KEY, TIANJI_TIME_ZONE="Mars/Olympus")
    assert "Traceback" in ended.stderr


@pytest.mark.slow
def test_an_address_of_ipv6_makes_an_address_that_browsers_understand(tmp_path):
    show = "from django.conf import settings; print(settings.TIANJI_URL)"
    ended = tianji(tmp_path, "shell", "--no-imports", "-c", show, TIANJI_HOST="::1", TIANJI_PORT="8123")
    assert ended.stdout.strip() == "http://[::1]:8123"


# --- Settings in files ---------------------------------------------------------------------------

SHOW = "from django.conf import settings; print(settings.SECRET_KEY, settings.REDIS_URL)"
SECRETS = (
    *("SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASE_URL", "DATABASE_REPLICA_URL", "REDIS_URL"),
    *("TIANJI_EMAIL_URL", "TIANJI_ADMIN_PASSWORD"),
)


@pytest.mark.slow
def test_a_setting_can_be_in_a_file(tmp_path):
    key, broker = tmp_path / "key", tmp_path / "broker"
    key.write_text(f"{KEY}\n")
    broker.write_text("redis://:hunter2@redis:6379/0\n\n")
    files = {"SECRET_KEY_FILE": str(key), "REDIS_URL_FILE": str(broker), "REDIS_URL": ""}
    shown = tianji(tmp_path, "shell", "--no-imports", "-c", SHOW, **files)
    assert shown.stdout == f"{KEY} redis://:hunter2@redis:6379/0\n"


def test_every_secret_that_can_be_in_a_file_is_documented():
    page = (ROOT / "docs" / "settings.md").read_text()
    named = set(re.findall(r"`(\w+)_FILE`", page))
    assert named == set(SECRETS)
    assert named <= documented()


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("fault", ["missing", "empty", "folder", "binary", "huge", "both"])
def test_a_file_that_has_no_setting_is_a_sentence_that_names_it(tmp_path, monkeypatch, name: str, fault: str):
    file = tmp_path / "secret"
    match fault:
        case "empty":
            file.write_text(" \n")
        case "folder":
            file.mkdir()
        case "binary":
            file.write_bytes(b"\xff\xfe")
        case "huge":
            file.write_text("x" * 100_000)
        case "both":
            file.write_text(KEY)
    # A replica is read about only where there is a database that can have one.
    others = {"SECRET_KEY": KEY, "DATABASE_URL": NO_DATABASE} if name == "DATABASE_REPLICA_URL" else {}
    both = {name: KEY} if fault == "both" else {}
    given = {"TIANJI_DATA": str(tmp_path), **others, **both, f"{name}_FILE": str(file)}
    sentence = fault_in(given, monkeypatch)
    assert f"{name}_FILE" in sentence
    assert KEY not in sentence


# --- The data folder -----------------------------------------------------------------------------


def refused(data: Path, *as_user: str) -> str:
    """Start everything on a folder of somebody else, and return the one line that it prints."""
    started = subprocess.run(
        [*as_user, sys.executable, "manage.py", "run"],
        cwd=ROOT,
        env={**bare_environment(), "TIANJI_DATA": str(data), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert started.returncode == 1, started.stdout + started.stderr
    (line,) = started.stderr.splitlines()
    return line


@pytest.mark.slow
def test_a_folder_of_roots_is_one_line_with_the_command_that_changes_its_owner(tmp_path):
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o011)
    if os.geteuid() != 0:
        tmp_path.chmod(0o555)
        assert f"chown {os.geteuid()} {tmp_path}" in refused(tmp_path)
        return
    # As the image's user, who may read everything here, as in the image.
    reader = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    line = refused(tmp_path, "setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", *reader)
    assert f"chown 10001 {tmp_path}" in line


@pytest.mark.slow
def test_the_database_is_for_its_own_user_only_and_static_files_are_for_all(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    static = tmp_path / "static"
    for arguments in (("migrate", "contenttypes"), ("prepare", "--static-only")):
        ended = tianji(data, *arguments, TIANJI_STATIC=str(static))
        assert ended.returncode == 0, ended.stderr
    modes = {path.name: path.stat().st_mode & 0o777 for path in data.iterdir() if path.is_file()}
    assert modes["tianji.sqlite3"] == 0o600
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    closed = [path for path in static.rglob("*") if path.stat().st_mode & 0o444 != 0o444]
    assert closed == []
