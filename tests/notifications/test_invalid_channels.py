"""A channel whose config has a wrong shape, for any integration, affects nothing but itself."""

from __future__ import annotations

import html

import pytest
from django.db.models import JSONField, Value
from django.urls import reverse

from core.clock import database_now
from notifications import channel_config
from notifications.dispatch import send
from notifications.integrations import kind_named, kinds
from notifications.models import Channel, Delivery
from notifications.services import channels as channel_service
from tests.support.callers import Caller
from tests.support.examples import sampled
from tests.support.factories import make_channel, make_user, make_workspace

pytestmark = pytest.mark.django_db
KINDS = sorted(kinds())
SEALED = ({"sealed": 5}, {"sealed": "not encrypted"})
WRONG = (None, 5, "text", ["a", 5], {}, *SEALED)


def wrong_configs(slug):
    """Return configs that no form has stored: of a wrong type, or with a value of one or without it."""
    fields = kind_named(slug).fields
    sound = {field.name: ["a@example.com"] if field.widget == "lines" else "12345" for field in fields}
    missing = [{}, {"unknown": "x"}]
    whole = [Value(value, JSONField()) for value in WRONG if not isinstance(value, dict)]
    # Only the value of a secret may be sealed.
    parts = [
        (field.name, value) for field in fields for value in WRONG if field.secret or value not in SEALED
    ]
    return [*whole, *missing] + [{**sound, name: value} for name, value in sampled(parts)]


@pytest.fixture
def workspace():
    return make_workspace()


def invalid_channels(slug, workspace):
    for config in wrong_configs(slug):
        make_channel(workspace=workspace, kind=slug, config=config)
    return list(Channel.objects.filter(workspace=workspace))


def pages_of(channel):
    names = ["notifications:detail", "notifications:edit", "notifications:delete"]
    return [reverse(name, args=[channel.public_id]) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("slug", KINDS)
def test_every_page_shows_it_with_what_is_wrong(slug, workspace, client):
    client.force_login(make_user(workspace=workspace))
    channels = invalid_channels(slug, workspace)
    listed = html.unescape(client.get(reverse("notifications:list")).text)
    for channel in channels:
        detail_url, edit_url, delete_url = pages_of(channel)
        detail, edit = client.get(detail_url), client.get(edit_url)
        assert {page.status_code for page in (detail, edit)} == {200}, channel.config
        # This one has nothing of any field on it.
        if not isinstance(channel.config, dict):
            assert client.get(delete_url).status_code == 200, channel.config
        if fault := channel_config.fault(channel):
            assert fault in html.unescape(detail.text)
            assert fault in listed
    assert sum(bool(channel_config.fault(channel)) for channel in channels) > len(channels) / 2


@pytest.mark.slow
@pytest.mark.parametrize("slug", KINDS)
def test_the_admin_site_and_the_api_show_it(slug, workspace, client):
    channels = invalid_channels(slug, workspace)
    user = make_user(workspace=workspace)
    user.is_staff = user.is_superuser = True
    user.save()
    client.force_login(user)
    assert client.get(reverse("admin:notifications_channel_changelist")).status_code == 200
    for channel in channels:
        changed = reverse("admin:notifications_channel_change", args=[channel.pk])
        assert client.get(changed).status_code == 200, channel.config
    caller = Caller(workspace)
    assert caller.get("channels/").status_code == 200
    for channel in channels:
        assert caller.get(f"channels/{channel.public_id}/").status_code == 200, channel.config


@pytest.mark.parametrize("slug", KINDS)
def test_sending_through_it_fails_with_what_is_wrong(slug, workspace):
    for channel in invalid_channels(slug, workspace):
        if fault := channel_config.fault(channel):
            result = send.send_test(channel=channel)
            assert result.detail == fault


def test_a_delivery_through_it_is_a_failed_attempt_that_is_tried_again(workspace):
    channel = make_channel(workspace=workspace, config=["x"])
    now = database_now()
    delivery = Delivery.objects.create(
        channel=channel, event="channel.failing", created_at=now, next_attempt_at=now, subject=channel
    )
    assert send.deliver_due() == 1
    delivery.refresh_from_db()
    assert delivery.status == Delivery.Status.PENDING
    assert "invalid" in delivery.attempts.get().detail


@pytest.mark.parametrize("config", [[1, 2], {}, {"url": ["x"]}, {"url": "http://a.example", "secret": 5}])
def test_editing_mends_it(workspace, config):
    channel = make_channel(workspace=workspace, config=config)
    assert channel_config.fault(channel)
    channel = channel_service.edit(channel=channel, config={"url": "https://chat.example.com/hook"})
    assert channel_config.fault(channel) == ""
    assert channel_config.opened(channel) == {"url": "https://chat.example.com/hook"}


@pytest.mark.parametrize("config", [Value(None, JSONField()), [1, 2], "text", {"url": 5}])
def test_other_changes_leave_it_as_it_is(workspace, config):
    channel = make_channel(workspace=workspace, config=config, name="Before")
    changed = Caller(workspace).patch(f"channels/{channel.public_id}/", {"name": "After", "enabled": False})
    assert changed.status_code == 200
    channel = Channel.objects.get(pk=channel.pk)
    assert (channel.name, channel.enabled) == ("After", False)
    assert channel.config == (None if isinstance(config, Value) else config)


def test_an_unknown_integration_is_shown_and_can_be_deleted(workspace, client):
    client.force_login(make_user(workspace=workspace))
    channel = make_channel(workspace=workspace, kind="carrier-pigeon", config=[1])
    detail, edit, delete = pages_of(channel)
    assert "carrier-pigeon" in client.get(reverse("notifications:list")).text
    assert "doesn&#x27;t have the integration" in client.get(detail).text
    assert client.get(edit).status_code == 404
    assert "carrier-pigeon" in send.send_test(channel=channel).detail
    assert client.post(delete).status_code == 302
    assert not Channel.objects.exists()


def test_all_that_a_form_stores_is_sound(workspace):
    for slug in KINDS:
        fields = [field for field in kind_named(slug).fields if field.editable]
        values = {"lines": ["a@example.com"], "yes": True}
        config = {field.name: "12345" for field in fields}
        config |= {
            field.name: values[field.widget]
            for field in fields
            if field.widget in values and not field.secret
        }
        channel = channel_service.create(workspace=workspace, kind=slug, name="Bell", config=config)
        assert channel_config.fault(channel) == ""
        assert channel_config.opened(channel) == config
