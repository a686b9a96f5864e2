"""The JSON of every event: the same keys, with what the event has."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from monitors.domain.state_machine import Cause
from notifications.messages import digests, payloads
from notifications.messages.events import FORMER, Event, Reason
from notifications.messages.single import compose, compose_test
from tests.notifications.messages.test_wording import (
    DOWN,
    ENDED,
    FAILING,
    LATE,
    REMINDER,
    START,
    THRICE,
    member,
    several,
)

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
    "incident.ended": of_one(ENDED),
    "monitor.flapping": of_one(replace(DOWN, event=Event.FLAPPING, changes=7, is_down=True)),
    "digest": of_several(several(member(1), member(2))),
    "channel.failing": payloads.of_failing(FAILING, digests.compose_failing(FAILING), delivery_id=DELIVERY),
    "test": payloads.of_test(
        compose_test(channel="c", workspace="w", url="https://t.example/"), test_id=DELIVERY, at=START
    ),
}


def test_there_is_json_for_every_event():
    assert ALL.keys() == {event.value for event in Event if event not in FORMER}


@pytest.mark.parametrize("event", ALL)
def test_every_event_has_every_key_and_its_names(event):
    payload = ALL[event]
    assert payload.keys() == ALL["test"].keys()
    assert payload["event"] == payload["type"] == event
    assert (payload["version"], payload["id"]) == (2, str(DELIVERY))
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload


@pytest.mark.parametrize(
    ("key", "events"),
    [
        ("monitor", {event for event in ALL if event.startswith(("incident.", "monitor."))}),
        ("incident", {*(event for event in ALL if event.startswith("incident.")), "monitor.flapping"}),
        ("reason", {"incident.ended"}),
        ("flapping", {"monitor.flapping"}),
        ("late", {"monitor.late"}),
        ("reminder", {"incident.reminder"}),
        ("digest", {"digest"}),
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


def test_an_event_has_the_key_of_its_outage_and_its_number():
    payload = of_one(replace(DOWN, outage="0a0b", sequence=3, again=True, urgency="high"))
    assert (payload["outage"], payload["sequence"], payload["again"]) == ("0a0b", 3, True)
    assert payload["monitor"]["urgency"] == "high"


def test_what_is_not_about_an_outage_has_no_key():
    late = of_one(replace(LATE, sequence=1))
    assert (late["outage"], late["sequence"]) == (None, None)


def test_outages_that_were_not_notified_are_counted():
    assert of_one(replace(DOWN, meanwhile=THRICE))["meanwhile"] == {
        "times": 3,
        "since": "2026-11-22T13:59:07.000Z",
        "longest_seconds": 26.0,
    }


def test_a_flapping_monitor_has_its_changes_and_its_state():
    assert ALL["monitor.flapping"]["flapping"] == {"changes": 7, "is_down": True}
    without = of_one(replace(DOWN, event=Event.FLAPPING, incident_id="", changes=7))
    assert without["incident"] is None


def test_the_end_of_what_was_late_has_no_incident():
    ended = of_one(replace(ENDED, incident_id="", reason=Reason.ARRIVED, closing_message="here"))
    assert (ended["incident"], ended["reason"], ended["message"]) == (None, "arrived", "here")


def test_a_digest_counts_by_section():
    digest = of_several(several(member(1), member(2), member(3, Event.ENDED, reason=Reason.PAUSED)))["digest"]
    assert digest["count"] == 3
    assert digest["counts"] == {
        "down": 2,
        "still_down": 0,
        "recovered": 0,
        "flapping": 0,
        "late": 0,
        "closed": 1,
    }
    assert digest["others"] == []


def test_a_digest_has_the_outage_of_each_monitor_that_it_does_not_list():
    other = digests.Other(Event.OPENED, "0c7f2f0e", "5d1c", "9c41", 2)
    assert of_several(several(member(), others=(other,)))["digest"]["others"] == [
        {
            "event": "incident.opened",
            "outage": "9c41",
            "sequence": 2,
            "id": "0c7f2f0e",
            "incident": {"id": "5d1c"},
        }
    ]


def test_a_member_of_a_digest_has_what_a_receiver_needs_to_open_and_close_its_outage():
    (one,) = of_several(several(member(cause=Cause.REPORTED, message="disk is full")))["digest"]["monitors"]
    assert one == {
        "event": "incident.opened",
        "outage": "key-0",
        "sequence": 1,
        "id": "id-0",
        "name": "Oven 0",
        "url": "https://tianji.example.com/monitors/7a3d/0/",
        "urgency": "normal",
        "incident": {
            "id": "55aa-0",
            "cause": "reported",
            "started_at": "2026-11-22T14:03:07.000Z",
            "resolved_at": None,
        },
        "message": "disk is full",
        "reason": None,
        "flapping": None,
        "late": None,
    }


def test_a_member_has_what_its_event_has():
    members = of_several(
        several(
            member(event=Event.RESOLVED, resolved_at=START + timedelta(minutes=1)),
            member(event=Event.FLAPPING, is_down=True),
            member(event=Event.LATE, cause=None, incident_id=""),
            member(event=Event.ENDED, reason=Reason.DELETED),
        )
    )["digest"]["monitors"]
    recovered, flapping, late, ended = members
    assert recovered["incident"]["resolved_at"] == "2026-11-22T14:04:07.000Z"
    assert flapping["flapping"] == {"is_down": True}
    assert (late["incident"], late["late"]) == (None, {"expected_by": "2026-11-22T14:03:07.000Z"})
    assert ended["reason"] == "deleted"


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
