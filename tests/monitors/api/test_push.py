"""The push endpoint, as senders see it."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from threading import BoundedSemaphore
from urllib.parse import quote
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection

from core.clock import database_now
from monitors.api import push_body
from monitors.heartbeats import recorder
from monitors.heartbeats.group_commit import GroupCommit
from monitors.heartbeats.pipeline import process_pipeline
from monitors.heartbeats.rate_limit import Limiter, LocalStore
from monitors.heartbeats.rejections import RejectionLog
from monitors.heartbeats.words import ALLOWED
from monitors.models import Heartbeat, MonitorState, PushToken, RejectedPush
from monitors.services import tokens
from tests.support import sender_requests
from tests.support.factories import make_channel, make_monitor, secret_of
from tests.support.heartbeats import Queries, quiet_statements, state_of

OK = b'{"ok":true}'
NOWHERE = tokens.new_secret()


@pytest.fixture
def monitor(db):
    return make_monitor()


@pytest.fixture
def url(monitor):
    return f"/api/push/{secret_of(monitor)}"


def refused(response, status, message):
    """Whether it is an error of ours, in both families' words, that anybody may read and nobody keeps."""
    content = {"ok": False, "error": message, "msg": message}
    return (
        response.status_code == status
        and response.content == json.dumps(content, separators=(",", ":")).encode()
        and response["Content-Type"] == "application/json"
        and response["Access-Control-Allow-Origin"] == "*"
        and response["Cache-Control"] == "no-store"
    )


# --- a good push


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_push_is_answered_with_exactly_ok_once_it_is_recorded(client, url, monitor, method):
    response = getattr(client, method)(url)
    assert (response.status_code, response.content) == (200, OK)
    assert state_of(monitor).status == "up"
    assert Heartbeat.objects.get().message == "OK"


def test_a_head_is_a_push_whose_answer_has_no_body(client, url):
    response = client.head(url)
    assert (response.status_code, response.content) == (200, b"")
    assert response["Content-Length"] == str(len(OK))
    assert Heartbeat.objects.count() == 1


def test_an_answer_has_its_headers_and_sets_no_cookie(client, url):
    response = client.get(url)
    assert response["Content-Type"] == "application/json"
    assert response["Content-Length"] == "11"
    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies
    assert not response.has_header("Vary")
    assert not response.has_header("Location")


def test_what_a_query_says_is_kept(client, url):
    client.get(url + "?status=down&msg=disk%20full&value=99.5")
    heartbeat = Heartbeat.objects.get()
    assert (heartbeat.status, heartbeat.message, heartbeat.value) == ("down", "disk full", 99.5)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"status=down&msg=disk+full&value=99.5", "application/x-www-form-urlencoded"),
        (b'{"status":"down","msg":"disk full","value":99.5}', "application/json"),
        (b'{"status":"down","msg":"disk full","value":99.5}', "text/plain;charset=UTF-8"),
        (b'{"status":"down","msg":"disk full","value":99.5}', "application/x-www-form-urlencoded"),
    ],
)
def test_what_a_body_says_is_kept(client, url, body, content_type):
    assert client.post(url, body, content_type=content_type).content == OK
    heartbeat = Heartbeat.objects.get()
    assert (heartbeat.status, heartbeat.message, heartbeat.value) == ("down", "disk full", 99.5)


def test_a_multipart_form_is_kept(client, url):
    assert client.post(url, {"status": "down", "msg": "Grüße"}).content == OK
    assert Heartbeat.objects.get().message == "Grüße"


def test_bytes_that_are_no_utf8_are_no_fault(client, url):
    response = client.generic("GET", url, QUERY_STRING="msg=%FF\xfe")
    assert response.content == OK
    assert Heartbeat.objects.get().message == "\ufffd\ufffd"


def test_utf8_in_a_query_that_was_not_encoded_is_understood(client, url):
    # WSGI hands bytes over as latin-1.
    client.generic("GET", url, QUERY_STRING="msg=Grüße".encode().decode("latin-1"))
    assert Heartbeat.objects.get().message == "Grüße"


def test_a_value_that_is_no_number_is_left_out_with_a_warning(client, url):
    response = client.get(url + "?value=abc")
    assert response.content == (b'{"ok":true,"warning":"value is not a finite number and was not recorded."}')
    assert Heartbeat.objects.get().value is None


def test_a_push_to_a_paused_monitor_is_fine(client, url):
    MonitorState.objects.update(status="paused")
    assert client.get(url).content == OK
    assert Heartbeat.objects.count() == 1


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*;q=0", "nonsense"])
def test_what_a_sender_says_it_accepts_costs_no_heartbeat(client, url, accept):
    assert client.get(url, headers={"accept": accept}).content == OK


def test_a_push_in_a_format_is_no_other_push(client, url):
    assert client.get(url + "?format=api").content == OK


# --- addresses


@pytest.mark.parametrize("method", ["get", "post", "head"])
def test_a_trailing_slash_is_accepted_and_nothing_redirects(client, url, method):
    assert getattr(client, method)(url + "/").status_code == 200
    assert Heartbeat.objects.count() == 1


@pytest.mark.parametrize("path", ["/api/push", "/api/push/"])
@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_the_token_may_come_in_a_header(client, monitor, path, scheme):
    response = client.post(path, headers={"authorization": scheme + secret_of(monitor)})
    assert response.content == OK


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Token {}"])
def test_without_a_bearer_token_there_is_none(client, monitor, authorization):
    header = {"authorization": authorization.format(secret_of(monitor))}
    assert refused(client.get("/api/push", headers=header), 404, "Unknown push token.")


@pytest.mark.parametrize("host", ["example.com", "192.0.2.1:9", "evil\x7f_host", "a" * 300, ""])
def test_any_host_header_will_do(client, url, settings, host):
    settings.ALLOWED_HOSTS = ["only.example"]
    assert client.get(url, headers={"host": host}).content == OK


def test_a_push_over_http_is_not_sent_to_https(client, url, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(url).content == OK


@pytest.mark.parametrize("path", ["/api/pushes", "/api/push/a/b", "/api/push//", "/api/push/%2e%2e/"])
def test_other_addresses_record_nothing_and_are_no_fault(client, db, path):
    assert client.get(path).status_code == 404


# --- whatever senders send


@pytest.mark.parametrize("sent", sender_requests.ALL, ids=str)
def test_a_request_is_recorded_as_it_was_meant(raw, url, monitor, sent):
    headers = {"HTTP_CONTENT_ENCODING": sent.encoding} if sent.encoding else {}
    answer = raw(
        sent.body,
        checked=False,
        PATH_INFO=url,
        REQUEST_METHOD=sent.verb,
        QUERY_STRING=sent.query.decode("latin-1"),
        CONTENT_TYPE=sent.type,
        **headers,
    )
    if isinstance(sent.means, int):
        assert answer.status.startswith(str(sent.means))
        assert not Heartbeat.objects.exists()
        assert state_of(monitor).status == "new"
        return
    assert answer.status == "200 OK"
    assert sent.verb == "HEAD" or sent.warns in json.loads(answer.content).get("warning", "")
    assert Heartbeat.objects.get().status == sent.means
    assert state_of(monitor).status == sent.means


@pytest.mark.parametrize(
    "path", ["/{}", "//{}//", "/{} ", "/{}\r", "/{}\n", "/{}.", "/{}/.", "/{}/?", "/{}?"]
)
def test_a_token_is_found_in_a_url_that_was_put_together_badly(client, monitor, path):
    token = path.format(secret_of(monitor))
    assert client.generic("GET", f"/api//push{quote(token)}").content == OK


def test_fields_behind_the_token_count_though_their_question_mark_was_encoded_or_forgotten(
    client, url, monitor
):
    assert client.generic("GET", f"{url}%3Fstatus=down&msg=x").content == OK
    assert client.generic("GET", f"{url}&status=down&msg=y").content == OK
    assert [(beat.status, beat.message) for beat in Heartbeat.objects.order_by("pk")] == [
        ("down", "x"),
        ("down", "y"),
    ]


@pytest.mark.parametrize("body", [b"{", b"\x89PNG\0\0", b"<status/>"])
def test_a_body_that_cannot_be_read_is_kept_among_the_rejected_pushes(client, url, noted, body):
    response = client.post(url, body, content_type="application/octet-stream")
    assert response.status_code == 400
    assert noted() == [("parameter", "POST", response.json()["error"], 1)]
    assert not Heartbeat.objects.exists()


# --- errors


def test_a_status_that_is_none_is_400_and_records_nothing(client, url):
    assert refused(client.get(url + "?status=maybe"), 400, f"Unknown status “maybe”. {ALLOWED}")
    assert not Heartbeat.objects.exists()


def revoke(monitor):
    monitor.tokens.update(revoked_at=database_now())


def expire(monitor):
    monitor.tokens.update(expires_at=database_now() - timedelta(seconds=1))


def test_an_unknown_an_expired_and_a_revoked_token_have_one_answer(client, db):
    answers = set()
    for spoil in (None, revoke, expire):
        monitor = make_monitor()
        path = f"/api/push/{secret_of(monitor) if spoil else NOWHERE}"
        if spoil:
            spoil(monitor)
        response = client.get(path)
        assert refused(response, 404, "Unknown push token.")
        answers.add((response.content, tuple(sorted(response.items()))))
    assert len(answers) == 1
    assert not Heartbeat.objects.exists()


@pytest.mark.parametrize(
    "token", ["x", "x" * 65, "x" * 5000, "%00" * 10, "%FF" * 10, "' OR 1=1 --", "%0A" + "x" * 20, "🚀" * 10]
)
def test_what_can_be_no_token_has_the_same_answer(client, db, token):
    with Queries() as queries:
        response = client.get(f"/api/push/{token}")
    assert refused(response, 404, "Unknown push token.")
    assert not queries.statements


@pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
def test_other_methods_are_405_and_the_right_ones_are_named(client, url, method):
    response = getattr(client, method)(url)
    assert refused(response, 405, "Method not allowed; use GET, HEAD or POST.")
    assert response["Allow"] == "GET, HEAD, POST"
    assert not Heartbeat.objects.exists()


def test_a_method_nobody_knows_is_405_too(client, url):
    assert client.generic("BREW", url).status_code == 405


@pytest.mark.parametrize("method", ["get", "head"])
def test_a_monitor_that_only_accepts_post_says_so(client, db, method):
    url = f"/api/push/{secret_of(make_monitor(post_only=True))}"
    response = getattr(client, method)(url)
    assert response.status_code == 405
    assert response["Allow"] == "POST"
    if method == "get":
        assert refused(response, 405, "This monitor only accepts POST.")
    assert not Heartbeat.objects.exists()
    assert client.post(url).content == OK


def test_a_preflight_is_answered_so_that_other_sites_may_push_json(client, url):
    response = client.options(
        url,
        headers={
            "origin": "https://example.com",
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type,authorization",
        },
    )
    assert (response.status_code, response.content) == (204, b"")
    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["Access-Control-Allow-Methods"] == "GET, HEAD, POST"
    assert response["Access-Control-Allow-Headers"] == "Authorization, Content-Encoding, Content-Type"
    # RFC 9110, 8.6: a server must not send it with a 204.
    assert not response.has_header("Content-Length")
    assert not Heartbeat.objects.exists()


def test_a_body_of_10_000_bytes_is_read_and_one_more_is_413(client, url):
    form = "application/x-www-form-urlencoded"
    body = b"msg=" + b"x" * 9_996
    assert client.post(url, body, content_type=form).content == OK
    response = client.post(url, body + b"x", content_type=form)
    assert refused(response, 413, "Body too large; send at most 10000 bytes.")
    assert Heartbeat.objects.count() == 1


# --- limits


@pytest.fixture
def limited(settings, monkeypatch):
    """With the limit that is set by default, nothing counted yet, and a clock that stands still."""
    settings.TIANJI_PUSH_RATE = 60
    monkeypatch.setattr(process_pipeline(), "limiter", Limiter(local=LocalStore(clock=lambda: 0.0)))


def test_a_token_that_pushes_too_often_is_429_and_told_when_to_try_again(client, url, limited):
    assert [client.get(url).content for _ in range(30)] == [OK] * 30
    response = client.get(url)
    assert refused(response, 429, "Rate limit exceeded; try again in 1 s.")
    assert response["Retry-After"] == "1"
    assert Heartbeat.objects.count() == 30
    process_pipeline().rejections.write()
    token = PushToken.objects.get()
    assert token.limited_count == 1
    assert token.limited_at


def test_above_the_limit_what_changes_the_status_is_taken(client, url, monitor, limited):
    for _ in range(31):
        client.get(url)
    assert client.get(url).status_code == 429
    assert client.get(url + "?status=down&msg=broken").content == OK
    assert state_of(monitor).status == "down"
    assert client.get(url).content == OK
    assert state_of(monitor).status == "up"
    assert client.get(url).status_code == 429


def test_a_token_above_its_limit_takes_nothing_from_another(client, url, monitor, limited):
    other = f"/api/push/{tokens.issue(monitor=monitor).secret}"
    for _ in range(31):
        client.get(url)
    assert client.get(url).status_code == 429
    assert client.get(other).content == OK


def test_a_monitor_may_have_a_rate_of_its_own_or_none(client, db, limited):
    strict, free = make_monitor(push_rate=2), make_monitor(push_rate=0)
    statuses = {
        monitor: [client.get(f"/api/push/{secret_of(monitor)}").status_code for _ in range(40)]
        for monitor in (strict, free)
    }
    assert statuses[free] == [200] * 40
    assert statuses[strict].count(200) <= 2


def test_a_head_above_the_limit_has_no_body(client, url, limited):
    for _ in range(31):
        client.head(url)
    response = client.head(url)
    assert (response.status_code, response.content, response["Retry-After"]) == (429, b"", "1")


def test_without_a_limit_nobody_is_429(client, url, settings, monkeypatch):
    settings.TIANJI_PUSH_RATE = 0
    monkeypatch.setattr(process_pipeline(), "limiter", Limiter())
    assert {client.get(url).status_code for _ in range(60)} == {200}


# --- where it came from


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("2001:DB8:0:0::7", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("unix:", None),
    ],
)
def test_the_address_of_the_sender_is_kept(client, url, address, source):
    assert client.get(url, REMOTE_ADDR=address).content == OK
    assert Heartbeat.objects.get().source == source
    assert PushToken.objects.get().last_used_from == source


def test_what_a_sender_says_of_its_own_address_is_not_believed(client, url, settings):
    settings.TIANJI_TRUST_PROXY = False
    client.get(url, REMOTE_ADDR="192.0.2.7", headers={"x-forwarded-for": "203.0.113.9"})
    assert Heartbeat.objects.get().source == "192.0.2.7"


@pytest.mark.parametrize(
    ("forwarded", "source"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("spoofed, 2001:db8::9", "2001:db8::9"),
        ("not an address", None),
    ],
)
def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_wrote(client, url, settings, forwarded, source):
    settings.TIANJI_TRUST_PROXY = True
    assert client.get(url, REMOTE_ADDR="127.0.0.1", headers={"x-forwarded-for": forwarded}).content == OK
    assert Heartbeat.objects.get().source == source


def test_behind_a_proxy_that_says_nothing_the_address_is_the_peers(client, url, settings):
    settings.TIANJI_TRUST_PROXY = True
    client.get(url, REMOTE_ADDR="192.0.2.7")
    assert Heartbeat.objects.get().source == "192.0.2.7"


# --- faults


UNRECORDED = "The heartbeat could not be recorded; try again shortly."


@pytest.mark.django_db(transaction=True)
def test_while_the_database_cannot_commit_a_push_is_503_and_later_it_works_again(client):
    url = f"/api/push/{secret_of(make_monitor())}"
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE monitors_heartbeat RENAME TO monitors_gone")
    try:
        response = client.get(url)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE monitors_gone RENAME TO monitors_heartbeat")
    assert refused(response, 503, UNRECORDED)
    assert int(response["Retry-After"]) > 0
    assert client.get(url).content == OK
    assert Heartbeat.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_broke_costs_one_503_at_most(client):
    url = f"/api/push/{secret_of(make_monitor())}"
    assert client.get(url).content == OK
    process_pipeline()._connection._wrapper.connection.close()
    assert client.get(url).status_code in (200, 503)
    assert client.get(url).content == OK


@pytest.mark.django_db(transaction=True)
def test_a_message_that_nobody_can_be_owed_is_no_recorded_heartbeat(client):
    monitor = make_monitor()
    make_channel(workspace=monitor.workspace)
    url = f"/api/push/{secret_of(monitor)}"
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE notifications_belief RENAME TO notifications_gone")
    try:
        response = client.get(url + "?status=down")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE notifications_gone RENAME TO notifications_belief")
    assert refused(response, 503, UNRECORDED)
    assert state_of(monitor).status == "new"
    assert not Heartbeat.objects.exists()


def test_when_too_many_wait_a_push_is_503_and_not_recorded(client, url, monkeypatch):
    monkeypatch.setattr(
        process_pipeline(), "_group_commit", GroupCommit(recorder.record, queue_limit=0, batch_limit=1)
    )
    response = client.get(url)
    assert refused(response, 503, "Too many pushes are queued; try again shortly.")
    assert int(response["Retry-After"]) > 0
    assert not Heartbeat.objects.exists()


def test_a_fault_of_our_own_is_no_404(client, url, monkeypatch):
    def fail(arrivals):
        raise ZeroDivisionError

    monkeypatch.setattr(process_pipeline(), "_group_commit", GroupCommit(fail, queue_limit=1, batch_limit=1))
    assert client.get(url).status_code == 500


# --- what is kept of a push that was refused


@pytest.fixture
def noted(monkeypatch):
    """Return what was refused since the test began: of each kind reason, method, detail and count."""
    notebook = RejectionLog(by_itself=False)
    monkeypatch.setattr(process_pipeline(), "rejections", notebook)

    def noted():
        notebook.write()
        return list(RejectedPush.objects.order_by("pk").values_list("reason", "method", "detail", "count"))

    return noted


def test_a_bad_status_is_kept_for_the_monitors_page(client, url, monitor, noted):
    for _ in range(2):
        client.get(url + "?status=broken", REMOTE_ADDR="192.0.2.7")
    assert noted() == [("parameter", "GET", f"Unknown status “broken”. {ALLOWED}", 2)]
    refusal = RejectedPush.objects.get()
    assert (refusal.monitor, refusal.source) == (monitor, "192.0.2.7")


def test_a_method_that_is_none_of_ours_is_kept(client, url, monitor, noted):
    client.put(url)
    client.delete("/api/push", headers={"authorization": f"Bearer {secret_of(monitor)}"})
    assert [row[:2] for row in noted()] == [("method", "DELETE"), ("method", "PUT")]


def test_a_get_where_only_post_is_accepted_is_kept(client, db, noted):
    client.get(f"/api/push/{secret_of(make_monitor(post_only=True))}")
    assert noted() == [("method", "GET", "This monitor only accepts POST.", 1)]


def test_a_body_that_is_too_large_is_kept(client, url, noted):
    client.post(url, b"x" * 10_001, content_type="text/plain")
    assert noted() == [("too_large", "POST", "Body too large; send at most 10000 bytes.", 1)]


def test_a_push_above_the_limit_is_kept(client, url, limited, noted):
    for _ in range(32):
        client.get(url)
    assert noted() == [("limit", "GET", "Rate limit exceeded; try again in 1 s.", 2)]


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_token_that_ended_is_kept_as_what_it_is_though_the_answer_does_not_say(client, url, noted, end):
    column = {"revoked": "revoked_at", "expired": "expires_at"}[end]
    PushToken.objects.update(**{column: database_now() - timedelta(seconds=1)})
    client.get(url)
    assert noted() == [(end, "GET", "Unknown push token.", 1)]


def test_of_a_token_that_no_monitor_has_nothing_is_kept(client, monitor, noted):
    client.get(f"/api/push/{NOWHERE}")
    client.get("/api/push/mistyped")
    client.put("/api/push")
    assert noted() == []


def test_a_good_push_is_no_refusal(client, url, noted):
    client.get(url)
    client.options(url)
    assert noted() == []
    assert not process_pipeline().rejections._notes


# --- what it costs


def test_a_push_costs_few_statements_and_no_session(client, url):
    client.get(url)
    with Queries() as queries:
        client.get(url)
    assert len(queries.statements) == quiet_statements()
    assert not [sql for sql in queries.statements if "session" in sql]


def test_a_push_that_is_refused_costs_no_statement_more_for_being_kept(client, url):
    with Queries() as queries:
        client.get(url + "?status=broken")
    assert queries.statements == []


def test_an_unknown_token_costs_one_statement(client, db):
    with Queries() as queries:
        client.get(f"/api/push/{NOWHERE}")
    assert len(queries.statements) == 1


# --- as a web server calls it


@pytest.fixture
def raw():
    """A request closes old connections, and would take the test's own transaction for one, as the
    test client knows."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield Answer
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


class Answer:
    """What the application answers to one raw WSGI call."""

    def __init__(self, body=b"", *, checked=True, **environ):
        environ = {
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "wsgi.input": io.BytesIO(body),
            "REMOTE_ADDR": "192.0.2.7",
            **({"CONTENT_LENGTH": str(len(body))} if body else {}),
            **environ,
        }
        setup_testing_defaults(environ)
        application = WSGIHandler()
        # The validator replaces the input by one of its own, which a test of the input does not want.
        answer = (validator(application) if checked else application)(environ, self._start)
        self.content = b"".join(answer)
        answer.close()

    def _start(self, status, headers, exc_info=None):
        self.status = status
        self.headers = dict(headers)


class Unread:
    def read(self, *args):
        raise AssertionError("the body was read")

    readline = read


class Pieces:
    """A stream that hands out at most `size` bytes at a time, as a socket may."""

    def __init__(self, body, size=100):
        self._body, self._size = io.BytesIO(body), size
        self.read_bytes = 0

    def read(self, size=-1):
        piece = self._body.read(self._size if size < 0 else min(size, self._size))
        self.read_bytes += len(piece)
        return piece

    readline = read


def test_the_answer_is_good_wsgi(raw, url):
    answer = raw(PATH_INFO=url, REQUEST_METHOD="GET")
    assert (answer.status, answer.content) == ("200 OK", OK)
    assert answer.headers["Content-Length"] == "11"
    assert "Set-Cookie" not in answer.headers


def test_a_posted_form_is_read_from_the_servers_stream(raw, url):
    answer = raw(
        b"status=down&msg=raw",
        PATH_INFO=url,
        REQUEST_METHOD="POST",
        CONTENT_TYPE="application/x-www-form-urlencoded",
    )
    assert answer.content == OK
    assert Heartbeat.objects.get().message == "raw"


def test_of_a_body_that_is_too_large_no_more_is_read_than_to_look_for_a_status(raw, url):
    for body, status in ((b"x" * 1_000_000, "413 "), (b"status=down&log=" + b"x" * 1_000_000, "200 ")):
        stream = Pieces(body)
        answer = raw(
            checked=False,
            PATH_INFO=url,
            REQUEST_METHOD="POST",
            CONTENT_LENGTH=str(len(body)),
            **{"wsgi.input": stream},
        )
        assert answer.status.startswith(status)
        assert stream.read_bytes <= 10_001
    assert [beat.status for beat in Heartbeat.objects.all()] == ["down"]


@pytest.mark.parametrize("length", ["", "-1", "abc", "0", "1e3"])
def test_a_length_that_is_none_is_an_empty_body(raw, url, length):
    answer = raw(
        checked=False,
        PATH_INFO=url,
        REQUEST_METHOD="POST",
        CONTENT_LENGTH=length,
        **{"wsgi.input": Unread()},
    )
    assert answer.content == OK


@pytest.mark.parametrize("size", [7, 100, 20_000])
def test_a_chunked_body_is_read_to_its_end_however_it_comes(raw, url, size):
    body = json.dumps({"status": "down", "msg": "x" * 400, "more": "y" * 5000}).encode()
    answer = raw(
        checked=False,
        PATH_INFO=url,
        REQUEST_METHOD="POST",
        CONTENT_TYPE="application/json",
        HTTP_TRANSFER_ENCODING="chunked",
        **{"wsgi.input": Pieces(body, size)},
    )
    assert answer.content == OK
    heartbeat = Heartbeat.objects.get()
    assert (heartbeat.status, heartbeat.message) == ("down", "x" * 400)


@pytest.mark.parametrize("arrived", [b"", b"status=do"])
def test_a_body_that_was_cut_off_records_nothing_because_its_end_may_say_down(raw, url, arrived):
    answer = raw(
        arrived,
        PATH_INFO=url,
        REQUEST_METHOD="POST",
        CONTENT_TYPE="application/x-www-form-urlencoded",
        CONTENT_LENGTH="11",
    )
    assert answer.status.startswith("400 ")
    assert not Heartbeat.objects.exists()


def test_slow_bodies_leave_threads_to_pushes_that_have_none(raw, url, monkeypatch):
    monkeypatch.setattr(push_body, "_bodies", BoundedSemaphore(1))
    monkeypatch.setattr(push_body, "_BODY_TURN_WITHIN_SECONDS", 0.05)
    assert push_body._bodies.acquire()
    form = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/x-www-form-urlencoded"}
    refused = raw(b"status=down", PATH_INFO=url, CONTENT_LENGTH="11", **form)
    assert refused.status.startswith("503 ")
    assert raw(PATH_INFO=url, REQUEST_METHOD="POST").content == OK
    push_body._bodies.release()
    assert raw(b"status=down", PATH_INFO=url, CONTENT_LENGTH="11", **form).content == OK
    assert [beat.status for beat in Heartbeat.objects.order_by("pk")] == ["up", "down"]


def test_a_chunked_body_that_is_too_large_is_read_no_further_than_to_know_it(raw, url):
    stream = Pieces(b"x" * 1_000_000)
    answer = raw(
        checked=False,
        PATH_INFO=url,
        REQUEST_METHOD="POST",
        HTTP_TRANSFER_ENCODING="chunked",
        **{"wsgi.input": stream},
    )
    assert answer.status.startswith("413 ")
    assert stream.read_bytes <= 10_001


def test_a_head_counts_as_one_also_to_the_web_server(raw, url):
    answer = raw(PATH_INFO=url, REQUEST_METHOD="HEAD", checked=False)
    assert answer.status == "200 OK"
    assert Heartbeat.objects.get().status == "up"


def test_under_a_path_of_its_own_the_address_is_found_too(raw, url):
    assert raw(SCRIPT_NAME="/tianji", PATH_INFO=url, REQUEST_METHOD="GET").content == OK


@pytest.mark.parametrize("path", ["/api/push/\xff\xfe", "/api/push/\x00", "/api/push/" + "x" * 10_000])
def test_any_path_is_answered(raw, db, path):
    assert raw(PATH_INFO=path, REQUEST_METHOD="GET").status.startswith("404 ")


def test_a_second_token_of_a_monitor_pushes_too(client, monitor):
    second = tokens.issue(monitor=monitor).secret
    assert client.get(f"/api/push/{second}").content == OK
