"""The escalation steps of a workspace, replaced as a whole."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import AuditEntry
from notifications.rules.effective import Step
from notifications.services import channels as channel_operations
from notifications.services import rules as rule_service
from notifications.services.escalation import steps_of
from notifications.services.rules import Own, RulesConflict, versions
from tests.support.factories import make_channel, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def workspace():
    return make_workspace()


def after(channel, minutes, least_urgency="low"):
    return Step(channel, timedelta(minutes=minutes), least_urgency)


def put(workspace, *steps, **more):
    return rule_service.change_workspace(workspace=workspace, own=Own(), steps=steps, **more)


def changed_fields(workspace):
    entries = AuditEntry.objects.filter(subject=workspace.public_id, action="rules.changed").order_by("pk")
    return [entry.details["fields"] for entry in entries]


def test_steps_are_kept_soonest_first(workspace):
    phone, boss = (make_channel(workspace=workspace, name=name) for name in ("Phone", "Boss"))
    assert put(workspace, after(boss, 60, "high"), after(phone, 15))
    assert steps_of(workspace) == [after(phone, 15), after(boss, 60, "high")]
    assert changed_fields(workspace) == [["escalation"]]


def test_the_same_steps_again_change_nothing(workspace):
    phone = make_channel(workspace=workspace)
    put(workspace, after(phone, 15))
    assert not put(workspace, after(phone, 15))
    assert len(changed_fields(workspace)) == 1


def test_a_step_is_changed_and_another_is_removed(workspace):
    phone, boss = make_channel(workspace=workspace), make_channel(workspace=workspace)
    put(workspace, after(phone, 15), after(boss, 60))
    assert put(workspace, after(phone, 5, "normal"))
    assert steps_of(workspace) == [after(phone, 5, "normal")]


def test_steps_that_are_not_mentioned_stay(workspace):
    phone = make_channel(workspace=workspace)
    put(workspace, after(phone, 15))
    assert rule_service.change_workspace(workspace=workspace, own=Own(recovery=2))
    assert steps_of(workspace) == [after(phone, 15)]


def test_a_step_goes_with_its_channel(workspace):
    phone = make_channel(workspace=workspace)
    put(workspace, after(phone, 15))
    channel_operations.delete(channel=phone)
    assert steps_of(workspace) == []


def test_two_people_do_not_overwrite_each_others_steps(workspace):
    phone = make_channel(workspace=workspace)
    seen = versions(Own(), steps=[])
    put(workspace, after(phone, 15))
    with pytest.raises(RulesConflict):
        put(workspace, expected=seen)
    assert put(workspace, expected=versions(Own(), steps=steps_of(workspace)))
    assert steps_of(workspace) == []
