"""`manage.py up` as an operator meets it: starting, restarting, refusing, stopping."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.support.product import (
    EMAIL,
    PASSWORD,
    ROOT,
    Person,
    Process,
    Up,
    environment_of,
    is_ready,
    manage,
    migrated,
    up,
    wait_for,
)
from tests.support.servers import free_port


def family_of(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def child(process: Process, part: str) -> psutil.Process:
    """The direct child whose command line has `part`."""
    children = psutil.Process(process.pid).children()
    return next(found for found in children if part in " ".join(found.cmdline()))


def all_gone(family: list[psutil.Process]) -> bool:
    return not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family)


@pytest.fixture(scope="module")
def running() -> Iterator[Up]:
    """A product that its tests leave running."""
    with up(fork=False) as product:
        yield product


def test_it_prints_its_address_and_a_one_time_link_on_which_the_first_owner_is_made():
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        # The one start on nothing at all: the static files are collected, too.
        process = Process(manage("up"), environment_of(Path(folder), port, TIANJI_STATIC=f"{folder}/static"))
        try:
            process.line_with(f"Tianji is running at http://127.0.0.1:{port}/")
            link = re.search(r"http://\S+/setup/\S+/", process.line_with("/setup/"))
            assert link
            with requests.Session() as person:
                assert person.get(link[0], timeout=10).status_code == 200
                form = {
                    "csrfmiddlewaretoken": person.cookies["csrftoken"],
                    "email": "first@example.com",
                    "password": "a long enough secret",
                    "workspace_name": "Home",
                }
                made = person.post(link[0], data=form, headers={"Referer": link[0]}, timeout=10)
                assert made.status_code == 200
                assert made.url == f"http://127.0.0.1:{port}/", made.text
            with requests.Session() as stranger:
                assert stranger.get(link[0], timeout=10).status_code == 404
            assert "Warning" not in process.output
        finally:
            process.stop()


def test_a_signal_stops_every_child_and_the_next_start_finds_the_accounts_and_the_key():
    with tempfile.TemporaryDirectory() as folder:
        data, port = migrated(Path(folder)), free_port()
        keys = set()
        for number in (signal.SIGINT, signal.SIGTERM):
            owner = {"TIANJI_ADMIN_EMAIL": EMAIL, "TIANJI_ADMIN_PASSWORD": PASSWORD}
            process = Process(manage("up"), environment_of(data, port, **owner))
            try:
                process.line_with("Tianji is running at")
                keys.add((data / "secret-key").read_text())
                assert "/setup/" not in process.output
                family = family_of(process)
                assert len(family) >= 4
                process.signal(number)
                assert process.wait(20) == 0
                assert all_gone(family)
                assert "Stopped." in process.output
            finally:
                if process.running():
                    process.stop()
        assert len(keys) == 1
        assert (data / "secret-key").stat().st_mode & 0o077 == 0


def test_make_up_passes_a_signal_on_and_leaves_nothing_behind():
    with tempfile.TemporaryDirectory() as folder:
        process = Process(["make", "up"], environment_of(migrated(Path(folder)), free_port()))
        try:
            process.line_with("Tianji is running at")
            family = family_of(process)
            process.signal(signal.SIGTERM)
            process.wait(20)
            wait_for(lambda: all_gone(family), seconds=15)
        finally:
            if process.running():
                process.stop()


def test_killing_the_supervisor_itself_takes_the_children_with_it():
    with tempfile.TemporaryDirectory() as folder:
        process = Process(manage("up"), environment_of(migrated(Path(folder)), free_port()))
        process.line_with("Tianji is running at")
        family = family_of(process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        wait_for(lambda: all_gone(family), seconds=20)


@pytest.mark.parametrize("role", ["beat", "worker", "web"])
def test_a_child_that_dies_is_started_again_and_the_fault_is_printed(running: Up, role: str):
    part = f"tianji {role}"
    dead = child(running.process, part)
    dead.kill()
    running.process.line_with(f"{role} was killed by SIGKILL; restarting in 1 s.")
    again = wait_for(
        lambda: next(
            (
                found
                for found in psutil.Process(running.process.pid).children()
                if part in " ".join(found.cmdline()) and found.pid != dead.pid
            ),
            None,
        ),
        seconds=15,
    )
    assert again.is_running()
    wait_for(lambda: is_ready(running.url), seconds=20)


def test_a_process_of_the_web_server_that_dies_is_replaced_by_one_that_serves(running: Up):
    web = child(running.process, "tianji web")
    before = {process.pid for process in web.children()}
    assert len(before) == 1
    for process in web.children():
        process.kill()
    wait_for(lambda: len({process.pid for process in web.children()} - before) == 1, seconds=20)
    wait_for(lambda: is_ready(running.url), seconds=20)
    with Person(running.url) as person:
        push_url = person.create_monitor("after the fork").push_url
    assert [requests.post(push_url, timeout=10).status_code for _ in range(8)] == [200] * 8


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each process loads the program")
def test_its_processes_share_the_program_in_memory(running: Up):
    """Each would need about 70 MB of its own. What serves pages needs more with every page."""
    wait_for(lambda: is_ready(running.url), seconds=20)
    roles = [child(running.process, f"tianji {role}") for role in ("web", "worker", "beat")]
    own = {found.pid: found.memory_full_info().uss / 2**20 for found in roles}
    assert max(own.values()) < 40, own


def test_a_second_start_on_the_same_data_folder_is_refused_with_a_clear_line(running: Up):
    second = subprocess.run(
        manage("up"),
        cwd=ROOT,
        env=environment_of(running.data, free_port()),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert second.returncode == 1
    assert f"already running on the data folder {running.data}" in second.stderr
    assert str(running.process.pid) in second.stderr
    assert "Traceback" not in second.stderr
    assert is_ready(running.url)


def test_a_port_that_is_taken_is_refused_before_anything_starts():
    with tempfile.TemporaryDirectory() as folder, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = subprocess.run(
            manage("up"),
            cwd=ROOT,
            env=environment_of(Path(folder), port),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert refused.returncode == 1
        assert f"Cannot listen on 127.0.0.1 port {port}" in refused.stderr
        assert "TIANJI_PORT" in refused.stderr
