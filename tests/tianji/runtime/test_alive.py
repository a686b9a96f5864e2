"""The file that health checks look at: touched while a process works, and never in its way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tianji.runtime import alive
from tianji.runtime.alive import Alive


@pytest.fixture
def file(settings, tmp_path: Path) -> Path:
    path = tmp_path / "alive"
    settings.TIANJI_ALIVE = str(path)
    return path


def test_it_is_touched_at_once_and_then_every_few_seconds(file, monkeypatch):
    process = Alive()
    process.touch()
    os.utime(file, (0, 0))
    process.touch()
    assert file.stat().st_mtime == 0
    monkeypatch.setattr(alive, "_EVERY_SECONDS", 0)
    process = Alive()
    process.touch()
    assert file.stat().st_mtime > 0


def test_without_the_setting_nothing_is_touched(settings, tmp_path, monkeypatch):
    settings.TIANJI_ALIVE = ""
    monkeypatch.chdir(tmp_path)
    Alive().touch()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_touched_is_logged_once_and_the_work_goes_on(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(alive, "_EVERY_SECONDS", 0)
    settings.TIANJI_ALIVE = str(tmp_path / "no-such-folder" / "alive")
    process = Alive()
    with capture_logs() as logs:
        process.touch()
        process.touch()
        (tmp_path / "no-such-folder").mkdir()
        process.touch()
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert (tmp_path / "no-such-folder" / "alive").exists()
