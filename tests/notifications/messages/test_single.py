"""The text of notifications."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from monitors.domain.state_machine import Cause
from monitors.domain.value_rules import number
from notifications.messages import digests, payloads
from notifications.messages.events import Event
from notifications.messages.single import Facts, compose, compose_test
from notifications.messages.text import one_line

START = datetime(2026, 11, 22, 15, 52, 45, tzinfo=UTC)
URL = "https://tianji.example.com/monitors/7a3d/"
MISSED = Facts(
    event=Event.OPENED,
    at=START + timedelta(seconds=1),
    monitor="Payments worker",
    monitor_id="7a3d",
    monitor_url=URL,
    incident_id="55aa",
    cause=Cause.MISSED,
    started_at=START,
    detected_at=START + timedelta(seconds=1),
    last_heartbeat_at=START - timedelta(seconds=66),
    opening_message="OK",
    opening_value=12.5,
)
REPORTED = replace(MISSED, cause=Cause.REPORTED, opening_message="disk is full", opening_value=99.0)
RESOLVED = replace(
    MISSED,
    event=Event.RESOLVED,
    at=START + timedelta(minutes=12),
    resolved_at=START + timedelta(minutes=12),
    closing_message="back",
    closing_value=3.0,
    outage="0a0b",
    sequence=2,
)
DELIVERY = UUID("12345678-1234-5678-1234-567812345678")
# The events of one monitor.
ONE = tuple(digests.SECTIONS)


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        (MISSED, "Down: Payments worker"),
        (REPORTED, "Down: Payments worker"),
        (RESOLVED, "Recovered: Payments worker (down for 12 min)"),
        (
            replace(RESOLVED, event=Event.PASSED, resolved_at=START + timedelta(seconds=38)),
            "Recovered after 38 s: Payments worker",
        ),
    ],
)
def test_the_title_names_the_monitor_and_what_happened(facts, title):
    assert compose(facts).title == title


def test_a_missed_heartbeat_comes_with_the_last_one_received():
    message = compose(MISSED)
    assert message.lines == (
        "Payments worker missed a heartbeat. Down since 2026-11-22 15:52:45 UTC.",
        "Last heartbeat: 2026-11-22 15:51:39 UTC.",
        "Last message: OK",
        "Last value: 12.5",
    )
    assert message.text.endswith("\n\n" + URL)


@pytest.mark.parametrize("event", [Event.OPENED, Event.REMINDER])
def test_pushes_rejected_since_the_last_heartbeat_are_in_it(event):
    sentence = "6 pushes were rejected since: Expired token."
    lines = compose(replace(MISSED, event=event, rejected=sentence)).lines
    assert lines.index(sentence) == lines.index("Last heartbeat: 2026-11-22 15:51:39 UTC.") + 1


@pytest.mark.parametrize("event", [Event.OPENED, Event.REMINDER, Event.RESOLVED])
def test_what_was_reported_since_is_in_it(event):
    facts = replace(REPORTED, event=event, latest_message="disk on fire", closing_message="new disk")
    assert "Last report: disk on fire" in compose(facts).lines
    payload = payloads.of_incident(facts, compose(facts), delivery_id=DELIVERY)
    assert payload["message"] == ("new disk" if event is Event.RESOLVED else "disk on fire")


@pytest.mark.parametrize(
    ("latest", "line", "value"), [(12.5, "Last value: 12.5", 12.5), (99, None, 99), (None, None, 99)]
)
def test_a_reminder_has_the_last_value_if_it_is_another(latest, line, value):
    facts = replace(REPORTED, event=Event.REMINDER, latest_value=latest)
    lines = compose(facts).lines
    assert [text for text in lines if text.startswith("Last value")] == ([line] if line else [])
    assert "Value: 99" in lines
    assert payloads.of_incident(facts, compose(facts), delivery_id=DELIVERY)["value"] == value


def test_a_reported_failure_comes_with_its_message_and_value():
    assert compose(REPORTED).lines == (
        "Payments worker reported down. Down since 2026-11-22 15:52:45 UTC.",
        "Message: disk is full",
        "Value: 99",
        "Previous heartbeat: 2026-11-22 15:51:39 UTC.",
    )


def test_a_report_that_is_the_first_heartbeat_says_that_there_was_none_before():
    assert "No heartbeat before that." in compose(replace(REPORTED, last_heartbeat_at=None)).lines


def test_a_recovery_says_how_long_it_was_down_and_why():
    assert compose(RESOLVED).lines == (
        (
            "Payments worker recovered at 2026-11-22 16:04:45 UTC. "
            "It was down for 12 min (since 2026-11-22 15:52:45 UTC)."
        ),
        "Cause: missed heartbeat.",
        "Message: back",
        "Value: 3",
    )


def test_the_recovery_of_a_reported_fault_repeats_what_was_reported():
    facts = replace(RESOLVED, cause=Cause.REPORTED, opening_message="disk is full")
    assert "Cause: reported down with the message: disk is full" in compose(facts).lines


def test_an_outage_that_is_over_says_both_in_one_message():
    facts = replace(RESOLVED, event=Event.PASSED, resolved_at=START + timedelta(seconds=38))
    assert compose(facts).lines[0] == (
        "Payments worker was down from 2026-11-22 15:52:45 UTC to 2026-11-22 15:53:23 UTC (38 s) "
        "and has recovered."
    )


def test_a_time_is_written_in_the_current_zone_whatever_its_own():
    zone = datetime.fromisoformat("2026-11-22T22:52:45+07:00")
    assert "2026-11-22 15:52:45 UTC" in compose(replace(MISSED, started_at=zone)).lines[0]
    with timezone.override("Asia/Jakarta"):
        assert "2026-11-22 22:52:45 WIB" in compose(MISSED).lines[0]
    with timezone.override("America/Sao_Paulo"):
        assert "2026-11-22 12:52:45 UTC-03" in compose(MISSED).lines[0]


def test_a_test_message_cannot_be_taken_for_an_incident():
    message = compose_test(channel="Team\r\nBcc: x@example.com", workspace="Ours", url=URL)
    assert message.title == "Test notification from Tianji"
    assert "Nothing is down." in message.text
    assert "\r" not in message.text


@given(st.text(max_size=600), st.text(max_size=600))
def test_no_name_and_no_message_breaks_a_line(name, text):
    for event in ONE:
        facts = replace(RESOLVED, event=event, monitor=name, opening_message=text, closing_message=text)
        message = compose(facts)
        for line in (message.title, *message.lines):
            assert line.splitlines() == [line]
            assert line.isprintable() or "\x00" not in line
        assert len(message.title) <= 200


@given(st.text())
def test_one_line_is_one_line_and_stable(text):
    once = one_line(text)
    assert len(once.splitlines()) <= 1
    assert one_line(once) == once
    once.encode()


@pytest.mark.parametrize(
    ("value", "text"), [(12.5, "12.5"), (3.0, "3"), (1234567.0, "1234567"), (0.1, "0.1")]
)
def test_a_value_is_written_as_its_sender_would(value, text):
    assert number(value) == text


def test_the_json_of_an_event_is_complete_and_in_utc():
    message = compose(RESOLVED)
    assert payloads.of_incident(RESOLVED, message, delivery_id=DELIVERY) == {
        "version": 2,
        "id": str(DELIVERY),
        "event": "incident.resolved",
        "type": "incident.resolved",
        "at": "2026-11-22T16:04:45.000Z",
        "outage": "0a0b",
        "sequence": 2,
        "monitor": {"id": "7a3d", "name": "Payments worker", "url": URL, "urgency": "normal"},
        "incident": {
            "id": "55aa",
            "cause": "missed",
            "started_at": "2026-11-22T15:52:45.000Z",
            "detected_at": "2026-11-22T15:52:46.000Z",
            "resolved_at": "2026-11-22T16:04:45.000Z",
            "duration_seconds": 720.0,
        },
        "again": False,
        "meanwhile": None,
        "reason": None,
        "flapping": None,
        "late": None,
        "message": "back",
        "value": 3.0,
        "last_heartbeat_at": "2026-11-22T15:51:39.000Z",
        "acknowledge_url": None,
        "reminder": None,
        "digest": None,
        "channel": None,
        "title": message.title,
        "text": message.text,
    }


def test_the_json_of_an_open_incident_has_no_end():
    incident = payloads.of_incident(MISSED, compose(MISSED), delivery_id=DELIVERY)["incident"]
    assert incident["resolved_at"] is None
    assert incident["duration_seconds"] is None


def test_the_json_of_a_test_has_the_same_keys():
    test = payloads.of_test(compose_test(channel="c", workspace="w", url=URL), test_id=DELIVERY, at=START)
    assert test.keys() == payloads.of_incident(MISSED, compose(MISSED), delivery_id=DELIVERY).keys()
    assert test["event"] == "test"
