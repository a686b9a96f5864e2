"""The errors of the management API: always problems as in RFC 9457."""

from __future__ import annotations

import json

import pytest
from django.db import DataError, OperationalError
from django.test import Client

from api.parsers import API_BODY_LIMIT
from api.problems import KINDS
from monitors.api.monitors import MonitorList
from monitors.services import monitors as monitor_service
from tests.support.factories import make_monitor

pytestmark = pytest.mark.django_db
JOB = {"name": "Job", "schedule": {"kind": "interval", "timeout": 60}}


def problem_of(answer, kind):
    """Return the body of a response, which must be the problem `kind`."""
    assert answer["Content-Type"] == "application/problem+json", answer.content
    problem = answer.json()
    assert problem["type"] == f"/api/problems/{kind}/"
    assert problem["status"] == answer.status_code == KINDS[kind].status
    assert problem["title"] == str(KINDS[kind].title)
    assert problem["detail"]
    assert set(problem) <= {"type", "title", "status", "detail", "errors"}
    for error in problem.get("errors", []):
        assert set(error) == {"field", "detail"}
    return problem


def sent(writer, body, content_type="application/json", **extra):
    """A POST of raw bytes to the list of monitors."""
    return writer._client.generic(
        "POST",
        "/api/v1/monitors/",
        body,
        content_type=content_type,
        headers={"Authorization": f"Bearer {writer.issued.secret}"},
        **extra,
    )


@pytest.mark.parametrize(
    "path",
    [
        "nothing/",
        "monitors/nothing/",
        "monitors/6f2c4a52-4d6c-4e9c-8f43-0a54a9f7f0a1/",
        "monitors/6F2C4A52-4D6C-4E9C-8F43-0A54A9F7F0A1/",
        "monitors/6f2c4a52-4d6c-4e9c-8f43-0a54a9f7f0a1/nothing/",
        "monitors/by-slug/Not-a-slug/",
        "monitors/by-slug/nothing/",
        "monitors/%00/",
        "",
    ],
)
def test_where_there_is_nothing_it_is_404(writer, path):
    for method in ("GET", "POST", "PATCH", "DELETE"):
        answer = writer(method, path, None if method == "GET" else {})
        assert answer.status_code in (404, 405), method
        assert answer["Content-Type"] == "application/problem+json"
    problem_of(writer.get(path), "not-found")


def test_a_url_without_its_trailing_slash_is_explained(writer):
    assert "end with a slash" in problem_of(writer.post("monitors", JOB), "not-found")["detail"]


def test_a_method_that_an_address_lacks_is_405_and_says_which_it_has(writer, reader):
    answer = writer.put("monitors/", JOB)
    problem_of(answer, "method-not-allowed")
    assert answer["Allow"] == "GET, HEAD, POST"
    assert "Allow" in answer.json()["detail"]
    # For a read-only key, too.
    problem_of(reader("PUT", "monitors/", JOB), "method-not-allowed")
    problem_of(reader("OPTIONS", "monitors/"), "method-not-allowed")


def test_an_answer_is_json_whatever_is_accepted(writer):
    for accepted in ("text/html", "application/xml", "image/*;q=0.1", "nonsense", ""):
        answer = writer.get("monitors/", Accept=accepted)
        assert answer.status_code == 200
        assert answer["Content-Type"] == "application/json"
        problem_of(writer.get("monitors/?limit=0", Accept=accepted), "invalid")


def test_a_head_is_answered_like_a_get_without_its_body(writer):
    answer = writer("HEAD", "monitors/")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""]
)
def test_a_body_without_a_json_content_type_is_415(writer, content_type):
    problem_of(sent(writer, b'{"name": "Job"}', content_type), "unsupported-media-type")


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name": "\xff"}',
        b'{"name": NaN}',
        b'{"name": Infinity}',
        b'{"name": 1e999}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b'{"name": "\\ud800"}',
        b'{"\\udfff": 1}',
        b"[" * 100_000,
        b'{"name": ' + b"[" * 30 + b"]" * 30 + b"}",
        b"\xef\xbb\xbf{}",
        b"nonsense",
    ],
    ids=lambda body: str(body[:24]),
)
def test_a_body_that_cannot_be_read_is_400_and_says_why(writer, body):
    problem = problem_of(sent(writer, body), "malformed")
    assert problem["detail"].startswith("The body")


def test_json_is_utf_8_whatever_the_charset_says(writer):
    body = json.dumps({**JOB, "name": "Nächtlich"}, ensure_ascii=False).encode()
    for charset in ("utf-16", "zlib", "nonsense"):
        answer = sent(writer, body, f"application/json; charset={charset}")
        assert answer.json()["name"] == "Nächtlich"


@pytest.mark.parametrize("body", [[], "x", 1, None, True])
def test_a_body_that_is_no_object_is_400(writer, body):
    problem_of(sent(writer, json.dumps(body)), "invalid")


def test_a_body_that_is_too_large_is_413_and_names_the_limit(writer):
    problem = problem_of(sent(writer, b" " * (API_BODY_LIMIT + 1)), "too-large")
    assert str(API_BODY_LIMIT) in problem["detail"]


def test_a_body_in_chunks_is_400_and_not_taken_for_none(writer):
    answer = sent(writer, b"", HTTP_TRANSFER_ENCODING="chunked")
    assert "Content-Length" in problem_of(answer, "malformed")["detail"]


def test_each_field_to_blame_is_named_by_its_path(writer):
    answer = writer.post("monitors/", {"name": "", "schedule": {"kind": "interval", "timeout": 0}, "x": 1})
    problem = problem_of(answer, "invalid")
    assert [error["field"] for error in problem["errors"]] == ["x"]
    answer = writer.post("monitors/", {"name": "", "schedule": {"kind": "interval", "timeout": 0}})
    fields = {error["field"]: error["detail"] for error in problem_of(answer, "invalid")["errors"]}
    assert set(fields) == {"name", "schedule.timeout"}
    assert "from 1 to 31536000" in fields["schedule.timeout"]


def test_a_database_that_cannot_answer_is_503_with_retry_after(writer, monkeypatch):
    def away(self, request):
        raise OperationalError("connection refused")

    monkeypatch.setattr(MonitorList, "get", away)
    answer = writer.get("monitors/")
    problem_of(answer, "unavailable")
    assert int(answer["Retry-After"]) > 0
    assert "refused" not in answer.content.decode()


@pytest.mark.parametrize("error", [RuntimeError("a secret"), DataError("a secret"), KeyError("a secret")])
def test_a_fault_of_ours_is_500_without_what_was_inside(writer, monkeypatch, error):
    def broken(self, request):
        raise error

    monkeypatch.setattr(MonitorList, "get", broken)
    answer = writer.get("monitors/")
    problem_of(answer, "fault")
    assert "a secret" not in answer.content.decode()
    assert answer["X-Request-ID"]


def test_a_database_that_is_away_before_the_key_is_known_is_503_too(writer, monkeypatch):
    def away(*args, **kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr("accounts.services.api_keys.find", away)
    problem_of(writer.get("monitors/"), "unavailable")
    problem_of(writer.post("monitors/", JOB), "unavailable")


def test_each_type_leads_to_a_page_that_explains_it(client):
    for kind, known in KINDS.items():
        page = client.get(f"/api/problems/{kind}/")
        assert page.status_code == 200
        assert str(known.title) in page.content.decode()
    assert client.get("/api/problems/nothing/").status_code == 404


def test_the_pages_of_the_problems_need_no_sign_in_and_no_slow_query(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get("/api/problems/conflict/").status_code == 200


def test_an_if_match_that_is_not_an_etag_is_an_error(writer, workspace):
    monitor = make_monitor(workspace=workspace)
    for given in ("1", "'1'", "", '"1', "W/1"):
        answer = writer.patch(f"monitors/{monitor.public_id}/", {"name": "New"}, **{"If-Match": given})
        assert "including the quotes" in problem_of(answer, "precondition-failed")["detail"]


def test_an_etag_that_compression_made_weak_still_names_its_version(writer, workspace):
    monitor = make_monitor(workspace=workspace, description="x" * 500)
    path = f"monitors/{monitor.public_id}/"
    etag = writer.get(path, **{"Accept-Encoding": "gzip"})["ETag"]
    assert etag == 'W/"1"'
    assert writer.patch(path, {"name": "New"}, **{"If-Match": etag}).status_code == 200
    problem_of(writer.patch(path, {"name": "Newer"}, **{"If-Match": etag}), "precondition-failed")


def test_one_etag_of_several_is_enough_and_a_star_is_any(writer, workspace):
    path = f"monitors/{make_monitor(workspace=workspace).public_id}/"
    assert writer.patch(path, {"name": "A"}, **{"If-Match": '"7", "1"'}).status_code == 200
    assert writer.patch(path, {"name": "B"}, **{"If-Match": "*"}).status_code == 200


def test_a_parameter_is_given_once_and_known(writer):
    for query, field in (("limit=1&limit=2", "limit"), ("nothing=1", "nothing"), ("status=up&x=", "x")):
        problem = problem_of(writer.get(f"monitors/?{query}"), "invalid")
        assert problem["errors"][0]["field"] == field
    problem = problem_of(writer.post("monitors/?status=up", JOB), "invalid")
    assert "Allowed: none" in problem["detail"]


def test_a_page_of_the_site_that_is_missing_is_a_page():
    answer = Client().get("/api/v2/monitors/", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


def test_what_somebody_else_deletes_meanwhile_is_404(writer, workspace, monkeypatch):
    monitor = make_monitor(workspace=workspace)
    pause = monitor_service.pause

    def pause_too_late(*, monitor, by):
        monitor_service.delete(monitor=type(monitor).objects.get(pk=monitor.pk))
        pause(monitor=monitor, by=by)

    monkeypatch.setattr(monitor_service, "pause", pause_too_late)
    assert writer.post(f"monitors/{monitor.public_id}/pause/").status_code == 404
