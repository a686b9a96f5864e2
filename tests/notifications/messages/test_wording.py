"""The text of notifications: reminders, lateness, values, digests, flapping, and failing channels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone, translation

from monitors.domain.state_machine import Cause
from notifications.messages import digests
from notifications.messages.events import Event, Reason
from notifications.messages.outages import value_sentence
from notifications.messages.single import Bounds, Facts, Meanwhile, Message, compose

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
    DOWN,
    event=Event.LATE,
    incident_id="",
    now=START + timedelta(minutes=1),
    deadline=START + timedelta(minutes=2),
)


def member(number=0, event=Event.OPENED, **more):
    facts = {
        "event": event,
        "monitor": f"Oven {number}",
        "monitor_id": f"id-{number}",
        "monitor_url": f"{URL}{number}/",
        "cause": Cause.MISSED,
        "started_at": START,
        "incident_id": f"55aa-{number}",
        "outage": f"key-{number}",
        "sequence": 1,
    }
    return digests.Member(**(facts | more))


def several(*members, **more):
    """A digest of `members`; `counts` are theirs unless given."""
    facts = {
        "at": START,
        "now": START + timedelta(minutes=10),
        "workspace": "Kitchen",
        "url": "https://tianji.example.com/?status=down",
        "members": members,
        "counts": Counter(digests.section_of(each.event) for each in members),
    }
    return digests.Facts(**(facts | more))


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


def test_the_title_of_a_digest_counts_by_what_happened():
    facts = several(
        member(1),
        member(2, Event.RESOLVED, resolved_at=START),
        member(3, Event.PASSED, resolved_at=START),
        member(4),
        member(5),
    )
    assert digests.compose(facts).title == "3 down, 2 recovered"
    assert digests.compose(several(member(event=Event.REMINDER))).title == "1 still down"


def test_a_digest_has_a_section_for_each_kind_of_news_the_worst_first():
    minute = timedelta(minutes=1)
    message = digests.compose(
        several(
            member(7, Event.ENDED, reason=Reason.PAUSED),
            member(6, Event.LATE, cause=None),
            member(5, Event.FLAPPING, is_down=True),
            member(4, Event.RESOLVED, resolved_at=START + 3 * minute),
            member(3, Event.REMINDER, started_at=START - 110 * minute),
            member(2, cause=Cause.REPORTED, message="disk is full"),
            member(1, started_at=START - minute),
        )
    )
    assert message.title == "2 down, 1 still down, 1 recovered, 1 flapping, 1 late, 1 closed"
    assert message.lines == (
        "7 monitors in the workspace “Kitchen”, as of 2026-11-22 14:13:07 UTC.",
        "Down (2):",
        "• Oven 1: down for 11 min (missed heartbeat)",
        "• Oven 2: down for 10 min (reported down: disk is full)",
        "Still down (1):",
        "• Oven 3: down for 2 h (missed heartbeat)",
        "Recovered (1):",
        "• Oven 4: recovered after 3 min (missed heartbeat)",
        "Flapping (1):",
        "• Oven 5: down now",
        "Late (1):",
        "• Oven 6: 10 min late",
        "Closed (1):",
        "• Oven 7: Monitor paused",
    )


def test_a_list_stands_right_below_its_heading():
    text = digests.compose(several(member(1), member(2, Event.RESOLVED, resolved_at=START))).text
    assert "\n\nDown (1):\n• Oven 1" in text
    assert "\n\nRecovered (1):\n• Oven 2" in text


def test_what_is_down_in_a_digest_has_its_link():
    text = digests.compose(several(member(1), member(2, Event.RESOLVED, resolved_at=START))).text
    assert f"• Oven 1: down for 10 min (missed heartbeat) {URL}1/" in text
    assert f"{URL}2/" not in text


def test_a_digest_has_one_link_to_acknowledge_all_of_it():
    message = digests.compose(several(member(), acknowledge_url="https://t.example/all/"))
    assert message.text.endswith(f"{message.url}\n\nAcknowledge: https://t.example/all/")


def test_a_long_message_of_a_member_is_cut():
    (line,) = digests.compose(several(member(cause=Cause.REPORTED, message="x" * 500))).lines[2:]
    assert len(line) < 150
    assert line.endswith("x…)")


def test_of_many_monitors_twenty_are_named_and_the_others_counted():
    downs = [member(number) for number in range(15)]
    ups = [member(number, Event.RESOLVED, resolved_at=START) for number in range(12)]
    message = digests.compose(several(*downs, *ups, member(99, Event.LATE, cause=None)))
    assert message.title == "15 down, 12 recovered, 1 late"
    assert sum(line.startswith("• Oven") for line in message.lines) == 20
    assert message.lines[-2:] == ("• and 7 more", "Late (1):")


def test_monitors_that_are_not_listed_are_counted():
    facts = several(member(), counts={digests.Section.DOWN: 700})
    message = digests.compose(facts)
    assert message.title == "700 down"
    assert message.lines[-1] == "• and 699 more"
    assert facts.names == "Oven 0 and 699 more"


def test_a_digest_uses_the_active_time_zone():
    with timezone.override("Asia/Jakarta"):
        assert "2026-11-22 21:13:07 WIB" in digests.compose(several(member())).lines[0]


# --- The end of an outage without a recovery -----------------------------------------------------

ENDED = replace(DOWN, event=Event.ENDED, reason=Reason.PAUSED)


@pytest.mark.parametrize(
    ("reason", "title", "line"),
    [
        (Reason.PAUSED, "Paused: Oven", "Oven was paused. It had been down since 2026-11-22 14:03:07 UTC."),
        (
            Reason.DELETED,
            "Deleted: Oven",
            "Oven was deleted. It had been down since 2026-11-22 14:03:07 UTC.",
        ),
        (
            Reason.UNSUBSCRIBED,
            "No longer notified: Oven",
            ("This channel is no longer subscribed to Oven. It has been down since 2026-11-22 14:03:07 UTC."),
        ),
        (
            Reason.NOT_COVERED,
            "No longer notified: Oven",
            (
                "The rules of this channel no longer cover Oven. "
                "It has been down since 2026-11-22 14:03:07 UTC."
            ),
        ),
    ],
)
def test_an_outage_that_ends_without_a_recovery_says_why(reason, title, line):
    message = compose(replace(ENDED, reason=reason))
    assert message.title == title
    assert message.lines == (line, "Cause: missed heartbeat.")
    assert message.ack_url == ""


def test_a_pause_is_not_called_a_recovery_though_it_resolves_the_incident():
    assert "recovered" not in compose(replace(ENDED, resolved_at=START)).text


def test_a_monitor_that_recovered_before_its_channel_was_unsubscribed_is_not_called_down():
    facts = replace(ENDED, reason=Reason.UNSUBSCRIBED, resolved_at=START + timedelta(minutes=1))
    assert compose(facts).lines[0].endswith("It recovered at 2026-11-22 14:04:07 UTC.")


def test_the_end_of_what_was_late_or_flapping_does_not_say_that_it_was_down():
    late = compose(replace(ENDED, incident_id=""))
    assert late.lines == (
        "Oven was paused. It was late: a heartbeat was expected by 2026-11-22 14:03:07 UTC.",
    )
    assert compose(replace(ENDED, incident_id="", changes=8)).lines == ("Oven was paused. It was flapping.",)


def test_a_late_heartbeat_that_arrives_ends_the_lateness():
    arrived = START + timedelta(seconds=90)
    message = compose(
        replace(ENDED, reason=Reason.ARRIVED, incident_id="", resolved_at=arrived, closing_message="sorry")
    )
    assert message.title == "On time again: Oven"
    assert message.lines == (
        (
            "A heartbeat of Oven arrived at 2026-11-22 14:04:37 UTC. "
            "It was expected by 2026-11-22 14:03:07 UTC."
        ),
        "Message: sorry",
    )


# --- Flapping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_down", [True, False])
def test_a_monitor_that_is_flapping_says_how_it_is_now_and_what_follows(is_down):
    message = compose(replace(DOWN, event=Event.FLAPPING, changes=7, is_down=is_down))
    assert message.title == "Flapping: Oven"
    now = "down" if is_down else "up"
    assert message.lines[:2] == (
        f"Oven changed 7 times in the last 10 minutes and is {now} now.",
        "The next notification is sent when it has been steady for 5 minutes or down for 2.",
    )


# --- What happened meanwhile ---------------------------------------------------------------------

ONCE = Meanwhile(1, START - timedelta(minutes=4), timedelta(seconds=26))
THRICE = replace(ONCE, times=3)


@pytest.mark.parametrize(
    ("meanwhile", "sentence"),
    [
        (ONCE, "Before that, it was down once, at 13:59:07 UTC, for 26 s."),
        (THRICE, "Before that, it was down 3 times since 13:59:07 UTC, the longest for 26 s."),
    ],
)
def test_a_monitor_that_is_down_again_says_what_was_not_notified(meanwhile, sentence):
    message = compose(replace(DOWN, again=True, meanwhile=meanwhile))
    assert message.title == "Down again: Oven"
    assert message.lines[-1] == sentence


@pytest.mark.parametrize("event", [Event.RESOLVED, Event.PASSED, Event.ENDED])
def test_the_end_of_an_outage_says_what_else_was_not_notified(event):
    facts = replace(DOWN, event=event, resolved_at=START, meanwhile=THRICE, reason=Reason.PAUSED)
    assert compose(replace(facts, reason=None if event is not Event.ENDED else Reason.PAUSED)).lines[-1] == (
        "It was also down 3 times since 13:59:07 UTC, the longest for 26 s."
    )


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
