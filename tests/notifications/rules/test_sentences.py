"""Rules in plain sentences."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from notifications.models import Channel
from notifications.rules.effective import Route, Rules, Tolerance
from notifications.rules.sentences import defaults, sentences

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
USUAL = frozenset({"down", "recovery", "reminder"})


def to(name: str, minutes: int = 0, events: frozenset[str] = USUAL) -> Route:
    return Route(Channel(name=name), timedelta(minutes=minutes), events)


def said(rules: Rules | None = None, *routes: Route) -> list[str]:
    return sentences(rules or Rules(), routes, now=NOW)


def test_who_is_told_when_is_one_sentence():
    rules = Rules(remind_every=timedelta(hours=1))
    (sentence,) = said(rules, to("on-call phone", 10), to("Ops Slack"))
    assert sentence == (
        "Ops Slack at once; on-call phone if still down after 10 min; "
        "reminder every hour until acknowledged, at most 24 times."
    )


def test_what_everybody_expects_is_not_said():
    assert said(None, to("Ops Slack")) == ["Ops Slack at once."]


def test_where_no_channel_is_on_nobody_is_told():
    assert said(Rules(recovery=3)) == ["Nobody is told: no channel hears of it."]


def test_where_no_channel_hears_of_anything_nobody_is_told():
    assert said(None, to("Mail", events=frozenset())) == ["Nobody is told: no channel hears of anything."]
    assert said(None, to("Mail", events=frozenset({"reminder"}))) == [
        "Nobody is told: no channel hears of anything."
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("A", "A at once."),
        ("BA", "A and B at once."),
        ("ABC", "A, B and C at once."),
        ("ABCDE", "A, B, C, D and E at once."),
        ("ABCDEF", "A, B, C, D and 2 more at once."),
    ],
)
def test_channels_that_are_told_alike_are_named_together(names, words):
    assert said(None, *map(to, names)) == [words]


def test_a_channel_that_hears_of_more_or_less_says_so():
    (sentence,) = said(
        None,
        to("A", events=frozenset({"down", "late", "recovery"})),
        to("B", 5, events=frozenset({"down"})),
        to("C", events=frozenset({"recovery", "late"})),
    )
    assert sentence == (
        "A at once (also when it is late); C only of: up again, late; "
        "B if still down after 5 min (not when it is up again)."
    )


def test_reminders_name_the_channels_where_not_all_are_reminded():
    rules = Rules(remind_every=timedelta(minutes=30), remind_most=1)
    assert said(rules, to("A"), to("B", events=frozenset({"down", "recovery"}))) == [
        "A and B at once; reminder to A every 30 min until acknowledged, at most 1 time."
    ]
    assert said(rules, to("A", events=frozenset({"reminder"}))) == [
        "A only by reminders; reminder every 30 min until acknowledged, at most 1 time."
    ]


def test_both_tolerances_are_one_sentence():
    rules = Rules(missed=Tolerance(3, 3), reported=Tolerance(2, 5), recovery=2)
    _who, failures, recovery = said(rules, to("A"))
    assert failures == (
        "People hear of it after 3 missed heartbeats in a row, "
        "or 2 reports of down within the last 5 heartbeats."
    )
    assert recovery == "That it is up again is told after 2 good heartbeats in a row."


def test_one_tolerance_is_said_alone():
    assert said(Rules(missed=Tolerance(2, 4)), to("A"))[1:] == [
        "People hear of silence after 2 missed heartbeats within the last 4."
    ]
    assert said(Rules(reported=Tolerance(2, 2)), to("A"))[1:] == [
        "People hear of a reported fault after 2 reports of down in a row."
    ]


def test_one_of_several_is_the_first():
    assert said(Rules(missed=Tolerance(1, 5)), to("A")) == ["A at once."]


def test_a_snooze_is_said_first_in_the_readers_time():
    rules = Rules(snoozed_until=NOW + timedelta(hours=2))
    with timezone.override("Asia/Jakarta"):
        assert said(rules, to("A")) == ["Snoozed until 21:00 (in 2 h).", "A at once."]
        rules = Rules(snoozed_until=NOW + timedelta(hours=14))
        assert said(rules)[0] == "Snoozed until 23 Nov 2026, 09:00 (in 14 h)."


def test_a_snooze_that_is_over_is_not_said():
    assert said(Rules(snoozed_until=NOW), to("A")) == ["A at once."]


def test_what_a_workspace_says_is_told_without_channels():
    assert defaults(Rules(missed=Tolerance(2, 2), remind_every=timedelta(days=1))) == [
        "People hear of silence after 2 missed heartbeats in a row.",
        "Reminder every day until acknowledged, at most 24 times.",
    ]
    assert defaults(Rules()) == [
        "People are told of the first missed heartbeat and of each report of down, without reminders."
    ]
