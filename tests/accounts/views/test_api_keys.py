"""The settings page of API keys."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.actors import COMMAND
from accounts.models import ApiKey
from accounts.services import api_keys
from core.clock import database_now
from tests.support.factories import make_workspace

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def url(name, *arguments):
    return reverse(f"accounts:{name}", args=arguments)


def text_of(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def test_a_key_is_shown_once_in_the_answer_to_the_form(admin, workspace):
    response = admin.post(url("api_keys"), {"name": "ci", "scope": "write", "expires_days": "30"})
    secret = re.search(r'value="(tja_\w{36})"', response.content.decode())[1]
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    key = api_keys.find(secret, address=None)
    assert (key.name, key.scope, key.workspace) == ("ci", "write", workspace)
    assert key.created_by == workspace.memberships.get().user
    assert timedelta(days=29) < key.expires_at - database_now() <= timedelta(days=30)
    page = admin.get(url("api_keys"))
    assert secret not in page.content.decode()
    assert f"ci tja_...{secret[-4:]}" in text_of(page)
    assert secret not in str(dict(admin.session.items()))


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"name": ""}, "Enter a name."),
        ({"scope": "all"}, "Select a valid choice."),
        ({"expires_days": "0"}, "greater than or equal to 1"),
        ({"expires_days": "soon"}, "Enter a whole number."),
    ],
)
def test_invalid_input_for_a_key_is_reported_and_kept_in_the_form(admin, typed, error):
    response = admin.post(url("api_keys"), {"name": "ci", "scope": "read", **typed})
    assert response.status_code == 422
    assert error in text_of(response)
    assert not ApiKey.objects.exists()


def test_the_list_shows_the_state_and_last_use_of_each_key(admin, workspace):
    now = database_now()

    def make(name, **columns):
        key = api_keys.issue(workspace=workspace, name=name, scope="read", by=COMMAND).key
        ApiKey.objects.filter(pk=key.pk).update(**columns)

    make("fresh")
    make("used", last_used_at=now - timedelta(minutes=20, seconds=1), last_used_from="192.0.2.7")
    make("ends", expires_at=now + timedelta(days=2, seconds=30))
    make("ended", expires_at=now - timedelta(hours=2, seconds=1))
    make("revoked", revoked_at=now - timedelta(days=1, seconds=1))
    api_keys.issue(workspace=make_workspace(), name="foreign", scope="read", by=COMMAND)
    response = admin.get(url("api_keys"))
    text = text_of(response)
    assert re.search(r"fresh tja_...\w{4} Read · created 0 s ago · not used yet", text)
    assert "last used 20 min ago from 192.0.2.7" in text
    assert "Expires in 2 d" in text
    assert "Expired 2 h ago" in text
    assert "Revoked 1 d ago" in text
    assert "foreign" not in text
    # Expired keys cannot be revoked.
    assert response.content.decode().count("/revoke/") == 2 * 3


def test_the_number_of_queries_does_not_grow_with_the_keys(admin, workspace, django_assert_num_queries):
    for number in range(2):
        for _ in range(10 * number + 1):
            admin.post(url("api_keys"), {"name": "ci", "scope": "read"})
        with django_assert_num_queries(5):
            admin.get(url("api_keys"))


def test_a_key_is_revoked_after_a_question(admin, workspace):
    issued = api_keys.issue(workspace=workspace, name="ci", scope="read", by=COMMAND)
    address = url("revoke_api_key", issued.key.public_id)
    assert "Revoke API key “ci”?" in text_of(admin.get(address))
    assert "<html" not in admin.get(address, headers=HTMX).content.decode()
    assert api_keys.find(issued.secret, address=None)
    assert "API key “ci” revoked." in text_of(admin.post(address, follow=True))
    assert api_keys.find(issued.secret, address=None) is None


def test_a_key_of_another_workspace_does_not_exist(admin):
    key = api_keys.issue(workspace=make_workspace(), name="ci", scope="read", by=COMMAND).key
    assert admin.post(url("revoke_api_key", key.public_id)).status_code == 404


def test_a_viewer_revokes_nothing(viewer, workspace):
    key = api_keys.issue(workspace=workspace, name="ci", scope="read", by=COMMAND).key
    assert viewer.post(url("revoke_api_key", key.public_id)).status_code == 403
