"""Every other service, through Apprise: fenced, and with the receiver's own error messages."""

from __future__ import annotations

import logging
import socket
import ssl
import subprocess
import threading
import time
import warnings
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError

from notifications.integrations import kind_named
from notifications.messages.events import Event
from notifications.transports import apprise, apprise_allowlist, sandbox
from notifications.transports.base import Failed, Sent
from notifications.transports.sandbox import Fence, Forbidden, fenced
from tests.support import sample_messages
from tests.support.certificates import certificate_for
from tests.support.sinks import Answer, HttpSink

KIND = kind_named("apprise")


def clean(url):
    field = KIND.field("url")
    assert field is not None
    assert field.clean is not None
    return field.clean(url)


def send(url, outgoing=None):
    return KIND.send({"url": url}, outgoing or sample_messages.outgoing())


def json_url(sink, path="/abcdefghij"):
    return sink.url.replace("http://", "json://").removesuffix("/in") + path


@pytest.fixture
def one_second(monkeypatch):
    monkeypatch.setattr(apprise, "TOTAL_SECONDS", 1.0)
    apprise._library()


# --- Sending -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (Event.OPENED, "failure"),
        (Event.RESOLVED, "success"),
        (Event.LATE, "warning"),
        (Event.FLAPPING, "warning"),
        (Event.ENDED, "info"),
        (Event.TEST, "info"),
    ],
)
def test_title_text_and_tone_arrive(event, kind):
    outgoing = sample_messages.outgoing(event)
    with HttpSink() as sink:
        assert send(json_url(sink), outgoing) == Sent("HTTP 200 OK")
        (request,) = sink.requests
    assert request.json["title"] == outgoing.message.title
    assert request.json["message"] == outgoing.message.text
    assert request.json["type"] == kind


def test_a_failure_has_the_services_message():
    with HttpSink(default=Answer(403, body=b"the room is closed")) as sink:
        result = send(json_url(sink))
    assert result == Failed("HTTP 403 Forbidden: the room is closed")


def test_the_receivers_retry_after_is_returned():
    with HttpSink(default=Answer(429, {"Retry-After": "30"}, b"slow down")) as sink:
        result = send(json_url(sink))
    assert result.retry_after == timedelta(seconds=30)
    assert not result.permanent


def test_no_secret_is_returned_or_logged(caplog):
    with (
        HttpSink(default=Answer(403, body=b"no abcdefghij here, geheimnis")) as sink,
        caplog.at_level(logging.DEBUG),
    ):
        result = send(json_url(sink).replace("json://", "json://anna:geheimnis@"))
    assert "abcdefghij" not in result.detail + caplog.text
    assert "geheimnis" not in result.detail + caplog.text


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        (
            "tgram://123456789:AAabcdefghijabcdefghijabcdefghij1234/12345",
            "AAabcdefghijabcdefghijabcdefghij1234",
        ),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", "T1JJ3T3L2"),
        ("pover://uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a" * 30),
        ("prowl://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a" * 40),
    ],
)
def test_a_token_in_place_of_the_host_is_not_shown(url, secret, monkeypatch):
    failure = Failed(f"HTTP 400 Bad Request: nobody knows {secret}")
    monkeypatch.setattr(apprise._Sending, "_judged", lambda *_: failure)
    assert secret not in send(url).detail


def test_the_host_of_a_self_hosted_service_is_shown(settings):
    settings.TIANJI_ALLOW_PRIVATE_WEBHOOKS = []
    assert "“127.0.0.1” is a private address" in send("json://127.0.0.1/x").detail


def test_a_refused_connection_is_a_readable_failure():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    result = send(f"json://127.0.0.1:{port}/x")
    assert isinstance(result, Failed)
    assert result.detail


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer", [Answer(delay=20), Answer(drip_head=0.05), Answer(200, body=b"x" * 99, drip=0.1)]
)
def test_an_answer_that_hangs_or_drips_ends_in_time(answer, one_second):
    with HttpSink(default=answer) as sink:
        started = time.monotonic()
        result = send(json_url(sink))
        assert time.monotonic() - started < 3
    assert result == Failed("No response within 1 s.")


@pytest.mark.slow
def test_a_body_that_drips_is_judged_by_its_beginning(monkeypatch):
    monkeypatch.setattr(sandbox, "RESPONSE_SECONDS", 0.5)
    with HttpSink(default=Answer(200, body=b"x" * 1000, drip=0.1)) as sink:
        started = time.monotonic()
        assert send(json_url(sink)) == Sent("HTTP 200 OK")
        assert time.monotonic() - started < 3


@pytest.mark.slow
def test_what_was_given_up_ends_soon(one_second):
    with HttpSink(default=Answer(drip_head=0.05)) as sink:
        send(json_url(sink))
        end = time.monotonic() + 5
        while any(thread.name == "apprise" for thread in threading.enumerate()):
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.slow
def test_what_was_given_up_ends_soon_behind_tls_too(one_second, tmp_path):
    certificate, key = certificate_for("localhost", tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    with HttpSink(default=Answer(drip_head=0.05)) as sink:
        sink._server.socket = server.wrap_socket(sink._server.socket, server_side=True)
        url = json_url(sink).replace("json://", "jsons://") + "?verify=no"
        with warnings.catch_warnings(action="ignore"):
            assert send(url) == Failed("No response within 1 s.")
            end = time.monotonic() + 5
            while any(thread.name == "apprise" for thread in threading.enumerate()):
                assert time.monotonic() < end
                time.sleep(0.05)


def test_of_a_huge_answer_only_the_beginning_is_read():
    with HttpSink(default=Answer(500, body=b"y" * 5_000_000)) as sink:
        result = send(json_url(sink))
    assert len(result.detail) < 400


def test_proxies_from_the_environment_are_not_used(monkeypatch):
    with HttpSink() as proxy, HttpSink() as sink:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/in"))
        assert isinstance(send(json_url(sink)), Sent)
        assert proxy.requests == []


def test_passwords_kept_on_this_machine_are_not_sent(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login anna password geheimnis\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with HttpSink() as sink:
        assert isinstance(send(json_url(sink)), Sent)
        (request,) = sink.requests
    assert "authorization" not in request.headers


# --- Where it may lead ---------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433"])
def test_this_machine_is_refused_without_the_setting(host, settings):
    settings.TIANJI_ALLOW_PRIVATE_WEBHOOKS = []
    with HttpSink() as sink:
        result = send(json_url(sink).replace("127.0.0.1", host))
        assert sink.requests == []
    assert isinstance(result, Failed)
    assert "TIANJI_ALLOW_PRIVATE_WEBHOOKS" in result.detail


def test_a_name_that_the_setting_has_may_lead_here(settings):
    settings.TIANJI_ALLOW_PRIVATE_WEBHOOKS = ["localhost"]
    with HttpSink() as sink:
        assert isinstance(send(json_url(sink).replace("127.0.0.1", "localhost")), Sent)
        assert isinstance(send(json_url(sink)), Failed)


def test_a_redirect_is_not_followed():
    with HttpSink() as inside, HttpSink(default=Answer(302, {"Location": inside.url})) as sink:
        result = send(json_url(sink))
        assert inside.requests == []
    assert isinstance(result, Failed)
    assert result.detail.startswith("HTTP 302")


def test_a_redirect_is_checked_at_its_target(settings):
    settings.TIANJI_ALLOW_PRIVATE_WEBHOOKS = ["localhost"]
    with HttpSink() as inside, HttpSink(default=Answer(307, {"Location": inside.url})) as sink:
        url = json_url(sink).replace("127.0.0.1", "localhost")
        result = send(f"{url}?redirect=yes")
        assert inside.requests == []
    assert isinstance(result, Failed)


def test_a_name_that_changes_its_answer_is_judged_by_what_is_connected_to(settings, monkeypatch):
    settings.TIANJI_ALLOW_PRIVATE_WEBHOOKS = []
    with HttpSink() as sink:
        monkeypatch.setattr(socket, "getaddrinfo", _leading_to("127.0.0.1"))
        result = send(json_url(sink).replace("127.0.0.1", "rebinding.example.com"))
        assert sink.requests == []
    assert "TIANJI_ALLOW_PRIVATE_WEBHOOKS" in result.detail


def _leading_to(address):
    original = socket.getaddrinfo
    return lambda host, port, *arguments, **options: original(address, port, *arguments, **options)


# --- What may be used ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "json://chat.example.com/x",
        "mmost://chat.example.com/3ccdd113474722377935511fc85d3dd4",
        "signal://chat.example.com:8080/+15551234567/+15557654321",
        "gchat://workspace/key/token",
        "ntfys://chat.example.com/topic",
    ],
)
def test_addresses_of_services_over_http_are_good(url):
    assert clean(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "mailto://anna:password@example.com",
        "syslog://",
        "rsyslog://10.0.0.1",
        "dbus://",
        "gnome://",
        "macosx://",
        "windows://",
        "glib://",
        "mqtt://broker.example.com/topic",
        "irc://chat.example.com/#room",
        "xmpp://user:password@chat.example.com",
        "fcm://project/token?keyfile=/etc/passwd",
        "blink1://",
        "growl://host.example.com",
    ],
)
def test_what_is_not_http_is_refused(url):
    with pytest.raises(ValidationError, match=r"is not supported|doesn't understand"):
        clean(url)
    result = send(url)
    assert isinstance(result, Failed)
    assert not result.permanent


@pytest.mark.parametrize(
    "url", ["", "nonsense", "json://", "nonsense://a/b", "json://a b", "json://a\nb", "exec:///bin/true"]
)
def test_what_is_no_address_is_refused_with_a_reason(url):
    with pytest.raises(ValidationError):
        clean(url)


def test_an_invalid_url_is_explained_without_repeating_it():
    url = f"twilio://AC{'0' * 32}:{'ab' * 16}@bad/"
    with pytest.raises(ValidationError) as refused:
        clean(url)
    for text in (refused.value.messages[0], send(url).detail):
        assert "(bad) is invalid." in text
        assert "password" not in text
        assert "ab" * 16 not in text


@pytest.mark.parametrize("config", [{}, {"url": ""}, {"url": None}, {"url": 5}])
def test_a_channel_without_a_url_is_a_failure(config):
    assert KIND.send(config, sample_messages.outgoing()) == Failed("The channel has no URL.")


# Other protocols, running programs, reaching this machine's own services, or reading and writing its files.
REFUSED = frozenset(
    """
    amqp aprs blink1 dbus deltachat email fcm glib gnome growl irc macosx mqtt nostr rsyslog smpp
    syslog vapid windows xmpp
    """.split()  # noqa: SIM905
)


def test_somebody_looked_at_every_service_that_apprise_has():
    from apprise.manager_plugins import NotificationManager

    apprise._library()
    manager = NotificationManager()
    modules = {plugin.__module__.split(".")[2] for plugin in manager.plugins(include_disabled=True)}
    assert modules == apprise_allowlist.ALLOWED | REFUSED
    assert not apprise_allowlist.ALLOWED & REFUSED


def test_only_the_public_parts_of_a_channel_are_shown():
    assert KIND.shown({"url": "mmost://chat.example.com/geheimnis"}, False) == "mmost://…"
    assert KIND.shown({}, True)


# --- The fence -----------------------------------------------------------------------------------


def in_fence(do):
    with fenced(Fence()):
        return do()


def test_a_fenced_thread_runs_no_program():
    with pytest.raises(Forbidden):
        in_fence(lambda: subprocess.run(["true"], check=False))


def test_a_fenced_thread_writes_no_file(tmp_path):
    with pytest.raises(Forbidden):
        in_fence(lambda: (tmp_path / "x").write_text("x"))
    assert not (tmp_path / "x").exists()


def test_a_fenced_thread_reads_no_file_of_this_machine(tmp_path):
    (tmp_path / "secret").write_text("x")
    with pytest.raises(Forbidden):
        in_fence((tmp_path / "secret").read_text)
    with pytest.raises(Forbidden):
        in_fence(lambda: open("/etc/passwd").read())  # noqa: SIM115


def test_a_fenced_thread_does_not_speak_to_the_sockets_of_this_machine(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(Forbidden):
            in_fence(lambda: client.connect(path))


def test_a_fenced_thread_sends_nothing_without_a_connection_either(settings):
    settings.TIANJI_ALLOW_PRIVATE_WEBHOOKS = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, pytest.raises(OSError, match="private"):
        in_fence(lambda: client.sendto(b"x", ("127.0.0.1", 514)))


def test_other_threads_are_not_fenced(tmp_path):
    written = []

    def write():
        (tmp_path / "x").write_text("x")
        written.append(True)

    def beside():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    in_fence(beside)
    (tmp_path / "y").write_text("y")
    assert written
