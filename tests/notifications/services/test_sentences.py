"""Notification rules in plain sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from django.utils import timezone

from monitors.domain.thresholds import Threshold, Thresholds
from notifications.models import Channel
from notifications.rules.effective import Route, Rules, Step
from notifications.services.sentences import defaults, sentences

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
USUAL = frozenset({"down", "recovery", "reminder"})


def to(name: str, minutes: int = 0, events: frozenset[str] = USUAL) -> Route:
    return Route(Channel(name=name), timedelta(minutes=minutes), events)


def described(rules: Rules | None = None, *routes: Route) -> list[str]:
    return sentences(rules or Rules(), routes, now=NOW)


def judged(**thresholds):
    return Rules(thresholds=Thresholds(**thresholds))


def test_recipients_and_delays_are_one_sentence():
    rules = Rules(remind_every=timedelta(hours=1))
    (sentence,) = described(rules, to("on-call phone", 10), to("Ops Slack"))
    assert sentence == (
        "Ops Slack: immediately; on-call phone: if still down after 10 min; "
        "reminders every hour until acknowledged, at most 24 times."
    )


def test_defaults_are_left_out():
    assert described(None, to("Ops Slack")) == ["Ops Slack: immediately."]


def test_without_a_subscribed_channel_there_are_no_notifications():
    assert described(judged(recovery=3)) == ["No notifications: no channel is subscribed to this monitor."]


def test_without_a_subscribed_event_there_are_no_notifications():
    nothing = ["No notifications: no channel is subscribed to any of its events."]
    assert described(None, to("Mail", events=frozenset())) == nothing
    assert described(None, to("Mail", events=frozenset({"reminder"}))) == nothing


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("A", "A: immediately."),
        ("BA", "A and B: immediately."),
        ("ABC", "A, B and C: immediately."),
        ("ABCDE", "A, B, C, D and E: immediately."),
        ("ABCDEF", "A, B, C, D and 2 more: immediately."),
    ],
)
def test_channels_with_the_same_settings_are_named_together(names, words):
    assert described(None, *map(to, names)) == [words]


def test_a_channel_with_more_or_fewer_events_says_so():
    (sentence,) = described(
        None,
        to("A", events=frozenset({"down", "late", "recovery"})),
        to("B", 5, events=frozenset({"down"})),
        to("C", events=frozenset({"recovery", "late"})),
    )
    assert sentence == (
        "A: immediately (also when late); C: recovery, late only; "
        "B: if still down after 5 min (not on recovery)."
    )


def test_reminders_name_their_channels_if_not_all_get_them():
    rules = Rules(remind_every=timedelta(minutes=30), remind_most=1)
    assert described(rules, to("A"), to("B", events=frozenset({"down", "recovery"}))) == [
        "A and B: immediately; reminders to A every 30 min until acknowledged, at most 1 time."
    ]
    assert described(rules, to("A", events=frozenset({"reminder"}))) == [
        "A: reminders only; reminders every 30 min until acknowledged, at most 1 time."
    ]


def test_both_failure_thresholds_are_one_sentence():
    rules = judged(missed=Threshold(3, 3), reported=Threshold(2, 5), recovery=2)
    _who, failures, recovery = described(rules, to("A"))
    assert failures == (
        "Failure threshold: 3 missed heartbeats in a row, or 2 down reports within the last 5 heartbeats."
    )
    assert recovery == "Recovery threshold: 2 good heartbeats in a row."


def test_a_single_failure_threshold_stands_alone():
    assert described(judged(missed=Threshold(2, 4)), to("A"))[1:] == [
        "Failure threshold: 2 missed heartbeats within the last 4."
    ]
    assert described(judged(reported=Threshold(2, 2)), to("A"))[1:] == [
        "Failure threshold: 2 down reports in a row."
    ]


def test_one_of_several_is_the_first():
    assert described(judged(missed=Threshold(1, 5)), to("A")) == ["A: immediately."]


def test_a_snooze_comes_first_in_the_readers_time():
    rules = Rules(snoozed_until=NOW + timedelta(hours=2))
    with timezone.override("Asia/Jakarta"):
        assert described(rules, to("A")) == ["Snoozed until 21:00 (in 2 h).", "A: immediately."]
        rules = Rules(snoozed_until=NOW + timedelta(hours=14))
        assert described(rules)[0] == "Snoozed until 23 Nov 2026, 09:00 (in 14 h)."


def test_a_snooze_that_is_over_is_left_out():
    assert described(Rules(snoozed_until=NOW), to("A")) == ["A: immediately."]


def test_the_defaults_of_a_workspace_name_no_channels():
    assert defaults(replace(judged(missed=Threshold(2, 2)), remind_every=timedelta(days=1))) == [
        "Failure threshold: 2 missed heartbeats in a row.",
        "Reminders every day until acknowledged, at most 24 times.",
    ]
    assert defaults(Rules()) == [
        "Notifications on the first missed heartbeat and on every down report, without reminders."
    ]


def test_escalation_is_said_beside_the_usual():
    phone, boss = Channel(name="Phone"), Channel(name="Boss")
    steps = [Step(phone, timedelta(minutes=15)), Step(boss, timedelta(hours=1), "high")]
    usual = defaults(Rules())
    assert defaults(Rules(), steps) == [
        *usual,
        "Escalation: Phone if not acknowledged within 15 min.",
        "Escalation: Boss if not acknowledged within 1 h, for monitors with high urgency.",
    ]


def test_an_escalated_channel_says_what_it_waits_for():
    escalated = Route(Channel(name="Phone"), timedelta(minutes=15), USUAL, unless_acknowledged=True)
    (sentence,) = described(None, to("Slack"), escalated, to("Mail", 15))
    assert sentence == (
        "Slack: immediately; Mail: if still down after 15 min; Phone: if not acknowledged within 15 min."
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [(6, []), (0, ["Flapping: off."]), (10, ["Flapping: more than 10 changes in 10 minutes."])],
)
def test_flapping_is_said_if_it_is_unusual(changes, words):
    assert described(Rules(flap_changes=changes), to("A")) == ["A: immediately.", *words]


def test_quiet_hours_are_said_unless_the_monitor_is_urgent():
    quiet = Channel(name="A", quiet_from=time(22), quiet_until=time(7), quiet_timezone="Asia/Jakarta")
    route = Route(quiet, timedelta(0), USUAL)
    words = "Quiet hours: A from 22:00 to 07:00 (Asia/Jakarta)."
    assert sentences(Rules(), [route], now=NOW) == ["A: immediately.", words]
    assert sentences(Rules(), [route], now=NOW, urgency="high") == ["A: immediately."]
