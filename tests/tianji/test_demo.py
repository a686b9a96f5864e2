"""Sample data: `manage.py demo`, what it leaves in the database, and what the product makes of that."""

from __future__ import annotations

import smtplib
import time
import urllib.request
from datetime import timedelta
from email.message import EmailMessage

import pytest
from django.db import transaction
from django.db.models import Count, F
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from core.clock import database_now
from monitors.domain.state_machine import Shown
from monitors.heartbeats import missed
from monitors.history import current, rollups, status_bars, uptimes
from monitors.models import Heartbeat, Incident, Monitor, RejectedPush, RolledUp, Transition
from notifications.dispatch import send
from notifications.messages.events import Event
from notifications.models import Belief, Channel, Delivery
from tests.support.demo import DAYS, PASSWORD, demo, monitors_of, rows
from tests.support.sinks import HttpSink, wait_until
from tianji.demo import live, people
from tianji.demo.catalogue import JOBS
from tianji.demo.jobs import Fate
from tianji.demo.sink import Sink

# It takes seconds to make.
pytestmark = pytest.mark.slow

SEEN = {
    Fate.LATE: Shown.LATE,
    Fate.PAUSED: Shown.PAUSED,
    Fate.NEW: Shown.NEW,
    **dict.fromkeys((Fate.MISSED, Fate.REPORTED, Fate.VALUE, Fate.MAINTENANCE, Fate.SNOOZED), Shown.DOWN),
}


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker):
    """The sample workspace, made once for the tests that only read; they see what it took in seconds."""
    with django_db_blocker.unblock(), transaction.atomic():
        began = time.monotonic()
        demo()
        yield time.monotonic() - began
        transaction.set_rollback(True)


@pytest.fixture
def sample(filled, db):
    return people.workspace()


@pytest.fixture
def reader(sample):
    client = Client()
    assert client.login(username=people.OWNER, password=PASSWORD)
    return client


# --- What there is ---------------------------------------------------------------------------------


def test_there_are_forty_monitors_each_as_its_fate_wants(sample):
    now = database_now()
    monitors = {monitor.name: monitor for monitor in monitors_of(sample)}
    assert len(monitors) == len(JOBS) == 40
    for job in JOBS:
        shown = current.read(monitors[job.name], now).shown
        if job.set_times and job.fate is Fate.UP:
            # Depends on the day: it may not have run in so few days, or run at this moment.
            assert shown in (Shown.UP, Shown.LATE, Shown.NEW), job.name
        else:
            assert shown is SEEN.get(job.fate, Shown.UP), job.name


def test_it_is_made_in_less_than_a_minute(filled):
    assert filled < 60


def test_there_are_incidents_of_each_cause_acknowledged_and_noted(sample):
    incidents = Incident.objects.filter(monitor__workspace=sample)
    assert set(incidents.values_list("cause", flat=True)) == {"missed", "reported", "value"}
    assert incidents.filter(resolved_at=None).count() == 6
    assert incidents.filter(resolved_at=None, acknowledged_at__isnull=False).exclude(note="").count() == 1
    assert incidents.filter(resolved_at__isnull=False).exclude(note="").exists()


def test_messages_were_sent_one_is_retried_and_one_was_given_up(sample):
    deliveries = Delivery.objects.filter(channel__workspace=sample)
    assert set(deliveries.values_list("status", flat=True)) == {"sent", "failed", "pending", "skipped"}
    assert deliveries.filter(event=Event.DIGEST).exists()
    retried = deliveries.get(status="pending", attempt_count__gt=0)
    assert retried.channel.failures == retried.attempts.count() == retried.attempt_count
    assert retried.next_attempt_at > database_now()
    for delivery in deliveries.filter(status="sent", digest=None).prefetch_related("attempts"):
        last = list(delivery.attempts.all())[-1]
        assert last.ok
        assert last.finished_at == delivery.sent_at


def test_each_channel_believes_what_it_was_sent_last(sample):
    goes_on = set(
        Incident.objects.filter(monitor__workspace=sample, resolved_at=None).values_list("pk", flat=True)
    )
    believed = Belief.objects.filter(channel__workspace=sample)
    for belief in believed.filter(state="down", delivery=None):
        sent = Delivery.objects.filter(channel=belief.channel, monitor=belief.monitor, status="sent").latest(
            "pk"
        )
        assert (sent.event, sent.incident, sent.outage) == (Event.OPENED, belief.incident, belief.outage)
        assert belief.incident_id in goes_on
    assert believed.filter(state="down").count() >= len(goes_on)
    retried = believed.get(delivery__isnull=False)
    assert retried.delivery.status == "pending"


def test_deliveries_are_in_the_order_of_their_times(sample):
    times = Delivery.objects.filter(channel__workspace=sample).order_by("pk").values_list("created_at")
    assert list(times) == sorted(times)


def test_one_monitor_has_two_tokens_that_work_and_one_has_rejected_pushes(sample):
    by_fate = {job.fate: job.name for job in JOBS}
    monitors = Monitor.objects.filter(workspace=sample)
    rotating = monitors.get(name=by_fate[Fate.ROTATING])
    assert rotating.tokens.valid().count() == 2
    assert rotating.tokens.filter(replaced_by__isnull=False, expires_at__gt=database_now()).count() == 1
    rejected = monitors.get(name=by_fate[Fate.REJECTED])
    refused = RejectedPush.objects.filter(monitor=rejected)
    assert set(refused.values_list("reason", flat=True)) == {"revoked", "parameter"}


def test_nothing_lies_in_the_future_or_before_its_monitor(sample):
    now = database_now()
    for model, at in ((Heartbeat, "received_at"), (Transition, "at"), (Incident, "started_at")):
        mine = model.objects.filter(monitor__workspace=sample)
        assert not mine.filter(**{f"{at}__gt": now}).exists()
        assert not mine.filter(**{f"{at}__lt": F("monitor__created_at")}).exists()
    assert not AuditEntry.objects.filter(workspace=sample, at__gt=now).exists()


# --- What the product makes of it ------------------------------------------------------------------


def test_the_product_finds_nothing_left_to_do(sample):
    # Frequent pushers fall due within a minute: whoever is looked at is only looked at again.
    assert missed.declare_missed().missed == 0
    assert send.deliver_due() == 0
    # Unless another half hour has ended meanwhile.
    assert rollups.roll_up() <= 1


def test_uptimes_are_what_the_incidents_say(sample):
    now = database_now()
    monitors, start = monitors_of(sample), now - timedelta(days=DAYS + 1)
    without = {monitor.pk for monitor in monitors if "servers" in monitor.tags}
    found = uptimes.uptimes(monitors, start=start, end=now, now=now)
    for monitor in monitors:
        incidents = Incident.objects.filter(monitor=monitor)
        lasted = sum(((each.resolved_at or now) - each.started_at for each in incidents), timedelta())
        assert found[monitor.pk].incidents == len(incidents), monitor.name
        # Maintenance does not count.
        if monitor.name != "Mail gateway" and monitor.pk not in without:
            assert found[monitor.pk].down == lasted, monitor.name


def test_bars_from_rollups_are_those_from_heartbeats(sample):
    now, monitors = database_now(), monitors_of(sample)
    from_rollups = status_bars.bars_of(monitors, now=now)
    assert RolledUp.objects.exists()
    RolledUp.objects.all().delete()
    counted = status_bars.bars_of(monitors, now=now)
    for monitor in monitors:
        assert [(slot.ups, slot.downs, slot.worst) for slot in from_rollups[monitor.pk]] == [
            (slot.ups, slot.downs, slot.worst) for slot in counted[monitor.pk]
        ], monitor.name
    heartbeats = Heartbeat.objects.filter(monitor__workspace=sample, received_at__gte=now - timedelta(days=1))
    assert heartbeats.values("monitor").annotate(n=Count("pk")).filter(n__gt=2000).exists()


def test_the_activity_of_a_monitor_has_the_deliveries_of_each_incident(sample):
    incidents = Incident.objects.filter(monitor__workspace=sample, monitor__name="Thumbnail renderer")
    assert incidents.count() > 5
    for incident in incidents:
        sent = incident.deliveries.filter(event=Event.OPENED).values_list("channel__name", "status")
        assert ("Operations mail", "sent") in sent or ("Operations mail", "failed") in sent


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/?status=down", "/incidents/", "/channels/", "/maintenance/", "/tokens/"),
        *("/settings/", "/settings/audit/", "/settings/api-keys/", "/settings/members/"),
    ],
)
def test_pages_show_it(reader, path):
    assert reader.get(path).status_code == 200


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_each_monitor_has_its_pages(reader, sample, job):
    monitor = Monitor.objects.get(workspace=sample, name=job.name)
    for page in ("detail", "log", "rejected_pushes"):
        answer = reader.get(reverse(f"monitors:{page}", args=[monitor.public_id]))
        assert answer.status_code == 200
        assert job.name in answer.content.decode()


def test_channels_show_what_they_were_sent(reader, sample):
    for channel in Channel.objects.filter(workspace=sample):
        page = reader.get(reverse("notifications:detail", args=[channel.public_id])).content.decode()
        assert channel.name in page
        newest = channel.deliveries.filter(digest=None, monitor__isnull=False).order_by("-pk").first()
        assert newest.monitor.name in page


def test_a_second_time_changes_nothing(sample):
    before = rows()
    assert "already exists" in demo()
    assert rows() == before


# --- Live ------------------------------------------------------------------------------------------


def test_live_pushes_as_the_senders_do(sample, monkeypatch):
    monkeypatch.setattr(live.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(live, "FLAPS", 1.0)
    with HttpSink() as sink:
        live.push(
            sink.url.removesuffix("/in"),
            seed=1,
            say=lambda line: None,
            until=lambda: len(sink.requests) >= 200,
        )
        pushes = list(sink.requests)
    assert all(each.method == "POST" and each.path.startswith("/api/push/tjp_") for each in pushes)
    assert {each.json["status"] for each in pushes} == {"up", "down"}
    assert any(isinstance(each.json["value"], float) for each in pushes)
    assert len({each.path for each in pushes}) > 10


def test_live_reports_failed_pushes(sample, monkeypatch):
    monkeypatch.setattr(live.time, "sleep", lambda seconds: None)
    lines = []
    live.push("http://127.0.0.1:9", seed=1, say=lines.append, until=lambda: len(lines) > 3)
    assert any("not sent" in line for line in lines)


# --- The sink --------------------------------------------------------------------------------------


def test_the_sink_prints_what_it_receives():
    lines: list[str] = []
    with Sink(http=0, smtp=0, say=lines.append) as sink:
        http, smtp = sink.ports
        request = urllib.request.Request(f"http://127.0.0.1:{http}/bridge", data=b'{"title": "Down"}')
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 204
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "tianji@example.com", "ops@example.com", "Jakarta is down"
        mail.set_content("No heartbeat.\n.\nSince 14:03.")
        with smtplib.SMTP("127.0.0.1", smtp, timeout=10) as server:
            server.send_message(mail)
        assert wait_until(lambda: len(lines) == 2)
    assert lines[0].startswith("POST /bridge")
    assert '"title": "Down"' in lines[0]
    assert "Subject: Jakarta is down" in lines[1]
    assert lines[1].endswith("No heartbeat.\n.\nSince 14:03.")
