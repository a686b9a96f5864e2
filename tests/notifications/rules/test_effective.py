"""The notification rules of a monitor and its workspace, and changing them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from accounts.models import AuditEntry
from monitors.domain.thresholds import Threshold, Thresholds
from monitors.models import MonitorState
from notifications.models import ChannelRule, MonitorRules, WorkspaceRules
from notifications.rules.effective import Rules, routes_of, rules_of
from notifications.services import channels as channel_operations
from notifications.services import rules as rule_service
from notifications.services.rules import Choice, Own, Reminders, RulesConflict, versions
from tests.support.factories import make_channel, make_monitor, make_workspace

pytestmark = pytest.mark.django_db
OWN = Own(
    missed=Threshold(3, 3),
    reported=Threshold(2, 5),
    recovery=2,
    reminders=Reminders(every=3600, most=5),
    flap_changes=10,
)


def change(monitor, channels=None, **own):
    named = {channel.public_id: choice for channel, choice in (channels or {}).items()}
    return rule_service.change(monitor=monitor, channels=named, **own)


def rules(monitor):
    return rules_of([monitor.pk])[monitor.pk]


def routes(monitor):
    return {route.channel.name: route for route in routes_of([monitor])[monitor.pk]}


def entries(thing, action=AuditEntry.Action.RULES_CHANGED):
    return list(AuditEntry.objects.filter(subject=thing.public_id, action=action).order_by("pk"))


# --- A monitor's own rules ------------------------------------------------------------------------


def test_a_monitors_own_rules_apply():
    monitor = make_monitor()
    assert change(monitor, own=OWN)
    assert rules(monitor) == Rules(
        thresholds=Thresholds(Threshold(3, 3), Threshold(2, 5), 2),
        remind_every=timedelta(hours=1),
        remind_most=5,
        flap_changes=10,
    )
    assert rule_service.own_of_monitor(monitor) == OWN


def test_a_monitor_inherits_the_workspaces_rules():
    monitor = make_monitor()
    rule_service.change_workspace(workspace=monitor.workspace, own=OWN)
    change(monitor, own=Own(recovery=4))
    assert rules(monitor).thresholds.recovery == 4
    assert rules(monitor).thresholds.missed == Threshold(3, 3)


def test_a_monitor_can_have_no_reminders_where_its_workspace_has_them():
    monitor = make_monitor()
    rule_service.change_workspace(workspace=monitor.workspace, own=OWN)
    change(monitor, own=Own(reminders=Reminders(0)))
    assert rules(monitor).remind_every is None


def test_flapping_can_be_off_where_the_workspace_has_it():
    monitor = make_monitor()
    assert rules(monitor).flap_changes == 6
    rule_service.change_workspace(workspace=monitor.workspace, own=OWN)
    assert rules(monitor).flap_changes == 10
    change(monitor, own=Own(flap_changes=0))
    assert rules(monitor).flap_changes == 0


def test_a_monitor_without_rules_has_no_row():
    monitor = make_monitor()
    change(monitor, own=OWN)
    change(monitor, own=Own())
    assert not MonitorRules.objects.exists()
    assert rules(monitor) == Rules()


def test_a_workspace_without_rules_has_no_row():
    workspace = make_workspace()
    assert rule_service.change_workspace(workspace=workspace, own=OWN)
    assert rule_service.change_workspace(workspace=workspace, own=Own())
    assert not WorkspaceRules.objects.exists()


def test_a_change_is_recorded_by_the_names_of_what_changed():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, name="Phone")
    change(monitor, {channel: Choice(delay=600)}, own=Own(missed=Threshold(3, 3)))
    assert [entry.details for entry in entries(monitor)] == [{"fields": ["missed"], "channels": ["Phone"]}]


def test_the_workspaces_change_is_recorded_with_the_workspace():
    workspace = make_workspace()
    rule_service.change_workspace(workspace=workspace, own=Own(recovery=2))
    assert [entry.details for entry in entries(workspace)] == [{"fields": ["recovery"]}]


def test_what_was_so_already_is_no_change():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    change(monitor, own=OWN)
    assert not change(monitor, {channel: Choice()}, own=OWN)
    assert not rule_service.change_workspace(workspace=monitor.workspace, own=Own())
    assert len(entries(monitor)) == 1
    assert not ChannelRule.objects.exists()


# --- Channels -------------------------------------------------------------------------------------


def test_a_monitors_channel_rule_applies():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, name="Phone", delay=60)
    other = make_monitor(workspace=monitor.workspace)
    change(monitor, {channel: Choice(delay=600, events=("recovery", "down"))})
    route = routes(monitor)["Phone"]
    assert (route.delay, route.events) == (timedelta(minutes=10), {"down", "recovery"})
    assert routes(other)["Phone"].delay == timedelta(minutes=1)


def test_immediately_differs_from_the_channels_default():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, name="Phone", delay=60)
    change(monitor, {channel: Choice(delay=0)})
    assert routes(monitor)["Phone"].delay == timedelta(0)


def test_a_channel_for_all_monitors_can_be_silent_about_one():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    other = make_monitor(workspace=monitor.workspace)
    change(monitor, {channel: Choice(subscribed=False)})
    assert not routes(monitor)
    assert routes(other)


def test_a_rule_that_only_repeats_the_channel_is_not_kept():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace)
    change(monitor, {channel: Choice(subscribed=False, delay=60)})
    change(monitor, {channel: Choice()})
    assert not ChannelRule.objects.exists()


def test_a_channel_for_some_monitors_is_given_one_more_and_keeps_the_others():
    monitor = make_monitor()
    other = make_monitor(workspace=monitor.workspace)
    channel = make_channel(workspace=monitor.workspace, name="Some", monitors=[other])
    change(monitor, {channel: Choice()})
    assert set(channel.monitors.all()) == {monitor, other}
    assert "Some" in routes(monitor)
    channel.refresh_from_db()
    assert channel.version == 2
    assert entries(channel, AuditEntry.Action.CHANNEL_CHANGED)


def test_unsubscribing_a_channel_for_selected_monitors_removes_the_monitor():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, monitors=[monitor])
    change(monitor, {channel: Choice(subscribed=False)})
    assert not channel.monitors.exists()
    assert not ChannelRule.objects.exists()
    # Choosing the monitor again is enough.
    channel_operations.assign(channels=[channel], monitors=[monitor], subscribed=True)
    assert routes(monitor)


def test_channels_that_are_not_named_stay_as_they_are():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, name="Phone")
    change(monitor, {channel: Choice(delay=600)})
    change(monitor, own=OWN)
    assert routes(monitor)["Phone"].delay == timedelta(minutes=10)


def test_a_channel_that_is_gone_is_left_out():
    monitor = make_monitor()
    gone = make_channel(workspace=monitor.workspace)
    shown = versions(Own(), rule_service.choices_of(monitor))
    channel_operations.delete(channel=gone)
    assert not change(monitor, {gone: Choice(delay=600)}, expected=shown)


def test_a_channel_of_another_workspace_is_left_out():
    monitor, theirs = make_monitor(), make_channel(workspace=make_workspace())
    assert not change(monitor, {theirs: Choice(delay=600)})
    assert not ChannelRule.objects.exists()


# --- Two people at once ---------------------------------------------------------------------------


def shown_of(monitor):
    return versions(rule_service.own_of_monitor(monitor), rule_service.choices_of(monitor))


def test_the_second_of_two_edits_is_a_conflict():
    monitor = make_monitor()
    shown = shown_of(monitor)
    change(monitor, own=Own(recovery=3), expected=shown)
    with pytest.raises(RulesConflict):
        change(monitor, own=Own(recovery=5), expected=shown)
    assert rules(monitor).thresholds.recovery == 3


@pytest.mark.parametrize("what", ["rule", "assigned"])
def test_a_channel_that_somebody_else_changed_counts_too(what):
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, monitors=[make_monitor(workspace=monitor.workspace)])
    shown = shown_of(monitor)
    if what == "rule":
        change(monitor, {channel: Choice(delay=60)})
    else:
        channel_operations.assign(channels=[channel], monitors=[monitor], subscribed=True)
    with pytest.raises(RulesConflict):
        change(monitor, {channel: Choice(delay=600)}, expected=shown)


def test_a_new_channel_is_in_nobodys_way():
    monitor = make_monitor()
    shown = shown_of(monitor)
    make_channel(workspace=monitor.workspace)
    assert change(monitor, own=OWN, expected=shown)


def test_the_workspaces_rules_know_of_two_people_too():
    workspace = make_workspace()
    shown = versions(Own())
    rule_service.change_workspace(workspace=workspace, own=Own(recovery=3), expected=shown)
    with pytest.raises(RulesConflict):
        rule_service.change_workspace(workspace=workspace, own=Own(recovery=5), expected=shown)


def test_the_rules_of_a_monitor_that_was_deleted_cannot_be_changed():
    monitor = make_monitor()
    MonitorState.objects.filter(pk=monitor.pk).delete()
    with pytest.raises(MonitorState.DoesNotExist):
        change(monitor, own=OWN)


def test_what_is_read_costs_the_same_however_many_channels_there_are(django_assert_num_queries):
    monitor = make_monitor()
    for _ in range(5):
        make_channel(workspace=monitor.workspace)
    with django_assert_num_queries(3):
        assert len(rule_service.choices_of(monitor)) == 5


def test_the_preview_says_what_will_hold():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, delay=60)
    choice = Choice(delay=600, events=("down",))
    meant = (
        rule_service.rules_from(OWN, monitor.workspace),
        rule_service.routes_from(monitor, [(channel, choice)]),
    )
    change(monitor, {channel: choice}, own=OWN)
    held = rules(monitor), routes_of([monitor])[monitor.pk]
    assert meant == held
