"""No page of the admin site shows a secret or can be made to reveal one."""

from __future__ import annotations

import json

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from monitors.models import PushToken
from tests.support.admin_site import Samples
from tests.tianji.test_admin_walk import pages

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def leaks(text: str, samples: Samples) -> list[str]:
    return [name for name, secret in samples.secrets.items() if secret in text]


def test_no_page_of_a_full_tour_shows_a_secret(samples: Samples, root: Client):
    for page in [*pages(), *(f"{page}?q=o" for page in pages() if page.endswith("s/"))]:
        answer = root.get(page, follow=True)
        assert leaks(answer.text, samples) == [], page


def test_no_answer_of_a_rotation_shows_a_secret(samples: Samples, root: Client):
    from monitors.services import tokens

    rotate = reverse("admin:monitors_pushtoken_rotate", args=[samples.token.pk])
    answer = root.post(rotate, {"overlap": "1 h", "force": "on"}, follow=True)
    new = PushToken.objects.get(pk=answer.redirect_chain[-1][0].split("/")[-3])
    assert new.pk > samples.token.pk
    secret = tokens.reveal(new)
    assert secret not in answer.text
    assert f"/api/push/tjp_...{secret[-4:]}" in answer.text
    assert reverse("monitors:detail", args=[samples.monitor.public_id]) in answer.text
    assert leaks(answer.text, samples) == []
    assert secret not in json.dumps(dict(root.session))

    changelist = reverse("admin:monitors_pushtoken_changelist")
    chosen = {"action": "rotate_selected", "_selected_action": new.pk, "overlap": "0 s", "force": "on"}
    answer = root.post(changelist, chosen | {"after": 0, "up_to": new.pk})
    newest = PushToken.objects.latest("pk")
    assert newest.pk > new.pk
    assert tokens.reveal(newest) not in answer.text
    assert f"tjp_...{newest.last_four}" in answer.text


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        ("notifications_channel", "config__url__startswith=h"),
        ("notifications_channel", "config__startswith=h"),
        ("notifications_delivery", "channel__config__url__startswith=h"),
        ("monitors_pushtoken", "digest__startswith=a"),
        ("monitors_pushtoken", "sealed__startswith=g"),
        ("monitors_pushtoken", "created_by__password__startswith=m"),
        ("monitors_monitor", "tokens__digest__startswith=a"),
        ("monitors_monitor", "channels__config__url__startswith=h"),
        ("accounts_apikey", "digest__startswith=a"),
        ("accounts_auditentry", "api_key__digest__startswith=a"),
        ("accounts_user", "password__startswith=m"),
        ("accounts_workspace", "api_keys__digest__startswith=a"),
        ("accounts_membership", "user__password__startswith=m"),
        ("mfa_authenticator", "data__secret__startswith=J"),
        ("mfa_authenticator", "user__password__startswith=m"),
    ],
)
def test_a_list_cannot_be_filtered_by_a_secret(samples: Samples, root: Client, model: str, lookup: str):
    """Such a filter would reveal the secret letter by letter."""
    assert root.get(f"{reverse(f'admin:{model}_changelist')}?{lookup}").status_code == 400


def test_every_secret_column_of_ours_is_shut():
    """A model with a new secret must declare it; these are the columns that contain one today."""
    shut = {
        (model._meta.label, field)
        for model, model_admin in admin.site._registry.items()
        for field in getattr(model_admin, "secret_fields", ())
    }
    assert shut == {
        ("accounts.ApiKey", "digest"),
        ("accounts.User", "password"),
        ("mfa.Authenticator", "data"),
        ("monitors.PushToken", "digest"),
        ("monitors.PushToken", "sealed"),
        ("notifications.Channel", "config"),
    }
