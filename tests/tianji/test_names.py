"""Names, wherever they are typed: one line, and without characters that make them read like others."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest
from django import forms
from django.contrib import admin
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from django.urls import reverse
from rest_framework import serializers

import accounts
import api
import monitors
import notifications
from accounts.models import ApiKey, User, Workspace
from accounts.services import setup
from api.fields import StrictSerializer, Text
from core.admin import SiteAdmin
from core.form_fields import LineEmailField, LineField, PlainTextField
from monitors.models import Incident, MaintenanceWindow, Monitor, PushToken
from notifications.forms.channels import ChannelForm
from notifications.models import Channel
from tests.support.admin_site import root, samples, superuser
from tests.support.callers import Caller
from tests.support.factories import PASSWORD, make_monitor, make_user, secret_of

__all__ = ["root", "samples", "superuser"]

pytestmark = pytest.mark.django_db

HIDDEN = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
DISGUISED = f"Mai\u202e{HIDDEN}l"
BREAKS = ["Mail\nBcc: eve@example.com", "Mail\r\nX: y", "Mail\r", "\nMail", "Mail\u2028queue", "Mail\x85"]
WHEN = {"kind": "once", "starts_at": "2035-11-28T22:00:00Z", "ends_at": "2035-11-29T02:00:00Z"}
INTERVAL = {"kind": "interval", "timeout": 60}


def modules(*packages) -> Iterator[str]:
    for package in packages:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name:
                yield module.name


def below(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from below(child)


def ours(kind: type) -> set[type]:
    for name in modules(accounts, api, monitors, notifications):
        importlib.import_module(name)
    return {
        child
        for child in below(kind)
        if child.__module__.split(".")[0] in ("accounts", "api", "monitors", "notifications")
    }


# --- Every form, page of the API and page of the admin site --------------------------------------------

# Fields that are no text for people, each with a check of its own.
CHECKED_ELSEWHERE = {
    *("password", "password1", "password2", "oldpassword", "code", "secret", "email"),
    *("slug", "cron", "calendar", "timezone", "quiet_timezone", "q"),
}


def test_every_field_of_a_form_that_takes_text_is_strict():
    found = {
        (form.__name__, name)
        # Those of the admin site get their fields there.
        for form in ours(forms.BaseForm) - ours(forms.BaseModelForm)
        for name, field in getattr(form, "base_fields", {}).items()
        if isinstance(field, forms.CharField)
        and not isinstance(field, (LineField, LineEmailField, PlainTextField, forms.RegexField))
    }
    assert {(form, name) for form, name in found if name not in CHECKED_ELSEWHERE} == set()
    assert isinstance(ChannelForm.base_fields["name"], LineField)


def test_every_text_that_the_api_reads_is_strict():
    plain = {
        (serializer.__name__, name)
        for serializer in ours(StrictSerializer)
        for name, field in serializer().fields.items()
        if isinstance(field, serializers.CharField)
        and not isinstance(field, (Text, serializers.RegexField))
        and not field.read_only
    }
    assert plain == set()


def test_every_text_in_the_admin_site_is_strict(superuser):
    request = RequestFactory().get("/")
    request.user = superuser
    plain = set()
    for model, page in admin.site._registry.items():
        if isinstance(page, SiteAdmin) and page.has_change_permission(request):
            for name, field in page.get_form(request, None).base_fields.items():
                if type(field) in (forms.CharField, forms.EmailField):
                    plain.add((model.__name__, name))
    assert {(model, name) for model, name in plain if name not in CHECKED_ELSEWHERE} == set()


# --- With real requests --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BREAKS)
def test_the_pages_refuse_names_of_several_lines(admin_client_of, name):
    client, workspace = admin_client_of
    monitor = make_monitor(workspace=workspace, name="Before")
    token = monitor.tokens.get()
    posts = {
        reverse("monitors:create"): {"name": name, **INTERVAL},
        reverse("monitors:edit", args=[monitor.public_id]): {"name": name, **INTERVAL},
        reverse("monitors:issue_token", args=[monitor.public_id]): {"label": name},
        reverse("monitors:import_token", args=[monitor.public_id]): {
            "secret": "abcdefgh12345",
            "label": name,
        },
        f"/monitors/{monitor.public_id}/tokens/{token.public_id}/rename/": {"label": name},
        "/channels/new/webhook/": {"name": name, "url": "https://example.com/", "scope": "all"},
        reverse("accounts:settings"): {"name": name},
        reverse("accounts:api_keys"): {"name": name, "scope": "read"},
    }
    for url, typed in posts.items():
        answer = client.post(url, typed)
        assert answer.status_code == 422, url
        assert "single line" in answer.content.decode(), url
    assert set(Monitor.objects.values_list("name", flat=True)) == {"Before"}
    assert set(PushToken.objects.values_list("label", flat=True)) == {""}
    assert not Channel.objects.exists()
    assert not ApiKey.objects.exists()
    assert Workspace.objects.get().name == workspace.name


@pytest.fixture
def admin_client_of(workspace):
    client = Client()
    client.force_login(make_user(workspace=workspace))
    return client, workspace


def test_the_pages_drop_what_disguises_a_name(admin_client_of):
    client, _workspace = admin_client_of
    client.post(
        reverse("monitors:create"),
        {"name": DISGUISED, "description": DISGUISED, "tags": f"a{HIDDEN}b, {DISGUISED}", **INTERVAL},
    )
    client.post("/channels/new/webhook/", {"name": DISGUISED, "url": "https://example.com/", "scope": "all"})
    client.post(reverse("accounts:settings"), {"name": DISGUISED})
    client.post(reverse("accounts:api_keys"), {"name": DISGUISED, "scope": "read"})
    monitor = Monitor.objects.get()
    assert (monitor.name, monitor.description, monitor.tags) == ("Mail", "Mail", ["ab", "Mail"])
    assert Channel.objects.get().name == Workspace.objects.get().name == ApiKey.objects.get().name == "Mail"


@pytest.mark.parametrize("name", BREAKS)
def test_the_api_refuses_names_of_several_lines(workspace, name):
    writer, monitor = Caller(workspace), make_monitor(workspace=workspace, name="Before")
    token = monitor.tokens.get()
    requests = [
        ("POST", "monitors/", {"name": name, "schedule": INTERVAL}),
        ("POST", "monitors/", {"name": "ok", "tags": [name], "schedule": INTERVAL}),
        ("PATCH", f"monitors/{monitor.public_id}/", {"name": name}),
        ("POST", f"monitors/{monitor.public_id}/tokens/", {"label": name}),
        ("PATCH", f"monitors/{monitor.public_id}/tokens/{token.public_id}/", {"label": name}),
        ("POST", "maintenance/", {"name": name, "when": WHEN}),
        ("POST", "channels/", {"name": name, "kind": "webhook", "config": {"url": "https://example.com/"}}),
    ]
    for method, path, body in requests:
        answer = writer(method, path, body)
        assert answer.status_code == 400, (method, path, answer.content)
        assert "single line" in answer.content.decode()
    assert set(Monitor.objects.values_list("name", flat=True)) == {"Before"}
    assert not Channel.objects.exists()
    assert not MaintenanceWindow.objects.exists()


def test_the_api_drops_what_disguises_a_name(workspace):
    writer = Caller(workspace)
    body = {"name": DISGUISED, "description": DISGUISED, "tags": [DISGUISED], "schedule": INTERVAL}
    monitor = writer.post("monitors/", body).json()
    assert (monitor["name"], monitor["description"], monitor["tags"]) == ("Mail", "Mail", ["Mail"])
    assert writer.post("maintenance/", {"name": DISGUISED, "when": WHEN}).json()["name"] == "Mail"
    nothing = writer.post("monitors/", {"name": HIDDEN, "schedule": INTERVAL})
    assert nothing.status_code == 400


@pytest.mark.parametrize("name", BREAKS)
def test_the_admin_site_refuses_them_too(root, samples, name):
    posts = {
        reverse("admin:monitors_monitor_add"): {
            "name": name,
            "workspace": samples.workspace.pk,
            "kind": "interval",
            "timeout": "60",
        },
        reverse("admin:accounts_workspace_add"): {
            "name": name,
            "memberships-TOTAL_FORMS": 0,
            "memberships-INITIAL_FORMS": 0,
        },
        reverse("admin:accounts_user_add"): {"email": f"anna@example.com{name}", "usable_password": "false"},
    }
    before = (Monitor.objects.count(), Workspace.objects.count(), User.objects.count())
    for url, typed in posts.items():
        answer = root.post(url, typed)
        assert answer.status_code == 200, url
        assert "single line" in answer.content.decode(), url
    assert (Monitor.objects.count(), Workspace.objects.count(), User.objects.count()) == before


def test_the_command_line_refuses_them_too(workspace):
    with pytest.raises(CommandError, match="single line"):
        call_command("create_api_key", name="ci\nroot")
    call_command("create_api_key", name=DISGUISED)
    assert ApiKey.objects.get().name == "Mail"


def test_the_first_account_and_workspace_are_as_strict():
    link = setup.new_link()
    typed = {"email": "owner@example.com", "password": PASSWORD, "workspace_name": "Acme\nCorp"}
    assert Client().post(link, typed).status_code == 422
    typed = {"email": "owner@exa\u202emple.com", "password": PASSWORD, "workspace_name": DISGUISED}
    assert Client().post(link, typed).status_code == 303
    assert (User.objects.get().email, Workspace.objects.get().name) == ("owner@example.com", "Mail")


@pytest.mark.parametrize(
    "address", ["anna@exa\u202emple.com", "anna@example.com\u200f", "\u2066anna@example.com"]
)
def test_the_address_of_a_channel_is_not_disguised(workspace, settings, address):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    body = {"name": "Team", "kind": "email", "config": {"addresses": [address]}}
    answer = Caller(workspace).post("channels/", body)
    assert answer.status_code == 422
    assert not Channel.objects.exists()


# --- Messages ------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_message_is_stored_without_them(client):
    monitor = make_monitor(timeout=60)
    url = f"/api/push/{secret_of(monitor)}"
    assert client.get(url, {"status": "down", "msg": f"disk {HIDDEN}full\r\nnow\u2028too"}).status_code == 200
    assert Incident.objects.get().opening_message == "disk full now too"
    assert client.post(url, {"msg": f"{HIDDEN}"}).status_code == 200
    monitor.state.refresh_from_db()
    assert monitor.state.last_message == "OK"
