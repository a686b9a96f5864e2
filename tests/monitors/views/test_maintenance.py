"""The pages of maintenance, and what other pages say of it."""

from __future__ import annotations

import re
from datetime import UTC, timedelta

import pytest
from django.urls import reverse

from core.clock import database_now
from monitors.models import MaintenanceWindow
from monitors.services import maintenance_windows
from tests.support.factories import make_monitor, make_workspace
from tests.support.heartbeats import Queries, push

pytestmark = pytest.mark.django_db

LIST = "/maintenance/"
ONCE = {
    "name": "Database upgrade",
    "kind": "once",
    "starts_at": "2099-11-28T22:00",
    "ends_at": "2099-11-29T02:00",
    "timezone": "Asia/Jakarta",
    "scope": "all",
    "excluded_from_uptime": "on",
}
WEEKLY = {
    "name": "Backups",
    "kind": "weekly",
    "weekdays": ["5", "6"],
    "start_time": "22:00",
    "duration": "4 h",
    "timezone": "Asia/Jakarta",
    "scope": "all",
}


def plan(client, typed, **more):
    return client.post(reverse("monitors:plan_maintenance"), typed | more)


def words(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def make_window(workspace, *, starts=-10, minutes=60, **fields):
    now = database_now()
    fields = {"name": "Work", "all_monitors": True, **fields}
    return maintenance_windows.plan(
        workspace=workspace,
        starts_at=now + timedelta(minutes=starts),
        ends_at=now + timedelta(minutes=minutes),
        **fields,
    )


# --- The form ------------------------------------------------------------------------------------


def test_one_that_is_once_is_planned_in_its_zone(admin, workspace):
    response = plan(admin, ONCE)
    assert (response.status_code, response["Location"]) == (303, LIST)
    window = MaintenanceWindow.objects.get()
    assert window.workspace == workspace
    assert f"{window.starts_at.astimezone(UTC):%d %H:%M}" == "28 15:00"
    assert f"{window.ends_at.astimezone(UTC):%d %H:%M}" == "28 19:00"
    assert window.all_monitors
    assert window.excluded_from_uptime


def test_a_weekly_one_is_planned_for_some_monitors(admin, workspace):
    monitor = make_monitor(workspace=workspace)
    plan(admin, WEEKLY, scope="some", tags="db, web", monitors=[str(monitor.public_id)])
    window = MaintenanceWindow.objects.get()
    assert (window.weekdays, window.start_time.hour, window.duration) == ([5, 6], 22, 4 * 3600)
    assert (window.starts_at, window.ends_at) == (None, None)
    assert (window.all_monitors, window.tags, list(window.monitors.all())) == (
        False,
        ["db", "web"],
        [monitor],
    )
    assert not window.excluded_from_uptime


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        (ONCE | {"name": ""}, "Enter a name."),
        (ONCE | {"starts_at": ""}, "Enter the start date and time."),
        (ONCE | {"ends_at": "2099-11-28T22:00"}, "Must be after the start."),
        (ONCE | {"ends_at": "tomorrow"}, "Enter a date and time, such as 2026-11-28 22:00."),
        (ONCE | {"ends_at": "9999-12-31T23:59"}, "Enter a date and time, such as 2026-11-28 22:00."),
        (ONCE | {"timezone": "Mars/Olympus"}, "Unknown time zone “Mars/Olympus”."),
        (ONCE | {"scope": "some"}, "Enter a tag, select a monitor, or choose all monitors."),
        (WEEKLY | {"weekdays": []}, "Choose at least one day."),
        (WEEKLY | {"start_time": ""}, "Enter the start time."),
        (WEEKLY | {"duration": ""}, "Enter a duration, such as 4 h."),
        (WEEKLY | {"duration": "8 d"}, "Enter 60 s to 7 d"),
    ],
)
def test_what_cannot_be_is_answered_with_what_is_missing(admin, typed, error):
    response = plan(admin, typed)
    assert response.status_code == 422
    assert error in words(response)
    assert not MaintenanceWindow.objects.exists()


def test_a_monitor_of_another_workspace_cannot_be_chosen(admin, workspace):
    make_monitor(workspace=workspace)
    stranger = make_monitor(workspace=make_workspace())
    response = plan(admin, ONCE, scope="some", monitors=[str(stranger.public_id)])
    assert "is no longer in this workspace" in words(response)


def test_the_fields_of_the_other_kind_are_not_looked_at(admin):
    assert plan(admin, ONCE, duration="parsecs", weekdays=["9"], start_time="late").status_code == 303


@pytest.mark.parametrize("typed", [ONCE, WEEKLY | {"starts_at": "2026-11-28T22:00"}])
def test_saving_a_form_as_it_came_changes_nothing(admin, typed):
    plan(admin, typed)
    before = MaintenanceWindow.objects.values().get()
    address = reverse("monitors:change_maintenance", args=[before["public_id"]])
    page = admin.get(address).content.decode()
    shown = {
        name: value
        for name, value in re.findall(r'<input type="[a-z-]+" name="([a-z_]+)" value="([^"]*)"', page)
        if name not in ("kind", "scope", "weekdays", "monitors")
    }
    assert shown["name"] == typed["name"]
    chosen = {name: typed[name] for name in ("kind", "scope", "weekdays") if name in typed}
    same = {"excluded_from_uptime": "on"} if before["excluded_from_uptime"] else {}
    assert admin.post(address, shown | chosen | same).status_code == 303
    assert MaintenanceWindow.objects.values().get() == before


def test_the_preview_says_when_it_is_and_the_next_three_times(viewer):
    response = viewer.post(reverse("monitors:preview_maintenance"), WEEKLY)
    text = words(response)
    assert "Every Saturday and Sunday at 22:00 for 4 h (Asia/Jakarta)" in text
    assert len(re.findall(r"<li>\w{3} \d+ \w{3} \d{4}, 22:00 – ", response.content.decode())) == 3
    assert "<html" not in response.content.decode()


def test_the_preview_says_what_is_missing(viewer):
    assert words(viewer.post(reverse("monitors:preview_maintenance"), {"kind": "weekly"})) == (
        "Choose at least one day."
    )


def test_the_preview_of_what_is_past_says_so(viewer):
    past = ONCE | {"starts_at": "2020-01-01T00:00", "ends_at": "2020-01-02T00:00"}
    assert "This is entirely in the past" in words(viewer.post(reverse("monitors:preview_maintenance"), past))


def test_without_a_script_a_button_shows_the_times_and_plans_nothing(admin):
    response = plan(admin, WEEKLY, show="yes")
    assert response.status_code == 200
    assert "Every Saturday and Sunday at 22:00" in words(response)
    assert not MaintenanceWindow.objects.exists()


@pytest.mark.parametrize("path", ["new/", "preview/"])
def test_it_is_for_members_only(client, path):
    assert client.post(f"{LIST}{path}", ONCE).status_code == 302


# --- The list ------------------------------------------------------------------------------------


def test_the_list_has_what_goes_on_what_comes_and_what_was(viewer, workspace):
    make_window(workspace, name="Goes on")
    make_window(workspace, name="Comes later", starts=600, minutes=700)
    make_window(workspace, name="Comes soon", starts=100, minutes=700)
    make_window(workspace, name="Was", starts=-100, minutes=-50)
    make_window(make_workspace(), name="Elsewhere")
    text = words(viewer.get(LIST))
    order = ["Now", "Goes on", "Upcoming", "Comes soon", "Comes later", "Past", "Was"]
    start = text.index("Maintenance During")
    places = [text.index(f" {word} ", start) for word in order]
    assert places == sorted(places)
    assert "Elsewhere" not in text
    assert "End now" not in text


def test_the_list_shows_the_monitors_of_each_window(viewer, workspace):
    monitors = [make_monitor(workspace=workspace, name=f"M{number}") for number in range(7)]
    make_window(workspace, all_monitors=False, tags=["db"], monitors=monitors)
    assert "Tags: db · M0, M1, M2, M3, M4 and 2 more" in words(viewer.get(LIST))


def test_the_list_costs_as_many_queries_for_many_as_for_one(viewer, workspace):
    monitor = make_monitor(workspace=workspace)
    make_window(workspace, all_monitors=False, monitors=[monitor])
    with Queries() as few:
        viewer.get(LIST)
    for _ in range(4):
        make_window(workspace, all_monitors=False, monitors=[monitor])
    with Queries() as many:
        viewer.get(LIST)
    assert len(few.statements) == len(many.statements)


def test_it_is_ended_from_the_list(admin, workspace):
    window = make_window(workspace)
    assert "End now" in words(admin.get(LIST))
    response = admin.post(reverse("monitors:end_maintenance", args=[window.public_id]), follow=True)
    assert "“Work” ended." in words(response)
    assert "No maintenance scheduled" in words(response)
    response = admin.post(reverse("monitors:end_maintenance", args=[window.public_id]), follow=True)
    assert "had already ended" in words(response)


def test_it_is_deleted_after_a_question(admin, workspace):
    window = make_window(workspace)
    address = reverse("monitors:delete_maintenance", args=[window.public_id])
    assert "will be included again" in words(admin.get(address))
    admin.post(address)
    assert not MaintenanceWindow.objects.exists()


# --- Elsewhere -----------------------------------------------------------------------------------


def test_the_page_of_a_monitor_in_maintenance_says_until_when(viewer, workspace):
    monitor = make_monitor(workspace=workspace)
    address = reverse("monitors:detail", args=[monitor.public_id])
    assert "Maintenance until" not in words(viewer.get(address))
    make_window(workspace, monitors=[monitor], all_monitors=False)
    text = words(viewer.get(address))
    assert re.search(r"Maintenance until .*: heartbeats are recorded, but no notifications are sent\.", text)


def test_the_row_of_a_monitor_in_maintenance_says_so(viewer, workspace):
    monitor = make_monitor(workspace=workspace, name="Held")
    make_monitor(workspace=workspace, name="Free")
    make_window(workspace, monitors=[monitor], all_monitors=False)
    page = viewer.get("/").content.decode()
    assert page.count(">maintenance</span>") == 1


def test_the_overview_costs_as_many_queries_for_many_windows_as_for_one(viewer, workspace):
    monitors = [make_monitor(workspace=workspace) for _ in range(3)]
    for monitor in monitors:
        push(monitor)
    make_window(workspace, monitors=monitors, all_monitors=False)
    viewer.get("/")
    with Queries() as few:
        viewer.get("/")
    make_window(workspace, monitors=monitors, all_monitors=False)
    with Queries() as many:
        viewer.get("/")
    assert len(few.statements) == len(many.statements)


@pytest.mark.parametrize("address", ["/", "/settings/"])
def test_the_monitors_and_the_settings_lead_to_it(viewer, workspace, address):
    make_monitor(workspace=workspace)
    assert f'href="{LIST}"' in viewer.get(address).content.decode()
