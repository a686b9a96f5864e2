"""The transports against real receivers."""

from __future__ import annotations

import base64
import hmac
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from notifications.integrations import kind_named
from notifications.messages.single import Message
from notifications.transports import base, email, http
from notifications.transports.base import Failed, Outgoing, Sent
from tests.support.prepared import ROOT, bare_environment
from tests.support.sinks import Answer, HttpSink, SmtpSink

MESSAGE = Message(
    "Down: <b>Café</b>", ("It is down, since 12:00 & later.", "Message: <script>"), "https://t.example/m/1/"
)

AT = datetime(2026, 11, 22, 15, 52, 45, 123_000, tzinfo=UTC)


def outgoing(**fields):
    fields = {
        "id": uuid4(),
        "message": MESSAGE,
        "payload": {"event": "test", "text": "Café"},
        "at": AT,
        **fields,
    }
    return Outgoing(**fields)


def post(sink, **fields):
    return kind_named("webhook").send({"url": sink.url}, outgoing(**fields))


def send_mail(*addresses, **fields):
    return kind_named("email").send({"addresses": list(addresses)}, outgoing(**fields))


# --- Webhooks ------------------------------------------------------------------------------------


@pytest.fixture
def one_second(monkeypatch):
    """Let an attempt take a second at most."""
    monkeypatch.setattr(http, "TOTAL_SECONDS", 1.0)
    monkeypatch.setattr(email, "TOTAL_SECONDS", 1.0)


def test_a_webhook_is_a_post_of_json_under_its_id():
    message = outgoing()
    with HttpSink() as sink:
        result = kind_named("webhook").send({"url": sink.url}, message)
        (request,) = sink.requests
    assert result == Sent("HTTP 200 OK")
    assert (request.method, request.path) == ("POST", "/in")
    assert request.json == {"event": "test", "text": "Café"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Tianji/")
    assert request.headers["webhook-id"] == str(message.id)
    # The time of the attempt, whatever this machine's clock says.
    assert int(request.headers["webhook-timestamp"]) == int(AT.timestamp())


def with_secret(sink, secret):
    return {"url": sink.url, "secret": secret}


def test_a_webhook_without_a_secret_is_not_signed():
    with HttpSink() as sink:
        post(sink)
        (request,) = sink.requests
    assert "webhook-signature" not in request.headers


def test_with_a_secret_the_bytes_that_are_sent_are_signed():
    key = bytes(range(40))
    secret = "whsec_" + base64.b64encode(key).decode()
    message = outgoing(payload={"text": "Café “x” 😀"})
    with HttpSink() as sink:
        assert kind_named("webhook").send(with_secret(sink, secret), message) == Sent("HTTP 200 OK")
        (request,) = sink.requests
    # Computed as a receiver would, from what arrived.
    head = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}."
    digest = hmac.new(key, head.encode() + request.body, "sha256").digest()
    assert request.headers["webhook-id"] == str(message.id)
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_the_receiver_in_the_guide_verifies_signatures():
    guide = (Path(__file__).parents[3] / "docs" / "channels.md").read_text()
    (code,) = (part for part in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "is_genuine" in part)
    scope: dict[str, Any] = {}
    exec(code, scope)  # noqa: S102  (what the guide says is to be tried)
    secret = "whsec_" + "QUJD" * 8
    with HttpSink() as sink:
        kind_named("webhook").send(with_secret(sink, secret), outgoing(at=datetime.now(UTC)))
        (request,) = sink.requests
    assert scope["is_genuine"](secret, request.headers, request.body)
    assert not scope["is_genuine"](secret, request.headers, request.body + b" ")
    assert not scope["is_genuine"]("whsec_" + "A" * 32, request.headers, request.body)


def test_each_attempt_is_signed_with_its_own_time():
    with HttpSink() as sink:
        config, message = with_secret(sink, "whsec_" + "A" * 32), outgoing()
        for moment in (1_700_000_000.9, 1_700_000_060.1):
            kind_named("webhook").send(config, replace(message, at=datetime.fromtimestamp(moment, UTC)))
        first, second = sink.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert [r.headers["webhook-timestamp"] for r in (first, second)] == ["1700000000", "1700000060"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_success(status):
    with HttpSink(default=Answer(status, body=b"")) as sink:
        assert isinstance(post(sink), Sent)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
def test_other_answers_are_failures_that_may_pass(status):
    with HttpSink(default=Answer(status, body=b"no \x00such room")) as sink:
        result = post(sink)
    assert isinstance(result, Failed)
    assert not result.permanent
    assert result.detail.startswith(f"HTTP {status} ")
    assert "such room" in result.detail


def test_gone_is_for_ever():
    with HttpSink(default=Answer(410)) as sink:
        assert post(sink).permanent


def test_a_redirect_is_not_followed():
    with HttpSink() as other, HttpSink(default=Answer(307, {"Location": other.url})) as sink:
        result = post(sink)
        assert isinstance(result, Failed)
        assert "redirects are not followed" in result.detail
        assert other.requests == []


@pytest.mark.parametrize(("header", "wait"), [("30", timedelta(seconds=30)), ("soon", None)])
def test_the_receivers_retry_after_is_returned(header, wait):
    with HttpSink(default=Answer(429, {"Retry-After": header})) as sink:
        assert post(sink).retry_after == wait


def test_a_line_that_is_cut_is_a_failure():
    with HttpSink(default=Answer(reset=True)) as sink:
        result = post(sink)
    assert isinstance(result, Failed)
    assert result.detail


def test_a_refused_connection_is_a_readable_failure():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    result = kind_named("webhook").send({"url": f"http://127.0.0.1:{port}/"}, outgoing())
    assert isinstance(result, Failed)
    assert not result.permanent


_SENDS_WHILE_EXITING = """
import threading, time, django
django.setup()
from notifications.transports import http

def send():
    threading.main_thread().join()
    time.sleep(0.3)
    print(http.deliver(http.posted("{url}", {{}}), http.by_status))

threading.Thread(target=send).start()
"""


def test_what_is_sent_while_its_process_exits_arrives():
    """Python's executors take no more work then, and a name must be looked up."""
    with HttpSink() as sink:
        url = sink.url.replace("127.0.0.1", "localhost")
        ours = {
            "DJANGO_SETTINGS_MODULE": "tianji.settings",
            "SECRET_KEY": "only-for-tests" * 4,
            "TIANJI_ALLOW_PRIVATE_WEBHOOKS": "127.0.0.0/8,::1",
        }
        ran = subprocess.run(
            [sys.executable, "-c", _SENDS_WHILE_EXITING.format(url=url)],
            cwd=ROOT,
            env={**bare_environment(), **ours},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert ran.stdout.startswith("Sent("), ran.stdout + ran.stderr
    assert len(sink.requests) == 1


def test_a_look_up_that_hangs_keeps_no_process_from_exiting(monkeypatch, one_second):
    hanging = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: hanging.wait(60) and [])
    try:
        result = kind_named("webhook").send({"url": "http://receiver.example/"}, outgoing())
        assert result == Failed("No response within 1 s.")
        (looking_up,) = [thread for thread in threading.enumerate() if thread.name == "look-up"]
        assert looking_up.daemon
    finally:
        hanging.set()


@pytest.mark.slow
@pytest.mark.parametrize("answer", [Answer(delay=20), Answer(drip_head=0.05)])
def test_an_answer_that_hangs_or_drips_ends_in_time(answer, one_second):
    with HttpSink(default=answer) as sink:
        started = time.monotonic()
        result = post(sink)
        assert time.monotonic() - started < 3
    assert result == Failed("No response within 1 s.")


def test_a_body_that_drips_does_not_hold_up_a_success():
    with HttpSink(default=Answer(200, body=b"x" * 1000, drip=0.1)) as sink:
        started = time.monotonic()
        assert isinstance(post(sink), Sent)
        assert time.monotonic() - started < 2


@pytest.mark.slow
def test_a_failure_whose_body_drips_is_judged_by_its_status(monkeypatch):
    monkeypatch.setattr(http, "RESPONSE_SECONDS", 0.5)
    with HttpSink(default=Answer(500, body=b"x" * 1000, drip=0.1)) as sink:
        started = time.monotonic()
        result = post(sink)
        assert time.monotonic() - started < 3
    assert result.detail.startswith("HTTP 500 ")


def test_only_the_beginning_of_a_huge_response_is_returned():
    with HttpSink(default=Answer(500, body=b"y" * 5_000_000)) as sink:
        result = post(sink)
    assert len(result.detail) < 400


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http://exa mple/", "nonsense", "ftp://x/", "http://\x00/"],
)
def test_a_url_that_cannot_be_used_is_a_failure(url):
    assert isinstance(kind_named("webhook").send({"url": url}, outgoing()), Failed)


@pytest.mark.parametrize("config", [{}, {"url": ""}, {"url": None}, {"url": 5}])
def test_a_webhook_without_a_url_is_a_failure(config):
    assert kind_named("webhook").send(config, outgoing()) == Failed("The channel has no URL.")


# --- Email ---------------------------------------------------------------------------------------


@pytest.fixture
def smtp(settings):
    settings.DEFAULT_FROM_EMAIL = "Tianji <tianji@example.org>"
    with SmtpSink() as sink:
        for name, value in sink.settings.items():
            setattr(settings, name, value)
        yield sink


def test_an_email_has_a_text_and_an_html_part_that_say_the_same(smtp):
    result = send_mail("anna@example.com", "bob@example.com")
    (mail,) = smtp.mails
    assert result == Sent("Accepted for anna@example.com, bob@example.com.")
    assert mail.recipients == ["anna@example.com", "bob@example.com"]
    assert mail.subject == "Down: <b>Café</b>"
    assert "Message: <script>" in mail.text
    assert ">Message: &lt;script&gt;</p>" in mail.html
    assert 'href="https://t.example/m/1/"' in mail.html


def test_every_attempt_has_the_same_message_id_and_names_its_incident(smtp):
    message = outgoing(thread=uuid4())
    for _ in range(2):
        kind_named("email").send({"addresses": ["anna@example.com"]}, message)
    first, second = (mail.message for mail in smtp.mails)
    assert first["Message-ID"] == second["Message-ID"] == f"<{message.id}@example.org>"
    assert first["References"] == first["In-Reply-To"] == f"<incident-{message.thread}@example.org>"
    assert first["Auto-Submitted"] == "auto-generated"


def test_a_line_break_never_reaches_a_header(smtp):
    evil = Message("Down: x\r\nBcc: y@example.com", ("a",), "https://t.example/")
    result = send_mail("anna@example.com", message=evil)
    assert isinstance(result, Failed)
    assert smtp.mails == []


def test_accepted_for_some_is_sent_and_names_the_others(smtp):
    smtp.refuse["bob@example.com"] = "550 5.1.1 no such user"
    result = send_mail("anna@example.com", "bob@example.com")
    assert isinstance(result, Sent)
    assert result.detail == (
        "Accepted for anna@example.com. Rejected for bob@example.com: 550 5.1.1 no such user"
    )


@pytest.mark.parametrize(
    ("reply", "permanent"),
    [
        ("550 5.1.1 no such user", True),
        ("550 5.7.1 relaying denied", False),
        ("550 no such user", False),
        ("451 4.7.1 greylisted", False),
    ],
)
def test_only_an_address_that_does_not_exist_is_for_ever(smtp, reply, permanent):
    smtp.refuse["bob@example.com"] = reply
    assert send_mail("bob@example.com") == Failed(
        f"Rejected for bob@example.com: {reply}", permanent=permanent
    )


def test_a_message_that_is_refused_is_a_failure_with_the_reply_of_the_server(smtp):
    smtp.data_reply = "452 4.3.1 disk is full"
    assert send_mail("anna@example.com") == Failed("452 4.3.1 disk is full")


def test_a_mail_server_that_is_not_there_is_a_failure(smtp, settings):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings.EMAIL_PORT = probe.getsockname()[1]
    result = send_mail("anna@example.com")
    assert isinstance(result, Failed)
    assert "Mail server error" in result.detail


@pytest.mark.slow
def test_a_mail_server_that_drips_is_given_up(smtp, settings, one_second):
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            line, _ = server.accept()
            with line:
                while not stop.wait(0.1):
                    line.sendall(b"2")

        thread = threading.Thread(target=drip)
        thread.start()
        settings.EMAIL_PORT = server.getsockname()[1]
        started = time.monotonic()
        result = send_mail("anna@example.com")
        assert time.monotonic() - started < 3
        stop.set()
        thread.join()
    assert result == Failed("The mail server did not finish within 1 s.")


def test_without_a_mail_server_the_failure_says_so(settings):
    settings.TIANJI_EMAIL_URL = ""
    assert "TIANJI_EMAIL_URL" in send_mail("anna@example.com").detail


@pytest.mark.parametrize("config", [{}, {"addresses": []}, {"addresses": "anna@example.com"}])
def test_an_email_channel_without_addresses_is_a_failure(smtp, config):
    assert kind_named("email").send(config, outgoing()) == Failed("The channel has no email address.")


def test_an_attempt_ends_well_before_its_lease():
    from notifications.dispatch.turn import LEASE

    assert timedelta(seconds=base.TOTAL_SECONDS * 2) < LEASE


@pytest.mark.parametrize(("date", "seconds"), [("Fri, 27 Nov 2026 10:00:00 GMT", 90), ("", None)])
def test_a_time_to_try_again_is_by_the_clock_of_whoever_names_it(date, seconds):
    answer = http.Answer(503, headers={"date": date, "retry-after": "Fri, 27 Nov 2026 10:01:30 GMT"})
    if seconds is None:
        assert abs(answer.sent_at - datetime.now(UTC)) < timedelta(seconds=5)
    else:
        assert answer.retry_after == timedelta(seconds=seconds)
