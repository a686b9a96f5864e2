"""`make up` on a machine that lacks something: one sentence, and nothing that the next try meets."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.prepared import ROOT, bare_environment

pytestmark = pytest.mark.slow


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What `make` needs to install, with nothing to be installed."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "base.txt").write_text("")
    return tmp_path


def make(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        # Not those of the make that may have started the tests.
        env={
            **{
                name: value
                for name, value in bare_environment().items()
                if not name.startswith(("MAKE", "MFLAGS"))
            },
            "PIP_NO_INDEX": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def debians_python(folder: Path) -> str:
    """Return a Python as Debian has it without python3-venv: it has no ensurepip."""
    (folder / "lacking").mkdir()
    (folder / "lacking" / "ensurepip.py").write_text("raise ModuleNotFoundError('ensurepip')\n")
    program = folder / "python3"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}/lacking" exec "{sys.executable}" "$@"\n')
    program.chmod(0o755)
    return str(program)


def test_without_ensurepip_one_sentence_names_debians_package(checkout: Path):
    ended = make(checkout, "up", f"PYTHON={debians_python(checkout)}")
    assert ended.returncode != 0
    said = [line for line in ended.stderr.splitlines() if not line.startswith("make:")]
    assert len(said) == 1
    assert "sudo apt-get install python3-venv" in said[0]
    assert not (checkout / ".venv").exists()


def test_with_the_package_the_next_try_works(checkout: Path):
    make(checkout, "up", f"PYTHON={debians_python(checkout)}")
    again = make(checkout, ".venv/.base-installed", f"PYTHON={sys.executable}")
    assert again.returncode == 0, again.stderr
    assert (checkout / ".venv" / ".base-installed").exists()


def test_an_environment_without_pip_that_an_earlier_try_left_is_completed(checkout: Path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    ended = make(checkout, ".venv/.base-installed", f"PYTHON={sys.executable}")
    assert ended.returncode == 0, ended.stderr
    asked = subprocess.run([checkout / ".venv" / "bin" / "python", "-m", "pip", "--version"], check=False)
    assert asked.returncode == 0


def test_packages_of_debian_are_in_the_readme_and_on_the_page_about_installing():
    for page in ("README.md", "docs/install.md"):
        assert "python3-venv" in (ROOT / page).read_text(), page
