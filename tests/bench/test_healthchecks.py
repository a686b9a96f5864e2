"""The comparison with Healthchecks: what the user names, and how its server is started."""

from __future__ import annotations

import sys
import urllib.request

import pytest

from bench import load
from bench.healthchecks import Healthchecks, Unusable, arguments, checkout, environment
from tests.support.sinks import HttpSink

# What stands for the checkout of the user: it answers as Healthchecks does, and notes how it was called.
_MANAGE = """#!{python}
import os, pathlib, sys
assert os.environ["DB"] == "postgres" and os.environ["DB_NAME"] == "healthchecks", os.environ
with pathlib.Path("calls").open("a") as calls:
    print(sys.argv[1], file=calls)
if sys.argv[1] == "shell":
    assert "number in range(2)" in sys.argv[3]
    for number in range(2):
        print(f"check 0000000{{number}}-0000-4000-8000-000000000000")
"""
_SERVER = """#!{python}
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path.startswith("/ping/0000000")
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"OK")
    do_POST = do_GET
    def log_message(self, *arguments):
        pass
host, port = next(each for each in sys.argv if each.startswith("127.0.0.1:")).split(":")
assert "hc.wsgi:application" in sys.argv
http.server.ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with the files that a checkout is known by."""
    made = tmp_path / "healthchecks"
    (made / "hc" / "api").mkdir(parents=True)
    (made / "manage.py").write_text(_MANAGE.format(python=sys.executable))
    for name in ("hc/wsgi.py", "hc/api/models.py"):
        (made / name).touch()
    return made


@pytest.fixture
def python(tmp_path):
    """A virtual environment's Python, without a web server beside it."""
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    return programs / "python"


def install(python, name):
    program = python.parent / name
    program.write_text(_SERVER.format(python=sys.executable))
    program.chmod(0o755)
    return program


def refused(capsys, *given):
    with pytest.raises(SystemExit):
        arguments([str(each) for each in given])
    return capsys.readouterr().err


def test_a_folder_that_is_no_checkout_is_refused_with_what_it_lacks(folder, python, tmp_path, capsys):
    install(python, "uwsgi")
    (folder / "hc" / "wsgi.py").unlink()
    for where, missing in ((tmp_path, "manage.py"), (tmp_path / "none", "manage.py"), (folder, "hc/wsgi.py")):
        message = f"{where} is not a checkout of Healthchecks: it has no {missing}."
        assert message in refused(capsys, where, "--python", python)


def test_a_python_that_is_not_there_is_refused(folder, tmp_path, capsys):
    for wrong in (tmp_path / "python", tmp_path, folder / "manage.py"):
        assert f"{wrong} is not a Python that can be run." in refused(capsys, folder, "--python", wrong)


def test_a_python_without_a_web_server_is_refused(folder, python, capsys):
    message = f"Neither uwsgi nor gunicorn is installed in {python.parent}."
    assert message in refused(capsys, folder, "--python", python)


def test_the_python_must_be_named(folder, capsys):
    assert "--python" in refused(capsys, folder)


def test_uwsgi_comes_before_gunicorn(folder, python):
    install(python, "gunicorn")
    assert arguments([str(folder), "--python", str(python)]).of.server.name == "gunicorn"
    install(python, "uwsgi")
    assert arguments([str(folder), "--python", str(python)]).of.server.name == "uwsgi"


def test_its_settings_name_the_database():
    found = environment("postgresql://postgres@127.0.0.1:5433/healthchecks", 8001)
    assert (found["DB_HOST"], found["DB_PORT"], found["DB_USER"]) == ("127.0.0.1", "5433", "postgres")
    assert (found["DB_NAME"], found["SITE_ROOT"]) == ("healthchecks", "http://127.0.0.1:8001")


@pytest.mark.parametrize("name", ["uwsgi", "gunicorn"])
def test_it_is_migrated_filled_and_started(folder, python, name):
    install(python, name)
    of = checkout(str(folder), str(python))
    with Healthchecks(of, "postgresql://postgres@127.0.0.1:1/healthchecks", number=2) as server:
        assert len(server.codes) == 2
        url = f"http://127.0.0.1:{server.port}/ping/{server.codes[1]}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.read() == b"OK"
    assert server.process.poll() is not None
    assert (folder / "calls").read_text().split() == ["migrate", "shell"]


def test_a_command_of_its_that_fails_is_shown(folder, python):
    install(python, "uwsgi")
    (folder / "manage.py").write_text("raise SystemExit('no such table')")
    of = checkout(str(folder), str(python))
    with pytest.raises(Unusable, match=r"manage.py migrate failed:\nno such table"):
        Healthchecks(of, "postgresql://postgres@127.0.0.1:1/healthchecks", number=2).__enter__()


def test_a_web_server_that_ends_at_once_is_an_error(folder, python):
    install(python, "uwsgi").write_text(f"#!{sys.executable}\n")
    of = checkout(str(folder), str(python))
    with pytest.raises(Unusable, match="did not answer a ping"):
        Healthchecks(of, "postgresql://postgres@127.0.0.1:1/healthchecks", number=2).__enter__()


def test_a_load_of_fresh_connections_gets_its_answers_from_a_server_that_closes_each():
    with HttpSink() as sink:
        port = int(sink.url.rsplit(":", 1)[1].split("/")[0])
        run = load.run(port, [load.post("/in", close=True)], connections=2, seconds=0.5, fresh=True)
        assert run.statuses == {200: len(sink.requests)}
    assert len(run.latencies) == run.statuses[200] > 2
