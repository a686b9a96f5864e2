"""Management API keys: issue, find and revoke them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db.models import F

from accounts.actors import COMMAND, Actor
from accounts.models import ApiKey, AuditEntry
from accounts.services import api_keys
from core import credentials
from core.clock import database_now
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db


def issue(workspace, **fields):
    return api_keys.issue(workspace=workspace, by=COMMAND, **{"name": "ci", "scope": "write", **fields})


def find(secret, address="192.0.2.7"):
    return api_keys.find(secret, address=address)


def last_used(**ago):
    """Move the last use of every key into the past."""
    ApiKey.objects.update(last_used_at=F("last_used_at") - timedelta(**ago))


def test_a_key_begins_with_its_prefix_and_only_its_digest_is_kept(workspace):
    issued = issue(workspace)
    assert re.fullmatch(r"tja_[0-9A-Za-z]{36}", issued.secret)
    kept = ApiKey.objects.values().get()
    assert issued.secret not in map(str, kept.values())
    assert (kept["digest"], kept["last_four"]) == (credentials.digest(issued.secret), issued.secret[-4:])


def test_a_key_is_found_by_its_secret(workspace):
    issued = issue(workspace)
    key = find(issued.secret)
    assert key == issued.key
    assert key.workspace == workspace


def test_a_scope_that_does_not_exist_is_refused(workspace):
    with pytest.raises(ValueError, match="everything"):
        issue(workspace, scope="everything")
    assert not ApiKey.objects.exists()


def test_strangers_are_not_found(workspace):
    issue(workspace)
    for secret in (
        "",
        "tja_",
        credentials.new_key("tja_"),
        credentials.new_key("tjp_"),
        "x" * 5000,
        "tja_\x00é",
    ):
        assert find(secret) is None


def test_a_mistyped_key_does_not_reach_the_database(workspace, django_assert_num_queries):
    secret = issue(workspace).secret
    mistyped = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    with django_assert_num_queries(0):
        assert find(mistyped) is None


def test_an_expired_key_is_not_found(workspace):
    assert find(issue(workspace, expires_at=database_now() - timedelta(seconds=1)).secret) is None
    assert find(issue(workspace, expires_at=database_now() + timedelta(minutes=1)).secret)


def test_a_revoked_key_is_not_found_and_is_revoked_once(workspace):
    issued = issue(workspace)
    assert api_keys.revoke(key=issued.key, by=COMMAND)
    assert find(issued.secret) is None
    assert not api_keys.revoke(key=issued.key, by=COMMAND)
    assert AuditEntry.objects.filter(action=AuditEntry.Action.API_KEY_REVOKED).count() == 1


def test_the_last_use_is_noted_once_a_minute(workspace, django_assert_num_queries):
    issued = issue(workspace)
    find(issued.secret)
    key = ApiKey.objects.get()
    assert key.last_used_from == "192.0.2.7"
    assert database_now() - key.last_used_at < timedelta(seconds=10)
    # The time and the key: nothing is written.
    with django_assert_num_queries(2):
        find(issued.secret, "192.0.2.8")
    last_used(seconds=61)
    find(issued.secret, "192.0.2.8")
    assert ApiKey.objects.get().last_used_from == "192.0.2.8"


def test_making_a_key_is_recorded_without_the_key(workspace):
    user = make_user(workspace=workspace)
    issued = api_keys.issue(workspace=workspace, name="ci", scope="read", by=Actor(user=user, via="browser"))
    entry = AuditEntry.objects.get(action=AuditEntry.Action.API_KEY_CREATED)
    assert (entry.workspace, entry.actor, entry.subject) == (workspace, user.email, issued.key.public_id)
    assert entry.subject_name == f"ci (tja_...{issued.secret[-4:]})"
    assert entry.details == {"scope": "read"}
    assert issued.key.created_by == user
