"""What is logged, and which secrets never are."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog
from django.db import DatabaseError
from django.test import Client

from core.credentials import checksum
from monitors.heartbeats import recorder
from monitors.heartbeats.group_commit import GroupCommit
from monitors.heartbeats.pipeline import FailureLog, process_pipeline
from tests.support.factories import make_monitor, secret_of
from tianji.logging import logging_config, redact

_BODY = "a1B2c3" * 5
SECRET = f"tjp_{_BODY}{checksum(_BODY)}"


class Lines:
    """The output of the configured handler."""

    def __init__(self, *, json: bool) -> None:
        formatter = logging_config(level=logging.DEBUG, json=json)["formatters"]["structured"]
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(formatter.pop("()")(**formatter))

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def events(self) -> list[dict]:
        """The lines of the JSON form."""
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture(params=[True, False], ids=["json", "console"])
def lines(request):
    """The log in each of its forms."""
    yield from _captured(json=request.param)


@pytest.fixture
def json_lines():
    yield from _captured(json=True)


def _captured(*, json):
    captured = Lines(json=json)
    root = logging.getLogger()
    level = root.level
    root.addHandler(captured.handler)
    root.setLevel(logging.INFO)
    yield captured
    root.removeHandler(captured.handler)
    root.setLevel(level)


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


def fail_with(monkeypatch, error):
    def fail(arrivals):
        raise error

    failing = GroupCommit(fail, queue_limit=9, batch_limit=9)
    monkeypatch.setattr(process_pipeline(), "_group_commit", failing)
    monkeypatch.setattr(process_pipeline(), "_failures", FailureLog())


# --- tokens


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("/api/push/abcdefgh", "/api/push/..."),
        ("/api/push/abcdefgh/?status=up", "/api/push/.../?status=up"),
        ("GET /api/push/abcdefgh HTTP/1.1", "GET /api/push/... HTTP/1.1"),
        ("/api/push//abcdefgh", "/api/push//..."),
        ("/api//push/abcdefgh", "/api//push/..."),
        ("/API/PUSH/abcdefgh", "/API/PUSH/..."),
        ("/api/push/x/abcdefgh", "/api/push/.../..."),
        ("/push/abcdefgh", "/push/..."),
        ("/ping/abcdefgh/fail", "/ping/.../..."),
        ("/setup/abc-DEF_123/", "/setup/.../"),
        ("/acknowledge/abc-DEF.1x.y_z/", "/acknowledge/.../"),
        ("/accounts/password/reset/key/1-abc/", "/accounts/password/reset/key/.../"),
        ("/accounts/email/confirm/Im:1abc:x-y_z/", "/accounts/email/confirm/.../"),
        (f"Bearer {SECRET}", "Bearer tjp_..."),
        (f"next=%2Fapi%2Fpush%2F{SECRET}", "next=%2Fapi%2Fpush%2Ftjp_..."),
        ("nothing to hide /monitors/1/", "nothing to hide /monitors/1/"),
    ],
)
def test_tokens_are_blotted_out_of_a_text(text, redacted):
    assert redact(text) == redacted


@pytest.mark.parametrize("path", ["/api/push/{}", "/api/push/{}/", "/api/push/{}/more", "/api/pushes/{}"])
def test_the_token_of_a_push_that_is_refused_is_in_no_line(lines, client, db, path):
    assert client.get(path.format(SECRET)).status_code == 404
    assert SECRET not in lines.text


def test_the_token_of_a_push_that_cannot_be_recorded_is_in_no_line(lines, client, db, monkeypatch):
    fail_with(monkeypatch, DatabaseError(f"no route for {SECRET}"))
    assert client.get(f"/api/push/{SECRET}").status_code == 503
    assert "push not recorded" in lines.text
    assert SECRET not in lines.text


def test_the_token_of_a_push_that_finds_a_fault_of_ours_is_in_no_line(lines, client, db, monkeypatch):
    fail_with(monkeypatch, ValueError(f"cannot record /api/push/{SECRET}"))
    assert client.get(f"/api/push/{SECRET}").status_code == 500
    assert "Traceback" in lines.text
    assert "tjp_..." in lines.text or "/api/push/..." in lines.text
    assert SECRET not in lines.text


@pytest.mark.slow
def test_a_token_of_another_shape_is_in_no_line_either(lines, client, db, monkeypatch):
    fail_with(monkeypatch, ValueError("broken"))
    assert client.get("/api/push/0123456789abcdef").status_code == 500
    assert "0123456789abcdef" not in lines.text


def test_a_bearer_token_is_in_no_line(lines, client, db, monkeypatch):
    fail_with(monkeypatch, ValueError("broken"))
    client.get("/api/push", headers={"authorization": f"Bearer {SECRET}"})
    assert lines.text
    assert SECRET not in lines.text


def test_the_token_of_a_set_up_link_is_in_no_line(lines, client, db):
    client.get("/setup/set-up-token_0123456789/")
    assert "/setup/..." in lines.text
    assert "0123456789" not in lines.text


def test_the_token_of_a_link_in_a_message_is_in_no_line(lines, client, db):
    client.get("/acknowledge/0123456789.abc.def/")
    assert "/acknowledge/..." in lines.text
    assert "0123456789" not in lines.text


@pytest.mark.parametrize("value", [[SECRET], {"url": f"/api/push/{SECRET}"}, ValueError(SECRET), (1, SECRET)])
def test_a_token_inside_something_else_is_in_no_line(lines, value):
    structlog.get_logger("tests").warning("something happened", detail=value)
    assert "something happened" in lines.text
    assert SECRET not in lines.text


def test_a_token_in_a_line_of_another_package_is_in_no_line(lines):
    logging.getLogger("another.package").warning("GET %s failed", f"http://h/api/push/{SECRET}")
    assert "GET http://h/api/push/... failed" in lines.text


def test_a_redacted_line_of_json_is_still_json(json_lines):
    text = f'he said "/api/push/{SECRET}"\nand "/api/push/abcdefgh\\"'
    structlog.get_logger("tests").warning(text, path=f'/api/push/{SECRET}"')
    (event,) = json_lines.events
    assert event["path"] == '/api/push/..."'
    assert SECRET not in event["event"]


# --- requests


def test_a_request_is_one_line_with_its_method_path_status_and_time(json_lines, client, db):
    client.get("/nowhere/?secret=1")
    (event,) = [event for event in json_lines.events if event["event"] == "request"]
    assert (event["method"], event["path"], event["status"]) == ("GET", "/nowhere/", 404)
    assert event["level"] == "info"
    assert event["ms"] >= 0
    assert event["timestamp"].endswith("Z")


def test_a_request_without_an_id_is_given_one_that_the_answer_and_the_log_share(json_lines, client, db):
    first, second = client.get("/nowhere/"), client.get("/nowhere/")
    assert first["X-Request-ID"] != second["X-Request-ID"]
    assert [event["request_id"] for event in json_lines.events if event["event"] == "request"] == [
        first["X-Request-ID"],
        second["X-Request-ID"],
    ]


def test_an_id_that_a_proxy_gave_is_kept(json_lines, client, db):
    response = client.get("/nowhere/", headers={"x-request-id": "proxy-1.2_3"})
    assert response["X-Request-ID"] == "proxy-1.2_3"
    assert json_lines.events[-1]["request_id"] == "proxy-1.2_3"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "<script>", "a;b", "a,b"])
def test_an_id_that_is_none_is_replaced(client, db, given):
    response = client.get("/nowhere/", headers={"x-request-id": given})
    assert len(response["X-Request-ID"]) == 32
    assert response["X-Request-ID"] != given


def test_a_push_after_a_page_does_not_bear_the_id_of_the_page(json_lines, client, db, monkeypatch):
    client.get("/nowhere/", headers={"x-request-id": "of-the-page"})
    fail_with(monkeypatch, DatabaseError("away"))
    client.get(f"/api/push/{SECRET}")
    (event,) = [event for event in json_lines.events if event["event"] == "push not recorded"]
    assert "request_id" not in event


def test_pushes_that_fail_one_after_another_are_logged_when_it_begins_and_ends(json_lines, client, db):
    push_url = f"/api/push/{secret_of(make_monitor())}"
    with pytest.MonkeyPatch.context() as failing:
        fail_with(failing, DatabaseError("the disk is full"))
        failures = process_pipeline()._failures
        assert [client.get(push_url).status_code for _ in range(3)] == [503] * 3
    assert [(event["event"], event["error"]) for event in json_lines.events] == [
        ("push not recorded", "the disk is full")
    ]
    with pytest.MonkeyPatch.context() as mended:
        mended.setattr(process_pipeline(), "_failures", failures)
        assert [client.get(push_url).status_code for _ in range(2)] == [200] * 2
    (_, event) = json_lines.events
    assert (event["event"], event["failed"]) == ("pushes are recorded again", 3)


def test_an_error_in_a_page_is_logged_with_its_traceback(json_lines, client, db, monkeypatch):
    monkeypatch.setattr("tianji.health.database_now", None)
    assert client.get("/healthz").status_code == 500
    assert any("TypeError" in event.get("exception", "") for event in json_lines.events)


def test_a_push_that_is_recorded_writes_no_line(lines, client, db):
    monitor = make_monitor()
    assert client.get(f"/api/push/{secret_of(monitor)}").status_code == 200
    assert lines.text == ""


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_write_no_line_while_all_is_well(lines, client, db, path):
    assert client.get(path).status_code == 200
    assert lines.text == ""


def test_a_fault_is_an_error_with_its_traceback(json_lines, client, db, monkeypatch):
    fail_with(monkeypatch, ZeroDivisionError("of ours"))
    client.get(f"/api/push/{SECRET}")
    (event,) = [event for event in json_lines.events if event["level"] == "error"]
    assert "ZeroDivisionError: of ours" in event["exception"]
    assert recorder.__name__ not in event["event"]


# --- forms


def test_each_line_of_the_json_form_is_an_object_with_level_logger_and_time(json_lines):
    structlog.get_logger("tests.ours").warning("of ours", answer=42)
    logging.getLogger("tests.theirs").error("of %s", "theirs")
    ours, theirs = json_lines.events
    assert (ours["event"], ours["level"], ours["logger"], ours["answer"]) == (
        "of ours",
        "warning",
        "tests.ours",
        42,
    )
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("of theirs", "error", "tests.theirs")
    assert ours["timestamp"]
    assert theirs["timestamp"]


def test_a_line_of_many_lines_is_one_line_of_json(json_lines):
    structlog.get_logger("tests").warning("one\ntwo")
    assert len(json_lines.text.splitlines()) == 1
