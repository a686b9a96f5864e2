"""The secrets of a channel: encrypted at rest and never shown, whatever the integration."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.urls import reverse

from accounts.models import AuditEntry, User
from core import credentials
from notifications import channel_config
from notifications.integrations import kind_named, kinds
from notifications.models import Channel
from notifications.services import channels as channel_service
from tests.support.callers import Caller
from tests.support.factories import make_channel

pytestmark = pytest.mark.django_db
KINDS = sorted(kinds())
SECRET = "whsec_" + "QUJD" * 8
URL = "https://user:pw@chat.example.com/very-secret"
# Begins the value of every secret below, and nothing else.
HIDDEN = "hidden-and-long"


def config_of(kind):
    """A value for each field of a kind, as it may be kept; no provider is asked what it thinks of it."""
    return {field.name: value_of(field) for field in kind.fields if field.editable}


def value_of(field):
    if field.widget == "choice":
        return field.choices[0][0]
    if field.widget == "yes":
        return True
    if field.widget == "url":
        return (
            f"https://host.example.com/{HIDDEN}-{field.name}" if field.secret else "https://host.example.com"
        )
    if field.secret:
        return f"{HIDDEN}-{field.name}"
    return ["anna@example.com"] if field.widget == "lines" else "12345"


def channel_of(slug, workspace):
    return channel_service.create(
        workspace=workspace, kind=slug, name="Bell", config=config_of(kind_named(slug))
    )


def secrets_of(slug):
    return [field.name for field in kind_named(slug).fields if field.secret]


# --- Stored ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", KINDS)
def test_no_secret_is_in_the_database_and_all_of_it_is_there_to_send(slug, workspace):
    channel = channel_of(slug, workspace)
    with connection.cursor() as cursor:
        cursor.execute("SELECT config FROM notifications_channel")
        stored = str(cursor.fetchone()[0])
    assert HIDDEN not in stored
    assert channel_config.opened(Channel.objects.get(pk=channel.pk)) == config_of(kind_named(slug))


def test_each_kind_that_needs_a_password_keeps_one_secret_at_least():
    without = {slug for slug in KINDS if not secrets_of(slug)}
    assert without == {"email"}


def test_with_another_key_it_says_what_to_do(workspace, settings):
    channel = channel_of("webhook", workspace)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another" * 10, []
    with pytest.raises(channel_config.Unreadable, match=r"SECRET_KEY has changed\. Enter it again"):
        channel_config.opened(channel)


def test_a_key_that_was_kept_as_a_fallback_opens_it(workspace, settings):
    channel = channel_of("webhook", workspace)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another" * 10, [settings.SECRET_KEY]
    assert channel_config.opened(channel)["url"].startswith("https://host.example.com/")


def test_what_is_sealed_for_another_purpose_does_not_open(workspace):
    channel = make_channel(
        workspace=workspace, config={"secret": {"sealed": credentials.seal(SECRET, purpose=b"push tokens")}}
    )
    with pytest.raises(channel_config.Unreadable):
        channel_config.opened(channel)


def test_pages_go_on_where_nothing_can_be_opened(admin, workspace, settings):
    channel = channel_of("webhook", workspace)
    Channel.objects.update(config={"url": {"sealed": "lost"}, "secret": {"sealed": "lost"}})
    for name in ("detail", "edit"):
        assert admin.get(reverse(f"notifications:{name}", args=[channel.public_id])).status_code == 200
    assert admin.get(reverse("notifications:list")).status_code == 200


# --- Shown -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("slug", KINDS)
def test_no_page_shows_a_secret(slug, admin, viewer, workspace):
    channel = channel_of(slug, workspace)
    pages = [reverse("notifications:list"), reverse("notifications:detail", args=[channel.public_id])]
    for page in [*pages, reverse("notifications:edit", args=[channel.public_id])]:
        assert HIDDEN not in admin.get(page).content.decode()
    for page in pages:
        assert HIDDEN not in viewer.get(page).content.decode()


@pytest.mark.parametrize("slug", KINDS)
def test_no_form_that_was_refused_shows_a_secret(slug, admin, settings):
    settings.TIANJI_EMAIL_URL = "smtp://mail.example.com"
    data = {name: f"{HIDDEN}-{name}" for name in secrets_of(slug)}
    answer = admin.post(reverse("notifications:create", args=[slug]), {**data, "scope": "all", "name": ""})
    assert answer.status_code == 422
    assert HIDDEN not in answer.content.decode()


@pytest.mark.parametrize("slug", KINDS)
def test_no_answer_of_the_api_shows_a_secret(slug, workspace):
    channel = channel_of(slug, workspace)
    for scope in ("write", "read"):
        caller = Caller(workspace, scope=scope)
        for path in ("channels/", f"channels/{channel.public_id}/"):
            assert HIDDEN not in caller.get(path).content.decode()


@pytest.mark.parametrize("slug", KINDS)
def test_what_the_api_shows_can_be_written_back_and_changes_nothing(slug, workspace):
    channel, caller = channel_of(slug, workspace), Caller(workspace)
    before = Channel.objects.values_list("config", flat=True).get()
    shown = caller.get(f"channels/{channel.public_id}/").json()["config"]
    kept = {name: value for name, value in shown.items() if name in secrets_of(slug)}
    assert all(channel_config.is_mask(value) for value in kept.values())
    others = {name: value for name, value in shown.items() if name not in kept}
    answer = caller.patch(f"channels/{channel.public_id}/", {"config": {**others, **kept}})
    # Another field may be one that its kind would not take; of the secrets none is complained about.
    fields = [error["field"] for error in answer.json().get("errors", [])]
    assert not {f"config.{name}" for name in kept} & set(fields)
    assert Channel.objects.values_list("config", flat=True).get() == before


@pytest.mark.parametrize("slug", KINDS)
def test_no_page_of_the_admin_site_shows_a_secret(slug, client, workspace):
    channel = channel_of(slug, workspace)
    client.force_login(User.objects.create_superuser("root@example.com", "correct horse battery"))
    for page in (
        reverse("admin:notifications_channel_changelist"),
        reverse("admin:notifications_channel_change", args=[channel.pk]),
    ):
        content = client.get(page).content.decode()
        assert HIDDEN not in content
        assert "sealed" not in content


@pytest.mark.parametrize("slug", KINDS)
def test_no_log_line_and_no_record_of_a_change_holds_a_secret(slug, workspace, caplog, capfd):
    caplog.set_level("DEBUG")
    channel = channel_of(slug, workspace)
    channel_service.edit(channel=channel, config=dict.fromkeys(secrets_of(slug), f"{HIDDEN}-again"))
    channel_service.delete(channel=channel)
    noted = [json.dumps(entry.details) for entry in AuditEntry.objects.all()]
    assert len(noted) in (2, 3)  # email has no secret to change
    assert HIDDEN not in "".join((*noted, caplog.text, *capfd.readouterr()))


def test_of_a_long_secret_its_owners_see_how_it_ends(workspace):
    channel = channel_service.create(
        workspace=workspace, kind="webhook", name="Bell", config={"url": URL, "secret": SECRET}
    )
    shown = channel_config.shown(channel, masked=False)
    assert shown == {
        "url": f"https://chat.example.com/{channel_config.MASK}",
        "secret": f"{channel_config.MASK}{SECRET[-4:]}",
    }
    assert channel_config.shown(channel, masked=True)["secret"] == channel_config.MASK
