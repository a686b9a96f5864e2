"""Static files are collected when they changed, and only then: an image has them where nobody may write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tianji.runtime import static_files


@pytest.fixture
def collected(monkeypatch, settings, tmp_path) -> list[str]:
    """What was called to collect; the source is one file in `tmp_path`."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "app.css").write_text("before")
    settings.STATICFILES_DIRS = [source]
    settings.STATIC_ROOT = tmp_path / "root"
    settings.STATIC_ROOT.mkdir()
    calls: list[str] = []
    monkeypatch.setattr(static_files, "call_command", lambda name, **options: calls.append(name))
    return calls


def test_they_are_collected_once(collected):
    assert [static_files.collect(), static_files.collect()] == [True, False]
    assert collected == ["collectstatic"]


def test_a_copy_with_other_times_is_the_same(collected, tmp_path):
    static_files.collect()
    os.utime(tmp_path / "source" / "app.css", ns=(0, 0))
    assert not static_files.collect()


def test_a_changed_file_is_collected_although_its_time_and_size_stay(collected, tmp_path):
    static_files.collect()
    file: Path = tmp_path / "source" / "app.css"
    times = file.stat()
    file.write_text("afterr")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert static_files.collect()
