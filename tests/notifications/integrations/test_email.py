"""What an email is: headers, text and HTML."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from uuid import uuid4

import pytest

from notifications.integrations import kind_named
from notifications.messages.single import Message
from notifications.transports.base import Outgoing, Tone
from tests.support.sinks import SmtpSink

AT = datetime(2026, 11, 22, 15, 52, 45, tzinfo=UTC)
URL = "https://t.example/monitors/1/"
MESSAGE = Message(
    "Down: 2 monitors",
    ("2 monitors are down.", "• Oven: <b>", "• Grill", "A last line."),
    URL,
    ack_url="https://t.example/acknowledge/abc.d.e/",
    manage_url="https://t.example/channels/1/",
    list_id="0c7f2f0e-6d7c-4a53-9d3b-0f7d1c3f6a10",
)


@pytest.fixture
def smtp(settings):
    settings.DEFAULT_FROM_EMAIL = "Tianji <tianji@example.org>"
    with SmtpSink() as sink:
        for name, value in sink.settings.items():
            setattr(settings, name, value)
        yield sink


def sent(smtp, message=MESSAGE, **fields):
    given = {"id": uuid4(), "message": message, "payload": {}, "at": AT, "tone": Tone.DOWN}
    outgoing = Outgoing(**{**given, **fields})
    kind_named("email").send({"addresses": ["anna@example.com"]}, outgoing)
    return smtp.mails[-1]


def test_programs_learn_that_it_is_sent_by_one_and_how_to_end_it(smtp):
    headers = sent(smtp).message
    assert headers["Auto-Submitted"] == "auto-generated"
    assert headers["List-Id"] == "<0c7f2f0e-6d7c-4a53-9d3b-0f7d1c3f6a10.example.org>"
    assert headers["List-Unsubscribe"] == (
        "<https://t.example/channels/1/>, <mailto:tianji@example.org?subject=unsubscribe>"
    )
    assert headers["List-Unsubscribe-Post"] is None


def test_every_attempt_of_a_digest_has_the_same_message_id_too(smtp):
    delivery = uuid4()
    first, second = (sent(smtp, id=delivery).message for _ in range(2))
    assert first["Message-ID"] == second["Message-ID"] == f"<{delivery}@example.org>"
    assert first["References"] is None


def test_the_messages_of_an_outage_name_the_same_thread(smtp):
    thread = uuid4()
    first, second = (sent(smtp, thread=thread).message for _ in range(2))
    assert first["References"] == second["References"] == f"<incident-{thread}@example.org>"
    assert first["Message-ID"] != second["Message-ID"]


def test_the_html_has_a_list_a_button_and_inline_styles_alone(smtp):
    html = sent(smtp).html
    assert "<li>Oven: &lt;b&gt;</li><li>Grill</li>" in html
    assert re.search(r'<a href="https://t.example/acknowledge/abc.d.e/" style="[^"]*">Acknowledge</a>', html)
    assert f'<a href="{URL}">Open in Tianji</a>' in html
    for banned in ("<style", "<script", "<img", "<link", "class="):
        assert banned not in html


def test_a_line_with_a_link_is_one(smtp):
    lines = ("• Oven <1>: down", "• Grill: recovered")
    html = sent(smtp, Message("1 down", lines, URL, line_urls={lines[0]: "https://t.example/oven/"})).html
    assert (
        '<li><a href="https://t.example/oven/">Oven &lt;1&gt;: down</a></li><li>Grill: recovered</li>' in html
    )


def test_it_loads_nothing_from_anywhere(smtp):
    addresses = re.findall(r'(?:src|href)="([^"]*)"', sent(smtp).html)
    assert set(addresses) == {URL, MESSAGE.ack_url, MESSAGE.manage_url}
    assert "url(" not in sent(smtp).html


def test_it_names_its_language(smtp):
    message = Message("Mati: Oven", ("a",), URL, ack_url="https://t.example/a/", language="id")
    assert '<html lang="id">' in sent(smtp, message).html


def test_without_what_is_down_there_is_no_button(smtp):
    html = sent(smtp, Message("Recovered", ("a",), URL), tone=Tone.UP).html
    assert "Acknowledge" not in html
    assert f'<a href="{URL}">{URL}</a>' in html


def test_its_date_is_the_time_of_the_attempt_whatever_this_machines_clock_says(smtp):
    assert parsedate_to_datetime(sent(smtp).message["Date"]) == AT
