"""Selecting monitors in a workspace that has more than a page can list."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from monitors.forms.monitor_picker import FOUND, LISTED
from monitors.models import MaintenanceWindow, Monitor
from notifications.models import Channel
from tests.support.factories import make_channel, make_workspace

HTMX = {"HX-Request": "true"}
_SELECTED = 120


@pytest.fixture
def monitors(workspace):
    """More than are listed: "disk 000", "disk 001"."""
    return Monitor.objects.bulk_create(
        Monitor(workspace=workspace, name=f"disk {number:03}", slug=f"disk-{number}")
        for number in range(LISTED + 1)
    )


@pytest.fixture
def channel(workspace, monitors):
    return make_channel(workspace=workspace, monitors=monitors[:_SELECTED])


def edit(channel: Channel) -> str:
    return reverse("notifications:edit", args=[channel.public_id])


def sent(monitors, shown=None, **others):
    ids = [str(monitor.public_id) for monitor in monitors]
    return {
        "name": "Chat",
        "url": "http://127.0.0.1:9/",
        "scope": "some",
        "events": "down",
        "enabled": "on",
        "monitors": ids,
        "monitors_shown": [str(monitor.public_id) for monitor in shown] if shown is not None else ids,
        **others,
    }


def listed(answer) -> dict[str, bool]:
    """Return the names that can be ticked, and whether they are."""
    labels = re.findall(
        r"<label>(<input[^>]*name=\"monitors\"[^>]*>) ([^<]*)</label>", answer.content.decode()
    )
    return {name: "checked" in field for field, name in labels}


def test_a_form_shows_all_of_a_few_monitors_without_a_search(admin, workspace, monitors):
    monitors[0].delete()
    answer = admin.get(reverse("notifications:create", args=["webhook"]))
    assert len(listed(answer)) == LISTED
    assert "find_monitors" not in answer.content.decode()


@pytest.mark.parametrize("address", ["/channels/new/webhook/", "/maintenance/new/"])
def test_a_form_shows_the_first_of_many_and_a_search(admin, monitors, address):
    answer = admin.get(address)
    assert list(listed(answer)) == [f"disk {number:03}" for number in range(FOUND)]
    assert "More monitors match" in answer.content.decode()
    assert 'name="find_monitors"' in answer.content.decode()


def test_an_edit_shows_some_of_the_selected_monitors_and_counts_the_others(admin, channel):
    answer = admin.get(edit(channel))
    assert listed(answer) == {f"disk {number:03}": True for number in range(FOUND)}
    more = f"{_SELECTED - FOUND} more selected monitors are not shown and stay selected"
    assert more in answer.content.decode()


def test_a_search_keeps_what_was_ticked_and_unticked_after_what_it_finds(admin, channel, monitors):
    shown = [*monitors[:3], monitors[199]]
    data = sent([*monitors[1:3], monitors[199]], shown, find_monitors="K 20", search_monitors="yes")
    answer = admin.post(edit(channel), data, headers=HTMX)
    assert "<html" not in answer.content.decode()
    assert list(listed(answer).items()) == [("disk 200", False), ("disk 000", False), ("disk 199", True)]


def test_a_found_monitor_that_is_selected_is_ticked(admin, channel, monitors):
    data = sent([], find_monitors="disk-11", search_monitors="yes")
    found = listed(admin.post(edit(channel), data, headers=HTMX))
    assert found == {"disk 011": True} | {f"disk {number}": True for number in range(110, 120)}


def test_without_script_a_search_is_the_whole_page_with_what_was_typed(admin, channel):
    data = sent([], find_monitors="nothing like it", search_monitors="yes")
    page = admin.post(edit(channel), data).content.decode()
    assert "<html" in page
    assert 'value="Chat"' in page
    assert "No monitor matches." in page


def test_selected_monitors_that_were_not_shown_stay_selected(admin, channel, monitors):
    assert admin.post(edit(channel), sent([monitors[1], monitors[200]], monitors[:2])).status_code == 302
    assert set(channel.monitors.all()) == {*monitors[1:_SELECTED], monitors[200]}


def test_the_last_selected_monitor_cannot_be_removed_without_another(admin, workspace, monitors):
    channel = make_channel(workspace=workspace, monitors=monitors[:1])
    answer = admin.post(edit(channel), sent([], monitors[:1]))
    assert answer.status_code == 422
    assert "Choose at least one monitor" in answer.content.decode()


def test_a_maintenance_window_keeps_what_was_not_shown(admin, workspace, monitors):
    window = MaintenanceWindow.objects.create(
        workspace=workspace, name="Work", kind="weekly", weekdays=[0], start_time="22:00", duration=3600
    )
    window.monitors.set(monitors[:_SELECTED])
    data = {
        "name": "Work",
        "kind": "weekly",
        "weekdays": "0",
        "start_time": "22:00",
        "duration": "1 h",
        "scope": "some",
        "monitors": str(monitors[200].public_id),
        "monitors_shown": [str(monitors[200].public_id), str(monitors[0].public_id)],
    }
    address = reverse("monitors:change_maintenance", args=[window.public_id])
    search = {**data, "search_monitors": "yes", "find_monitors": "disk 001"}
    assert listed(admin.post(address, search, headers=HTMX)) == {
        "disk 001": True,
        "disk 000": False,
        "disk 200": True,
    }
    assert admin.post(address, data).status_code == 303
    assert set(window.monitors.all()) == {*monitors[1:_SELECTED], monitors[200]}


def test_a_monitor_of_another_workspace_is_neither_found_nor_accepted(admin, channel, monitors):
    stranger = Monitor.objects.create(workspace=make_workspace(), name="stranger", slug="stranger")
    data = sent([stranger], find_monitors="stranger", search_monitors="yes")
    assert listed(admin.post(edit(channel), data, headers=HTMX)) == {}
    answer = admin.post(edit(channel), sent([stranger]))
    assert answer.status_code == 422
    assert "no longer in this workspace" in answer.content.decode()


@pytest.mark.parametrize("address", ["/channels/new/webhook/", "/maintenance/new/"])
def test_the_form_costs_as_many_queries_for_many_as_for_a_few_more(
    admin, workspace, monitors, address, django_assert_num_queries
):
    admin.get(address)
    with django_assert_num_queries(6 if "maintenance" in address else 9):
        admin.get(address)


def test_the_page_of_a_channel_names_the_first_monitors_and_counts_the_others(admin, channel):
    page = admin.get(reverse("notifications:detail", args=[channel.public_id])).content.decode()
    assert "disk 099" in page
    assert "disk 100" not in page
    assert f"and {_SELECTED - 100} more" in page
