"""A POST sent twice with the same Idempotency-Key runs once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event

import pytest
from django.db import connection
from django.test import Client

from accounts.models import AuditEntry, Membership, Role, StoredResponse
from api import idempotency
from api.idempotency import Answer, StillRunning
from core.clock import database_now
from monitors.models import Monitor
from monitors.services import tokens
from notifications.dispatch import send as sender
from notifications.transports.base import Sent
from tests.support.callers import Caller
from tests.support.factories import make_channel, make_monitor, make_user, make_workspace, secret_of

JOB = {"name": "Job", "schedule": {"kind": "interval", "timeout": 60}}
KEY = {"Idempotency-Key": "9d5f-1"}
_PATIENCE = 20.0


def created(caller, body=None, **headers):
    answer = caller.post("monitors/", body or JOB, **{**KEY, **headers})
    assert answer.status_code == 201, answer.content
    return answer


def age(**length):
    """Let time pass for stored responses, by changing them: the database's clock cannot be set."""
    StoredResponse.objects.update(created_at=database_now() - timedelta(**length))


@pytest.mark.django_db
class TestRepeating:
    def test_the_second_request_gets_the_same_answer_and_does_nothing(self, writer):
        first, second = created(writer), created(writer)
        assert second.json() == first.json()
        for header in ("Location", "ETag", "Content-Type"):
            assert second[header] == first[header]
        assert "Idempotency-Replayed" not in first
        assert second["Idempotency-Replayed"] == "true"
        assert Monitor.objects.count() == 1
        assert AuditEntry.objects.filter(action="monitor.created").count() == 1

    def test_the_answer_is_that_of_then_also_when_things_have_changed(self, writer):
        first = created(writer).json()
        writer.patch(f"monitors/{first['id']}/", {"name": "New name"})
        assert created(writer).json() == first
        writer.delete(f"monitors/{first['id']}/")
        assert created(writer).json() == first
        assert not Monitor.objects.exists()

    def test_a_space_more_or_another_order_is_the_same_body(self, writer):
        first = created(writer, {"name": "Job", "schedule": {"kind": "interval", "timeout": 60}})
        body = b'{ "name":"Job",   "schedule":{"kind":"interval","timeout":60} }'
        headers = {"Authorization": f"Bearer {writer.issued.secret}", **KEY}
        second = writer._client.generic(
            "POST", "/api/v1/monitors/", body, "application/json", headers=headers
        )
        assert second.json() == first.json()

    def test_another_body_under_the_key_is_422_and_does_nothing(self, writer):
        created(writer)
        answer = writer.post("monitors/", {**JOB, "name": "Other"}, **KEY)
        assert answer.status_code == 422
        assert answer.json()["type"] == "/api/problems/key-reused/"
        assert Monitor.objects.count() == 1

    def test_another_address_under_the_key_is_422(self, writer, workspace):
        one, other = make_monitor(workspace=workspace), make_monitor(workspace=workspace)
        assert writer.post(f"monitors/{one.public_id}/pause/", **KEY).status_code == 200
        assert writer.post(f"monitors/{other.public_id}/pause/", **KEY).status_code == 422
        assert writer.post(f"monitors/{one.public_id}/resume/", **KEY).status_code == 422

    def test_another_key_is_another_request(self, writer):
        created(writer)
        created(writer, **{"Idempotency-Key": "9d5f-2"})
        assert Monitor.objects.count() == 2

    def test_without_a_key_nothing_is_kept(self, writer):
        assert [writer.post("monitors/", JOB).status_code for _ in range(2)] == [201, 201]
        assert not StoredResponse.objects.exists()

    def test_a_rotation_that_is_sent_again_gives_the_same_token(self, writer, workspace, client):
        monitor = make_monitor(workspace=workspace)
        token = monitor.tokens.get()
        path = f"monitors/{monitor.public_id}/tokens/{token.public_id}/rotate/"
        first, second = writer.post(path, **KEY), writer.post(path, **KEY)
        assert first.status_code == second.status_code == 200
        assert second.json() == first.json()
        assert monitor.tokens.count() == 2

    def test_the_stored_answer_does_not_hold_the_token_in_the_clear(self, writer):
        secret = created(writer).json()["push_url"].rpartition("/")[2]
        (row,) = StoredResponse.objects.values()
        assert secret not in str(row)
        assert "Job" not in str(row)

    def test_an_answer_that_cannot_be_opened_any_more_is_not_done_again(self, writer, settings):
        created(writer)
        settings.SECRET_KEY = "another-" + "z" * 50
        assert writer.post("monitors/", JOB, **KEY).status_code == 409
        assert Monitor.objects.count() == 1


@pytest.mark.django_db
class TestWhose:
    def test_two_programs_may_use_the_same_key(self, writer, workspace):
        created(writer)
        created(Caller(workspace))
        created(Caller(make_workspace()))
        assert Monitor.objects.count() == 3

    def test_a_user_who_switched_workspaces_does_not_get_the_stored_response(self, workspace):
        other = make_workspace()
        user = make_user(workspace=workspace)
        Membership.objects.create(user=user, workspace=other, role=Role.OWNER)
        browser = Client()
        browser.force_login(user)

        def post():
            return browser.post("/api/v1/monitors/", JOB, content_type="application/json", headers=KEY)

        assert post().status_code == 201
        session = browser.session
        session["workspace"] = str(other.public_id)
        session.save()
        assert post().status_code == 422

    def test_a_key_that_may_only_read_by_now_gets_no_stored_answer(self, writer):
        created(writer)
        key = writer.issued.key
        type(key).objects.filter(pk=key.pk).update(scope="read")
        assert writer.post("monitors/", JOB, **KEY).status_code == 403


@pytest.mark.django_db
class TestHowLong:
    def test_it_is_kept_for_24_hours(self, writer):
        first = created(writer).json()
        age(hours=23, minutes=59)
        assert created(writer).json() == first

    def test_afterwards_the_key_is_free(self, writer):
        first = created(writer).json()
        age(hours=24, seconds=1)
        assert created(writer).json()["id"] != first["id"]
        assert StoredResponse.objects.count() == 1

    def test_what_is_old_is_forgotten_and_what_is_young_stays(self, writer):
        created(writer)
        assert idempotency.forget_old() == 0
        age(hours=25)
        assert idempotency.forget_old() == 1
        assert not StoredResponse.objects.exists()


@pytest.mark.django_db
class TestFailures:
    def test_what_was_refused_is_not_kept_and_may_be_tried_again(self, writer):
        assert writer.post("monitors/", {"name": "Job"}, **KEY).status_code == 400
        assert not StoredResponse.objects.exists()
        created(writer)

    def test_a_conflict_may_be_tried_again_with_the_same_body(self, writer):
        taken = created(writer, {**JOB, "slug": "job"}, **{"Idempotency-Key": "first"}).json()
        body = {**JOB, "slug": "job"}
        assert writer.post("monitors/", body, **KEY).status_code == 409
        writer.delete(f"monitors/{taken['id']}/")
        created(writer, body)

    def test_what_breaks_in_the_middle_leaves_nothing(self, writer, monkeypatch):
        def dies(**kwargs):
            raise SystemExit

        monkeypatch.setattr(tokens, "issue_first", dies)
        with pytest.raises(SystemExit):
            writer.post("monitors/", JOB, **KEY)
        assert not Monitor.objects.exists()
        assert not StoredResponse.objects.exists()
        monkeypatch.undo()
        created(writer)

    def test_a_failure_between_the_operation_and_its_stored_response_leaves_nothing(
        self, writer, monkeypatch
    ):
        def dies(*args):
            raise SystemExit

        monkeypatch.setattr(idempotency, "_keep", dies)
        with pytest.raises(SystemExit):
            writer.post("monitors/", JOB, **KEY)
        assert not Monitor.objects.exists()
        assert not StoredResponse.objects.exists()

    @pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "schlüssel", "a\tb", "\x7f"])
    def test_a_key_that_can_be_none_is_400(self, writer, key):
        answer = writer.post("monitors/", JOB, **{"Idempotency-Key": key})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
        assert not Monitor.objects.exists()


@pytest.mark.django_db
class TestOutsideATransaction:
    """Handlers that use the network, such as a channel's test, must not run in a transaction."""

    def test_it_is_sent_once(self, writer, workspace, monkeypatch):
        channel = make_channel(workspace=workspace)
        sent = []

        def send(*, channel):
            sent.append(channel)
            return Sent("taken")

        monkeypatch.setattr(sender, "send_test", send)
        path = f"channels/{channel.public_id}/test/"
        first, second = writer.post(path, **KEY), writer.post(path, **KEY)
        assert first.json() == second.json() == {"ok": True, "detail": "taken"}
        assert len(sent) == 1

    def ask(self, run):
        return idempotency.once_outside(owner="key:1", key="k", request_digest="d", run=run)

    def test_while_the_first_request_runs_the_second_must_wait(self):
        def first():
            with pytest.raises(StillRunning):
                self.ask(lambda: Answer(200, {}, "second"))
            return Answer(200, {}, "first")

        assert self.ask(first).data == "first"
        assert self.ask(first).data == "first"

    def test_what_failed_may_be_tried_again(self):
        def fails():
            raise RuntimeError

        with pytest.raises(RuntimeError):
            self.ask(fails)
        assert self.ask(lambda: Answer(200, {}, "again")).data == "again"

    def test_what_was_cut_off_is_free_again_after_a_minute(self):
        StoredResponse.objects.create(owner="key:1", key="k", request_digest="d", created_at=database_now())
        with pytest.raises(StillRunning):
            self.ask(lambda: Answer(200, {}, "again"))
        age(seconds=61)
        assert self.ask(lambda: Answer(200, {}, "again")).data == "again"

    def test_over_http_it_is_409_with_retry_after(self, writer, workspace):
        channel = make_channel(workspace=workspace)
        path = f"channels/{channel.public_id}/test/"
        writer.post(path, **KEY)
        StoredResponse.objects.update(status=None)
        answer = writer.post(path, **KEY)
        assert answer.status_code == 409
        assert int(answer["Retry-After"]) > 0
        assert "still in progress" in answer.json()["detail"]


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_of_many_with_one_key_one_creates_a_monitor_and_all_get_its_answer(self):
        writer = Caller(make_workspace())
        together = Barrier(6)

        def post(_number):
            caller = object.__new__(Caller)
            caller.issued, caller._client = writer.issued, Client(raise_request_exception=False)
            try:
                together.wait(_PATIENCE)
                return caller.post("monitors/", JOB, **KEY)
            finally:
                connection.close()

        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(post, range(6)))
        assert {answer.status_code for answer in answers} == {201}, [a.content for a in answers]
        assert len({answer.content for answer in answers}) == 1
        assert Monitor.objects.count() == 1
        assert secret_of(Monitor.objects.get()) in answers[0].content.decode()

    def test_a_second_that_comes_while_the_first_commits_waits_for_its_answer(self):
        began, go_on = Event(), Event()

        def slowly():
            began.set()
            assert go_on.wait(_PATIENCE)
            return Answer(201, {}, "first")

        def once(run):
            try:
                return idempotency.once(owner="key:1", key="k", request_digest="d", run=run)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(once, slowly)
            assert began.wait(_PATIENCE)
            second = pool.submit(once, lambda: Answer(201, {}, "second"))
            go_on.set()
            assert (first.result(_PATIENCE).data, second.result(_PATIENCE).data) == ("first", "first")
