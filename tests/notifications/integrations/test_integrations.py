"""Each kind of channel against a fake of its provider."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError

from notifications.integrations import kind_named, kinds
from notifications.messages.digests import Section
from notifications.messages.events import Event, Reason
from notifications.messages.single import Message
from notifications.models import BURST_MAX
from notifications.transports import http
from notifications.transports.base import Failed, Sent, Tone, tone_of_digest
from tests.support import sample_messages
from tests.support.providers import FAKES
from tests.support.providers.base import Reply
from tests.support.providers.chats import Discord, Feishu, Matrix, Slack, Teams, Telegram
from tests.support.providers.oncall import Opsgenie, PagerDuty
from tests.support.providers.phones import Gotify, Ntfy, Pushover, Twilio

# Each provider is a server of its own.
pytestmark = pytest.mark.slow


@pytest.fixture(params=FAKES, ids=lambda fake: fake.kind)
def any_fake(request, opened):
    return opened(request.param)


@pytest.fixture
def opened(monkeypatch):
    """Open fakes, and lead the addresses of their providers to them, until the test is over."""
    running = []

    def open_(fake_class):
        fake = fake_class()
        running.append(fake)
        fake.__enter__()
        for origin in fake.origins:
            monkeypatch.setitem(http.stand_ins, origin, fake.url)
        return fake

    yield open_
    for fake in running:
        fake.__exit__(None, None, None)


def send(fake, outgoing=None, **more):
    return kind_named(fake.kind).send(fake.settings(**more), outgoing or sample_messages.outgoing())


def sent(fake, outgoing=None, **more):
    """Send what the provider must take, and return its first request."""
    result = send(fake, outgoing, **more)
    assert fake.problems == []
    assert isinstance(result, Sent), result
    return fake.requests[-1]


def lines_of(text):
    return {line.strip() for line in text.splitlines() if line.strip()}


# --- Every kind ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("event", sample_messages.EVENTS)
def test_the_provider_takes_every_event(any_fake, event):
    sent(any_fake, sample_messages.outgoing(event))


@pytest.mark.parametrize("event", [Event.OPENED, Event.LATE, Event.TEST])
def test_people_read_the_title_and_the_text_as_they_are(any_fake, event):
    outgoing = sample_messages.outgoing(event)
    shown_text = any_fake.shown_text(sent(any_fake, outgoing))
    assert outgoing.message.title in shown_text or any_fake.kind == "opsgenie"
    if any_fake.kind != "twilio":
        assert lines_of("\n".join(outgoing.message.lines)) <= lines_of(shown_text)


def test_the_links_are_there(any_fake):
    outgoing = sample_messages.outgoing()
    content = sent(any_fake, outgoing).body.decode().replace("%3A", ":").replace("%2F", "/")
    assert outgoing.message.url in content
    assert outgoing.message.ack_url in content


def test_a_phone_gets_the_link_to_acknowledge_where_there_is_not_room_for_both(opened):
    fake, outgoing = opened(Twilio), sample_messages.outgoing()
    long = replace(outgoing.message, url=f"https://tianji.example.com/{'a' * 150}/")
    content = fake.shown_text(sent(fake, replace(outgoing, message=long)))
    assert outgoing.message.title in content
    assert outgoing.message.ack_url in content
    assert long.url not in content


@pytest.mark.slow
@pytest.mark.parametrize("event", [Event.OPENED, Event.RESOLVED])
@pytest.mark.parametrize(
    "text", ["x" * 100_000, "é😀" * 50_000, "*_<&>`[](" * 10_000, "a\n" * 30_000, "\\" * 9000]
)
def test_a_long_text_is_cut_to_what_the_provider_takes(any_fake, event, text):
    outgoing = sample_messages.outgoing(event)
    long = Message(
        text[:5000], tuple(text.splitlines()), outgoing.message.url, ack_url=sample_messages.ACKNOWLEDGE_URL
    )
    sent(any_fake, replace(outgoing, message=long))


@pytest.mark.parametrize("text", ["", " ", "\x00"])
def test_an_empty_text_is_taken_too(any_fake, text):
    outgoing = sample_messages.outgoing()
    sent(any_fake, replace(outgoing, message=Message("Down: x", (text,), "https://t.example/")))


def test_the_channels_own_template_is_sent_instead(any_fake):
    outgoing = sample_messages.outgoing()
    own = replace(
        outgoing.message, title="Own title", written="Own words\n\nin two lines", lines=("Own words",)
    )
    shown_text = any_fake.shown_text(sent(any_fake, replace(outgoing, message=own)))
    assert "Own words" in shown_text
    assert "Down" not in shown_text


def test_a_wrong_token_fails_with_the_providers_message(any_fake):
    result = send(any_fake, **any_fake.wrong)
    assert isinstance(result, Failed)
    assert any_fake.wrong_words in result.detail
    assert any_fake.problems == []


def test_too_many_requests_return_the_wait(any_fake):
    any_fake.mode = "limited"
    result = send(any_fake)
    assert isinstance(result, Failed)
    assert not result.permanent
    if any_fake.kind == "pushover":
        assert timedelta(seconds=2980) < result.retry_after <= timedelta(seconds=3000)
    else:
        assert result.retry_after == any_fake.limited_wait


def test_a_fault_of_the_provider_may_pass(any_fake):
    any_fake.mode = "broken"
    result = send(any_fake)
    assert isinstance(result, Failed)
    assert not result.permanent
    assert result.retry_after is None
    assert "502" in result.detail


def test_an_answer_that_is_cut_ends_in_a_result(any_fake):
    any_fake.mode = "malformed"
    result = send(any_fake)
    # Where the status alone does not tell, nobody knows, so it is tried again.
    assert isinstance(result, Failed) == (any_fake.kind in ("telegram", "feishu", "pushover"))


@pytest.mark.parametrize("mode", ["", "limited", "broken", "malformed"])
def test_no_secret_is_in_the_result(any_fake, mode, caplog):
    any_fake.mode = mode
    results = [send(any_fake), send(any_fake, **any_fake.wrong)]
    content = " ".join(result.detail for result in results) + caplog.text
    for secret in any_fake.secrets:
        assert secret not in content


def test_a_secret_in_the_providers_response_is_removed(any_fake):
    any_fake.take = echo
    content = send(any_fake).detail
    for secret in any_fake.secrets:
        assert secret not in content
        assert secret[:12] not in content


def echo(request):
    return Reply(400, f"who is {request.path} {request.query} {request.headers} {request.body.decode()}")


def test_every_attempt_of_a_message_is_the_same(any_fake):
    outgoing = sample_messages.outgoing()
    for _ in range(2):
        send(any_fake, outgoing)
    half = len(any_fake.requests) // 2
    first, second = any_fake.requests[0], any_fake.requests[half]
    assert first.path == second.path
    if any_fake.kind not in ("feishu", "twilio"):  # signed with the time; several at once
        assert first.body == second.body


@pytest.mark.parametrize("tampered", [{}, {"url": 5, "server": 5, "token": 5, "to": 5, "region": "moon"}])
def test_a_config_that_cannot_be_used_is_a_failure_with_a_reason(any_fake, tampered):
    result = kind_named(any_fake.kind).send(tampered, sample_messages.outgoing())
    assert isinstance(result, Failed)
    assert not result.permanent
    assert any_fake.requests == []


# --- What may be entered -------------------------------------------------------------------------


def cleaned(slug, **entered):
    kind = kind_named(slug)
    found = {}
    for name, value in entered.items():
        field = kind.field(name)
        assert field is not None, name
        found[name] = field.clean(value) if field.clean else value
    return found


@pytest.mark.parametrize("fake_class", FAKES, ids=lambda fake: fake.kind)
def test_what_the_provider_gives_may_be_entered(fake_class):
    assert cleaned(fake_class.kind, **fake_class.config) == fake_class.config


def test_what_was_kept_may_be_entered_again():
    for fake_class in FAKES:
        once = cleaned(fake_class.kind, **fake_class.config)
        assert cleaned(fake_class.kind, **once) == once


@pytest.mark.parametrize(
    ("slug", "name", "value"),
    [
        ("slack", "url", "http://hooks.slack.com/services/T/B/x"),
        ("slack", "url", "https://hooks.slack.com.evil.example/services/T/B/x"),
        ("slack", "url", "https://hooks.slack.com@evil.example/services/T/B/x"),
        ("slack", "url", "https://hooks.slack.com:8443/services/T/B/x"),
        ("slack", "url", "https://slack.com/app"),
        ("slack", "url", "nonsense"),
        ("discord", "url", "https://discord.com/channels/1/2"),
        ("discord", "url", "https://evildiscord.com/api/webhooks/1/abc"),
        ("telegram", "token", "nonsense"),
        ("telegram", "token", "123456789:AA/../../x" + "a" * 30),
        ("telegram", "chat_id", "my group"),
        ("telegram", "topic", "0"),
        ("teams", "url", "https://example.webhook.office.com/webhookb2/abc"),
        ("feishu", "url", "https://open.feishu.cn/other"),
        ("ntfy", "server", "https://ntfy.sh/topic?x=1"),
        ("ntfy", "server", "https://user:password@ntfy.example.com"),
        ("ntfy", "topic", "a b"),
        ("ntfy", "topic", "a" * 65),
        ("ntfy", "token", "tk_a\nb"),
        ("gotify", "server", "gotify.example.com"),
        ("gotify", "token", "a"),
        ("matrix", "room_id", "#room:example.org"),
        ("matrix", "access_token", "a b"),
        ("pagerduty", "routing_key", "short"),
        ("opsgenie", "api_key", "short"),
        ("pushover", "token", "short"),
        ("pushover", "sound", "a b"),
        ("twilio", "account_sid", "AC1"),
        ("twilio", "from", "12345678901234"),
        ("twilio", "to", ["0812345678"]),
        ("twilio", "to", []),
        ("twilio", "to", [f"+628123456{number}" for number in range(100, 111)]),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_reason(slug, name, value):
    with pytest.raises(ValidationError) as caught:
        cleaned(slug, **{name: value})
    assert all(len(message) > 10 for message in caught.value.messages)


def test_numbers_may_be_written_with_blanks():
    given = ["+62 812 3456 7890", "+6281234567890", " +1 555 123 4567 "]
    assert cleaned("twilio", to=given) == {"to": ["+6281234567890", "+15551234567"]}


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.slug)
def test_a_kind_says_what_people_need_to_know(kind):
    assert str(kind.label)
    assert str(kind.about).endswith(".")
    assert len({field.name for field in kind.fields}) == len(kind.fields)
    for field in kind.fields:
        assert str(field.label)
        assert not (field.secret and field.widget == "choice")
        if field.widget == "choice":
            assert field.default in dict(field.choices)
    if kind.slug != "email":
        assert urlsplit(kind.documentation).scheme == "https"
    if kind.slug not in ("email", "webhook"):
        assert kind.where
        assert any(field.secret for field in kind.fields)


def test_the_kinds_are_those_that_people_use_most_and_the_rest():
    assert set(kinds()) == {"email", "webhook", "apprise"} | {fake.kind for fake in FAKES}
    assert list(kinds())[:2] == ["email", "webhook"]


@pytest.mark.parametrize("fake_class", FAKES, ids=lambda fake: fake.kind)
@pytest.mark.parametrize("masked", [True, False])
def test_no_page_shows_a_secret(fake_class, masked):
    kind = kind_named(fake_class.kind)
    secret_names = {field.name for field in kind.fields if field.secret}
    clear = {"server": "https://push.example.com", **fake_class.config}
    without = {name: value for name, value in clear.items() if name not in secret_names}
    shown = kind.shown(without if masked else clear, masked)
    assert shown
    for secret in fake_class.secrets:
        assert secret not in shown
    # Also where a secret cannot be read any more.
    assert kind.shown({**clear, **{name: {"sealed": "x"} for name in secret_names}}, masked)
    assert kind.shown({}, masked)


# --- One by one ----------------------------------------------------------------------------------


def test_slack_and_discord_switch_off_a_webhook_that_was_taken_away(opened):
    slack, discord = opened(Slack), opened(Discord)
    assert send(slack, **slack.wrong).gone
    gone = send(discord, url="https://discord.com/api/webhooks/123456789012345679/abc")
    assert gone == Failed("HTTP 404 Not Found: Unknown Webhook", permanent=True, gone=True)
    assert not send(discord, **discord.wrong).gone


def test_slack_text_has_no_mentions_or_markup(opened):
    evil = Message("Down: <!channel> *x*", ("<@U1> & <https://x.example|y>",), "https://t.example/")
    request = sent(opened(Slack), replace(sample_messages.outgoing(), message=evil))
    assert request.json["text"].endswith("Down: &lt;!channel&gt; *x*")
    (section, *_rest) = request.json["attachments"][0]["blocks"]
    assert section["text"] == {"type": "plain_text", "text": "<@U1> & <https://x.example|y>", "emoji": False}


def test_no_mark_counts_in_discord_but_addresses_stay_whole(opened):
    content = Message(
        "Down: **x**", ("see https://x.example/a_b_c and [a](b) @everyone",), "https://t.example/"
    )
    request = sent(opened(Discord), replace(sample_messages.outgoing(), message=content))
    (embed,) = request.json["embeds"]
    assert r"Down\: \*\*x\*\*" in embed["title"]
    assert r"see https://x.example/a_b_c and \[a\]\(b\) \@everyone" in embed["description"]


def test_telegram_writes_into_a_topic(opened):
    fake = opened(Telegram)
    assert sent(fake, topic="42").json["message_thread_id"] == 42
    assert "message_thread_id" not in sent(fake).json


def test_telegram_says_where_a_group_went(opened):
    fake = opened(Telegram)
    words = "Bad Request: group chat was upgraded to a supergroup chat"
    content = {
        "ok": False,
        "error_code": 400,
        "description": words,
        "parameters": {"migrate_to_chat_id": -1009},
    }
    fake.take = lambda request: Reply(400, content)
    assert send(fake).detail.endswith("(chat ID -1009)")


def test_feishu_is_signed_only_where_there_is_a_secret(opened):
    fake = opened(Feishu)
    send(fake, secret="")
    assert not {"sign", "timestamp"} & set(fake.requests[0].json)


def test_feishu_fails_with_a_status_of_success(opened):
    fake = opened(Feishu)
    result = send(fake, **fake.wrong)
    assert isinstance(result, Failed)
    assert result.detail.startswith("HTTP 200 OK: sign match fail")


def test_what_is_down_is_urgent_where_people_want_it(opened):
    ntfy, pushover, gotify = opened(Ntfy), opened(Pushover), opened(Gotify)
    up = sample_messages.outgoing(Event.RESOLVED)
    assert [sent(ntfy).json["priority"], sent(ntfy, up).json["priority"]] == [5, 3]
    assert [sent(pushover).json["priority"], sent(pushover, up).json["priority"]] == [2, 0]
    assert [sent(gotify).json["priority"], sent(gotify, up).json["priority"]] == [8, 5]
    unsteady = sample_messages.outgoing(Event.FLAPPING, is_down=False)
    assert [sent(fake, unsteady).json["priority"] for fake in (ntfy, pushover, gotify)] == [3, 0, 5]
    unsteady = sample_messages.outgoing(Event.FLAPPING, is_down=True)
    assert [sent(fake, unsteady).json["priority"] for fake in (ntfy, pushover, gotify)] == [5, 2, 8]
    assert sent(pushover).json["sound"] == "siren"
    assert "sound" not in sent(pushover, up).json


def test_what_is_down_in_a_digest_is_linked_where_a_line_can_have_a_link(opened):
    digest = sample_messages.outgoing(Event.DIGEST)
    card = sent(opened(Teams), digest).json["attachments"][0]["content"]
    links = [
        run["selectAction"]["url"]
        for block in card["body"]
        for run in block["inlines"]
        if "selectAction" in run
    ]
    assert links == [sample_messages.MONITOR_URL] * 3
    telegram = sent(opened(Telegram), digest).json["text"]
    assert telegram.count(f"(missed heartbeat) {sample_messages.MONITOR_URL}") == 3


@pytest.mark.parametrize("fake_class", [Slack, Feishu, Pushover, Twilio], ids=lambda fake: fake.kind)
def test_a_digest_has_no_links_in_lines_where_they_would_not_work_or_take_the_room(opened, fake_class):
    fake = opened(fake_class)
    shown_text = fake.shown_text(sent(fake, sample_messages.outgoing(Event.DIGEST)))
    assert "3 down" in shown_text
    assert sample_messages.MONITOR_URL not in shown_text


@pytest.mark.parametrize(
    ("counts", "tone"),
    [
        ({Section.DOWN: 1, Section.RECOVERED: 9}, Tone.DOWN),
        ({Section.REMINDER: 1}, Tone.DOWN),
        ({Section.FLAPPING: 1, Section.LATE: 1}, Tone.FLAPPING),
        ({Section.LATE: 1, Section.RECOVERED: 1}, Tone.LATE),
        ({Section.RECOVERED: 1, Section.ENDED: 1}, Tone.UP),
        ({Section.ENDED: 1}, Tone.CLOSED),
        ({Section.DOWN: 0, Section.RECOVERED: 1}, Tone.UP),
    ],
)
def test_a_digest_has_the_tone_of_its_worst_news(counts, tone):
    assert tone_of_digest(counts) is tone


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.slug)
def test_a_kind_leaves_the_time_between_messages_that_its_limit_in_half_a_minute_needs(kind):
    assert 1 <= kind.burst_most <= BURST_MAX
    assert kind.burst_most * kind.spacing <= 30


def test_ntfy_needs_no_token_where_the_topic_is_open(opened):
    fake = opened(Ntfy)
    send(fake, token="")
    assert "authorization" not in fake.requests[0].headers


def test_a_second_attempt_is_not_a_second_message_in_matrix_and_ntfy(opened):
    matrix, ntfy, outgoing = opened(Matrix), opened(Ntfy), sample_messages.outgoing()
    for _ in range(2):
        sent(matrix, outgoing)
        sent(ntfy, outgoing)
    assert list(matrix.events) == [str(outgoing.id)]
    assert {request.json["sequence_id"] for request in ntfy.requests} == {str(outgoing.id)}


@pytest.mark.parametrize("fake_class", [PagerDuty, Opsgenie], ids=lambda fake: fake.kind)
def test_the_end_of_an_outage_ends_its_record_there(fake_class, opened):
    fake, thread = opened(fake_class), uuid4()
    sent(fake, sample_messages.outgoing(Event.OPENED, thread=thread))
    sent(fake, sample_messages.outgoing(Event.REMINDER, thread=thread))
    assert len(fake.open) == 1
    sent(fake, sample_messages.outgoing(Event.OPENED, thread=uuid4()))
    sent(fake, sample_messages.outgoing(Event.RESOLVED, thread=thread))
    assert len(fake.open) == 1
    assert str(thread) not in str(fake.open)


@pytest.mark.parametrize("fake_class", [PagerDuty, Opsgenie], ids=lambda fake: fake.kind)
@pytest.mark.parametrize("opening", [Event.OPENED, Event.FLAPPING, Event.LATE])
@pytest.mark.parametrize(
    ("ending", "facts"),
    [
        (Event.RESOLVED, {}),
        (Event.PASSED, {}),
        *((Event.ENDED, {"reason": reason}) for reason in Reason),
    ],
)
def test_whatever_opened_a_record_there_each_end_closes_it(fake_class, opened, opening, ending, facts):
    fake, thread = opened(fake_class), uuid4()
    sent(fake, sample_messages.outgoing(opening, thread=thread))
    assert len(fake.open) == 1
    sent(fake, sample_messages.outgoing(ending, thread=thread, **facts))
    assert fake.open == set()


@pytest.mark.parametrize("fake_class", [PagerDuty, Opsgenie], ids=lambda fake: fake.kind)
def test_the_record_of_a_test_can_be_closed(fake_class, opened):
    fake, test = opened(fake_class), sample_messages.outgoing(Event.TEST)
    sent(fake, test)
    assert len(fake.open) == 1
    sent(fake, replace(test, id=uuid4(), thread=test.id, tone=Tone.UP))
    assert fake.open == set()


@pytest.mark.parametrize(
    ("event", "urgency", "severity", "priority"),
    [
        (Event.OPENED, "high", "critical", "P1"),
        (Event.OPENED, "normal", "critical", "P1"),
        (Event.OPENED, "low", "warning", "P3"),
        (Event.FLAPPING, "normal", "warning", "P3"),
        (Event.LATE, "normal", "warning", "P3"),
    ],
)
def test_on_call_people_are_woken_only_for_what_is_down_and_urgent(
    opened, event, urgency, severity, priority
):
    outgoing = sample_messages.outgoing(event, urgency=urgency)
    assert sent(opened(PagerDuty), outgoing).json["payload"]["severity"] == severity
    assert sent(opened(Opsgenie), outgoing).json["priority"] == priority


@pytest.mark.parametrize("fake_class", [PagerDuty, Opsgenie], ids=lambda fake: fake.kind)
def test_on_call_integrations_get_each_outage_separately(fake_class):
    assert not kind_named(fake_class.kind).merges


@pytest.mark.parametrize(
    ("slug", "region", "address"),
    [
        ("pagerduty", "us", "https://events.pagerduty.com/v2/enqueue"),
        ("pagerduty", "eu", "https://events.eu.pagerduty.com/v2/enqueue"),
        ("opsgenie", "us", "https://api.opsgenie.com/v2/alerts"),
        ("opsgenie", "eu", "https://api.eu.opsgenie.com/v2/alerts"),
        ("opsgenie", "jsm", "https://api.atlassian.com/jsm/ops/integration/v2/alerts"),
    ],
)
def test_a_region_has_its_own_address(slug, region, address):
    from notifications.integrations import opsgenie, pagerduty

    build = {"pagerduty": pagerduty.build, "opsgenie": opsgenie.build}[slug]
    config = {"routing_key": "x", "api_key": "x", "region": region}
    assert build(config, sample_messages.outgoing()).url == address


@pytest.mark.parametrize("region", ["eu", "jsm"])
def test_opsgenie_works_in_each_region(opened, region):
    fake = opened(Opsgenie)
    sent(fake, region=region)
    sent(fake, sample_messages.outgoing(Event.RESOLVED), region=region)
    assert fake.open == set()


def test_an_sms_goes_to_every_number(opened):
    fake = opened(Twilio)
    result = send(fake)
    assert result == Sent("Accepted for 2 of 2 numbers.")
    assert {request.form["To"] for request in fake.requests} == set(fake.config["to"])
    assert {request.form["From"] for request in fake.requests} == {"+15551234567"}
    assert all(len(request.form["Body"]) <= 320 for request in fake.requests)


def test_an_sms_that_one_number_cannot_get_is_not_sent_again_to_the_others(opened):
    fake = opened(Twilio)
    result = send(fake, to=["+6281234567890", fake.unknown])
    assert isinstance(result, Sent)
    assert result.detail.startswith("Accepted for 1 of 2 numbers. +6281234567899: HTTP 400")
    assert "Invalid 'To' Phone Number" in result.detail


def test_an_sms_comes_from_a_messaging_service(opened):
    fake = opened(Twilio)
    send(fake, **{"from": "MG" + "0a" * 16})
    assert "From" not in fake.requests[0].form
    assert fake.requests[0].form["MessagingServiceSid"] == "MG" + "0a" * 16


def test_what_is_sent_is_json_of_the_language_of_people(opened):
    request = sent(opened(Gotify))
    assert "Café" in request.body.decode()
    assert json.loads(request.body)["title"].startswith("Down: Café")
