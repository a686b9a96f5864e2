"""Maintenance and snoozes over HTTP."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, time, timedelta

import pytest

from accounts.models import AuditEntry
from core.clock import database_now
from monitors.models import MaintenanceWindow
from monitors.services import maintenance
from notifications.services import snooze
from tests.support.factories import make_monitor, make_workspace

pytestmark = pytest.mark.django_db
ONCE = {"kind": "once", "starts_at": "2026-11-28T22:00:00Z", "ends_at": "2026-11-29T02:00:00Z"}
WEEKLY = {
    "kind": "weekly",
    "weekdays": ["sunday", "monday"],
    "start_time": "22:30",
    "duration": 7200,
    "timezone": "Asia/Jakarta",
}


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, tags=["shop"])


def problem(answer, status=422):
    """Return what a problem says of each field."""
    assert answer.status_code == status, answer.content
    return {error["field"]: error["detail"] for error in answer.json().get("errors", [])}


def planned(writer, **data):
    answer = writer.post("maintenance/", {"name": "Upgrade", "when": ONCE, **data})
    assert answer.status_code == 201, answer.content
    return answer


def test_what_is_planned_once_is_read_back(writer, reader, monitor):
    answer = planned(writer, monitors=[str(monitor.public_id)], tags=["shop"], excluded_from_uptime=False)
    data = answer.json()
    window = MaintenanceWindow.objects.get()
    assert data == {
        "id": str(window.public_id),
        "name": "Upgrade",
        "when": {
            "kind": "once",
            "starts_at": "2026-11-28T22:00:00Z",
            "ends_at": "2026-11-29T02:00:00Z",
        },
        "all_monitors": False,
        "tags": ["shop"],
        "monitors": [str(monitor.public_id)],
        "excluded_from_uptime": False,
        "under_way_until": None,
        "created_at": data["created_at"],
    }
    assert reader.get(answer["Location"].removeprefix("/api/v1/")).json() == data
    assert reader.get("maintenance/").json()["results"] == [data]
    assert AuditEntry.objects.get(action=AuditEntry.Action.MAINTENANCE_PLANNED).actor.startswith("writer ")


def test_a_deploy_needs_a_duration_only(writer, monitor):
    before = database_now()
    data = planned(writer, when={"kind": "once", "duration": 600}).json()
    until = datetime.fromisoformat(data["under_way_until"])
    assert before <= until - timedelta(seconds=600) <= database_now()
    assert data["all_monitors"] is True
    assert maintenance.held_until([monitor.pk], database_now()) == {monitor.pk: until}


def test_what_repeats_is_read_back_and_kept_as_the_pages_keep_it(writer):
    data = planned(writer, when=WEEKLY).json()
    assert data["when"] == WEEKLY | {"weekdays": ["monday", "sunday"], "starts_at": None, "ends_at": None}
    window = MaintenanceWindow.objects.get()
    assert (window.weekdays, window.start_time, window.duration) == ([0, 6], time(22, 30), 7200)


def test_a_time_of_day_without_a_zone_is_in_the_workspaces_zone(writer, workspace):
    workspace.timezone = "Asia/Tokyo"
    workspace.save()
    when = {name: value for name, value in WEEKLY.items() if name != "timezone"}
    assert planned(writer, when=when).json()["when"]["timezone"] == "Asia/Tokyo"


def test_what_is_read_can_be_put_back(writer, monitor):
    for when in (ONCE, WEEKLY):
        answer = planned(writer, when=when, tags=["shop"])
        path = answer["Location"].removeprefix("/api/v1/")
        again = writer.put(path, answer.json())
        assert (again.status_code, again.json()) == (200, answer.json())
    assert not AuditEntry.objects.filter(action=AuditEntry.Action.MAINTENANCE_CHANGED).exists()


def test_what_is_put_replaces_all_of_it(writer, monitor):
    path = planned(writer, tags=["shop"])["Location"].removeprefix("/api/v1/")
    data = writer.put(path, {"name": "Later", "when": WEEKLY, "monitors": [str(monitor.public_id)]}).json()
    assert (data["name"], data["tags"], data["monitors"]) == ("Later", [], [str(monitor.public_id)])
    assert (data["when"]["kind"], data["all_monitors"]) == ("weekly", False)


def test_ending_it_frees_its_monitors(writer, monitor):
    answer = planned(writer, when={"kind": "once", "duration": 600})
    path = answer["Location"].removeprefix("/api/v1/")
    assert writer.post(f"{path}end/").json()["under_way_until"] is None
    assert maintenance.held_until([monitor.pk], database_now()) == {}
    assert writer.post(f"{path}end/").status_code == 200


def test_what_is_deleted_is_gone(writer):
    path = planned(writer)["Location"].removeprefix("/api/v1/")
    assert writer.delete(path).status_code == 204
    assert not MaintenanceWindow.objects.exists()
    assert {writer.get(path).status_code, writer.delete(path).status_code} == {404}


def test_the_same_key_plans_once(writer):
    for _ in range(2):
        body = {"name": "Upgrade", "when": ONCE}
        assert writer.post("maintenance/", body, **{"Idempotency-Key": "deploy-1"}).status_code == 201
    assert MaintenanceWindow.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"when": {"kind": "yearly"}}, "when"),
        ({"when": {"kind": "weekly"}}, "when.weekdays"),
        ({"when": WEEKLY | {"weekdays": ["caturday"]}}, "when.weekdays.0"),
        ({"when": WEEKLY | {"start_time": "24:00"}}, "when.start_time"),
        ({"when": WEEKLY | {"duration": 59}}, "when.duration"),
        ({"when": ONCE | {"starts_at": "2026-11-28T22:00:00"}}, "when.starts_at"),
        ({"when": ONCE | {"weekdays": ["monday"]}}, "when.weekdays"),
        ({"name": ""}, "name"),
        ({"monitors": ["all"]}, "monitors.0"),
    ],
)
def test_what_does_not_fit_is_refused(writer, data, field):
    assert field in problem(writer.post("maintenance/", {"name": "Upgrade", "when": ONCE, **data}), 400)
    assert not MaintenanceWindow.objects.exists()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"when": {"kind": "once"}}, "when"),
        ({"when": ONCE | {"duration": 60}}, "when"),
        ({"when": ONCE | {"ends_at": "2026-11-28T21:00:00Z"}}, "when.ends_at"),
        ({"when": ONCE | {"ends_at": "9999-12-31T23:59:59Z"}}, "when.ends_at"),
        ({"when": {"kind": "once", "starts_at": "9999-12-31T23:59:59Z", "duration": 60}}, "when.starts_at"),
        ({"when": WEEKLY | {"timezone": "Mars/Olympus"}}, "when.timezone"),
        ({"all_monitors": True, "tags": ["shop"]}, "all_monitors"),
        ({"all_monitors": False}, "monitors"),
        ({"monitors": [str(uuid.UUID(int=1))]}, "monitors"),
    ],
)
def test_what_cannot_be_is_refused(writer, data, field):
    assert field in problem(writer.post("maintenance/", {"name": "Upgrade", "when": ONCE, **data}))
    assert not MaintenanceWindow.objects.exists()


def test_other_workspaces_are_out_of_reach(writer):
    other = make_workspace("Other")
    now = database_now()
    window = MaintenanceWindow.objects.create(
        workspace=other, name="Theirs", starts_at=now, ends_at=now + timedelta(hours=1), all_monitors=True
    )
    path = f"maintenance/{window.public_id}/"
    theirs = make_monitor(workspace=other)
    assert writer.get("maintenance/").json()["results"] == []
    answers = [
        writer.get(path),
        writer.delete(path),
        writer.post(f"{path}end/"),
        writer.put(path, {"name": "Ours", "when": ONCE}),
        writer.put(f"monitors/{theirs.public_id}/snooze/", {"duration": 60}),
        writer.delete(f"monitors/{theirs.public_id}/snooze/"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    named = problem(
        writer.post("maintenance/", {"name": "X", "when": ONCE, "monitors": [str(theirs.public_id)]})
    )
    assert str(theirs.public_id) in named["monitors"]


def test_a_key_that_reads_changes_nothing(reader, writer, monitor):
    path = planned(writer)["Location"].removeprefix("/api/v1/")
    answers = [
        reader.post("maintenance/", {"name": "X", "when": ONCE}),
        reader.put(path, {"name": "X", "when": ONCE}),
        reader.post(f"{path}end/"),
        reader.delete(path),
        reader.put(f"monitors/{monitor.public_id}/snooze/", {"duration": 60}),
        reader.delete(f"monitors/{monitor.public_id}/snooze/"),
    ]
    assert {answer.status_code for answer in answers} == {403}


# --- Snoozes ---------------------------------------------------------------------------------------------


def test_a_snooze_is_put_and_ended(writer, monitor):
    path = f"monitors/{monitor.public_id}/snooze/"
    until = (database_now() + timedelta(hours=1)).replace(microsecond=0)
    data = writer.put(path, {"until": until.astimezone(UTC).isoformat()}).json()
    assert datetime.fromisoformat(data["snoozed_until"]) == until
    assert snooze.snoozed_until(monitor, now=database_now()) == until
    assert writer.delete(path).json() == {"snoozed_until": None}
    assert writer.delete(path).json() == {"snoozed_until": None}
    assert snooze.snoozed_until(monitor, now=database_now()) is None


def test_a_snooze_may_say_how_long_it_lasts(writer, monitor):
    longest = int(snooze.LONGEST.total_seconds())
    data = writer.put(f"monitors/{monitor.public_id}/snooze/", {"duration": longest}).json()
    left = datetime.fromisoformat(data["snoozed_until"]) - database_now()
    assert timedelta(days=29, hours=23) < left <= snooze.LONGEST


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"until": "2020-01-01T00:00:00Z"},
        {"until": "2099-01-01T00:00:00Z"},
        {"until": "2099-01-01T00:00:00Z", "duration": 60},
    ],
)
def test_a_snooze_ends_in_the_future_and_takes_either_a_time_or_a_duration(writer, monitor, data):
    assert "until" in problem(writer.put(f"monitors/{monitor.public_id}/snooze/", data))
    assert snooze.snoozed_until(monitor, now=database_now()) is None
