"""Channels and deliveries in the admin site."""

from __future__ import annotations

from datetime import time

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from monitors.models import Monitor
from notifications.models import Channel, Delivery
from tests.support.admin_site import Samples
from tests.support.factories import make_monitor

pytestmark = pytest.mark.django_db


def page_of(channel: Channel, name: str = "change") -> str:
    return reverse(f"admin:notifications_channel_{name}", args=[channel.pk])


def test_the_destination_is_masked(samples: Samples, root: Client):
    page = root.get(page_of(samples.channel)).text
    assert "https://bell.example.com/…" in page
    assert "config" not in page


def test_renaming_keeps_the_destination_and_counts_as_an_edit(samples: Samples, root: Client):
    before = samples.channel.config
    answer = root.post(page_of(samples.channel), {"name": "Gong", "enabled": "on", "all_monitors": "on"})
    assert answer.status_code == 302
    samples.channel.refresh_from_db()
    assert (samples.channel.name, samples.channel.config, samples.channel.version) == ("Gong", before, 2)
    assert AuditEntry.objects.get(action="channel.changed").via == "admin"


def test_switching_it_off_gives_up_what_waits(samples: Samples, root: Client):
    root.post(page_of(samples.channel), {"name": "Bell", "all_monitors": "on"})
    samples.channel.refresh_from_db()
    assert not samples.channel.enabled
    assert Delivery.objects.get().status == "failed"


def test_urgency_quiet_hours_and_the_size_of_a_storm_are_changed(samples: Samples, root: Client):
    fields = {"name": "Bell", "enabled": "on", "all_monitors": "on"}
    quiet = {"quiet_from": "22:00", "quiet_until": "07:00", "quiet_timezone": "Asia/Jakarta"}
    wrong = root.post(page_of(samples.channel), {**fields, **quiet, "quiet_until": "22:00", "burst": "21"})
    assert {"quiet_until", "burst"} <= wrong.context["adminform"].form.errors.keys()
    right = root.post(page_of(samples.channel), {**fields, **quiet, "burst": "20", "least_urgency": "high"})
    assert right.status_code == 302
    samples.channel.refresh_from_db()
    channel = samples.channel
    assert (channel.quiet_from, channel.quiet_until) == (time(22), time(7))
    assert (channel.quiet_timezone, channel.burst, channel.least_urgency) == ("Asia/Jakarta", 20, "high")


def test_it_accepts_only_monitors_of_its_own_workspace(samples: Samples, root: Client):
    fields = {"name": "Bell", "enabled": "on"}
    none = root.post(page_of(samples.channel), fields)
    assert "monitors" in none.context["adminform"].form.errors
    strange = root.post(page_of(samples.channel), fields | {"monitors": [make_monitor().pk]})
    assert "monitors" in strange.context["adminform"].form.errors
    assert root.post(page_of(samples.channel), fields | {"monitors": [samples.monitor.pk]}).status_code == 302
    samples.channel.refresh_from_db()
    assert not samples.channel.all_monitors
    assert list(samples.channel.monitors.all()) == [samples.monitor]


def test_many_selected_monitors_are_counted_and_stay_as_they_are(samples: Samples, root: Client):
    many = Monitor.objects.bulk_create(
        Monitor(workspace=samples.channel.workspace, name=f"disk {number}", slug=f"disk-{number}")
        for number in range(201)
    )
    Channel.objects.update(all_monitors=False)
    samples.channel.monitors.set(many)
    page = root.get(page_of(samples.channel)).text
    assert "201 selected. Change them on the channel" in page
    assert "disk 7<" not in page
    assert root.post(page_of(samples.channel), {"name": "Gong", "enabled": "on"}).status_code == 302
    samples.channel.refresh_from_db()
    assert samples.channel.name == "Gong"
    assert samples.channel.monitors.count() == 201


def test_a_channel_is_deleted_by_the_operation(samples: Samples, root: Client):
    confirmation = root.get(page_of(samples.channel, "delete"))
    assert "its delivery log is deleted too" in confirmation.text
    root.post(page_of(samples.channel, "delete"), {"post": "yes"})
    assert not Channel.objects.exists()
    assert not Delivery.objects.exists()
    assert AuditEntry.objects.get(action="channel.deleted").via == "admin"


def test_a_delivery_shows_its_attempts_and_cannot_be_changed(samples: Samples, root: Client):
    delivery = samples.rows["delivery"]
    change = reverse("admin:notifications_delivery_change", args=[delivery.pk])
    assert "No." in root.get(change).text
    assert root.post(change, {"status": "sent"}).status_code == 403
    delivery.refresh_from_db()
    assert delivery.status == "pending"
