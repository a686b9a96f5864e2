"""Authentication and permissions of the management API."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client

from accounts.actors import COMMAND
from accounts.models import KEY_PREFIX, ApiKey, AuditEntry, Membership, Role
from accounts.services import api_keys
from core.clock import database_now
from monitors.models import Monitor
from tests.support.callers import Caller
from tests.support.factories import make_monitor, make_user, make_workspace, secret_of

pytestmark = pytest.mark.django_db
JOB = {"name": "Job", "schedule": {"kind": "interval", "timeout": 60}}


def asked_with(client, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}
    return client.get("/api/v1/monitors/", headers=headers)


def is_refused(answer):
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="Tianji"'
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["type"] == "/api/problems/unauthenticated/"
    return True


class TestKeys:
    def test_a_key_opens_its_workspace(self, reader, workspace):
        monitor = make_monitor(workspace=workspace)
        make_monitor()
        assert [row["name"] for row in reader.get("monitors/").json()["results"]] == [monitor.name]

    @pytest.mark.parametrize(
        "made_of",
        [
            lambda secret: None,
            lambda secret: "",
            lambda secret: "Bearer",
            lambda secret: "Bearer ",
            lambda secret: secret,
            lambda secret: f"Basic {secret}",
            lambda secret: f"Token {secret}",
            lambda secret: f"Bearer {secret[:-1]}",
            lambda secret: f"Bearer {secret}x",
            lambda secret: f"Bearer {secret.replace(secret[10], 'a' if secret[10] != 'a' else 'b', 1)}",
            lambda secret: f"Bearer {secret.lower()}",
            lambda secret: "Bearer tja_",
            lambda secret: "Bearer " + KEY_PREFIX + "0" * 36,
            lambda secret: "Bearer \u00e9\u0000\u00ff",
            lambda secret: "Bearer " + "x" * 5000,
        ],
    )
    def test_an_invalid_key_is_401_with_a_hint_on_authentication(self, client, reader, made_of):
        assert is_refused(asked_with(client, made_of(reader.issued.secret)))

    def test_a_push_token_is_no_key(self, client, workspace):
        assert is_refused(asked_with(client, f"Bearer {secret_of(make_monitor(workspace=workspace))}"))

    def test_a_key_that_was_revoked_opens_nothing(self, client, reader):
        api_keys.revoke(key=reader.issued.key, by=COMMAND)
        assert is_refused(reader.get("monitors/"))

    def test_a_key_that_has_expired_opens_nothing(self, workspace):
        caller = Caller(workspace)
        expires = ApiKey.objects.filter(pk=caller.issued.key.pk)
        expires.update(expires_at=database_now() + timedelta(minutes=1))
        assert caller.get("monitors/").status_code == 200
        expires.update(expires_at=database_now())
        assert is_refused(caller.get("monitors/"))

    def test_the_scheme_is_read_in_any_case(self, client, reader):
        assert asked_with(client, f"bearer {reader.issued.secret}").status_code == 200

    def test_only_the_digest_of_a_key_is_stored(self, reader):
        (row,) = ApiKey.objects.values()
        assert reader.issued.secret not in str(row)

    def test_its_use_is_noted_once_a_minute_with_the_address(self, reader):
        reader.get("monitors/")
        key = ApiKey.objects.get()
        assert key.last_used_from == "127.0.0.1"
        first = key.last_used_at
        reader.get("monitors/")
        assert ApiKey.objects.get().last_used_at == first
        ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
        reader.get("monitors/")
        assert ApiKey.objects.get().last_used_at >= first

    def test_a_read_key_reads_and_a_write_key_does_both(self, reader, writer):
        assert reader.get("monitors/").status_code == writer.get("monitors/").status_code == 200
        refused = reader.post("monitors/", JOB)
        assert refused.status_code == 403
        assert refused.json()["type"] == "/api/problems/forbidden/"
        assert "write scope" in refused.json()["detail"]
        assert writer.post("monitors/", JOB).status_code == 201

    def test_what_a_key_did_is_recorded_under_its_name(self, writer):
        writer.post("monitors/", JOB)
        entry = AuditEntry.objects.get(action="monitor.created")
        assert (entry.api_key, entry.user, entry.via) == (writer.issued.key, None, "api")
        assert entry.actor == f"writer (tja_...{writer.issued.secret[-4:]})"

    def test_answers_are_kept_by_no_cache(self, reader, client):
        assert reader.get("monitors/")["Cache-Control"] == "no-store"
        assert asked_with(client, None)["Cache-Control"] == "no-store"


class TestSessions:
    @pytest.fixture
    def browser(self):
        """A browser: CSRF is checked."""
        return Client(enforce_csrf_checks=True, raise_request_exception=False)

    def create(self, browser, **headers):
        body = json.dumps(JOB)
        return browser.post("/api/v1/monitors/", body, content_type="application/json", headers=headers)

    def csrf_of(self, browser):
        browser.get("/accounts/login/")
        browser.get("/monitors/new/")
        return browser.cookies["csrftoken"].value

    def test_a_signed_in_user_needs_no_key(self, browser, workspace):
        monitor = make_monitor(workspace=workspace)
        browser.force_login(make_user(workspace=workspace, role=Role.VIEWER))
        answer = browser.get("/api/v1/monitors/")
        assert [row["name"] for row in answer.json()["results"]] == [monitor.name]
        assert answer.json()["results"][0]["push_url"] is None

    def test_an_admin_changes_things_with_the_csrf_token(self, browser, workspace):
        user = make_user(workspace=workspace, role=Role.ADMIN)
        browser.force_login(user)
        answer = self.create(browser, **{"X-CSRFToken": self.csrf_of(browser)})
        assert answer.status_code == 201, answer.content
        assert answer.json()["push_url"]
        entry = AuditEntry.objects.get(action="monitor.created")
        assert (entry.user, entry.via) == (user, "api")

    def test_without_the_csrf_token_nothing_is_changed(self, browser, workspace):
        browser.force_login(make_user(workspace=workspace, role=Role.ADMIN))
        answer = self.create(browser)
        assert answer.status_code == 403
        assert "CSRF" in answer.json()["detail"]
        assert answer["Content-Type"] == "application/problem+json"
        assert not Monitor.objects.exists()

    def test_a_viewer_changes_nothing(self, browser, workspace):
        browser.force_login(make_user(workspace=workspace, role=Role.VIEWER))
        answer = self.create(browser, **{"X-CSRFToken": self.csrf_of(browser)})
        assert answer.status_code == 403
        assert answer.json()["type"] == "/api/problems/forbidden/"
        assert "CSRF" not in answer.json()["detail"]

    def test_the_workspace_is_the_one_that_the_person_looks_at(self, browser, workspace):
        other = make_workspace()
        user = make_user(workspace=workspace)
        Membership.objects.create(user=user, workspace=other, role=Role.VIEWER)
        make_monitor(workspace=other, name="Over there")
        browser.force_login(user)
        assert browser.get("/api/v1/monitors/").json()["results"] == []
        session = browser.session
        session["workspace"] = str(other.public_id)
        session.save()
        assert browser.get("/api/v1/monitors/").json()["results"][0]["name"] == "Over there"
        # Owner there, viewer here.
        assert self.create(browser, **{"X-CSRFToken": self.csrf_of(browser)}).status_code == 403

    def test_a_person_without_a_workspace_finds_nothing(self, browser):
        browser.force_login(make_user())
        assert browser.get("/api/v1/monitors/").status_code == 404

    def test_a_deactivated_user_is_401(self, browser, workspace):
        user = make_user(workspace=workspace)
        browser.force_login(user)
        user.is_active = False
        user.save(update_fields=["is_active"])
        assert is_refused(browser.get("/api/v1/monitors/"))

    def test_a_wrong_key_is_not_made_good_by_a_session(self, browser, workspace):
        browser.force_login(make_user(workspace=workspace))
        assert is_refused(asked_with(browser, "Bearer tja_wrong"))

    def test_a_key_needs_no_csrf_token_even_from_a_browser(self, browser, workspace, writer):
        browser.force_login(make_user(workspace=workspace, role=Role.VIEWER))
        answer = self.create(browser, Authorization=f"Bearer {writer.issued.secret}")
        assert answer.status_code == 201
