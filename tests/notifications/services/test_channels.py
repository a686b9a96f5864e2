"""Creating, editing and deleting a channel: what is written, and what is noted."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from standardwebhooks.webhooks import Webhook

from accounts.actors import Actor
from accounts.models import AuditEntry
from core.clock import database_now
from notifications import channel_config
from notifications.models import Channel
from notifications.services import channels as channel_service
from notifications.transports import signing
from notifications.transports.webhook import WebhookTransport
from tests.support import sample_messages
from tests.support.factories import make_channel, make_monitor, make_user, make_workspace
from tests.support.sinks import HttpSink

pytestmark = pytest.mark.django_db
SECRET = "whsec_" + "QUJD" * 8
URL = "https://example.com/very-secret"


def entries(channel):
    return list(AuditEntry.objects.filter(subject=channel.public_id).order_by("pk"))


def test_an_edit_changes_only_what_it_names():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, monitors=[monitor], config={"url": URL})
    edited = channel_service.edit(channel=channel, name="New")
    assert (edited.name, edited.config, edited.all_monitors) == ("New", {"url": URL}, False)
    assert list(edited.monitors.all()) == [monitor]
    assert edited.version == 2


def test_what_somebody_else_changed_meanwhile_stays():
    channel = make_channel(workspace=make_workspace(), config={"url": URL})
    stale = Channel.objects.get(pk=channel.pk)
    channel_service.edit(channel=channel, config={"secret": SECRET})
    edited = channel_service.edit(channel=stale, config={"url": "https://b.example/"})
    assert channel_config.opened(edited) == {"url": "https://b.example/", "secret": SECRET}


def test_an_edit_for_another_version_is_refused():
    channel = make_channel(workspace=make_workspace())
    channel_service.edit(channel=channel, name="New", version=1)
    with pytest.raises(channel_service.VersionConflict):
        channel_service.edit(channel=channel, name="Newer", version=1)
    channel.refresh_from_db()
    assert (channel.name, channel.version) == ("New", 2)


def test_where_nothing_differs_nothing_is_written():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, monitors=[monitor], config={"url": URL})
    channel_service.edit(channel=channel, config={"secret": SECRET})
    before = Channel.objects.values().get(pk=channel.pk)
    channel_service.edit(
        channel=channel,
        name=channel.name,
        config={"url": URL, "secret": SECRET},
        enabled=True,
        all_monitors=False,
        monitors=[monitor],
    )
    assert Channel.objects.values().get(pk=channel.pk) == before
    assert len(entries(channel)) == 1


def test_other_monitors_are_an_edit_too():
    monitor = make_monitor()
    channel = make_channel(workspace=monitor.workspace, monitors=[monitor])
    assert channel_service.edit(channel=channel, monitors=[]).version == 2
    assert not channel.monitors.exists()
    assert entries(channel)[0].details == {"kind": "webhook", "fields": ["monitors"]}


def test_a_change_is_recorded_with_its_actor_and_without_the_destination():
    workspace = make_workspace()
    by = Actor(make_user(workspace=workspace), None, AuditEntry.Via.BROWSER, "10.0.0.7")
    channel = channel_service.create(
        workspace=workspace, kind="webhook", name="Chat", config={"url": URL, "secret": SECRET}, by=by
    )
    channel_service.edit(channel=channel, config={"url": f"{URL}2"}, by=by)
    channel_service.delete(channel=channel, by=by)
    found = entries(channel)
    assert [entry.action for entry in found] == ["channel.created", "channel.changed", "channel.deleted"]
    assert {(entry.user, entry.via, entry.address) for entry in found} == {(by.user, "browser", "10.0.0.7")}
    assert "secret" not in "".join(str(entry.details) for entry in found)


def test_a_deletion_is_noted_once():
    channel = make_channel(workspace=make_workspace())
    stale = Channel.objects.get(pk=channel.pk)
    channel_service.delete(channel=channel)
    channel_service.delete(channel=stale)
    assert [entry.action for entry in entries(channel)] == ["channel.deleted"]


def test_an_edit_of_a_channel_that_was_deleted_says_so():
    channel = make_channel(workspace=make_workspace())
    stale = Channel.objects.get(pk=channel.pk)
    channel_service.delete(channel=channel)
    with pytest.raises(Channel.DoesNotExist):
        channel_service.edit(channel=stale, name="New")


def signed():
    config = {"url": URL, "secret": SECRET}
    return channel_service.create(workspace=make_workspace(), kind="webhook", name="Chat", config=config)


def test_a_new_secret_is_shown_once_and_the_previous_one_is_valid_for_a_day():
    channel = signed()
    secret = channel_service.new_secret(channel=channel)
    channel.refresh_from_db()
    opened = channel_config.opened(channel)
    assert signing.is_secret(secret)
    assert (opened["secret"], opened["previous_secret"]) == (secret, SECRET)
    left = channel_config.overlap_ends(channel, database_now()) - database_now()
    assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
    assert entries(channel)[-1].details == {"kind": "webhook", "fields": ["config"]}


def test_the_first_secret_has_none_before_it():
    channel = make_channel(workspace=make_workspace(), config={"url": URL})
    channel_service.new_secret(channel=channel)
    channel.refresh_from_db()
    assert "previous_secret" not in channel.config
    assert channel_config.overlap_ends(channel, database_now()) is None


def test_a_receiver_that_missed_a_change_of_the_secret_is_not_lost_by_the_next():
    channel = signed()
    second = channel_service.new_secret(channel=channel)
    third = channel_service.new_secret(channel=channel)
    channel.refresh_from_db()
    opened = channel_config.opened(channel)
    assert opened["secret"] == third
    assert opened["previous_secret"].split() == [second, SECRET]
    with HttpSink() as sink:
        WebhookTransport().send({**opened, "url": sink.url}, sample_messages.outgoing())
        (request,) = sink.requests
    for secret in (third, second, SECRET):
        Webhook(secret).verify(request.body, request.headers)


def test_without_a_secret_none_before_it_counts_either():
    channel = signed()
    channel_service.new_secret(channel=channel)
    channel_service.edit(channel=channel, config={"secret": None})
    channel.refresh_from_db()
    assert channel_config.opened(channel) == {"url": URL}


def test_an_undecryptable_secret_is_dropped_on_change():
    channel = signed()
    Channel.objects.update(config={"url": URL, "secret": {"sealed": "lost"}})
    channel_service.new_secret(channel=channel)
    channel.refresh_from_db()
    assert set(channel_config.opened(channel)) == {"url", "secret"}


@pytest.mark.django_db(transaction=True)
def test_of_two_edits_at_once_for_one_version_one_is_made():
    channel = make_channel(workspace=make_workspace())
    start = threading.Barrier(4)

    def edit(name):
        start.wait(10)
        try:
            channel_service.edit(channel=Channel(pk=channel.pk), name=name, version=1)
        except channel_service.VersionConflict:
            return None
        finally:
            connection.close()
        return name

    with ThreadPoolExecutor(4) as pool:
        made = [name for name in pool.map(edit, ["a", "b", "c", "d"]) if name]
    channel.refresh_from_db()
    assert [channel.name] == made
    assert (channel.version, len(entries(channel))) == (2, 1)


def test_a_channel_that_was_edited_meanwhile_is_neither_deleted_nor_switched_off():
    channel = make_channel(workspace=make_workspace())
    seen = channel.version
    channel = channel_service.edit(channel=channel, name="Edited")
    with pytest.raises(channel_service.VersionConflict):
        channel_service.delete(channel=channel, version=seen)
    assert Channel.objects.get().enabled
    channel_service.delete(channel=channel, version=channel.version)
    assert not Channel.objects.exists()
