"""What `up --reload` takes for a change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tianji.runtime.reload import Files


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("monitors/views.py", "templates/base.html", "locale/id/django.mo", "static/app.css"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    return tmp_path


def write_later(path: Path) -> None:
    path.write_text("after")
    # Coarse clocks of file systems must not matter here.
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000))


def test_nothing_changes_by_itself(checkout):
    files = Files(checkout)
    assert files.changed() == []


@pytest.mark.parametrize("name", ["monitors/views.py", "templates/base.html", "locale/id/django.mo"])
def test_a_written_file_is_a_change_once(checkout, name):
    files = Files(checkout)
    write_later(checkout / name)
    assert files.changed() == [Path(name)]
    assert files.changed() == []


def test_added_and_removed_files_are_changes(checkout):
    files = Files(checkout)
    (checkout / "monitors/new.py").touch()
    (checkout / "templates/base.html").unlink()
    assert files.changed() == [Path("monitors/new.py"), Path("templates/base.html")]


@pytest.mark.parametrize(
    "name", ["static/app.css", "monitors/views.pyc", "data/dev/tianji.sqlite3", "README.md"]
)
def test_what_no_process_reads_at_its_start_is_none(checkout, name):
    files = Files(checkout)
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    (checkout / name).write_text("new")
    assert files.changed() == []
