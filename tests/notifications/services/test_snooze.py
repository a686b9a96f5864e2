"""Snoozing: no down notifications until a given time, which always comes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from core.clock import database_now
from monitors.pages.log import audit_text
from notifications.models import Belief, MonitorRules
from notifications.rules.effective import rules_of
from notifications.services import rules as rule_service
from notifications.services import snooze
from notifications.services.rules import Own, Reminders
from tests.support.factories import make_channel, make_monitor
from tests.support.incidents import make_incident, push

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def url(name, monitor):
    return reverse(f"notifications:{name}", args=[monitor.public_id])


def until_of(monitor):
    return rules_of([monitor.pk])[monitor.pk].snoozed_until


def actions(monitor):
    found = AuditEntry.objects.filter(subject=monitor.public_id, action__contains="snooze")
    return list(found.order_by("pk").values_list("action", flat=True))


# --- The operation --------------------------------------------------------------------------------


def test_a_snooze_lasts_until_its_time():
    monitor, until = make_monitor(), database_now() + HOUR
    snooze.snooze(monitor=monitor, until=until)
    assert until_of(monitor) == until
    assert snooze.snoozed_until(monitor, now=until - HOUR) == until
    assert snooze.snoozed_until(monitor, now=until) is None


@pytest.mark.parametrize("away", [timedelta(0), -HOUR, timedelta(days=30, minutes=1)])
def test_a_snooze_ends_in_the_next_thirty_days(away):
    monitor = make_monitor()
    with pytest.raises(snooze.NoSuchTime):
        snooze.snooze(monitor=monitor, until=database_now() + away)
    assert not MonitorRules.objects.exists()


def test_another_snooze_takes_the_place_of_the_first():
    monitor, until = make_monitor(), database_now() + HOUR
    snooze.snooze(monitor=monitor, until=until)
    snooze.snooze(monitor=monitor, until=until + HOUR)
    assert until_of(monitor) == until + HOUR


def test_ending_a_snooze_leaves_nothing_behind():
    monitor = make_monitor()
    snooze.snooze(monitor=monitor, until=database_now() + HOUR)
    assert snooze.unsnooze(monitor=monitor)
    assert not MonitorRules.objects.exists()
    assert not snooze.unsnooze(monitor=monitor)
    assert actions(monitor) == ["monitor.snoozed", "monitor.unsnoozed"]


def test_ending_a_snooze_leaves_the_rules_as_they_are():
    monitor = make_monitor()
    rule_service.change(monitor=monitor, own=Own(reminders=Reminders(3600, 5)))
    snooze.snooze(monitor=monitor, until=database_now() + HOUR)
    snooze.unsnooze(monitor=monitor)
    assert rules_of([monitor.pk])[monitor.pk].remind_most == 5


def test_changing_the_rules_does_not_end_a_snooze():
    monitor, until = make_monitor(), database_now() + HOUR
    snooze.snooze(monitor=monitor, until=until)
    rule_service.change(monitor=monitor, own=Own(reminders=Reminders(3600, 5)))
    rule_service.change(monitor=monitor, own=Own())
    assert until_of(monitor) == until


def held_back(monitor, until):
    """What a channel believes of a monitor that is down, while a snooze holds the notification back."""
    make_incident(monitor)
    channel = make_channel(workspace=monitor.workspace)
    return Belief.objects.create(channel=channel, monitor=monitor, check_at=until)


def test_ending_a_snooze_wakes_what_it_held_back(hinted, django_capture_on_commit_callbacks):
    monitor, until = make_monitor(), database_now() + HOUR
    snooze.snooze(monitor=monitor, until=until)
    belief = held_back(monitor, until)
    with django_capture_on_commit_callbacks(execute=True):
        snooze.unsnooze(monitor=monitor)
    belief.refresh_from_db()
    assert belief.check_at <= database_now()
    assert hinted == ["notifications.tasks.deliver"]


def test_a_shorter_snooze_has_what_the_longer_one_held_back_compared_again():
    monitor, until = make_monitor(), database_now() + HOUR
    snooze.snooze(monitor=monitor, until=until + HOUR)
    belief = held_back(monitor, until + HOUR)
    snooze.snooze(monitor=monitor, until=until)
    belief.refresh_from_db()
    assert belief.check_at <= database_now()


def test_a_snooze_is_in_the_audit_log():
    monitor = make_monitor()
    snooze.snooze(monitor=monitor, until=database_now() + HOUR)
    entry = AuditEntry.objects.get(action=AuditEntry.Action.MONITOR_SNOOZED)
    assert audit_text.in_words(entry).startswith("Snoozed the monitor until ")
    entry.details = {}
    assert audit_text.in_words(entry) == "Snoozed the monitor"


# --- The pages ------------------------------------------------------------------------------------


def test_a_button_snoozes_for_an_hour(admin, workspace):
    monitor = make_monitor(workspace=workspace)
    answer = admin.post(url("snooze", monitor), {"for": "1h"}, follow=True)
    left = until_of(monitor) - database_now()
    assert timedelta(minutes=59) < left <= HOUR
    page = answer.content.decode()
    assert "Snoozed until" in page
    assert "End snooze" in page


def test_until_tomorrow_is_nine_in_the_readers_zone(admin, workspace):
    monitor = make_monitor(workspace=workspace)
    admin.cookies["zone"] = "Asia/Jakarta"
    admin.post(url("snooze", monitor), {"for": "morning"})
    with timezone.override("Asia/Jakarta"):
        here, today = timezone.localtime(until_of(monitor)), timezone.localtime(database_now()).date()
    assert (here.hour, here.minute) == (9, 0)
    assert here.date() == today + timedelta(days=1)


def test_a_time_of_the_readers_is_in_the_readers_zone(admin, workspace):
    monitor = make_monitor(workspace=workspace)
    admin.cookies["zone"] = "Asia/Jakarta"
    with timezone.override("Asia/Jakarta"):
        typed = f"{timezone.localtime(database_now()) + timedelta(days=2):%Y-%m-%dT%H:%M}"
        admin.post(url("snooze", monitor), {"until": typed})
        assert f"{timezone.localtime(until_of(monitor)):%Y-%m-%dT%H:%M}" == typed


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "Enter a date and time."),
        ("soon", "Enter a date and time."),
        ("2020-01-01T00:00", "Enter a time within the next 30 days."),
        ("9999-12-31T23:59", "Enter a time within the next 30 days."),
    ],
)
def test_an_invalid_time_is_reported_at_its_field(admin, workspace, typed, words):
    monitor = make_monitor(workspace=workspace)
    answer = admin.post(url("snooze", monitor), {"until": typed})
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert until_of(monitor) is None


def test_ending_it_is_one_button(admin, workspace):
    monitor = make_monitor(workspace=workspace)
    snooze.snooze(monitor=monitor, until=database_now() + HOUR)
    page = admin.post(url("unsnooze", monitor), follow=True).content.decode()
    assert "Snooze ended." in page
    assert 'id="snoozed"' not in page


def test_a_monitor_that_is_down_offers_to_be_snoozed(admin, workspace):
    monitor = make_monitor(workspace=workspace)
    push(monitor, up=False)
    page = reverse("monitors:detail", args=[monitor.public_id])
    assert url("snooze", monitor) in admin.get(page).content.decode()
    snooze.snooze(monitor=monitor, until=database_now() + HOUR)
    assert url("snooze", monitor) not in admin.get(page).content.decode()


def test_a_viewer_is_not_offered_a_snooze(viewer, workspace):
    monitor = make_monitor(workspace=workspace)
    push(monitor, up=False)
    page = reverse("monitors:detail", args=[monitor.public_id])
    assert url("snooze", monitor) not in viewer.get(page).content.decode()


def test_a_viewer_sees_a_snooze_and_cannot_end_it(viewer, workspace):
    monitor = make_monitor(workspace=workspace)
    snooze.snooze(monitor=monitor, until=database_now() + HOUR)
    page = viewer.get(reverse("monitors:detail", args=[monitor.public_id])).content.decode()
    assert 'id="snoozed"' in page
    assert "End snooze" not in page


def test_in_a_dialog_the_question_comes_alone(admin, workspace):
    monitor = make_monitor(workspace=workspace)
    page = admin.get(url("snooze", monitor), headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in page
    assert "For 4 hours" in page
