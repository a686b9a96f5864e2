"""The command `tianji`: friendly names, a short list, and words for what it doesn't know."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands

from core import __version__
from tianji import paths
from tianji.cli import main, own_commands

ROOT = Path(__file__).parents[2]


def test_it_lists_every_command_of_our_own_and_none_of_djangos():
    ours = {name.replace("_", "-") for name, app in get_commands().items() if app in paths.PACKAGES}
    assert ours == set(own_commands())
    assert "create-api-key" in ours


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_without_a_command_it_says_in_a_line_each_what_there_is(capsys, arguments):
    main(["tianji", *arguments])
    lines = capsys.readouterr().out.splitlines()
    for name, text in own_commands().items():
        assert text, f"{name} has no help"
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.endswith(text)


def test_what_starts_it_comes_first():
    assert next(iter(own_commands())) == "up"


@pytest.mark.parametrize("arguments", [["--version"], ["version"]])
def test_it_says_its_version(capsys, arguments):
    main(["tianji", *arguments])
    assert capsys.readouterr().out == f"tianji {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["create-api-key", "--help"], ["create_api_key", "--help"], ["help", "create-api-key"]],
)
def test_hyphens_in_a_name_stand_for_underscores(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(["tianji", *arguments])
    assert ended.value.code == 0
    assert "--expires-days" in capsys.readouterr().out


def test_an_unknown_command_is_answered_with_what_there_is():
    with pytest.raises(SystemExit) as ended:
        main(["tianji", "creat-api-key"])
    assert "Unknown command: creat-api-key. Did you mean create-api-key?" in str(ended.value.code)
    assert ", ".join(own_commands()) in str(ended.value.code)


def test_djangos_own_commands_work_too(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["tianji", "migrate", "--help"])
    assert ended.value.code == 0
    assert "usage: tianji migrate" in capsys.readouterr().out


def tianji(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tianji", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_list_needs_no_settings_and_leaves_nothing_behind(tmp_path):
    data = tmp_path / "data"
    listed = tianji(TIANJI_DATA=str(data), TIANJI_PORT="none")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "Usage: tianji" in listed.stdout
    assert not data.exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "no-such-command"])
def test_an_invalid_setting_is_a_one_line_error(tmp_path, command):
    ended = tianji(command, TIANJI_DATA=str(tmp_path), TIANJI_PORT="none")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "TIANJI_PORT" in line


# --- Where files are -----------------------------------------------------------------------------


def test_a_checkout_keeps_its_data_beside_the_program():
    assert paths.is_checkout()
    assert paths.home() == ROOT
    assert paths.default_data() == ROOT / "data"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/srv/share", "/srv/share/tianji"),
        ("", "/home/somebody/.local/share/tianji"),
        ("relative/ones/are/ignored", "/home/somebody/.local/share/tianji"),
    ],
)
def test_an_installed_program_keeps_its_data_where_the_xdg_specification_says(
    monkeypatch, tmp_path, given, expected
):
    monkeypatch.setattr(paths, "_BUNDLED", tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", given)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert paths.home() == tmp_path
    assert paths.default_data() == Path(expected)
