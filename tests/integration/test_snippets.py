"""The programs that the pages offer, taken from the pages and run.

Against the real product: what each does when its job goes well, and when it fails. Against a server
that is not well: that a push is tried again, and that the job is none the worse. All run at once,
since most of the time they wait.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import yaml
from playwright.sync_api import Browser
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Error, Literal, Punctuation

from monitors.pages.snippets import LANGUAGES
from tests.integration.senders import (
    FAULT,
    RUNNERS,
    SHELL_JOB,
    Parts,
    Ran,
    impatient,
    parts_of,
    prepared,
    run,
    unit_of,
)
from tests.support.product import Created, Person, Up, wait_for

# Four tries with 7 s of waiting between them, a program to compile and a busy machine.
HARMLESS_WITHIN = 30.0

# A browser runs one of them, in a test of its own.
RUN = [slug for slug, runner in RUNNERS.items() if all(shutil.which(needed) for needed in runner.needs)]
READ = [slug for slug in LANGUAGES if slug not in RUN and slug != "javascript"]
# What is no program around a job but a command after it.
ONLY_PUSH = ("curl", "wget")
ANALYZE = shutil.which("systemd-analyze")
SECRET = "tjp_000000000000000000000000000000000000"


# --- A Tianji that is not well ---------------------------------------------------------------------


class Unwell(ThreadingHTTPServer):
    """The first push is left waiting, the second is answered 503, the third is taken; then it is gone."""

    daemon_threads = True

    def __init__(self) -> None:
        self.pushes: list[dict[str, str]] = []
        self._over = threading.Event()
        super().__init__(("127.0.0.1", 0), _UnwellHandler)
        self._serving = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._serving.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def code_for(self, push: dict[str, str]) -> int | None:
        """Return the status of the answer to `push`, or None, late, for none at all."""
        if not push:
            # On a busy machine a sender may give up before it has sent anything.
            return None
        self.pushes.append(push)
        match len(self.pushes):
            case 1:
                self._over.wait(20)
                return None
            case 2:
                return 503
        return 200

    def leave(self) -> None:
        """Close the port: from now on, connections are refused."""
        self._over.set()
        self.shutdown()
        self._serving.join()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that has given up is what the first push is about."""


class _UnwellHandler(BaseHTTPRequestHandler):
    server: Unwell

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        form = {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}
        code = self.server.code_for(form)
        if code is None:
            return
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


# --- All of them at work ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Reports:
    """What a program did to the product: the runs of its job that went well and that failed, if two."""

    good: Ran | None
    bad: Ran


@dataclass(frozen=True)
class Unheard:
    """What a program did while a server was not well, and when it was gone and the job failed."""

    pushes: list[dict[str, str]]
    returning: Ran
    gone: Ran


class Workshop:
    """The product, monitors, and the programs of their pages, running or done."""

    def __init__(self, product: Up, person: Person, folder: Path) -> None:
        self.product, self.person, self.folder = product, person, folder
        self.monitors: dict[str, Created] = {}
        self.reports: dict[str, Future[Reports]] = {}
        self.unheard: dict[str, Future[Unheard]] = {}
        # As many as there are programs: they wait, and for each other's monitors never.
        self._pool = ThreadPoolExecutor(3 * len(RUN))

    def start(self) -> None:
        """Start all programs. Those in a loop push to the product, their other form to the other server."""
        # What takes longest begins first: the programs that wait most, and of them what is compiled.
        slowest_first = sorted(RUN, key=lambda slug: not RUNNERS[slug].compiled)
        daily = self.person.create_monitor("daily", timeout="1 d")
        for slug in slowest_first:
            parts = self.parts(slug, daily)
            self.unheard[slug] = self._pool.submit(self._while_unwell, slug, daily, parts)
        for slug in slowest_first:
            loops = RUNNERS[slug].loops
            schedule = {"timeout": "60", "interval": "1"} if loops else {"timeout": "1 d"}
            self.monitors[slug] = self.person.create_monitor(slug, **schedule)
            work = self._until_it_fails if loops else self._well_and_failing
            self.reports[slug] = self._pool.submit(work, slug, self.parts(slug, self.monitors[slug]))

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def parts(self, slug: str, monitor: Created) -> Parts:
        """Return the parts of a snippet as the page of `monitor` shows them."""
        return parts_of(self.person.read(f"{monitor.path}usage/?snippet={slug}"))

    def heartbeats(self, monitor: Created) -> list[dict]:
        """What was recorded, the oldest first."""
        public_id = monitor.path.strip("/").split("/")[-1]
        address = f"{self.product.url}/api/v1/monitors/{public_id}/heartbeats/"
        answer = self.person.session.get(address, timeout=20)
        assert answer.status_code == 200, answer.text
        return list(reversed(answer.json()["results"]))

    def _well_and_failing(self, slug: str, parts: Parts) -> Reports:
        folder = self._folder(f"{slug}-told")
        command = prepared(slug, folder, {**parts, "down": ""} if slug in ONLY_PUSH else parts)
        good = run(command, folder)
        (folder / "fault").write_text(FAULT)
        if slug in ONLY_PUSH:
            command = prepared(slug, folder, {**parts, "up": ""})
        return Reports(good, run(command, folder))

    def _until_it_fails(self, slug: str, parts: Parts) -> Reports:
        """Run a program that loops until it was heard twice, and then have its job fail."""
        folder = self._folder(f"{slug}-told")
        command = prepared(slug, folder, parts)
        running = self._pool.submit(run, command, folder)
        wait_for(lambda: running.done() or len(self.heartbeats(self.monitors[slug])) > 1, seconds=60)
        (folder / "fault").write_text(FAULT)
        return Reports(None, running.result())

    def _while_unwell(self, slug: str, monitor: Created, parts: Parts) -> Unheard:
        folder = self._folder(f"{slug}-unheard")
        server = Unwell()
        push_url = f"{server.url}/api/push/{SECRET}"
        if slug in ONLY_PUSH:
            parts = {**parts, "down": ""}
        moved = {name: text.replace(monitor.push_url, push_url) for name, text in parts.items()}
        assert moved != parts, f"{slug}: the page has not this monitor's push URL"
        hurried = {name: impatient(text) for name, text in moved.items()}
        assert hurried != moved, f"{slug}: no limit on a try"
        command = prepared(slug, folder, hurried)
        returning = run(command, folder)
        server.leave()
        (folder / "fault").write_text(FAULT)
        return Unheard(server.pushes, returning, run(command, folder))

    def _folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        job = folder / "job"
        job.write_text(SHELL_JOB)
        job.chmod(0o755)
        return folder


@pytest.fixture(scope="module")
def workshop(product: Up, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with product.person() as person:
        workshop = Workshop(product, person, tmp_path_factory.mktemp("snippets"))
        try:
            workshop.start()
            yield workshop
        finally:
            workshop.stop()


def test_what_docker_asks_a_container_is_pushed(workshop: Workshop):
    monitor = workshop.person.create_monitor("container", timeout="60", interval="10")
    (text,) = workshop.parts("docker", monitor).values()
    app = yaml.safe_load(text)["services"]["app"]
    assert app["healthcheck"]["interval"] == "10s"
    asks = "curl -fsS -m 5 http://localhost:8080/health"
    assert asks in text
    folder = workshop.folder / "container"
    folder.mkdir()
    for answers, code in (("true", 0), (f"echo {shlex.quote(FAULT)}; false", 1)):
        parts = {"compose.yaml": text.replace(asks, answers)}
        # 1 tells Docker that the container is not well.
        assert run(prepared("docker", folder, parts), folder).code == code
    up, down = workshop.heartbeats(monitor)
    assert (up["status"], up["message"]) == ("up", "OK")
    assert (down["status"], down["message"]) == ("down", FAULT)


# --- The browser -----------------------------------------------------------------------------------


class Site(ThreadingHTTPServer):
    """A page of somebody's, served while the block runs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SiteHandler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self._serving = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Site:
        self._serving.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self._serving.join()
        self.server_close()


class _SiteHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>Shop</title>")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_page_in_a_browser_reports_that_it_works_and_what_goes_wrong_in_it(
    workshop: Workshop, browser: Browser
):
    slug = "javascript"
    monitor = workshop.person.create_monitor(slug, timeout="60", interval="1")
    program = workshop.parts(slug, monitor)["heartbeat.js"]
    complaints: list[str] = []
    with contextlib.ExitStack() as stack:
        # Another origin than Tianji's, as a page of one's own is.
        site = stack.enter_context(Site())
        page = browser.new_page()
        stack.callback(page.close)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(site.url)
        page.add_script_tag(content=program)
        wait_for(lambda: len(workshop.heartbeats(monitor)) > 1, seconds=30)
        page.evaluate("fault => void setTimeout(() => { throw new Error(fault); })", FAULT)
        wait_for(lambda: workshop.heartbeats(monitor)[-1]["status"] == "down", seconds=30, every=0.02)
    heartbeats = workshop.heartbeats(monitor)
    assert {each["message"] for each in heartbeats if each["status"] == "up"} == {"OK"}
    assert [each["message"] for each in heartbeats if each["status"] == "down"] == [
        f"Uncaught Error: {FAULT}"
    ]
    assert complaints == [FAULT]


# --- What cannot be run, and what is more than a program -------------------------------------------


@pytest.mark.parametrize("slug", [pytest.param(slug, id=f"{slug} (not run here)") for slug in READ])
def test_a_program_that_cannot_be_run_here_reads_as_its_language(workshop: Workshop, slug: str):
    for timeout in ("60", "1 d"):
        monitor = workshop.person.create_monitor(f"{slug} {timeout}", timeout=timeout)
        for text in workshop.parts(slug, monitor).values():
            assert monitor.push_url in text
            assert_reads(slug, text)


def assert_reads(slug: str, text: str) -> None:
    """No token that the language does not have, and every bracket closed in its order."""
    open_brackets: list[str] = []
    pairs = {")": "(", "]": "[", "}": "{"}
    for kind, value in get_lexer_by_name(slug).get_tokens(text):
        assert kind is not Error, f"{slug}: {value!r}\n{text}"
        if kind in Comment or kind in Literal:
            continue
        for character in value if kind in Punctuation or value in "(){}[]" else "":
            if character in "([{":
                open_brackets.append(character)
            elif character in pairs:
                assert open_brackets.pop() == pairs[character], text
    assert open_brackets == [], text


@pytest.mark.parametrize(
    "analyze",
    [pytest.param(ANALYZE, id="read by systemd" if ANALYZE else "read as a file, without systemd")],
)
def test_the_units_are_what_systemd_expects(workshop: Workshop, analyze: str | None):
    daily = workshop.person.create_monitor("units", kind="cron", cron="30 2 * * 1-5", timezone="Asia/Jakarta")
    parts = workshop.parts("systemd", daily)
    timer = next(text for name, text in parts.items() if name.endswith(".timer"))
    assert unit_of(timer)["Timer"]["OnCalendar"] == "Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00 Asia/Jakarta"
    if analyze is None:
        return
    folder = workshop.folder / "units"
    folder.mkdir()
    for name, text in parts.items():
        if name.startswith("/etc/systemd/system/"):
            (folder / Path(name).name).write_text(text.replace("/path/to/job", "/bin/true"))
    units = sorted(str(path) for path in folder.iterdir())
    ran = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    # It also complains of the machine's own units; only what it says of these counts.
    assert str(folder) not in ran.stderr, ran.stderr


@pytest.mark.parametrize(
    "analyze",
    [pytest.param(ANALYZE, id="read by systemd" if ANALYZE else "read as a file, without systemd")],
)
def test_a_timer_has_the_lines_of_an_oncalendar_monitor(workshop: Workshop, analyze: str | None):
    lines = "Mon..Fri 09:00\nSat 12:00 UTC"
    monitor = workshop.person.create_monitor(
        "timer", kind="oncalendar", calendar=lines, timezone="Asia/Jakarta"
    )
    parts = workshop.parts("systemd", monitor)
    timer = next(text for name, text in parts.items() if name.endswith(".timer"))
    found = re.findall(r"^OnCalendar=(.*)$", timer, re.MULTILINE)
    assert found == ["Mon..Fri 09:00 Asia/Jakarta", "Sat 12:00 UTC"]
    if analyze:
        subprocess.run([analyze, "calendar", *found], capture_output=True, check=True)


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("crontab", "30 2 * * 1-5 /path/to/job"),
        ("kubernetes", 'schedule: "30 2 * * 1-5"\n  timeZone: "Asia/Jakarta"'),
        ("github-actions", 'cron: "30 2 * * 1-5"'),
        ("ruby", "at the times of 30 2 * * 1-5 (Asia/Jakarta)"),
    ],
)
def test_the_times_of_a_cron_monitor_are_in_its_programs(workshop: Workshop, slug: str, expected: str):
    monitor = workshop.person.create_monitor(
        f"times in {slug}", kind="cron", cron="30 2 * * 1-5", timezone="Asia/Jakarta"
    )
    assert any(expected in text for text in workshop.parts(slug, monitor).values())


# --- What has been run by now -----------------------------------------------------------------------


@pytest.mark.parametrize("slug", RUN)
def test_a_job_that_goes_well_is_up_and_one_that_fails_is_down_with_its_message(
    workshop: Workshop, slug: str
):
    runner = RUNNERS[slug]
    reports = workshop.reports[slug].result()
    *ups, down = workshop.heartbeats(workshop.monitors[slug])
    assert {(each["status"], each["message"], each["value"] is not None) for each in ups} == {
        ("up", "OK", runner.value)
    }, reports
    assert len(ups) > 1 if runner.loops else len(ups) == 1
    assert (down["status"], down["message"]) == ("down", runner.down)
    if reports.good:
        assert (reports.good.code, "worked" in reports.good.output) == (0, True), reports.good.output
    assert_ended_as_its_job(slug, reports.bad)


def assert_ended_as_its_job(slug: str, ran: Ran) -> None:
    """The exit code, or what was thrown, is that of a job that failed."""
    if slug in ONLY_PUSH:
        assert (ran.code, "worked" in ran.output) == (0, True), ran.output
        return
    code = RUNNERS[slug].code
    assert ran.code == code if code is not None else ran.code != 0, ran.output
    assert FAULT in ran.output


@pytest.mark.parametrize("slug", RUN)
def test_a_push_that_is_not_answered_is_given_up_and_tried_again(workshop: Workshop, slug: str):
    unheard = workshop.unheard[slug].result()
    assert [(push["status"], push["msg"]) for push in unheard.pushes] == [("up", "OK")] * 3
    ran = unheard.returning
    assert (ran.code, "worked" in ran.output) == (0, True), ran.output


@pytest.mark.parametrize("slug", RUN)
def test_a_job_ends_as_it_would_while_tianji_is_away(workshop: Workshop, slug: str):
    ran = workshop.unheard[slug].result().gone
    assert ran.seconds < HARMLESS_WITHIN
    assert_ended_as_its_job(slug, ran)


@pytest.mark.parametrize("slug", RUN)
def test_what_a_program_prints_has_no_push_url(workshop: Workshop, slug: str):
    unheard = workshop.unheard[slug].result()
    assert SECRET not in unheard.returning.output + unheard.gone.output
