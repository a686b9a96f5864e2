"""The text of notifications: reminders, lateness, values, digests and failing channels."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone, translation

from monitors.domain.state_machine import Cause
from notifications.messages import digests
from notifications.messages.events import Event
from notifications.messages.single import Bounds, Facts, Message, compose, value_sentence

START = datetime(2026, 11, 22, 14, 3, 7, tzinfo=UTC)
URL = "https://tianji.example.com/monitors/7a3d/"
DOWN = Facts(
    event=Event.OPENED,
    at=START,
    now=START + timedelta(hours=2, minutes=5),
    monitor="Oven",
    monitor_id="7a3d",
    monitor_url=URL,
    incident_id="55aa",
    cause=Cause.MISSED,
    started_at=START,
    detected_at=START,
    last_heartbeat_at=START - timedelta(minutes=5),
    opening_message="OK",
    opening_value=12.0,
    acknowledge_url="https://tianji.example.com/acknowledge/abc/",
)
REMINDER = replace(DOWN, event=Event.REMINDER, reminder=2, reminders=24)
LATE = replace(
    DOWN, event=Event.LATE, now=START + timedelta(minutes=1), deadline=START + timedelta(minutes=2)
)


def several(count, *, event=Event.DIGEST_DOWN, resolved=None):
    members = tuple(
        digests.Member(f"Oven {number}", f"id-{number}", f"{URL}{number}/", Cause.MISSED, START, resolved)
        for number in range(min(count, digests.LISTED))
    )
    return digests.Facts(
        event=event,
        at=START,
        now=START + timedelta(minutes=10),
        workspace="Kitchen",
        url="https://tianji.example.com/?status=down",
        count=count,
        members=members,
        first_at=START,
        last_at=START + timedelta(seconds=20),
    )


# --- Reminders -----------------------------------------------------------------------------------


def test_a_reminder_says_how_long_it_has_been_down_and_which_reminder_it_is():
    message = compose(REMINDER)
    assert message.title == "Still down: Oven (for 2 h 5 min)"
    assert message.lines == (
        "Oven has been down for 2 h 5 min (since 2026-11-22 14:03:07 UTC).",
        "Cause: missed heartbeat.",
        "Last heartbeat: 2026-11-22 13:58:07 UTC.",
        "Reminder 2 of 24.",
    )


def test_the_last_reminder_says_so():
    assert compose(replace(REMINDER, reminder=24)).lines[-1] == "This is the last reminder."


def test_a_reminder_repeats_what_was_reported_once():
    reported = replace(REMINDER, cause=Cause.REPORTED, opening_message="disk is full")
    assert compose(reported).text.count("disk is full") == 1


# --- Late ----------------------------------------------------------------------------------------


def test_a_late_notification_says_when_the_monitor_goes_down():
    message = compose(LATE)
    assert message.title == "Late: Oven"
    assert message.lines[:2] == (
        "Oven is 1 min late. A heartbeat was expected by 2026-11-22 14:03:07 UTC.",
        "Goes down at 14:05:07 UTC unless one arrives.",
    )


def test_a_deadline_of_another_day_has_its_date():
    lines = compose(replace(LATE, deadline=START + timedelta(days=1))).lines
    assert "at 2026-11-23 14:03:07 UTC unless" in lines[1]


def test_a_late_notification_that_is_sent_after_the_heartbeat_says_that_it_arrived():
    lines = compose(replace(LATE, resolved_at=START + timedelta(seconds=90))).lines
    assert lines[1] == "A heartbeat has since arrived, at 2026-11-22 14:04:37 UTC."


# --- Values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "bounds", "sentence"),
    [
        (12.0, Bounds(high=10.0), "Value: 12, above the maximum of 10."),
        (1.5, Bounds(low=2.0, high=10.0), "Value: 1.5, below the minimum of 2."),
        (None, Bounds(required=True), "The heartbeat had no value, but this monitor requires one."),
        (5.0, Bounds(), "Value: 5."),
    ],
)
def test_a_value_out_of_range_is_explained_in_one_sentence(value, bounds, sentence):
    assert value_sentence(value, bounds) == sentence
    facts = replace(DOWN, cause=Cause.VALUE, opening_value=value, bounds=bounds)
    message = compose(facts)
    assert message.lines[0].startswith("The value of Oven is out of range. Down since")
    assert message.lines[1] == sentence


def test_the_recovery_of_a_value_out_of_range_repeats_it():
    facts = replace(
        DOWN,
        event=Event.RESOLVED,
        cause=Cause.VALUE,
        resolved_at=START + timedelta(minutes=1),
        bounds=Bounds(high=10.0),
    )
    sentence = "Value: 12, above the maximum of 10."
    assert f"Cause: value out of range. {sentence}" in compose(facts).lines


# --- Acknowledging -------------------------------------------------------------------------------


@pytest.mark.parametrize("facts", [DOWN, REMINDER])
def test_a_notification_of_an_outage_has_a_link_to_acknowledge_it(facts):
    assert compose(facts).text.endswith(f"{URL}\n\nAcknowledge: {facts.acknowledge_url}")


def test_an_outage_that_is_over_cannot_be_acknowledged():
    message = compose(replace(DOWN, resolved_at=START + timedelta(minutes=1)))
    assert message.ack_url == ""
    assert "Acknowledge" not in message.text


def test_the_labels_of_links_are_in_the_language_of_the_message():
    message = Message("t", ("l",), URL, ack_url="https://t.example/", language="id")
    with translation.override("id"):
        expected = translation.gettext("Acknowledge")
    assert message.ack_label == expected != "Acknowledge"


# --- Several -------------------------------------------------------------------------------------


def test_a_digest_says_how_many_which_and_why():
    message = digests.compose(several(2))
    assert message.title == "Down: 2 monitors"
    assert message.lines == (
        "2 monitors in the workspace “Kitchen” went down, 2026-11-22 14:03:07 UTC to 14:03:27 UTC.",
        "• Oven 0: missed heartbeat",
        "• Oven 1: missed heartbeat",
    )
    assert message.text.endswith("Oven 0: missed heartbeat\n• Oven 1: missed heartbeat\n\n" + message.url)


def test_of_many_monitors_twenty_are_named_and_the_others_counted():
    message = digests.compose(several(37))
    assert len(message.lines) == 22
    assert message.lines[-1] == "• and 17 more"


def test_a_digest_of_recoveries_says_how_long_each_was_down():
    facts = several(2, event=Event.DIGEST_UP, resolved=START + timedelta(minutes=3))
    message = digests.compose(facts)
    assert message.title == "Recovered: 2 monitors"
    assert message.lines[1] == "• Oven 0: recovered after 3 min (missed heartbeat)"


def test_a_digest_of_reminders_says_how_long_each_has_been_down():
    message = digests.compose(several(2, event=Event.DIGEST_REMINDER))
    assert message.title == "Still down: 2 monitors"
    assert message.lines[1] == "• Oven 0: down for 10 min (missed heartbeat)"


def test_a_monitor_of_a_digest_that_has_recovered_is_not_called_down():
    message = digests.compose(several(2, resolved=START + timedelta(minutes=1)))
    assert "recovered" in message.lines[1]


def test_a_digest_uses_the_active_time_zone():
    with timezone.override("Asia/Jakarta"):
        assert "2026-11-22 21:03:07 WIB" in digests.compose(several(2)).lines[0]


# --- Channels ------------------------------------------------------------------------------------

FAILING = digests.FailingChannel(
    at=START,
    channel="Ops",
    channel_id="c",
    kind="slack",
    kind_label="Slack",
    url="https://tianji.example.com/channels/c/",
    workspace="Kitchen",
    failures=20,
    failing_since=START,
    detail="HTTP 403\nno_service",
)


def test_a_failing_channel_is_reported_with_the_last_response():
    message = digests.compose_failing(FAILING)
    assert message.title == "Channel failing: Ops"
    assert message.lines[:3] == (
        "The channel “Ops” (Slack) in the workspace “Kitchen” is not delivering.",
        "Failing since 2026-11-22 14:03:07 UTC (20 attempts in a row).",
        "Last response: HTTP 403 no_service",
    )


def test_a_channel_that_delivers_again_is_not_called_failing():
    lines = digests.compose_failing(replace(FAILING, failing_since=None)).lines
    assert "It has since delivered a notification." in lines
