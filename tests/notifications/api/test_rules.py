"""Notification rules over HTTP."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from accounts.models import AuditEntry
from core.clock import database_now
from monitors.domain.thresholds import Threshold, Thresholds
from monitors.models import Monitor
from notifications.models import ChannelRule, MonitorRules, WorkspaceRules
from notifications.rules.effective import Rules, routes_of, rules_of
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.rules import Own
from tests.support.factories import make_channel, make_monitor

pytestmark = pytest.mark.django_db
NOTHING = {"missed": None, "reported": None, "recovery": None, "reminders": None, "flapping": None}
OWN = {
    "missed": {"needed": 3, "of": 3},
    "reported": {"needed": 2, "of": 5},
    "recovery": 2,
    "reminders": {"every": 1800, "most": 10},
    "flapping": {"changes": 8},
}
HELD = Rules(Thresholds(Threshold(3, 3), Threshold(2, 5), 2), timedelta(minutes=30), 10, flap_changes=8)


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace)


@pytest.fixture
def channel(workspace):
    return make_channel(workspace=workspace)


def path(monitor):
    return f"monitors/{monitor.public_id}/rules/"


def problem(answer, status=422):
    """Return the errors of a problem by field."""
    assert answer.status_code == status, answer.content
    return {error["field"]: error["detail"] for error in answer.json().get("errors", [])}


def test_a_monitor_that_says_nothing_shows_every_channel(reader, monitor, channel):
    assert reader.get(path(monitor)).json() == {
        **NOTHING,
        "channels": [{"channel": str(channel.public_id), "subscribed": True, "delay": None, "events": None}],
        "snoozed_until": None,
    }


def test_what_is_put_holds_and_is_read_back(writer, monitor, channel):
    chosen = {"channel": str(channel.public_id), "subscribed": True, "delay": 600, "events": ["down", "late"]}
    body = {**OWN, "channels": [chosen]}
    answer = writer.put(path(monitor), body)
    assert answer.json() == {**body, "snoozed_until": None}
    assert rules_of([monitor.pk])[monitor.pk] == HELD
    (route,) = routes_of([monitor])[monitor.pk]
    assert (route.delay, route.events) == (timedelta(minutes=10), {"down", "late"})
    # As it was read, it changes nothing.
    assert writer.put(path(monitor), answer.json())["ETag"] == answer["ETag"]
    assert AuditEntry.objects.filter(action="rules.changed", via="api").count() == 1


def test_what_is_left_out_is_what_the_workspace_says(writer, monitor, channel):
    writer.put(path(monitor), {**OWN, "channels": [{"channel": str(channel.public_id), "subscribed": False}]})
    answer = writer.put(path(monitor), {})
    assert answer.json()["missed"] is None
    assert not MonitorRules.objects.exists()
    # Channels that are left out stay as they are.
    assert ChannelRule.objects.get().subscribed is False


def test_of_may_be_left_out_for_failures_in_a_row(writer, monitor):
    assert writer.put(path(monitor), {"missed": {"needed": 4}}).json()["missed"] == {"needed": 4, "of": 4}


def test_a_snooze_is_shown(reader, monitor):
    until = database_now() + timedelta(hours=1)
    snooze.snooze(monitor=monitor, until=until)
    assert reader.get(path(monitor)).json()["snoozed_until"] is not None


@pytest.mark.parametrize(
    ("body", "field", "status"),
    [
        ({"missed": {"needed": 3, "of": 2}}, "missed.of", 422),
        ({"missed": {"needed": 21}}, "missed.needed", 400),
        ({"missed": {}}, "missed.needed", 400),
        ({"reported": {"needed": 1, "of": 51}}, "reported.of", 400),
        ({"recovery": 0}, "recovery", 400),
        ({"reminders": {"every": 59}}, "reminders.every", 422),
        ({"reminders": {"every": 604_801}}, "reminders.every", 400),
        ({"reminders": {"every": 60, "most": 101}}, "reminders.most", 400),
        ({"flapping": {"changes": 2}}, "flapping.changes", 422),
        ({"flapping": {"changes": 51}}, "flapping.changes", 400),
        ({"flapping": 0}, "flapping", 400),
        ({"missing": 1}, "missing", 400),
    ],
)
def test_invalid_rules_are_rejected_with_their_field(writer, monitor, body, field, status):
    for address in (path(monitor), "rules/"):
        assert field in problem(writer.put(address, body), status)
    assert not MonitorRules.objects.exists()


def test_a_channel_has_to_be_there_and_once(writer, monitor, channel):
    twice = [{"channel": str(channel.public_id)}] * 2
    assert "Duplicate channel" in problem(writer.put(path(monitor), {"channels": twice}))["channels"]
    unknown = [{"channel": str(uuid.uuid4())}]
    assert "No such channel" in problem(writer.put(path(monitor), {"channels": unknown}))["channels"]
    theirs = [{"channel": str(make_channel(workspace=make_monitor().workspace).public_id)}]
    assert "No such channel" in problem(writer.put(path(monitor), {"channels": theirs}))["channels"]


def test_an_edit_based_on_an_older_version_changes_nothing(writer, monitor):
    read = writer.get(path(monitor))["ETag"]
    rule_service.change(monitor=monitor, own=Own(recovery=7))
    answer = writer.put(path(monitor), OWN, **{"If-Match": read})
    assert answer.status_code == 412
    assert Monitor.objects.get().recovery_needed == 7
    newer = writer.get(path(monitor))["ETag"]
    assert writer.put(path(monitor), OWN, **{"If-Match": newer}).status_code == 200


def test_the_workspaces_rules_are_read_and_replaced(writer, reader, monitor):
    assert reader.get("rules/").json() == {**NOTHING, "escalation": []}
    first = reader.get("rules/")["ETag"]
    assert writer.put("rules/", OWN, **{"If-Match": first}).json() == {**OWN, "escalation": []}
    assert rules_of([monitor.pk])[monitor.pk] == HELD
    assert writer.put("rules/", {}, **{"If-Match": first}).status_code == 412
    assert writer.put("rules/", {}).json() == {**NOTHING, "escalation": []}
    assert not WorkspaceRules.objects.exists()


def test_flapping_is_turned_off_with_zero(writer, monitor):
    assert writer.put(path(monitor), {"flapping": {"changes": 0}}).json()["flapping"] == {"changes": 0}
    assert rules_of([monitor.pk])[monitor.pk].flap_changes == 0


def test_escalation_steps_are_replaced_and_read_back(writer, workspace):
    phone, boss = (str(make_channel(workspace=workspace).public_id) for _ in range(2))
    steps = [
        {"channel": phone, "after": 900, "least_urgency": "high"},
        {"channel": boss, "after": 3600, "least_urgency": "low"},
    ]
    answer = writer.put("rules/", {"escalation": [steps[0], {"channel": boss, "after": 3600}]})
    assert answer.json() == {**NOTHING, "escalation": steps}
    # As it was read, it changes nothing.
    assert writer.put("rules/", answer.json())["ETag"] == answer["ETag"]
    # Left out, they stay.
    assert writer.put("rules/", OWN).json()["escalation"] == steps
    assert writer.put("rules/", {"escalation": []}).json()["escalation"] == []


def test_a_change_of_escalation_steps_is_seen_by_the_next_one(writer, workspace):
    read = writer.get("rules/")["ETag"]
    step = {"channel": str(make_channel(workspace=workspace).public_id), "after": 900}
    assert writer.put("rules/", {"escalation": [step]}).status_code == 200
    assert writer.put("rules/", {"escalation": []}, **{"If-Match": read}).status_code == 412


@pytest.mark.parametrize(
    ("change", "field", "status"),
    [
        ({"after": 59}, "escalation.0.after", 400),
        ({"after": 604_801}, "escalation.0.after", 400),
        ({"least_urgency": "urgent"}, "escalation.0.least_urgency", 400),
        ({"channel": "7"}, "escalation.0.channel", 400),
        ({"channel": str(uuid.uuid4())}, "escalation", 422),
    ],
)
def test_an_invalid_step_is_rejected_with_its_field(writer, channel, change, field, status):
    step = {"channel": str(channel.public_id), "after": 900, **change}
    assert field in problem(writer.put("rules/", {"escalation": [step]}), status)


def test_a_channel_has_at_most_one_step(writer, channel):
    steps = [{"channel": str(channel.public_id), "after": after} for after in (900, 1800)]
    assert "Duplicate channel" in problem(writer.put("rules/", {"escalation": steps}))["escalation"]


def test_a_step_for_a_channel_elsewhere_is_rejected(writer):
    theirs = make_channel(workspace=make_monitor().workspace)
    steps = [{"channel": str(theirs.public_id), "after": 900}]
    assert "No such channel" in problem(writer.put("rules/", {"escalation": steps}))["escalation"]


def test_the_rules_of_a_monitor_elsewhere_are_not_found(writer):
    assert writer.get(path(make_monitor())).status_code == 404
    assert writer.put(path(make_monitor()), {}).status_code == 404
