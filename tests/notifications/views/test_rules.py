"""The pages of notification rules, as a browser sees them."""

from __future__ import annotations

import re
from datetime import time, timedelta
from html import unescape

import pytest
from django.urls import reverse
from django.utils.formats import date_format

from core.clock import database_now
from monitors.domain.thresholds import Threshold, Thresholds
from monitors.models import MonitorDefaults
from notifications.models import Belief, ChannelRule, MonitorRules, WorkspaceRules
from notifications.rules.effective import Rules, Step, routes_of, rules_of
from notifications.services import channels as channel_operations
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.escalation import steps_of
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
    own = Own(Threshold(3, 3), Threshold(2, 5), 2, rule_service.Reminders(1800, 7), 9)
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


@pytest.mark.parametrize(
    ("typed", "changes", "words"),
    [
        ({"own-flapping": "off"}, 0, "Flapping: off."),
        (
            {"own-flapping": "more", "own-flap_changes": "10"},
            10,
            "Flapping: more than 10 changes in 10 minutes.",
        ),
        ({"own-flapping": "", "own-flap_changes": "10"}, 6, ""),
    ],
)
def test_flapping_is_the_default_off_or_a_number_of_changes(admin, monitor, channel, typed, changes, words):
    save(admin, url(monitor), **typed)
    assert rules(monitor).flap_changes == changes
    page = admin.get(url(monitor)).content.decode()
    assert words in page
    # Saved as it is shown, it stays.
    save(admin, url(monitor))
    assert rules(monitor).flap_changes == changes


def test_a_channel_for_more_urgent_monitors_says_so(admin, monitor, workspace):
    make_channel(workspace=workspace, least_urgency="high")
    page = admin.get(url(monitor)).content.decode()
    assert "this channel is only for monitors with a higher urgency" in page
    assert "No notifications: no channel is subscribed to this monitor." in page


def test_escalation_is_part_of_the_summary(admin, monitor, channel, workspace):
    boss = make_channel(workspace=workspace, name="Boss", monitors=[])
    step = Step(boss, timedelta(minutes=15))
    rule_service.change_workspace(workspace=workspace, own=Own(), steps=[step])
    summary = "Phone: immediately; Boss: if not acknowledged within 15 min."
    for address in (url(monitor), reverse("notifications:for_monitor", args=[monitor.public_id])):
        assert summary in admin.get(address).content.decode()


def test_quiet_hours_are_part_of_the_summary_unless_the_monitor_is_urgent(admin, workspace):
    make_channel(
        workspace=workspace,
        name="Chat",
        quiet_from=time(22),
        quiet_until=time(7),
        quiet_timezone="Asia/Jakarta",
    )
    usual, urgent = (make_monitor(workspace=workspace, urgency=urgency) for urgency in ("normal", "high"))
    words = "Quiet hours: Chat from 22:00 to 07:00 (Asia/Jakarta)."
    assert words in admin.get(url(usual)).content.decode()
    assert words not in admin.get(url(urgent)).content.decode()


def test_a_message_that_waits_shows_until_when(admin, monitor, channel):
    now = database_now()
    at = now + timedelta(days=2)
    Belief.objects.create(channel=channel, monitor=monitor, check_at=at)
    page = reverse("notifications:for_monitor", args=[monitor.public_id])
    assert f"Phone: not before {date_format(at, 'j M Y, H:i')}" in admin.get(page).content.decode()
    Belief.objects.update(check_at=now)
    assert "not before" not in admin.get(page).content.decode()


def test_a_reminder_is_not_listed_as_waiting(admin, monitor, channel):
    now = database_now()
    Belief.objects.create(channel=channel, monitor=monitor, state="down", check_at=now + timedelta(hours=1))
    page = reverse("notifications:for_monitor", args=[monitor.public_id])
    assert "not before" not in admin.get(page).content.decode()


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
        ({"own-flapping": "more", "own-flap_changes": ""}, "Enter the number of changes."),
        ({"own-flapping": "more", "own-flap_changes": "2"}, "Enter a whole number from 3 to 50."),
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


# --- Escalation -----------------------------------------------------------------------------------


def row(number, **fields):
    """The fields of a row of the escalation form."""
    return {f"escalation-{number}-{name}": value for name, value in fields.items()}


def test_a_step_is_added_changed_and_removed(admin, workspace, channel):
    added = row(0, channel=str(channel.public_id), after="15 min", least_urgency="high")
    assert save(admin, WORKSPACE, **added).status_code == 303
    assert steps_of(workspace) == [Step(channel, timedelta(minutes=15), "high")]
    page = admin.get(WORKSPACE).content.decode()
    assert "Escalation: Phone if not acknowledged within 15 min, for monitors with high urgency." in page
    save(admin, WORKSPACE, **row(0, after="1 h"))
    assert steps_of(workspace) == [Step(channel, timedelta(hours=1), "high")]
    # What is wrong in a row that is removed does not matter.
    save(admin, WORKSPACE, **row(0, after="soon", remove="on"))
    assert steps_of(workspace) == []


def test_saving_steps_as_they_are_changes_nothing(admin, workspace, channel):
    step = Step(channel, timedelta(minutes=90), "normal")
    rule_service.change_workspace(workspace=workspace, own=Own(), steps=[step])
    save(admin, WORKSPACE)
    assert steps_of(workspace) == [step]


def test_another_row_is_offered_and_nothing_typed_is_lost(admin, workspace, channel):
    typed = row(0, channel=str(channel.public_id), after="20 min")
    page = save(admin, WORKSPACE, more="yes", **typed).content.decode()
    assert 'value="20 min"' in page
    assert 'name="escalation-1-channel"' in page
    assert 'name="escalation-rows" value="2"' in page
    assert steps_of(workspace) == []


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ({"after": ""}, "Enter a time, for example 15 min."),
        ({"after": "59 s"}, "Enter 60 s to 7 d"),
        ({"channel": "00000000-0000-0000-0000-000000000000"}, "This channel no longer exists."),
    ],
)
def test_an_invalid_step_is_reported_at_its_field(admin, workspace, channel, typed, words):
    fields = {"channel": str(channel.public_id), "after": "15 min", **typed}
    answer = save(admin, WORKSPACE, **row(0, **fields))
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert steps_of(workspace) == []


def test_a_channel_cannot_have_two_steps(admin, workspace, channel):
    named = {"channel": str(channel.public_id), "after": "15 min"}
    answer = save(admin, WORKSPACE, **{"escalation-rows": "2"}, **row(0, **named), **row(1, **named))
    assert answer.status_code == 422
    assert "This channel already has a step." in answer.content.decode()


def test_a_channel_of_another_workspace_cannot_be_chosen(admin, workspace, channel):
    theirs = make_channel(workspace=make_monitor().workspace)
    answer = save(admin, WORKSPACE, **row(0, channel=str(theirs.public_id), after="15 min"))
    assert answer.status_code == 422
    assert steps_of(workspace) == []


def test_two_people_do_not_overwrite_each_others_steps(admin, workspace, channel):
    fields = form_of(admin, WORKSPACE)
    rule_service.change_workspace(workspace=workspace, own=Own(), steps=[Step(channel, timedelta(minutes=5))])
    typed = row(0, channel=str(channel.public_id), after="20 min")
    answer = save(admin, WORKSPACE, fields, **typed)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "Escalation: Phone if not acknowledged within 5 min." in page
    assert 'value="20 min"' in page
    versions = re.findall(r'name="([^"]*-version)" value="([^"]*)"', page)
    assert save(admin, WORKSPACE, {**fields, **typed, **dict(versions)}).status_code == 303
    assert steps_of(workspace) == [Step(channel, timedelta(minutes=20))]


def test_a_form_without_steps_leaves_them_as_they_are(admin, workspace, channel):
    step = Step(channel, timedelta(minutes=5))
    rule_service.change_workspace(workspace=workspace, own=Own(), steps=[step])
    fields = form_of(admin, WORKSPACE)
    others = {name: value for name, value in fields.items() if not name.startswith("escalation")}
    assert save(admin, WORKSPACE, others, **{"own-recovery": "2"}).status_code == 303
    assert steps_of(workspace) == [step]


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
