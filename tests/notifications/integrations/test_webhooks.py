"""Webhooks as Standard Webhooks 1.0 and the published schema describe them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from jsonschema import Draft202012Validator, FormatChecker
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from notifications.integrations import kind_named
from notifications.messages import digests
from notifications.messages.events import Event, Reason
from notifications.messages.single import Meanwhile
from notifications.transports import webhook_template
from notifications.transports.base import Failed, Sent
from tests.support import sample_messages
from tests.support.sinks import Answer, HttpSink

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "webhook-events.schema.json").read_text())
SECRET, PREVIOUS, OTHER = ("whsec_" + letter * 32 for letter in "ABC")
KIND = kind_named("webhook")


def post(sink, outgoing=None, **config):
    return KIND.send({"url": sink.url, **config}, outgoing or sample_messages.outgoing())


def clean(name, value):
    field = KIND.field(name)
    assert field is not None
    assert field.clean is not None
    return field.clean(value)


def is_genuine(request, secret):
    try:
        Webhook(secret).verify(request.body, request.headers)
    except WebhookVerificationError:
        return False
    return True


# --- The body ------------------------------------------------------------------------------------


def test_the_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("event", sample_messages.EVENTS)
def test_every_event_is_as_the_schema_says(event):
    with HttpSink() as sink:
        assert isinstance(post(sink, sample_messages.outgoing(event)), Sent)
        (request,) = sink.requests
    Draft202012Validator(SCHEMA, format_checker=FormatChecker()).validate(request.json)


@pytest.mark.parametrize("event", sample_messages.EVENTS)
def test_the_schema_knows_every_member_of_every_event(event):
    payload = json.loads(json.dumps(sample_messages.outgoing(event).payload))
    assert set(payload) == set(SCHEMA["properties"])
    for name in ("monitor", "incident", "flapping", "late", "reminder", "digest", "channel"):
        if payload[name] is not None:
            assert set(payload[name]) == set(SCHEMA["$defs"][name]["properties"]), name
    for member in (payload["digest"] or {"monitors": []})["monitors"]:
        assert set(member) == set(SCHEMA["$defs"]["member"]["properties"])


def test_a_digest_of_very_many_is_as_the_schema_says():
    payload = sample_messages.outgoing(Event.DIGEST, count=digests.LISTED + 1).payload
    Draft202012Validator(SCHEMA).validate(payload)
    assert len(payload["digest"]["others"]) == 1


def test_the_schema_knows_every_event():
    assert set(SCHEMA["properties"]["event"]["enum"]) == set(sample_messages.EVENTS)


def test_outages_that_were_not_notified_are_as_the_schema_says():
    meanwhile = Meanwhile(3, sample_messages.AT, timedelta(seconds=26))
    payload = sample_messages.outgoing(again=True, meanwhile=meanwhile).payload
    Draft202012Validator(SCHEMA).validate(payload)
    assert set(payload["meanwhile"]) == set(SCHEMA["$defs"]["meanwhile"]["properties"])


@pytest.mark.parametrize("reason", Reason)
def test_the_schema_knows_every_reason(reason):
    payload = sample_messages.outgoing(Event.ENDED, reason=reason).payload
    Draft202012Validator(SCHEMA).validate(payload)
    assert payload["reason"] == reason.value


def test_a_receiver_that_keys_on_the_outage_has_open_what_is_down():
    """As docs/messages.md describes it: opened and closed by single events and by members of digests."""
    open_alerts = {}

    def receive(event):
        digest = event["digest"]
        for one in [*digest["monitors"], *digest["others"]] if digest else [event]:
            if one["event"] in ("incident.opened", "incident.reminder", "monitor.flapping"):
                open_alerts[one["outage"]] = one["sequence"]
            elif one["event"] in ("incident.resolved", "incident.passed", "incident.ended"):
                open_alerts.pop(one["outage"], None)

    first, second = str(uuid4()), str(uuid4())
    receive(sample_messages.outgoing(Event.OPENED, outage=first).payload)
    receive(sample_messages.outgoing(Event.FLAPPING, outage=second).payload)
    assert set(open_alerts) == {first, second}
    receive(sample_messages.outgoing(Event.ENDED, outage=second, sequence=2).payload)
    many = digests.LISTED + 1
    receive(sample_messages.outgoing(Event.DIGEST, count=many).payload)
    # Besides what is down, the digest has a reminder and something that is flapping.
    assert len(open_alerts) == 1 + many + 2
    receive(sample_messages.outgoing(Event.RESOLVED, outage=first, sequence=2).payload)
    assert first not in open_alerts


# --- Signatures ----------------------------------------------------------------------------------


def test_a_library_of_others_finds_the_signature_genuine():
    with HttpSink() as sink:
        post(sink, secret=SECRET)
        (request,) = sink.requests
    assert is_genuine(request, SECRET)
    assert not is_genuine(request, OTHER)


def test_after_a_change_of_the_secret_both_count_for_a_while():
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with HttpSink() as sink:
        post(sink, secret=SECRET, previous_secret=PREVIOUS, previous_secret_until=until)
        (request,) = sink.requests
    assert is_genuine(request, SECRET)
    assert is_genuine(request, PREVIOUS)
    assert not is_genuine(request, OTHER)
    assert len(request.headers["webhook-signature"].split(" ")) == 2


@pytest.mark.parametrize("until", ["2026-01-01T00:00:00+00:00", "soon", None])
def test_after_that_while_only_the_new_one_counts(until):
    with HttpSink() as sink:
        post(sink, secret=SECRET, previous_secret=PREVIOUS, previous_secret_until=until)
        (request,) = sink.requests
    assert is_genuine(request, SECRET)
    assert not is_genuine(request, PREVIOUS)


def test_the_id_is_that_of_the_delivery_in_each_attempt():
    message = sample_messages.outgoing()
    with HttpSink(Answer(500), Answer(200)) as sink:
        assert isinstance(post(sink, message), Failed)
        assert isinstance(post(sink, message), Sent)
        assert [request.headers["webhook-id"] for request in sink.requests] == [str(message.id)] * 2


def test_gone_switches_the_channel_off():
    with HttpSink(default=Answer(410, body=b"we moved")) as sink:
        result = post(sink)
    assert result == Failed("HTTP 410 Gone: we moved", permanent=True, gone=True)


def test_a_secret_in_the_response_is_removed():
    text = f"you signed with {SECRET} and {PREVIOUS}, and said Bearer abcdefgh".encode()
    with HttpSink(default=Answer(401, body=text)) as sink:
        result = post(sink, secret=SECRET, previous_secret=PREVIOUS, headers="Authorization: Bearer abcdefgh")
    assert result.detail.startswith("HTTP 401 Unauthorized: you signed with … and …, and said Bearer …")


# --- Headers -------------------------------------------------------------------------------------


def test_headers_of_ones_own_are_sent():
    lines = ["Authorization: Bearer abc", "X-Room:ops"]
    with HttpSink() as sink:
        assert isinstance(post(sink, headers=clean("headers", lines)), Sent)
        (request,) = sink.requests
    assert request.headers["authorization"] == "Bearer abc"
    assert request.headers["x-room"] == "ops"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "line",
    [
        "Host: evil.example",
        "content-length: 1",
        "Connection: close",
        "Transfer-Encoding: chunked",
        "webhook-id: 1",
        "Webhook-Signature: v1,x",
        "Content-Type: text/plain",
        "TE: trailers",
    ],
)
def test_our_own_headers_cannot_be_overridden(line):
    with pytest.raises(ValidationError, match="set by Tianji"):
        clean("headers", [line])


@pytest.mark.parametrize(
    "line", ["nonsense", ": value", "Name:", "Na me: value", "X: a\x00b", "X: a\x0bb", "X: é", "X\x7f: a"]
)
def test_what_is_no_header_is_refused(line):
    with pytest.raises(ValidationError, match="one header per line"):
        clean("headers", [line])


def test_a_header_that_is_there_twice_is_refused():
    with pytest.raises(ValidationError, match="twice"):
        clean("headers", "X-A: 1\nx-a: 2")


# --- A body of one's own -------------------------------------------------------------------------

TEMPLATE = '{"msg": {"t": "{title} at {since}", "list": ["{message}", 5, null]}, "n": "{value}"}'


def test_a_body_of_ones_own_is_filled_and_signed():
    template = clean("template", TEMPLATE)
    with HttpSink() as sink:
        assert isinstance(post(sink, template=template, secret=SECRET), Sent)
        (request,) = sink.requests
    assert request.json == {
        "msg": {
            "t": f"Down: {sample_messages.NAME} at 2026-11-22T15:52:40.123Z",
            "list": ["disk <full> & @everyone", 5, None],
        },
        "n": "97.5",
    }
    assert is_genuine(request, SECRET)


def test_what_is_filled_in_becomes_neither_structure_nor_a_placeholder():
    evil = '", "admin": true, "x": "{title}'
    with HttpSink() as sink:
        post(sink, sample_messages.outgoing(opening_message=evil), template=TEMPLATE)
        (request,) = sink.requests
    assert request.json["msg"]["list"][0] == evil


@pytest.mark.parametrize("event", sample_messages.EVENTS)
def test_every_event_fills_every_placeholder(event):
    outgoing = sample_messages.outgoing(event)
    template = json.dumps({name: f"{{{name}}}" for name in webhook_template.placeholders(outgoing)})
    assert webhook_template.check(template) == []
    content = webhook_template.filled(template, outgoing)
    assert all("{" not in text for text in content.values())
    assert content["title"]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{nonsense", "Not valid JSON"),
        ('{"a": "{nonsense}"}', "Unknown placeholder “{nonsense}”"),
        ('{"a": "{workspace}"}', "Unknown placeholder “{workspace}”"),
        ('{"a": "{title.__class__}"}', "Unknown placeholder"),
        ('{"a": NaN}', "Not valid JSON"),
        ('{"a": 1e999}', "Not valid JSON"),
        (r'{"a": "\ud800"}', "Not valid JSON"),
        ("[" * 30 + "]" * 30, "Nested too deeply"),
        ("[" * 100_000, "at most"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_with_a_reason(template, text):
    with pytest.raises(ValidationError, match=text):
        clean("template", template)


def test_a_template_that_went_bad_is_a_failure_with_a_reason():
    with HttpSink() as sink:
        result = post(sink, template="{")
        assert sink.requests == []
    assert isinstance(result, Failed)
    assert "body" in result.detail
