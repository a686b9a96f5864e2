"""Invalid settings: nothing starts, and one sentence names the setting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def manage(tmp_path: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a management command with `settings` and return what it printed."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "TIANJI_DATA": str(tmp_path), **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIANJI_PORT", "99999"),
        ("TIANJI_PORT", "web"),
        ("TIANJI_URL", "tianji.example.com"),
        ("TIANJI_URL", "http://tianji.example.com:99999"),
        ("TIANJI_PUSH_BATCH", "0"),
        ("TIANJI_WORKER_THREADS", "0"),
        ("TIANJI_RETENTION_DAYS", "0"),
        ("TIANJI_REJECTED_DAYS", "0"),
        ("TIANJI_HISTORY_DAYS", "29"),
        ("TIANJI_HISTORY_DAYS", "-1"),
        ("TIANJI_ALLOW_PRIVATE_WEBHOOKS", "10.0.0.0/8,10.0.0.0/99"),
        ("TIANJI_ALLOW_PRIVATE_WEBHOOKS", "https://chat.example.com/"),
        ("TIANJI_EMAIL_URL", "imap://mail.example.com:143"),
    ],
)
def test_a_setting_out_of_range_is_a_one_line_error_that_names_it(tmp_path, name, value):
    ended = manage(tmp_path, "check", **{name: value})
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert name in line


@pytest.mark.slow
def test_an_address_of_ipv6_makes_an_address_that_browsers_understand(tmp_path):
    show = "from django.conf import settings; print(settings.TIANJI_URL)"
    ended = manage(tmp_path, "shell", "--no-imports", "-c", show, TIANJI_HOST="::1", TIANJI_PORT="8123")
    assert ended.stdout.strip() == "http://[::1]:8123"
