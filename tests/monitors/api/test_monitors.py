"""Monitors over HTTP."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from accounts.models import AuditEntry
from core.clock import database_now
from monitors.models import Monitor, MonitorState
from monitors.services import monitors as monitor_service
from monitors.services import thresholds
from monitors.services.thresholds import OwnThresholds
from tests.support.callers import Caller
from tests.support.factories import make_channel, make_monitor, make_workspace, secret_of
from tests.support.heartbeats import push

pytestmark = pytest.mark.django_db
INTERVAL = {"kind": "interval", "timeout": 60, "interval": 60, "grace": 6}
CRON = {
    "kind": "cron",
    "expression": "*/5 * * * *",
    "timezone": "Asia/Jakarta",
    "grace": 60,
    "early": 10,
}
ON_CALENDAR = {
    "kind": "oncalendar",
    "expression": "Mon..Fri 09:00\nSat 12:00 UTC",
    "timezone": "Asia/Jakarta",
    "grace": 600,
    "early": None,
}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"


def errors_of(answer):
    assert answer["Content-Type"] == "application/problem+json"
    return {error["field"]: error["detail"] for error in answer.json().get("errors", [])}


def names(answer):
    assert answer.status_code == 200, answer.content
    return [monitor["name"] for monitor in answer.json()["results"]]


def silent_for(monitor, seconds):
    """Let the last heartbeat of a monitor have come `seconds` ago, as if no sweep had looked since."""
    at = database_now() - timedelta(seconds=seconds)
    due = at + timedelta(seconds=monitor.timeout)
    MonitorState.objects.filter(monitor=monitor).update(
        status="up", last_heartbeat_at=at, due_at=due, status_changed_at=at
    )


class TestCreating:
    def test_a_monitor_is_made_with_all_its_fields(self, writer, workspace):
        channel = make_channel(workspace=workspace, monitors=[])
        body = {
            "name": "Nightly backup",
            "description": "Runs on db1",
            "tags": ["db", "backup"],
            "schedule": INTERVAL,
            "post_only": True,
            "push_rate": 120,
            "value_min": -1.5,
            "value_max": 10.0,
            "value_required": True,
            "urgency": "high",
            "channels": [str(channel.public_id)],
        }
        answer = writer.post("monitors/", body)
        assert answer.status_code == 201
        data = answer.json()
        assert data | body == data
        assert data["slug"] == "nightly-backup"
        assert data["status"] == "new"
        assert data["deadline"] is data["last_heartbeat_at"] is None
        assert re.fullmatch(TIME, data["created_at"])
        assert answer["Location"] == f"/api/v1/monitors/{data['id']}/"
        assert answer["ETag"] == '"1"'
        assert writer.get(f"monitors/{data['id']}/").json() == data

    def test_its_push_url_works(self, writer, client):
        data = writer.post("monitors/", {"name": "Job", "schedule": INTERVAL}).json()
        assert client.post(data["push_url"].partition("testserver")[2]).content == b'{"ok":true}'
        data = writer.get(f"monitors/{data['id']}/").json()
        assert data["status"] == "up"
        assert re.fullmatch(TIME, data["deadline"])

    @pytest.mark.parametrize("schedule", [CRON, ON_CALENDAR], ids=lambda schedule: schedule["kind"])
    def test_a_schedule_with_set_times_is_kept_as_it_was_given(self, writer, schedule):
        data = writer.post("monitors/", {"name": "Job", "schedule": schedule}).json()
        assert data["schedule"] == schedule

    def test_the_fields_of_a_cron_expression_may_be_separated_by_tabs(self, writer):
        schedule = {"kind": "cron", "expression": "0\t3\t*  *\t*"}
        data = writer.post("monitors/", {"name": "Job", "schedule": schedule}).json()
        assert data["schedule"]["expression"] == "0 3 * * *"

    def test_lines_of_a_timer_unit_are_kept_as_expressions(self, writer):
        timer = "[Timer]\nOnCalendar=daily\n\n# and\nOnCalendar=Sat  12:00"
        schedule = {"kind": "oncalendar", "expression": timer, "early": 0}
        data = writer.post("monitors/", {"name": "Job", "schedule": schedule}).json()
        assert data["schedule"] == {
            "kind": "oncalendar",
            "expression": "daily\nSat 12:00",
            "timezone": "UTC",
            "grace": None,
            "early": 0,
        }

    def test_what_is_left_out_gets_its_default(self, writer):
        data = writer.post(
            "monitors/", {"name": "Job", "schedule": {"kind": "interval", "timeout": 90}}
        ).json()
        assert data["schedule"] == {"kind": "interval", "timeout": 90, "interval": None, "grace": None}
        assert (data["tags"], data["channels"], data["post_only"]) == ([], [], False)
        assert data["urgency"] == "normal"

    def test_two_of_one_name_get_two_slugs(self, writer):
        body = {"name": "Job", "schedule": INTERVAL}
        assert [writer.post("monitors/", body).json()["slug"] for _ in range(3)] == ["job", "job-2", "job-3"]

    def test_a_slug_that_is_taken_is_a_conflict(self, writer):
        body = {"name": "Job", "slug": "job", "schedule": INTERVAL}
        assert writer.post("monitors/", body).status_code == 201
        answer = writer.post("monitors/", body)
        assert answer.status_code == 409
        assert "Choose a different one" in errors_of(answer)["slug"]

    @pytest.mark.parametrize(
        ("change", "field", "allowed"),
        [
            ({"name": ""}, "name", ""),
            ({"name": " \t"}, "name", ""),
            ({"name": "x" * 101}, "name", "100"),
            ({"name": 7}, "name", "string"),
            ({"name": "a\nb"}, "name", "single line"),
            ({"description": "a\0b"}, "description", "NUL"),
            ({"tags": "db"}, "tags", "list"),
            ({"tags": ["x" * 31]}, "tags.0", "30"),
            ({"tags": [str(n) for n in range(21)]}, "tags", "20"),
            ({"slug": "Not a slug"}, "slug", "lower-case"),
            ({"post_only": "yes"}, "post_only", "boolean"),
            ({"urgency": "urgent"}, "urgency", "low, normal, high"),
            ({"push_rate": -1}, "push_rate", "from 0 to 1000000"),
            ({"channels": ["x"]}, "channels.0", "UUID"),
            ({"schedule": None}, "schedule", ""),
            ({"schedule": {"kind": "daily"}}, "schedule", "interval"),
            ({"schedule": {"timeout": 60}}, "schedule", "kind"),
            ({"schedule": {**INTERVAL, "timeout": 0}}, "schedule.timeout", "from 1 to 31536000"),
            ({"schedule": {**INTERVAL, "timeout": "60"}}, "schedule.timeout", "from 1 to 31536000"),
            ({"schedule": {**INTERVAL, "timeout": True}}, "schedule.timeout", "from 1 to 31536000"),
            ({"schedule": {**INTERVAL, "cron": "* * * * *"}}, "schedule.cron", "timeout"),
            ({"schedule": {"kind": "cron"}}, "schedule.expression", "required"),
            ({"schedule": {"kind": "oncalendar"}}, "schedule.expression", "required"),
            ({"schedule": {**ON_CALENDAR, "expression": "x" * 1001}}, "schedule.expression", "1000"),
            ({"schedule": {**ON_CALENDAR, "early": 3601}}, "schedule.early", "from 0 to 3600"),
            ({"schedule": {**INTERVAL, "early": 5}}, "schedule.early", "timeout"),
            ({"nmae": "typo"}, "nmae", "Allowed: slug, name"),
        ],
    )
    def test_what_the_schema_does_not_allow_is_400_and_says_what_is(self, writer, change, field, allowed):
        answer = writer.post("monitors/", {"name": "Job", "schedule": INTERVAL, **change})
        assert answer.status_code == 400
        assert allowed in errors_of(answer)[field]
        assert answer.json()["type"] == "/api/problems/invalid/"
        assert not Monitor.objects.exists()

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"schedule": {**INTERVAL, "interval": 61}}, "schedule.interval"),
            ({"schedule": {**CRON, "timezone": "Mars/Olympus"}}, "schedule.timezone"),
            ({"schedule": {**CRON, "expression": "61 * * * *"}}, "schedule.expression"),
            ({"schedule": {**CRON, "expression": "0 0 31 2 *"}}, "schedule.expression"),
            ({"schedule": {**ON_CALENDAR, "timezone": "Mars/Olympus"}}, "schedule.timezone"),
            ({"schedule": {**ON_CALENDAR, "expression": "daily\nMon 25:00"}}, "schedule.expression"),
            ({"schedule": {**ON_CALENDAR, "expression": "2020-01-01"}}, "schedule.expression"),
            ({"schedule": {**ON_CALENDAR, "expression": "# none"}}, "schedule.expression"),
            ({"schedule": {**ON_CALENDAR, "expression": "daily\nWakeSystem=true"}}, "schedule.expression"),
            ({"channels": ["6f2c4a52-4d6c-4e9c-8f43-0a54a9f7f0a1"]}, "channels"),
        ],
    )
    def test_what_makes_no_sense_here_is_422(self, writer, change, field):
        answer = writer.post("monitors/", {"name": "Job", "schedule": INTERVAL, **change})
        assert answer.status_code == 422
        assert errors_of(answer)[field]
        assert not Monitor.objects.exists()

    def test_a_channel_of_another_workspace_is_as_unknown_as_one_that_is_nowhere(self, writer):
        other = make_channel(workspace=make_workspace())
        body = {"name": "Job", "schedule": INTERVAL, "channels": [str(other.public_id)]}
        assert writer.post("monitors/", body).status_code == 422

    @pytest.mark.parametrize("body", ["", "{", "[]", '"x"', "null", "nan", "\xff"])
    def test_a_body_that_is_no_object_is_400(self, writer, body):
        answer = writer._client.post(
            "/api/v1/monitors/",
            body,
            content_type="application/json",
            headers={"Authorization": f"Bearer {writer.issued.secret}"},
        )
        assert answer.status_code == 400
        assert answer["Content-Type"] == "application/problem+json"

    def test_a_body_that_is_not_json_is_415(self, writer):
        answer = writer._client.post(
            "/api/v1/monitors/",
            {"name": "Job"},
            headers={"Authorization": f"Bearer {writer.issued.secret}"},
        )
        assert answer.status_code == 415


class TestReading:
    def test_the_list_is_paged_by_cursor_and_stable_while_monitors_are_made(self, writer, workspace):
        made = [make_monitor(workspace=workspace).name for _ in range(5)]
        first = writer.get("monitors/?limit=2").json()
        make_monitor(workspace=workspace, name="A later one")
        second = writer.get(first["next"].partition("/api/v1/")[2]).json()
        assert [row["name"] for row in first["results"] + second["results"]] == made[:4]
        back = writer.get(second["previous"].partition("/api/v1/")[2]).json()
        assert back["results"] == first["results"]

    @pytest.mark.parametrize(
        "query",
        [
            "limit=0",
            "limit=501",
            "limit=x",
            "limit=%D9%A3",
            "cursor=x",
            "cursor=cD1hYmM%3D",
            "stauts=down",
            "limit=1&limit=2",
        ],
    )
    def test_a_parameter_that_cannot_be_meant_is_400(self, writer, query):
        answer = writer.get(f"monitors/?{query}")
        assert answer.status_code == 400
        assert errors_of(answer)

    def test_status_is_the_one_that_is_shown_now(self, writer, workspace):
        _new, up, late, overdue, down, recovering, paused, cron, timer = (
            make_monitor(workspace=workspace, name=name, timeout=60, **more)
            for name, more in [
                *((name, {}) for name in ("new", "up", "late", "overdue", "down", "recovering", "paused")),
                ("cron", {"kind": "cron", "cron": "* * * * *", "grace": 600}),
                ("timer", {"kind": "oncalendar", "calendar": "minutely", "grace": 600}),
            ]
        )
        push(up)
        push(down, up=False)
        thresholds.change(monitor=recovering, own=OwnThresholds(recovery=2))
        push(recovering, up=False)
        push(recovering)
        silent_for(late, 62)
        silent_for(overdue, 90)
        silent_for(cron, 150)
        silent_for(timer, 150)
        monitor_service.pause(monitor=paused)
        shown = {row["name"]: row["status"] for row in writer.get("monitors/").json()["results"]}
        assert shown == {
            **{name: name for name in ("new", "up", "late", "down", "recovering", "paused")},
            "overdue": "down",
            "cron": "late",
            "timer": "late",
        }
        for status in ("new", "up", "late", "down", "recovering", "paused"):
            expected = {name for name, seen in shown.items() if seen == status}
            assert set(names(writer.get(f"monitors/?status={status}"))) == expected
        assert set(names(writer.get("monitors/?status=down,late"))) == {
            *("down", "overdue", "late", "cron", "timer"),
        }
        assert writer.get("monitors/?status=dwon").status_code == 400

    def test_monitors_are_found_by_tag_and_text(self, writer, workspace):
        make_monitor(workspace=workspace, name="Backup", tags=["db", "nächtlich"], description="on DB1")
        make_monitor(workspace=workspace, name="Mail", tags=["dbx"])
        assert names(writer.get("monitors/?tag=db")) == ["Backup"]
        assert names(writer.get("monitors/?tag=n%C3%A4chtlich")) == ["Backup"]
        assert names(writer.get("monitors/?q=db1")) == ["Backup"]
        assert names(writer.get("monitors/?q=mAIL")) == ["Mail"]
        assert names(writer.get("monitors/?tag=%22")) == []

    def test_a_viewer_does_not_see_the_push_url(self, reader, writer, workspace):
        monitor = make_monitor(workspace=workspace)
        secret = secret_of(monitor)
        assert writer.get(f"monitors/{monitor.public_id}/").json()["push_url"].endswith(secret)
        for path in ("monitors/", f"monitors/{monitor.public_id}/"):
            assert secret not in reader.get(path).content.decode()

    def test_to_read_push_urls_is_recorded_once_an_hour(self, writer, workspace):
        make_monitor(workspace=workspace)
        for _ in range(3):
            writer.get("monitors/")
        entry = AuditEntry.objects.get(action="token.revealed")
        assert entry.api_key == writer.issued.key
        assert entry.via == "api"
        assert entry.address == "127.0.0.1"

    @pytest.mark.slow
    def test_a_full_page_takes_as_many_queries_as_a_list_of_two(
        self, writer, workspace, django_assert_max_num_queries, django_assert_num_queries
    ):
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        for _ in range(2):
            make_monitor(workspace=workspace)
        with CaptureQueriesContext(connection) as few:
            assert len(names(writer.get("monitors/"))) == 2
        for _ in range(498):
            make_monitor(workspace=workspace)
        writer.get("monitors/?limit=500")
        with CaptureQueriesContext(connection) as many:
            assert len(names(writer.get("monitors/?limit=500"))) == 500
        assert len(many) <= len(few) <= 12

    def test_another_workspaces_monitor_is_404_for_every_method(self, writer):
        theirs = make_monitor()
        address = f"monitors/{theirs.public_id}/"
        assert writer.get(address).status_code == 404
        assert writer.patch(address, {"name": "Mine"}).status_code == 404
        assert writer.delete(address).status_code == 404
        assert writer.post(f"{address}pause/").status_code == 404
        assert names(writer.get("monitors/")) == []


@pytest.mark.slow
class TestChanging:
    def test_what_is_not_named_stays(self, writer, workspace):
        monitor = make_monitor(workspace=workspace, timeout=300, tags=["a"])
        data = writer.patch(f"monitors/{monitor.public_id}/", {"name": "Other"}).json()
        assert (data["name"], data["tags"], data["schedule"]["timeout"]) == ("Other", ["a"], 300)

    def test_a_schedule_is_replaced_as_a_whole(self, writer, workspace):
        monitor = make_monitor(workspace=workspace, timeout=300, interval=100)
        data = writer.patch(f"monitors/{monitor.public_id}/", {"schedule": CRON}).json()
        assert data["schedule"] == CRON
        data = writer.patch(
            f"monitors/{monitor.public_id}/", {"schedule": {"kind": "interval", "timeout": 5}}
        ).json()
        assert data["schedule"] == {"kind": "interval", "timeout": 5, "interval": None, "grace": None}

    def test_what_was_read_can_be_sent_back_and_changes_nothing(self, writer, workspace):
        monitor = make_monitor(workspace=workspace)
        address = f"monitors/{monitor.public_id}/"
        first = writer.get(address)
        second = writer.patch(address, first.json(), **{"If-Match": first["ETag"]})
        assert second.status_code == 200
        assert second.json() == first.json()
        assert second["ETag"] == first["ETag"]

    def test_the_second_of_two_concurrent_edits_is_rejected(self, writer, workspace):
        monitor = make_monitor(workspace=workspace)
        address = f"monitors/{monitor.public_id}/"
        etag = writer.get(address)["ETag"]
        assert writer.patch(address, {"name": "First"}, **{"If-Match": etag}).status_code == 200
        lost = writer.patch(address, {"name": "Second"}, **{"If-Match": etag})
        assert lost.status_code == 412
        assert lost.json()["type"] == "/api/problems/precondition-failed/"
        assert writer.delete(address, **{"If-Match": etag}).status_code == 412
        assert writer.get(address).json()["name"] == "First"

    def test_heartbeats_do_not_change_the_etag(self, writer, workspace):
        monitor = make_monitor(workspace=workspace)
        before = writer.get(f"monitors/{monitor.public_id}/")["ETag"]
        push(monitor)
        assert writer.get(f"monitors/{monitor.public_id}/")["ETag"] == before

    def test_channels_are_chosen_and_left(self, writer, workspace):
        monitor = make_monitor(workspace=workspace)
        channel = make_channel(workspace=workspace, monitors=[])
        address = f"monitors/{monitor.public_id}/"
        data = writer.patch(address, {"channels": [str(channel.public_id)]})
        assert data.json()["channels"] == [str(channel.public_id)]
        assert data["ETag"] == '"2"'
        assert writer.patch(address, {"channels": []}).json()["channels"] == []

    def test_a_read_key_is_403_for_every_change(self, reader, workspace):
        monitor = make_monitor(workspace=workspace)
        address = f"monitors/{monitor.public_id}/"
        answers = [
            reader.post("monitors/", {"name": "Job", "schedule": INTERVAL}),
            reader.patch(address, {"name": "Mine"}),
            reader.delete(address),
            reader.post(f"{address}pause/"),
            reader.put("monitors/by-slug/job/", {"name": "Job", "schedule": INTERVAL}),
        ]
        assert {answer.status_code for answer in answers} == {403}
        assert Monitor.objects.get() == monitor

    def test_pause_and_resume_do_what_they_say_and_are_recorded(self, writer, workspace):
        monitor = make_monitor(workspace=workspace)
        address = f"monitors/{monitor.public_id}/"
        assert writer.post(f"{address}pause/").json()["status"] == "paused"
        assert writer.post(f"{address}pause/").json()["status"] == "paused"
        assert writer.post(f"{address}resume/").json()["status"] == "new"
        actions = AuditEntry.objects.filter(action__in=["monitor.paused", "monitor.resumed"])
        assert actions.count() == 2

    def test_a_deleted_monitor_is_gone_and_its_push_url_too(self, writer, workspace, client):
        monitor = make_monitor(workspace=workspace)
        secret = secret_of(monitor)
        assert writer.delete(f"monitors/{monitor.public_id}/").status_code == 204
        assert writer.get(f"monitors/{monitor.public_id}/").status_code == 404
        assert client.post(f"/api/push/{secret}").status_code == 404


class TestBySlug:
    BODY = {"name": "Backup", "schedule": INTERVAL, "tags": ["db"]}

    def test_the_first_apply_creates_and_the_second_changes_nothing(self, writer):
        first = writer.put("monitors/by-slug/backup/", self.BODY)
        assert first.status_code == 201
        assert first.json()["slug"] == "backup"
        entries = AuditEntry.objects.count()
        second = writer.put("monitors/by-slug/backup/", self.BODY)
        assert second.status_code == 200
        assert second.json() == first.json()
        assert second["ETag"] == first["ETag"]
        # That the push URL was read is all there is to record.
        assert AuditEntry.objects.exclude(action="token.revealed").count() <= entries

    def test_a_changed_file_changes_the_monitor(self, writer):
        created = writer.put("monitors/by-slug/backup/", self.BODY).json()
        changed = writer.put("monitors/by-slug/backup/", {**self.BODY, "schedule": CRON})
        assert changed.status_code == 200
        assert changed.json()["schedule"] == CRON
        assert changed.json()["id"] == created["id"]

    def test_what_the_file_does_not_name_stays(self, writer, workspace):
        writer.put("monitors/by-slug/backup/", self.BODY)
        channel = make_channel(workspace=workspace, monitors=list(Monitor.objects.all()))
        data = writer.put("monitors/by-slug/backup/", {"name": "Backup", "schedule": INTERVAL}).json()
        assert data["tags"] == ["db"]
        assert data["channels"] == [str(channel.public_id)]

    def test_another_slug_in_the_body_is_422(self, writer):
        assert writer.put("monitors/by-slug/backup/", {**self.BODY, "slug": "other"}).status_code == 422

    def test_two_workspaces_have_a_slug_each(self, writer):
        other = Caller(make_workspace())
        assert writer.put("monitors/by-slug/backup/", self.BODY).status_code == 201
        assert other.get("monitors/by-slug/backup/").status_code == 404
        assert other.put("monitors/by-slug/backup/", self.BODY).status_code == 201


class TestValueRules:
    @pytest.mark.parametrize("value", ["12", True, [], 10**400])
    def test_a_bound_is_a_number_that_a_double_can_hold(self, writer, value):
        answer = writer.post("monitors/", {"name": "Job", "schedule": INTERVAL, "value_min": value})
        assert answer.status_code == 400
        assert "Must be a number" in errors_of(answer)["value_min"]

    def test_bounds_that_no_value_fits_are_refused_also_one_by_one(self, writer):
        body = {"name": "Job", "schedule": INTERVAL, "value_min": 2, "value_max": 1}
        assert writer.post("monitors/", body).status_code == 422
        data = writer.post("monitors/", {**body, "value_max": 3}).json()
        answer = writer.patch(f"monitors/{data['id']}/", {"value_max": 1})
        assert answer.status_code == 422
        assert "below value_min" in errors_of(answer)["value_max"]
        assert writer.patch(f"monitors/{data['id']}/", {"value_min": None, "value_max": 1}).status_code == 200
