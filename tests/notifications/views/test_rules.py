"""The pages of notification rules, as a browser sees them."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.urls import reverse

from core.clock import database_now
from monitors.domain.thresholds import Threshold, Thresholds
from monitors.models import MonitorDefaults
from notifications.models import ChannelRule, MonitorRules, WorkspaceRules
from notifications.rules.effective import Rules, routes_of, rules_of
from notifications.services import channels as channel_operations
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.rules import Choice, Own
from tests.support.factories import make_channel, make_monitor

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
WORKSPACE = "/channels/rules/"
_INPUT = re.compile(r"<input[^>]*>")
_SELECT = re.compile(r'<select name="([^"]*)".*?</select>', re.S)


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Backup")


@pytest.fixture
def channel(workspace):
    return make_channel(workspace=workspace, name="Phone")


def url(monitor):
    return reverse("notifications:rules", args=[monitor.public_id])


def form_of(client, address):
    """What a browser would send if the form were sent as it is."""
    page = client.get(address).content.decode()
    fields = {}
    for tag in _INPUT.findall(page[page.index('class="rules-form') :]):
        of = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if of.get("type") == "checkbox":
            if "checked" in tag:
                fields.setdefault(of["name"], []).append(of.get("value", "on"))
        elif "name" in of:
            fields[of["name"]] = unescape(of.get("value", ""))
    for select in _SELECT.finditer(page):
        chosen = re.search(r'<option value="([^"]*)" selected', select[0])
        fields[select[1]] = chosen[1] if chosen else ""
    return fields


def save(client, address, fields=None, **more):
    sent = {**(form_of(client, address) if fields is None else fields), **more}
    return client.post(address, {name: value for name, value in sent.items() if value is not None})


def rules(monitor):
    return rules_of([monitor.pk])[monitor.pk]


def route(monitor):
    return routes_of([monitor])[monitor.pk][0]


def of(channel, name):
    return f"{channel.public_id}-{name}"


# --- A monitor's page -----------------------------------------------------------------------------


def test_saving_what_is_there_changes_nothing(admin, monitor, channel):
    answer = save(admin, url(monitor))
    assert answer.url == reverse("monitors:detail", args=[monitor.public_id])
    assert not MonitorRules.objects.exists()
    assert not ChannelRule.objects.exists()


def test_saving_what_is_unusual_again_changes_nothing(admin, monitor, channel):
    own = Own(Threshold(3, 3), Threshold(2, 5), 2, rule_service.Reminders(1800, 7))
    choice = Choice(delay=600, events=("down", "late"))
    rule_service.change(monitor=monitor, own=own, channels={channel.public_id: choice})
    before = rules(monitor), route(monitor)
    save(admin, url(monitor))
    assert (rules(monitor), route(monitor)) == before


def test_the_summary_follows_the_form(admin, monitor):
    save(
        admin,
        url(monitor),
        **{
            "own-missed": "row",
            "own-missed_needed": "3",
            "own-reported": "of",
            "own-reported_needed": "2",
            "own-reported_of": "5",
            "own-recovery": "2",
            "own-reminders": "every",
            "own-remind_every": "30 min",
            "own-remind_most": "10",
        },
    )
    assert rules(monitor) == Rules(Thresholds(Threshold(3, 3), Threshold(2, 5), 2), timedelta(minutes=30), 10)


def test_a_channel_gets_a_delay_and_fewer_events(admin, monitor, channel):
    more = {of(channel, "delay"): "10 min", of(channel, "mode"): "own", of(channel, "events"): ["down"]}
    save(admin, url(monitor), **more)
    assert (route(monitor).delay, route(monitor).events) == (timedelta(minutes=10), {"down"})


def test_an_unchecked_channel_is_not_subscribed(admin, monitor, channel):
    save(admin, url(monitor), **{of(channel, "subscribed"): None})
    assert not routes_of([monitor])[monitor.pk]


def test_the_page_summarizes_the_rules_in_sentences(admin, monitor, channel):
    rule_service.change(monitor=monitor, channels={channel.public_id: Choice(delay=600)})
    page = admin.get(url(monitor)).content.decode()
    assert "Phone: if still down after 10 min." in page


def test_what_is_usual_is_folded(admin, monitor, channel):
    assert '<details class="fold fold-inside" >' in admin.get(url(monitor)).content.decode()
    rule_service.change(monitor=monitor, channels={channel.public_id: Choice(delay=600)})
    assert '<details class="fold fold-inside" open>' in admin.get(url(monitor)).content.decode()


def test_the_form_names_what_lies_above(admin, monitor, workspace):
    make_channel(workspace=workspace, delay=300, on_late=True)
    rule_service.change_workspace(workspace=workspace, own=Own(missed=Threshold(3, 3)))
    page = admin.get(url(monitor)).content.decode()
    assert "Workspace default (after 3 in a row)" in page
    assert "the channel's own setting: if still down after 5 min." in page
    assert "Channel default (down, recovery, late, reminders)" in page


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"own-missed": "row"}, "Enter the number of failures."),
        ({"own-missed": "row", "own-missed_needed": "21"}, "Enter a whole number from 1 to 20."),
        ({"own-missed": "row", "own-missed_needed": "x"}, "Enter a whole number from 1 to 20."),
        ({"own-missed": "of", "own-missed_needed": "3"}, "Enter the number of heartbeats to look at."),
        (
            {"own-reported": "of", "own-reported_needed": "3", "own-reported_of": "2"},
            "Enter a whole number from 3 to 50.",
        ),
        ({"own-recovery": "0"}, "Enter a whole number from 1 to 20."),
        ({"own-reminders": "every", "own-remind_every": ""}, "Enter an interval, for example 1 h."),
        ({"own-reminders": "every", "own-remind_every": "59 s"}, "Enter 60 s to 7 d"),
        (
            {"own-reminders": "every", "own-remind_most": "101"},
            "Enter a whole number from 1 to 100.",
        ),
    ],
)
def test_invalid_rules_are_reported_at_their_field(admin, monitor, typed, words):
    answer = save(admin, url(monitor), **typed)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert words in page
    assert 'aria-invalid="true"' in page
    assert not MonitorRules.objects.exists()


def test_invalid_channel_rules_are_reported_at_the_channel(admin, monitor, channel):
    typed = {of(channel, "delay"): "8 d", of(channel, "mode"): "own", of(channel, "events"): None}
    answer = save(admin, url(monitor), **typed)
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Enter 0 s to 7 d" in page
    assert "Choose at least one event, or unsubscribe this channel." in page
    assert 'value="8 d"' in page


def test_what_is_hidden_is_not_looked_at(admin, monitor):
    typed = {"own-missed_needed": "many", "own-remind_every": "never"}
    assert save(admin, url(monitor), **typed).status_code == 303


def test_typing_shows_what_it_would_mean_and_saves_nothing(admin, monitor, channel):
    typed = {of(channel, "delay"): "10 min", "preview": "yes"}
    fields = {**form_of(admin, url(monitor)), **typed}
    page = admin.post(url(monitor), fields, headers=HTMX).content.decode()
    assert "Phone: if still down after 10 min." in page
    assert "<form" not in page
    assert not ChannelRule.objects.exists()


def test_without_javascript_a_button_shows_it_and_keeps_what_was_typed(admin, monitor, channel):
    answer = save(admin, url(monitor), **{of(channel, "delay"): "10 min", "preview": "yes"})
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "Phone: if still down after 10 min." in page
    assert 'value="10 min"' in page
    assert not ChannelRule.objects.exists()


def test_what_cannot_be_read_yet_means_nothing_yet(admin, monitor):
    fields = {**form_of(admin, url(monitor)), "own-missed": "row", "preview": "yes"}
    page = admin.post(url(monitor), fields, headers=HTMX).content.decode()
    assert "Fix the fields below to see the summary." in page


def test_the_second_of_two_edits_sees_the_first_and_keeps_its_input(admin, monitor, channel):
    fields = form_of(admin, url(monitor))
    rule_service.change(monitor=monitor, channels={channel.public_id: Choice(delay=60)})
    answer = save(admin, url(monitor), {**fields, of(channel, "delay"): "10 min"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "Someone else changed this in the meantime" in page
    assert "Phone: if still down after 60 s." in page
    assert 'value="10 min"' in page
    assert route(monitor).delay == timedelta(minutes=1)
    # Who saves again means it.
    versions = re.findall(r'name="([^"]*-version)" value="([^"]*)"', page)
    again = {**fields, of(channel, "delay"): "10 min", **dict(versions)}
    assert save(admin, url(monitor), again).status_code == 303
    assert route(monitor).delay == timedelta(minutes=10)


def test_a_channel_made_meanwhile_stays_as_it_is(admin, monitor, workspace):
    fields = form_of(admin, url(monitor))
    make_channel(workspace=workspace, name="New")
    assert save(admin, url(monitor), fields, **{"own-recovery": "2"}).status_code == 303
    assert route(monitor).channel.name == "New"


def test_a_channel_deleted_meanwhile_is_left_out(admin, monitor, channel):
    fields = form_of(admin, url(monitor))
    channel_operations.delete(channel=channel)
    more = {of(channel, "delay"): "10 min", "own-recovery": "2"}
    assert save(admin, url(monitor), fields, **more).status_code == 303
    assert rules(monitor).thresholds.recovery == 2


def test_a_disabled_channel_is_listed_and_not_notified(admin, monitor, workspace):
    make_channel(workspace=workspace, name="Asleep", enabled=False)
    page = admin.get(url(monitor)).content.decode()
    assert "Asleep" in page
    assert "Disabled" in page
    assert "No notifications: no channel is subscribed to this monitor." in page


def test_an_unchecked_channel_is_not_described_as_disabled(admin, monitor, channel):
    fields = form_of(admin, url(monitor))
    fields.pop(of(channel, "subscribed"), None)
    admin.post(url(monitor), fields)
    assert (
        "No notifications: no channel is subscribed to this monitor."
        in admin.get(url(monitor)).content.decode()
    )


def test_a_viewer_reads_the_sentences_and_no_form(viewer, monitor, channel):
    page = viewer.get(url(monitor)).content.decode()
    assert "Phone: immediately." in page
    assert "rules-form" not in page


def test_channels_of_others_are_not_shown(admin, monitor):
    make_channel(workspace=make_monitor().workspace, name="Theirs")
    assert "Theirs" not in admin.get(url(monitor)).content.decode()


def test_the_page_costs_the_same_however_many_channels_there_are(
    admin, monitor, workspace, django_assert_max_num_queries
):
    for _ in range(6):
        make_channel(workspace=workspace)
    with django_assert_max_num_queries(20) as few:
        admin.get(url(monitor))
    for _ in range(6):
        make_channel(workspace=workspace)
    with django_assert_max_num_queries(len(few)):
        admin.get(url(monitor))


# --- The workspace's page -------------------------------------------------------------------------


def test_the_workspaces_rules_are_shown(admin, monitor):
    answer = save(admin, WORKSPACE, **{"own-recovery": "3", "own-reminders": "every"})
    assert answer.url == WORKSPACE
    assert rules(monitor).thresholds.recovery == 3
    assert rules(monitor).remind_every == timedelta(hours=1)
    assert "Reminders every hour until acknowledged" in admin.get(WORKSPACE).content.decode()


def test_the_workspaces_form_can_be_emptied(admin, workspace):
    rule_service.change_workspace(workspace=workspace, own=Own(missed=Threshold(3, 3), recovery=3))
    save(admin, WORKSPACE, **{"own-missed": "", "own-recovery": ""})
    assert not WorkspaceRules.objects.exists()


def test_the_workspaces_form_has_a_summary(admin):
    fields = {**form_of(admin, WORKSPACE), "own-recovery": "3", "preview": "yes"}
    page = admin.post(WORKSPACE, fields, headers=HTMX).content.decode()
    assert "Recovery threshold: 3 good heartbeats in a row" in page
    assert "<form" not in page
    assert not WorkspaceRules.objects.exists()


def test_two_people_at_the_workspaces_form_do_not_overwrite_each_other(admin, workspace):
    fields = form_of(admin, WORKSPACE)
    rule_service.change_workspace(workspace=workspace, own=Own(recovery=7))
    answer = save(admin, WORKSPACE, fields, **{"own-recovery": "3"})
    assert answer.status_code == 422
    assert "Recovery threshold: 7 good heartbeats in a row" in answer.content.decode()
    assert MonitorDefaults.objects.get().recovery_needed == 7


def test_errors_in_the_workspaces_form_are_reported(admin):
    answer = save(admin, WORKSPACE, **{"own-recovery": "21"})
    assert answer.status_code == 422
    assert "Enter a whole number from 1 to 20." in answer.content.decode()


def test_a_viewer_can_read_the_workspaces_rules(viewer):
    page = viewer.get(WORKSPACE).content.decode()
    assert "without reminders" in page
    assert "rules-form" not in page


# --- Elsewhere ------------------------------------------------------------------------------------


def test_the_monitors_page_summarizes_the_rules_and_links_here(admin, monitor, channel):
    page = admin.get(reverse("notifications:for_monitor", args=[monitor.public_id])).content.decode()
    assert "Phone: immediately." in page
    assert url(monitor) in page


def test_the_overview_marks_what_is_snoozed(admin, monitor, workspace):
    make_monitor(workspace=workspace)
    address = reverse("monitors:overview")
    assert "snoozed" not in admin.get(address).content.decode()
    snooze.snooze(monitor=monitor, until=database_now() + timedelta(hours=1))
    assert admin.get(address).content.decode().count(">snoozed<") == 1
