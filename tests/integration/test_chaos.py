"""The short run of `make chaos`: whatever goes wrong in a minute, what Tianji promises holds."""

from __future__ import annotations

import subprocess
import sys

from bench.chaos.plan import FAMILIES, make_plan
from tests.support.prepared import FOLDER, ROOT, prepared

# Something of each family, and of what is killed and stopped a web server, a worker, PostgreSQL and Redis.
SEED, SECONDS, SENDERS = 309, 60, 20


def test_the_seed_has_something_of_each_family():
    happens = {f"{fault.family} {fault.target}" for fault in make_plan(SEED, SECONDS)}
    assert {each.split()[0] for each in happens} == set(FAMILIES)
    assert happens >= {"kill web-1", "kill worker-2", "restart postgres-fast", "restart redis-empty"}


def test_whatever_goes_wrong_in_a_minute_the_promises_hold(monkeypatch):
    # What is collected already need not be again.
    monkeypatch.setenv(FOLDER, str(prepared()))
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
