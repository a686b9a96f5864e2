"""What may be reached: a channel cannot be turned against the network that the server is in."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from notifications.integrations import kind_named
from notifications.messages.single import Message
from notifications.transports import http, ssrf_guard
from notifications.transports.base import Failed, Outgoing, Sent
from notifications.transports.http import Call, by_status, deliver
from tests.support.certificates import certificate_for
from tests.support.sinks import Answer, HttpSink

SETTING = "TIANJI_ALLOW_PRIVATE_WEBHOOKS"
PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = [
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "8.8.8.8",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "2606:4700::1111",
]


def outgoing():
    message = Message("Down: Café", ("It is down.",), "https://t.example/m/1/")
    return Outgoing(uuid4(), message, {"event": "test"}, datetime.now(UTC))


def post(url):
    return kind_named("webhook").send({"url": url}, outgoing())


@pytest.fixture
def nothing_private(settings):
    setattr(settings, SETTING, [])


@pytest.fixture
def names(monkeypatch):
    """Names for the resolver: each look-up of one uses up an answer, and the last one stays."""
    known: dict[str, list[str]] = {}
    looked_up: list[str] = []
    original = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        if host not in known:
            return original(host, port, *args, **kwargs)
        looked_up.append(host)
        found = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [
            info for address in found.split() for info in original(address, port, type=socket.SOCK_STREAM)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    known["looked-up"] = looked_up
    return known


# --- Addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_private_is_refused(address, nothing_private):
    with pytest.raises(ssrf_guard.AddressNotAllowed, match=SETTING):
        ssrf_guard.check(address, host="chat.example.com")


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_may_be_reached(address, nothing_private):
    ssrf_guard.check(address, host="chat.example.com")


@pytest.mark.parametrize(
    ("entry", "address", "host"),
    [
        ("10.0.0.0/8", "10.1.2.3", "a.example"),
        ("10.0.0.0/8", "::ffff:10.1.2.3", "a.example"),
        ("10.0.0.0/8", "64:ff9b::a01:203", "a.example"),
        ("10.1.2.3", "10.1.2.3", "10.1.2.3"),
        ("10.1.2.3/8", "10.200.0.1", "a.example"),
        ("fd00::/8", "fd12::1", "a.example"),
        ("[::1]", "::1", "a.example"),
        ("Chat.Example.internal", "10.1.2.3", "chat.example.internal."),
    ],
)
def test_what_the_setting_names_may_be_reached(entry, address, host, settings):
    setattr(settings, SETTING, [entry])
    ssrf_guard.check(address, host=host)


@pytest.mark.parametrize(
    ("entry", "address", "host"),
    [
        ("10.0.0.0/8", "192.168.0.1", "a.example"),
        ("10.0.0.0/8", "::1", "a.example"),
        ("chat.example.internal", "10.1.2.3", "evil.example"),
        ("example.internal", "10.1.2.3", "chat.example.internal"),
    ],
)
def test_the_setting_opens_no_more_than_it_names(entry, address, host, settings):
    setattr(settings, SETTING, [entry])
    with pytest.raises(ssrf_guard.AddressNotAllowed):
        ssrf_guard.check(address, host=host)


def test_of_several_addresses_only_the_good_ones_are_left(nothing_private):
    assert ssrf_guard.checked("a.example", ["127.0.0.1", "1.1.1.1", "::1"]) == ["1.1.1.1"]
    assert ssrf_guard.checked("a.example", []) == []


# --- At connect ----------------------------------------------------------------------------------


HERE = "127.0.0.1 127.1 2130706433 0x7f000001 localhost LOCALHOST [::1] [::ffff:127.0.0.1] 0.0.0.0 [::]"


@pytest.mark.parametrize("host", HERE.split())
def test_this_machine_is_refused_however_it_is_written(host, nothing_private):
    with HttpSink() as sink:
        port = sink.url.rpartition(":")[2]
        result = post(f"http://{host}:{port}")
        assert sink.requests == []
    assert isinstance(result, Failed)
    assert not result.permanent
    assert SETTING in result.detail


def test_a_name_that_leads_here_is_refused_without_telling_where_it_leads(nothing_private, names):
    names["inside.example.com"] = ["127.0.0.1"]
    with HttpSink() as sink:
        result = post(sink.url.replace("127.0.0.1", "inside.example.com"))
        assert sink.requests == []
    assert result.detail.startswith("“inside.example.com” resolves to a private address")
    assert "127.0.0.1" not in result.detail


def test_a_name_that_changes_its_answer_is_looked_up_once(settings, names):
    settings.TIANJI_ALLOW_PRIVATE_WEBHOOKS = ["127.0.0.2"]
    names["rebinding.example.com"] = ["127.0.0.2", "127.0.0.1"]
    with HttpSink() as sink:
        result = post(sink.url.replace("127.0.0.1", "rebinding.example.com"))
        assert sink.requests == []  # it is the second answer that would have led here
    assert result.detail.startswith("Connection failed")
    assert names["looked-up"] == ["rebinding.example.com"]


def test_a_redirect_to_this_machine_is_not_followed(settings):
    with HttpSink() as inside:
        port = int(inside.url.split(":")[2].partition("/")[0])
        with HttpSink(default=Answer(302, {"Location": f"http://127.0.0.1:{port}/in"})) as sink:
            result = post(sink.url)
        assert inside.requests == []
    assert "redirects are not followed" in result.detail


def test_where_one_address_of_several_does_not_answer_the_next_is_tried(names):
    names["two.example.com"] = ["127.0.0.3 127.0.0.1"]
    with HttpSink() as sink:
        assert isinstance(post(sink.url.replace("127.0.0.1", "two.example.com")), Sent)
        (request,) = sink.requests
    port = sink.url.split(":")[2].partition("/")[0]
    assert request.headers["host"] == f"two.example.com:{port}"


def test_proxies_from_the_environment_are_not_used(monkeypatch):
    with HttpSink() as proxy, HttpSink() as sink:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/in"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert isinstance(post(sink.url), Sent)
        assert proxy.requests == []


# --- TLS -----------------------------------------------------------------------------------------


@pytest.fixture
def secure_sink(tmp_path, monkeypatch):
    """A sink behind TLS with a certificate for secure.example.com, which we trust here."""
    certificate, key = certificate_for("secure.example.com", tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    with HttpSink() as sink:
        sink._server.socket = server.wrap_socket(sink._server.socket, server_side=True)
        monkeypatch.setattr(http, "_tls", lambda: ssl.create_default_context(cafile=str(certificate)))
        yield sink


@pytest.mark.parametrize(("name", "trusted"), [("secure.example.com", True), ("other.example.com", False)])
def test_the_certificate_is_checked_for_the_name_though_an_address_is_connected_to(
    secure_sink, names, name, trusted
):
    names[name] = ["127.0.0.1"]
    url = secure_sink.url.replace("http://127.0.0.1", f"https://{name}")
    result = post(url)
    assert isinstance(result, Sent) is trusted
    if not trusted:
        assert "certificate" in result.detail.lower()
        assert secure_sink.requests == []


def test_an_untrusted_certificate_is_a_readable_failure(secure_sink, names, monkeypatch):
    monkeypatch.setattr(http, "_tls", ssl.create_default_context)
    names["secure.example.com"] = ["127.0.0.1"]
    result = post(secure_sink.url.replace("http://127.0.0.1", "https://secure.example.com"))
    assert isinstance(result, Failed)
    assert "certificate" in result.detail.lower()


# --- Error messages ------------------------------------------------------------------------------


def test_a_name_that_does_not_resolve_is_a_failure_with_a_reason(monkeypatch):
    def getaddrinfo(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    result = post("http://nowhere.example.com/")
    assert isinstance(result, Failed)
    assert result.detail.startswith("Connection failed")


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("abcdefgh", "wrong token abcdefgh"),
        ("a b+c/d=e", "wrong token a%20b%2Bc%2Fd%3De"),
        ("https://x.example/hooks/abcdefgh?key=ijklmnop", "no hook /hooks/abcdefgh"),
        ("https://x.example/hooks/abcdefgh?key=ijklmnop", "no hook abcdefgh"),
        ("https://x.example/hooks/abcdefgh?key=ijklmnop", "no key ijklmnop"),
        ("https://user:password@x.example/", "wrong password"),
        ("Authorization: Bearer abcdefgh", "wrong token abcdefgh"),
    ],
)
def test_the_response_is_returned_without_secrets(secret, text):
    with HttpSink(default=Answer(403, body=text.encode())) as sink:
        result = deliver(Call(sink.url), by_status, secrets=[secret])
    assert "…" in result.detail
    for part in ("abcdefgh", "ijklmnop", "password", secret):
        assert part not in result.detail
