"""Forks of a process that has loaded the program, with the methods of `subprocess.Popen`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.product import wait_for
from tianji.runtime import forks
from tianji.runtime.forks import Fork
from tianji.runtime.supervisor import Child, Supervisor

pytestmark = [
    pytest.mark.skipif(not forks.AVAILABLE, reason="forks are only used on Linux"),
    # The tests' own threads, such as that of a time limit, do nothing in a fork.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def test_its_exit_code_is_what_it_exits_with():
    assert Fork("three", lambda: sys.exit(3)).wait(20) == 3
    assert Fork("nothing", lambda: None).wait(20) == 0


def test_it_runs_until_it_is_told_to_stop_even_at_once():
    for _ in range(5):
        fork = Fork("sleeper", lambda: time.sleep(60))
        assert fork.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            fork.wait(0.01)
        fork.terminate()
        assert fork.wait(20) == -signal.SIGTERM


def test_it_has_a_session_and_a_name_of_its_own(tmp_path: Path):
    def tell() -> None:
        line = Path("/proc/self/cmdline").read_bytes().strip(b"\0").decode()
        (tmp_path / "told").write_text(f"{os.getsid(0) == os.getpid()} {line}")

    assert Fork("teller", tell).wait(20) == 0
    assert (tmp_path / "told").read_text() == "True tianji teller"


def test_the_supervisor_starts_a_fork_that_ends_again(tmp_path: Path):
    lines: list[str] = []
    started = tmp_path / "started"

    def once_and_again() -> None:
        first = not started.exists()
        started.write_text(str(os.getpid()))
        if first:
            sys.exit(1)
        time.sleep(60)

    def stop_when_running() -> None:
        if lines and started.exists() and child.process is not None and child.process.poll() is None:
            wait_for(lambda: started.read_text() == str(child.process.pid), seconds=20)  # type: ignore[union-attr]
            os.kill(os.getpid(), signal.SIGTERM)

    child = Child("phoenix", run=once_and_again)
    Supervisor([child], say=lines.append, environment=os.environ).run(meanwhile=stop_when_running)
    assert lines == ["phoenix exited with code 1; restarting in 1 s."]
    assert child.process is None
