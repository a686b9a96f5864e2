"""The JSON of every event: the same keys, with what the event has."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from notifications.messages import digests, payloads
from notifications.messages.events import Event
from notifications.messages.single import compose, compose_test
from tests.notifications.messages.test_wording import DOWN, FAILING, LATE, REMINDER, START, several

DELIVERY = UUID("12345678-1234-5678-1234-567812345678")


def of_one(facts):
    return payloads.of_incident(facts, compose(facts), delivery_id=DELIVERY)


def of_several(facts):
    return payloads.of_digest(facts, digests.compose(facts), delivery_id=DELIVERY)


ALL = {
    "incident.opened": of_one(DOWN),
    "incident.resolved": of_one(replace(DOWN, event=Event.RESOLVED, resolved_at=START)),
    "incident.passed": of_one(replace(DOWN, event=Event.PASSED, resolved_at=START)),
    "incident.reminder": of_one(REMINDER),
    "monitor.late": of_one(LATE),
    "digest.down": of_several(several(2)),
    "digest.up": of_several(several(2, event=Event.DIGEST_UP, resolved=START)),
    "digest.reminder": of_several(several(2, event=Event.DIGEST_REMINDER)),
    "channel.failing": payloads.of_failing(FAILING, digests.compose_failing(FAILING), delivery_id=DELIVERY),
    "test": payloads.of_test(
        compose_test(channel="c", workspace="w", url="https://t.example/"), test_id=DELIVERY, at=START
    ),
}


def test_there_is_json_for_every_event():
    assert ALL.keys() == {event.value for event in Event}


@pytest.mark.parametrize("event", ALL)
def test_every_event_has_every_key_and_its_names(event):
    payload = ALL[event]
    assert payload.keys() == ALL["test"].keys()
    assert payload["event"] == payload["type"] == event
    assert (payload["version"], payload["id"]) == (1, str(DELIVERY))
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload


@pytest.mark.parametrize(
    ("key", "events"),
    [
        ("monitor", {*(event for event in ALL if event.startswith("incident.")), "monitor.late"}),
        ("incident", {event for event in ALL if event.startswith("incident.")}),
        ("late", {"monitor.late"}),
        ("reminder", {"incident.reminder"}),
        ("digest", {event for event in ALL if event.startswith("digest.")}),
        ("channel", {"channel.failing"}),
    ],
)
def test_what_an_event_does_not_have_is_null(key, events):
    assert {event for event, payload in ALL.items() if payload[key] is not None} == events


def test_only_what_is_down_can_be_acknowledged():
    assert ALL["incident.opened"]["acknowledge_url"] == DOWN.acknowledge_url
    assert ALL["incident.reminder"]["acknowledge_url"] == DOWN.acknowledge_url
    assert ALL["incident.resolved"]["acknowledge_url"] is None


def test_a_reminder_counts():
    assert ALL["incident.reminder"]["reminder"] == {"number": 2, "of": 24}
    assert of_one(replace(REMINDER, reminders=0))["reminder"] == {"number": 2, "of": None}


def test_a_late_payload_has_both_times():
    assert ALL["monitor.late"]["late"] == {
        "expected_by": "2026-11-22T14:03:07.000Z",
        "deadline": "2026-11-22T14:05:07.000Z",
    }
    assert ALL["monitor.late"]["value"] == 12.0


def test_a_digest_lists_at_most_five_hundred_monitors():
    digest = of_several(several(501))["digest"]
    assert (digest["count"], len(digest["monitors"]), digest["truncated"]) == (501, 500, True)
    assert digest["monitors"][0] == {
        "id": "id-0",
        "name": "Oven 0",
        "url": "https://tianji.example.com/monitors/7a3d/0/",
        "cause": "missed",
        "started_at": "2026-11-22T14:03:07.000Z",
        "resolved_at": None,
    }


def test_a_digest_of_recoveries_says_when_each_was_up_again():
    up = of_several(several(2, event=Event.DIGEST_UP, resolved=START + timedelta(minutes=1)))
    assert {monitor["resolved_at"] for monitor in up["digest"]["monitors"]} == {"2026-11-22T14:04:07.000Z"}


def test_a_failing_channel_payload_has_the_last_response():
    assert ALL["channel.failing"]["channel"] == {
        "id": "c",
        "name": "Ops",
        "kind": "slack",
        "url": "https://tianji.example.com/channels/c/",
        "failing_since": "2026-11-22T14:03:07.000Z",
        "failures": 20,
        "detail": "HTTP 403\nno_service",
    }
