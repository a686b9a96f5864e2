"""The short run of `make chaos`: whatever goes wrong in a minute, what Tianji promises holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.chaos.plan import make_plan
from tests.support.prepared import FOLDER, ROOT, prepared

# One of everything that fits into a minute.
SEED, SECONDS, SENDERS = 586, 60, 20


def test_the_seed_has_something_of_most_families():
    families = {fault.family for fault in make_plan(SEED, SECONDS)}
    assert families >= {"kill", "stop", "restart", "lock", "sleep", "clock", "cut"}


def test_whatever_goes_wrong_in_a_minute_the_promises_hold(monkeypatch, tmp_path: Path):
    # What is collected already need not be again.
    monkeypatch.setenv(FOLDER, str(prepared()))
    # What is kept of a run that failed is with the rest of the test's files.
    run = [sys.executable, "-m", "bench.chaos", "--seed", str(SEED), "--seconds", str(SECONDS)]
    ended = subprocess.run(
        [*run, "--senders", str(SENDERS)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.endswith("All held.\n")
    assert not list(tmp_path.iterdir())
