"""`make audit`: what it says is known, and never that nothing is when the list was not reached."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import audit
from tests.support.servers import free_port

LOCK = """django==5.2.19 \\
    --hash=sha256:0
celery[redis]==5.7.0 ; python_version >= '3.11' \\
    --hash=sha256:1
"""


@pytest.fixture
def lock(tmp_path: Path) -> str:
    path = tmp_path / "base.txt"
    path.write_text(LOCK)
    return str(path)


class List:
    """A server with OSV's API, which knows what a test gives it."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        # The most that one answer has of a package.
        self.page = 1000
        self.status, self.body = 200, b""
        self.asked: list[dict[str, Any]] = []
        self.url = ""

    def answer(self, queries: list[dict[str, Any]]) -> bytes:
        self.asked += queries
        return self.body or json.dumps({"results": [self._result(query) for query in queries]}).encode()

    def _result(self, query: dict[str, Any]) -> dict[str, Any]:
        names = self.known.get(f"{query['package']['name']} {query['version']}", [])
        start = int(query.get("page_token", 0))
        result: dict[str, Any] = {"vulns": [{"id": name} for name in names[start : start + self.page]]}
        if start + self.page < len(names):
            result["next_page_token"] = str(start + self.page)
        return result if names else {}


@contextmanager
def listening(known: List) -> Iterator[List]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v1/querybatch"
            answer = known.answer(body["queries"])
            self.send_response(known.status)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    known.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()


def test_it_asks_about_every_locked_version(lock, capsys):
    with listening(List()) as known:
        assert audit.main(["--server", known.url, lock]) == audit.NOTHING_FOUND
    assert [(query["package"], query["version"]) for query in known.asked] == [
        ({"ecosystem": "PyPI", "name": "celery"}, "5.7.0"),
        ({"ecosystem": "PyPI", "name": "django"}, "5.2.19"),
    ]
    assert "knows no vulnerability of the 2 locked versions" in capsys.readouterr().out


def test_what_is_known_is_printed_and_is_a_failure(lock, capsys):
    with listening(List()) as known:
        known.known = {"django 5.2.19": ["GHSA-1", "PYSEC-2"], "celery 4.0": ["GHSA-3"]}
        assert audit.main(["--server", known.url, lock]) == audit.FOUND
    assert capsys.readouterr().out.splitlines() == [
        "django 5.2.19: GHSA-1, PYSEC-2 (https://osv.dev/GHSA-1)",
        "1 of 2 locked versions have known vulnerabilities.",
    ]


def test_an_answer_in_parts_is_read_to_its_end(lock, capsys):
    with listening(List()) as known:
        known.known, known.page = {"django 5.2.19": ["A", "B", "C"]}, 1
        assert audit.main(["--server", known.url, lock]) == audit.FOUND
    assert "django 5.2.19: A, B, C " in capsys.readouterr().out


def says_that_it_knows_nothing(capsys) -> bool:
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    return said.out == "" and line.startswith("NOT CHECKED: ")


def test_without_the_list_it_says_that_nothing_was_checked(lock, capsys):
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert audit.main(["--server", nowhere, lock]) == audit.NOT_CHECKED
    assert says_that_it_knows_nothing(capsys)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"results": [{}, {}]}'),
        (403, b"<html>The proxy says no.</html>"),
        (200, b"<html>Please sign in to this network.</html>"),
        (200, b'{"results": [{}]}'),
        (200, b'{"results": "none"}'),
        (200, b'{"results": [null, null]}'),
        (200, b"[]"),
    ],
)
def test_an_answer_of_somebody_else_is_none(lock, capsys, status: int, body: bytes):
    with listening(List()) as known:
        known.status, known.body = status, body
        assert audit.main(["--server", known.url, lock]) == audit.NOT_CHECKED
    assert says_that_it_knows_nothing(capsys)


def test_it_knows_all_that_is_locked():
    for name in audit.LOCKS:
        text = (audit.ROOT / name).read_text()
        entries = [line for line in text.splitlines() if line[:1].isalnum()]
        assert len(list(audit.locked(text))) == len(entries) > 0
