"""Push tokens over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEntry
from core.clock import database_now
from monitors.heartbeats.rejections import Reason, RejectionLog
from monitors.models import PushToken
from monitors.services import tokens
from tests.support.callers import Caller
from tests.support.factories import make_monitor, make_workspace, secret_of
from tests.support.heartbeats import push

pytestmark = pytest.mark.django_db
DAY = 86400


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, timeout=60)


@pytest.fixture
def path(monitor):
    """The address of the monitor's tokens."""
    return f"monitors/{monitor.public_id}/tokens/"


def listed(caller, path):
    answer = caller.get(path)
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def first_of(caller, path):
    """The token that the monitor began with."""
    return listed(caller, path)[-1]


def seconds_until(moment):
    return (datetime.fromisoformat(moment) - database_now()).total_seconds()


def age(**length):
    """Let time pass for all tokens: the clock is the database's and cannot be turned."""
    for column in ("created_at", "expires_at", "replaced_at", "last_used_at"):
        PushToken.objects.filter(**{f"{column}__isnull": False}).update(
            **{column: F(column) - timedelta(**length)}
        )


def pushes(client, data):
    """The status that a push to the `push_url` of a token is answered with."""
    return client.post(data["push_url"].partition("testserver")[2]).status_code


class TestListing:
    def test_the_first_token_is_there_with_all_that_is_known_of_it(self, writer, monitor, path):
        secret = secret_of(monitor)
        (data,) = listed(writer, path)
        assert data == {
            "id": str(monitor.tokens.get().public_id),
            "label": "",
            "masked": f"tjp_...{secret[-4:]}",
            "token": secret,
            "push_url": f"http://testserver/api/push/{secret}",
            "works": True,
            "imported": False,
            "created_at": data["created_at"],
            "expires_at": None,
            "revoked_at": None,
            "replaced_by": None,
            "replaced_at": None,
            "change_is_complete": None,
            "last_used_at": None,
            "last_used_from": None,
            "limited_count": 0,
            "limited_at": None,
        }
        assert writer.get(f"{path}{data['id']}/").json() == data

    def test_the_newest_come_first_in_pages(self, writer, path):
        made = [writer.post(path, {"label": str(n)}).json()["label"] for n in range(3)]
        first = writer.get(f"{path}?limit=2").json()
        assert [row["label"] for row in first["results"]] == made[:0:-1]
        second = writer.get(first["next"].partition("/api/v1/")[2]).json()
        assert [row["label"] for row in second["results"]] == [made[0], ""]
        assert second["next"] is None

    def test_a_viewer_sees_masks_and_no_secret(self, reader, writer, monitor, path):
        secret = secret_of(monitor)
        data = writer.post(f"{path}{first_of(writer, path)['id']}/rotate/").json()
        for address in (path, f"{path}{data['id']}/", f"{path}{data['old']['id']}/"):
            content = reader.get(address).content.decode()
            assert secret not in content
            assert data["token"] not in content
            assert f"tjp_...{data['token'][-4:]}" in content or f"tjp_...{secret[-4:]}" in content
        assert {row["token"] for row in listed(reader, path)} == {None}
        assert {row["push_url"] for row in listed(reader, path)} == {None}

    def test_a_token_that_does_not_work_is_not_shown_any_more(self, writer, path):
        data = first_of(writer, path)
        writer.post(f"{path}{data['id']}/revoke/")
        gone = first_of(writer, path)
        assert (gone["works"], gone["token"], gone["push_url"]) == (False, None, None)

    def test_the_last_use_has_its_address(self, reader, monitor, path):
        push(monitor, source="192.0.2.7")
        data = first_of(reader, path)
        assert data["last_used_from"] == "192.0.2.7"
        assert -60 < seconds_until(data["last_used_at"]) <= 0

    def test_rate_limited_pushes_are_counted(self, reader, monitor, path):
        rejections = RejectionLog(by_itself=False)
        for _ in range(3):
            rejections.note(monitor.tokens.get().digest, Reason.LIMIT, method="GET", source=None, detail="")
        rejections.write()
        data = first_of(reader, path)
        assert data["limited_count"] == 3
        assert data["limited_at"]

    def test_to_see_tokens_is_recorded_once_an_hour_for_each(self, writer, monitor, path):
        writer.post(path, {"label": "host-a"})
        AuditEntry.objects.all().delete()
        for _ in range(3):
            writer.get(path)
        entries = AuditEntry.objects.filter(action="token.revealed", subject=monitor.public_id)
        assert entries.count() == 2
        assert {entry.api_key for entry in entries} == {writer.issued.key}

    @pytest.mark.slow
    def test_the_list_of_1000_takes_as_many_queries_as_the_list_of_two(self, writer, monitor, path):
        tokens.issue(monitor=monitor)
        with CaptureQueriesContext(connection) as few:
            assert len(listed(writer, path)) == 2
        first = monitor.tokens.first()
        PushToken.objects.bulk_create(
            PushToken(
                monitor=monitor,
                digest=f"{n:064}",
                sealed=first.sealed,
                last_four=f"{n:04}",
                created_at=first.created_at,
            )
            for n in range(998)
        )
        # That they were seen is written once an hour.
        writer.get(f"{path}?limit=500")
        with CaptureQueriesContext(connection) as many:
            assert len(listed(writer, f"{path}?limit=500")) == 500
        assert len(many) <= len(few) <= 12


class TestIssuing:
    def test_a_further_token_works_beside_the_first(self, writer, path, client, monitor):
        answer = writer.post(path, {"label": "host-a"})
        data = answer.json()
        assert answer.status_code == 201
        assert answer["Location"] == f"/api/v1/{path}{data['id']}/"
        assert data["label"] == "host-a"
        assert pushes(client, data) == 200
        assert client.post(f"/api/push/{first_of(writer, path)['token']}").status_code == 200

    def test_a_token_needs_no_label_and_no_body(self, writer, path):
        assert writer.post(path).json()["label"] == ""

    def test_a_token_of_another_system_goes_on_working(self, writer, path, client):
        answer = writer.post(path, {"label": "old system", "token": "Kuma-push_token7"})
        assert answer.status_code == 201
        data = answer.json()
        assert data["imported"] is True
        assert data["token"] == "Kuma-push_token7"
        assert client.get("/api/push/Kuma-push_token7?status=up").status_code == 200

    @pytest.mark.parametrize("token", ["short", "x" * 65, "with space", "with/slash1", "", 12345678, None])
    def test_what_can_be_no_token_is_400_and_says_what_can(self, writer, path, token):
        answer = writer.post(path, {"token": token})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "token"

    def test_a_mistyped_token_of_ours_is_422(self, writer, path):
        answer = writer.post(path, {"token": "tjp_" + "x" * 36})
        assert answer.status_code == 422
        assert "Mistyped" in answer.json()["detail"]

    def test_a_token_that_names_a_monitor_already_is_a_conflict_whoever_has_it(self, writer, path):
        theirs = secret_of(make_monitor())
        answer = writer.post(path, {"token": theirs})
        assert answer.status_code == 409
        assert theirs not in answer.content.decode()

    def test_more_than_the_most_is_a_conflict(self, writer, path, monkeypatch):
        monkeypatch.setattr(tokens, "TOKENS_MOST", 1)
        answer = writer.post(path)
        assert answer.status_code == 409
        assert "at most 1" in answer.json()["detail"]

    def test_a_label_may_be_changed_and_the_change_is_recorded(self, writer, path, monitor):
        data = first_of(writer, path)
        answer = writer.patch(f"{path}{data['id']}/", {"label": "host-b"})
        assert answer.status_code == 200
        assert answer.json()["label"] == "host-b"
        assert AuditEntry.objects.filter(action="token.renamed", subject=monitor.public_id).count() == 1

    def test_a_label_is_one_line(self, writer, path):
        data = first_of(writer, path)
        assert writer.patch(f"{path}{data['id']}/", {"label": "a\nb"}).status_code == 400
        assert writer.patch(f"{path}{data['id']}/", {"label": "x" * 61}).status_code == 400


class TestRotating:
    def test_the_answer_has_the_new_token_and_when_the_old_one_ends(self, writer, path, client):
        old = first_of(writer, path)
        answer = writer.post(f"{path}{old['id']}/rotate/", {"overlap_seconds": 86400, "force": False})
        assert answer.status_code == 200
        data = answer.json()
        assert {"id", "token", "push_url", "expires_at"} <= set(data)
        assert data["push_url"].endswith(f"/api/push/{data['token']}")
        assert DAY - 60 < seconds_until(data["expires_at"]) <= DAY
        assert data["old"]["id"] == old["id"]
        assert data["old"]["expires_at"] == data["expires_at"]
        assert data["old"]["replaced_by"] == data["id"]
        assert pushes(client, data) == 200
        assert pushes(client, old) == 200

    def test_without_a_body_the_old_one_works_for_a_day(self, writer, path):
        data = writer.post(f"{path}{first_of(writer, path)['id']}/rotate/").json()
        assert DAY - 60 < seconds_until(data["expires_at"]) <= DAY

    def test_without_an_overlap_the_old_one_stops_at_once(self, writer, path, client):
        old = first_of(writer, path)
        data = writer.post(f"{path}{old['id']}/rotate/", {"overlap_seconds": 0}).json()
        assert pushes(client, old) == 404
        assert pushes(client, data) == 200

    def test_the_label_goes_over_to_the_new_token(self, writer, path):
        made = writer.post(path, {"label": "host-a"}).json()
        assert writer.post(f"{path}{made['id']}/rotate/").json()["label"] == "host-a"

    @pytest.mark.parametrize("overlap", [-1, 7 * DAY + 1, "60", None, 1.5, True])
    def test_an_overlap_that_cannot_be_is_400_and_says_what_can(self, writer, path, overlap):
        old = first_of(writer, path)
        answer = writer.post(f"{path}{old['id']}/rotate/", {"overlap_seconds": overlap})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "overlap_seconds"
        assert len(listed(writer, path)) == 1

    def test_a_second_rotation_during_an_overlap_is_409_unless_forced(self, writer, path, client):
        old = first_of(writer, path)
        new = writer.post(f"{path}{old['id']}/rotate/").json()
        answer = writer.post(f"{path}{new['id']}/rotate/")
        assert answer.status_code == 409
        assert answer.json()["type"] == "/api/problems/conflict/"
        assert answer.json()["errors"][0]["field"] == "force"
        assert new["expires_at"] in answer.json()["detail"]
        assert len(listed(writer, path)) == 2
        forced = writer.post(f"{path}{new['id']}/rotate/", {"force": True})
        assert forced.status_code == 200
        assert [pushes(client, data) for data in (old, new, forced.json())] == [200, 200, 200]

    def test_after_the_overlap_the_next_rotation_needs_no_force(self, writer, path, client):
        old = first_of(writer, path)
        new = writer.post(f"{path}{old['id']}/rotate/", {"overlap_seconds": 60}).json()
        age(seconds=61)
        assert pushes(client, old) == 404
        assert writer.post(f"{path}{new['id']}/rotate/").status_code == 200

    def test_a_token_that_was_revoked_cannot_be_rotated(self, writer, path):
        old = first_of(writer, path)
        writer.post(f"{path}{old['id']}/revoke/")
        answer = writer.post(f"{path}{old['id']}/rotate/")
        assert answer.status_code == 409
        assert "Create a new one" in answer.json()["detail"]

    def test_when_the_old_one_is_silent_and_the_new_one_in_use_the_change_is_complete(
        self, writer, reader, path
    ):
        old = first_of(writer, path)
        new = writer.post(f"{path}{old['id']}/rotate/").json()
        assert first_of(reader, path)["change_is_complete"] is False
        age(hours=1)
        push(new["token"])
        assert first_of(reader, path)["change_is_complete"] is True

    def test_it_is_recorded_with_the_key_that_did_it(self, writer, path, monitor):
        old = first_of(writer, path)
        new = writer.post(f"{path}{old['id']}/rotate/").json()
        entry = AuditEntry.objects.get(action="token.rotated", subject=monitor.public_id)
        assert entry.api_key == writer.issued.key
        assert entry.details["overlap_seconds"] == DAY
        assert new["token"] not in str(entry.details)


class TestOverlap:
    def test_it_can_be_extended(self, writer, path):
        old = first_of(writer, path)
        writer.post(f"{path}{old['id']}/rotate/", {"overlap_seconds": 60})
        answer = writer.post(f"{path}{old['id']}/overlap/", {"overlap_seconds": 3 * DAY})
        assert answer.status_code == 200
        assert 3 * DAY - 60 < seconds_until(answer.json()["expires_at"]) <= 3 * DAY

    def test_it_can_be_ended_early(self, writer, path, client):
        old = first_of(writer, path)
        writer.post(f"{path}{old['id']}/rotate/")
        answer = writer.post(f"{path}{old['id']}/overlap/", {"overlap_seconds": 0})
        assert answer.json()["works"] is False
        assert pushes(client, old) == 404

    def test_what_has_ended_cannot_be_extended(self, writer, path):
        old = first_of(writer, path)
        writer.post(f"{path}{old['id']}/rotate/", {"overlap_seconds": 0})
        assert writer.post(f"{path}{old['id']}/overlap/", {"overlap_seconds": 60}).status_code == 409

    def test_a_token_that_was_not_rotated_has_none(self, writer, path):
        answer = writer.post(f"{path}{first_of(writer, path)['id']}/overlap/", {"overlap_seconds": 60})
        assert answer.status_code == 409
        assert "Revoke it" in answer.json()["detail"]

    def test_the_time_has_to_be_given(self, writer, path):
        answer = writer.post(f"{path}{first_of(writer, path)['id']}/overlap/", {})
        assert answer.status_code == 400


class TestRevoking:
    def test_it_stops_at_once_and_the_others_go_on(self, writer, path, client):
        old = first_of(writer, path)
        other = writer.post(path, {"label": "host-a"}).json()
        answer = writer.post(f"{path}{old['id']}/revoke/")
        assert answer.status_code == 200
        assert answer.json()["works"] is False
        assert answer.json()["revoked_at"]
        assert pushes(client, old) == 404
        assert pushes(client, other) == 200

    def test_the_second_time_changes_nothing(self, writer, path, monitor):
        old = first_of(writer, path)
        first = writer.post(f"{path}{old['id']}/revoke/").json()
        assert writer.post(f"{path}{old['id']}/revoke/").json() == first
        assert AuditEntry.objects.filter(action="token.revoked", subject=monitor.public_id).count() == 1


class TestWhoMay:
    def test_a_read_key_changes_nothing(self, reader, writer, path):
        old = first_of(writer, path)
        answers = [
            reader.post(path, {"label": "mine"}),
            reader.patch(f"{path}{old['id']}/", {"label": "mine"}),
            reader.post(f"{path}{old['id']}/rotate/"),
            reader.post(f"{path}{old['id']}/overlap/", {"overlap_seconds": 0}),
            reader.post(f"{path}{old['id']}/revoke/"),
        ]
        assert {answer.status_code for answer in answers} == {403}
        assert listed(writer, path) == [old]

    def test_another_workspaces_tokens_are_404_for_every_method(self, writer, path):
        old = first_of(writer, path)
        other = Caller(make_workspace())
        answers = [
            other.get(path),
            other.post(path, {"label": "mine"}),
            *(other("GET" if not end else "POST", f"{path}{old['id']}/{end}") for end in ("", "rotate/")),
            other.patch(f"{path}{old['id']}/", {"label": "mine"}),
            other.post(f"{path}{old['id']}/overlap/", {"overlap_seconds": 0}),
            other.post(f"{path}{old['id']}/revoke/"),
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert listed(writer, path) == [old]

    def test_a_token_is_found_under_its_own_monitor_only(self, writer, path, workspace):
        elsewhere = make_monitor(workspace=workspace).tokens.get().public_id
        assert writer.get(f"{path}{elsewhere}/").status_code == 404
        assert writer.post(f"{path}{elsewhere}/revoke/").status_code == 404
        assert writer.post(f"{path}{elsewhere}/rotate/").status_code == 404
        assert PushToken.objects.get(public_id=elsewhere).revoked_at is None
