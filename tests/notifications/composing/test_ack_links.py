"""The acknowledge link in a notification, for whoever has it."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from accounts.models import AuditEntry, Workspace
from core.clock import database_now
from notifications import channel_config
from notifications.composing import ack_links
from notifications.messages.events import Event
from notifications.models import Belief, Delivery, MonitorRules
from notifications.services import snooze
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import make_incident

pytestmark = pytest.mark.django_db


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Oven")


@pytest.fixture
def channel(workspace):
    return make_channel(workspace=workspace, name="Ops")


@pytest.fixture
def incident(monitor):
    return make_incident(monitor, cause="missed", started_at=database_now() - timedelta(minutes=5))


@pytest.fixture
def path(incident, channel):
    return urlsplit(ack_links.acknowledge_url(incident, channel)).path


@pytest.fixture
def client():
    """Somebody without an account or cookies, whose forms are checked for CSRF as in production."""
    return Client(enforce_csrf_checks=True)


def targets():
    """What was done by way of a link."""
    return AuditEntry.objects.filter(via=AuditEntry.Via.LINK)


def make_delivery(channel, incident, **fields):
    """A delivery about `incident` that was sent."""
    given = {"event": Event.OPENED, "status": Delivery.Status.SENT, "created_at": database_now()}
    about = {"monitor": incident.monitor, "incident": incident} if incident else {}
    return Delivery.objects.create(channel=channel, **{**given, **about, **fields})


def acknowledged(*incidents):
    for incident in incidents:
        incident.refresh_from_db()
    return [incident.acknowledged_at is not None for incident in incidents]


def text_of(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


# --- Looking -------------------------------------------------------------------------------------


def test_the_page_says_what_is_down_since_when_and_why(client, path, incident):
    Workspace.objects.update(timezone="Asia/Jakarta")
    response = client.get(path)
    assert response.status_code == 200
    text = text_of(response)
    assert "Oven is down" in text
    with timezone.override("Asia/Jakarta"):
        assert f"{timezone.localtime(incident.started_at):%Y-%m-%d %H:%M:%S} WIB" in text
    assert "missed heartbeat" in text


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_acknowledges_nothing(client, path, incident, method):
    assert getattr(client, method)(path).status_code == 200
    incident.refresh_from_db()
    assert incident.acknowledged_at is None
    assert not targets().exists()


def test_the_page_shows_nothing_else_of_the_workspace(client, path, workspace, channel, monitor):
    make_monitor(workspace=workspace, name="Grill")
    page = client.get(path).content.decode()
    for hidden in ("Grill", workspace.name, channel.name, str(monitor.public_id), str(workspace.public_id)):
        assert hidden not in page


def test_the_address_is_kept_from_other_pages_caches_and_search_engines(client, path):
    for response in (client.get(path), client.post(path), client.get("/acknowledge/made-up/")):
        assert response["Referrer-Policy"] == "no-referrer"
        assert "no-store" in response["Cache-Control"]
        assert "noindex" in response["X-Robots-Tag"]
        assert path not in response.content.decode()


# --- Acknowledging -------------------------------------------------------------------------------


def test_the_button_acknowledges_in_the_name_of_the_channel(client, path, incident, monitor):
    text = text_of(client.post(path))
    assert "Acknowledged. No more reminders" in text
    incident.refresh_from_db()
    assert incident.acknowledged_at is not None
    assert incident.acknowledged_by is None
    entry = targets().get()
    assert (entry.action, entry.via, entry.actor) == (
        AuditEntry.Action.INCIDENT_ACKNOWLEDGED,
        AuditEntry.Via.LINK,
        "via the channel “Ops” (link)",
    )
    assert (entry.subject, entry.address) == (monitor.public_id, "127.0.0.1")


def test_what_was_acknowledged_before_says_so_and_stays_as_it_was(client, path, incident):
    client.post(path)
    incident.refresh_from_db()
    first = incident.acknowledged_at
    for response in (client.get(path), client.post(path)):
        assert "Already acknowledged." in text_of(response)
        assert ">Acknowledge</button>" not in response.content.decode()
    incident.refresh_from_db()
    assert incident.acknowledged_at == first
    assert targets().count() == 1


def test_what_is_over_says_so(client, path, incident):
    type(incident).objects.update(resolved_at=database_now())
    for response in (client.get(path), client.post(path), client.post(path, {"snooze": "1h"})):
        text = text_of(response)
        assert "Oven has recovered" in text
        assert "This incident is over" in text
        assert "<button" not in response.content.decode().split("<main")[1]
    assert not targets().exists()


def resolve(incident):
    type(incident).objects.filter(pk=incident.pk).update(resolved_at=database_now())


def test_the_link_of_an_outage_that_went_on_is_about_what_is_down_now(
    client, path, incident, monitor, channel
):
    key = uuid4()
    make_delivery(channel, incident, outage=key)
    Belief.objects.create(channel=channel, monitor=monitor, outage=key, state=Belief.State.DOWN)
    resolve(incident)
    assert "Oven has recovered" in text_of(client.get(path))
    relapse = make_incident(monitor, cause="reported")
    assert "Oven is down" in text_of(client.get(path))
    client.post(path)
    assert acknowledged(relapse) == [True]


@pytest.mark.parametrize("believed", [None, uuid4()])
def test_the_link_of_an_outage_that_was_ended_at_the_receiver_is_not_about_the_next_one(
    client, path, incident, monitor, channel, believed
):
    make_delivery(channel, incident, outage=uuid4())
    Belief.objects.create(channel=channel, monitor=monitor, outage=believed)
    resolve(incident)
    make_incident(monitor)
    assert "Oven has recovered" in text_of(client.get(path))


def test_a_relapse_that_is_not_confirmed_is_not_what_the_link_is_about(
    client, path, incident, monitor, channel
):
    key = uuid4()
    make_delivery(channel, incident, outage=key)
    Belief.objects.create(channel=channel, monitor=monitor, outage=key)
    resolve(incident)
    make_incident(monitor, confirmed_at=None)
    assert "Oven has recovered" in text_of(client.get(path))


def test_the_log_of_the_monitor_says_by_way_of_which_channel(client, path, monitor, admin):
    client.post(path)
    page = admin.get(f"/monitors/{monitor.public_id}/log/").content.decode()
    assert "via the channel “Ops” (link)" in page


# --- Snoozing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "hours"), [("1h", 1), ("4h", 4)])
def test_a_button_snoozes_for_hours(client, path, monitor, wanted, hours):
    text = text_of(client.post(path, {"snooze": wanted}))
    assert "Snoozed: no down notifications until" in text
    until = snooze.snoozed_until(monitor, now=database_now())
    assert abs(until - database_now() - timedelta(hours=hours)) < timedelta(minutes=1)
    entry = targets().get()
    assert (entry.action, entry.via) == (AuditEntry.Action.MONITOR_SNOOZED, AuditEntry.Via.LINK)


def test_tomorrow_is_nine_in_the_zone_of_the_workspace(client, path, monitor):
    Workspace.objects.update(timezone="Asia/Jakarta")
    client.post(path, {"snooze": "tomorrow"})
    with timezone.override("Asia/Jakarta"):
        until = timezone.localtime(MonitorRules.objects.get().snoozed_until)
        today = timezone.localtime(database_now()).date()
    assert (until.hour, until.minute, until.date() - today) == (9, 0, timedelta(days=1))


def test_a_length_that_is_not_offered_does_nothing(client, path, incident):
    assert client.post(path, {"snooze": "400d"}).status_code == 200
    assert not MonitorRules.objects.exists()
    assert not targets().exists()


# --- Everything in a digest ----------------------------------------------------------------------


@pytest.fixture
def digest(channel):
    return make_delivery(channel, None, event=Event.DIGEST)


@pytest.fixture
def all_path(digest):
    return urlsplit(ack_links.acknowledge_all_url(digest)).path


@pytest.fixture
def member(workspace, channel, digest):
    """Make a monitor with an incident that is part of the digest, and return the incident."""

    def make(name, *, event=Event.OPENED, outage=None, **fields):
        incident = make_incident(make_monitor(workspace=workspace, name=name), **fields)
        make_delivery(
            channel, incident, event=event, outage=outage, digest=digest, status=Delivery.Status.MERGED
        )
        return incident

    return make


def test_the_page_of_a_digest_names_what_is_down(client, all_path, member):
    member("Oven", cause="missed")
    member("Grill", event=Event.REMINDER)
    member("Fridge", event=Event.FLAPPING)
    text = text_of(client.get(all_path))
    assert "3 monitors are down" in text
    assert "missed heartbeat, since" in text
    assert all(name in text for name in ("Oven", "Grill", "Fridge", "Acknowledge 3 incidents"))


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_at_the_page_of_a_digest_acknowledges_nothing(client, all_path, member, method):
    incident = member("Oven")
    assert getattr(client, method)(all_path).status_code == 200
    assert acknowledged(incident) == [False]


def test_one_button_acknowledges_everything_in_a_digest(client, all_path, member, monitor):
    incidents = [member("Grill"), member("Fridge", event=Event.REMINDER)]
    other = make_incident(monitor)
    assert "2 incidents acknowledged." in text_of(client.post(all_path))
    assert acknowledged(*incidents, other) == [True, True, False]
    assert {entry.actor for entry in targets()} == {"via the channel “Ops” (link)"}
    assert targets().count() == 2


def test_what_of_a_digest_was_acknowledged_before_stays_as_it_was(client, all_path, member):
    first, second = member("Oven"), member("Grill")
    at = database_now() - timedelta(minutes=3)
    type(first).objects.filter(pk=first.pk).update(acknowledged_at=at)
    assert "Acknowledge 1 incident" in text_of(client.get(all_path))
    for _ in range(2):
        client.post(all_path)
    assert acknowledged(first, second) == [True, True]
    assert first.acknowledged_at == at
    assert targets().count() == 1
    page = client.get(all_path)
    assert "Already acknowledged." in text_of(page)
    assert "<button" not in page.content.decode().split("<main")[1]


def test_what_of_a_digest_has_recovered_is_not_on_its_page(client, all_path, member):
    resolve(member("Oven"))
    assert "Nothing is down now" in text_of(client.get(all_path))
    member("Grill")
    text = text_of(client.post(all_path))
    assert "1 incident acknowledged." in text
    assert "Oven" not in text


def test_what_of_a_digest_went_down_again_is_acknowledged_too(client, all_path, member, channel):
    key = uuid4()
    incident = member("Oven", outage=key)
    Belief.objects.create(channel=channel, monitor=incident.monitor, outage=key, state=Belief.State.DOWN)
    resolve(incident)
    relapse = make_incident(incident.monitor)
    client.post(all_path)
    assert acknowledged(relapse) == [True]


def test_what_had_recovered_in_a_digest_is_not_acknowledged_when_it_goes_down_again(
    client, all_path, member, channel
):
    key = uuid4()
    incident = member("Oven", event=Event.RESOLVED, outage=key)
    Belief.objects.create(channel=channel, monitor=incident.monitor, outage=key)
    resolve(incident)
    later = make_incident(incident.monitor)
    client.post(all_path)
    assert acknowledged(later) == [False]


def test_the_page_of_a_long_digest_names_some_and_reads_them_at_once(
    client, all_path, member, django_assert_max_num_queries
):
    for number in range(60):
        member(f"Oven {number}")
    with django_assert_max_num_queries(5):
        text = text_of(client.get(all_path))
    assert "60 monitors are down" in text
    assert "Oven 49 " in text
    assert "Oven 50 " not in text
    assert "and 10 more" in text


def test_the_page_of_a_digest_shows_nothing_else_of_the_workspace(
    client, all_path, member, workspace, channel, monitor
):
    incident = member("Grill")
    page = client.get(all_path).content.decode()
    for hidden in (monitor.name, workspace.name, channel.name, str(incident.monitor.public_id)):
        assert hidden not in page
    assert all_path not in page


def test_the_link_of_a_digest_works_only_for_its_own_channel(client, digest, workspace):
    digest.channel = make_channel(workspace=workspace)
    gone(client, urlsplit(ack_links.acknowledge_all_url(digest)).path)


def test_the_link_of_a_digest_that_was_deleted_does_not_work(client, digest, all_path):
    digest.delete()
    gone(client, all_path)


# --- Links that do not work ----------------------------------------------------------------------


def gone(client, path):
    response = client.get(path)
    assert response.status_code == 404
    assert client.post(path).status_code == 404
    return text_of(response)


def test_all_links_that_do_not_work_get_the_same_answer(client, incident, channel, monitor):
    url = urlsplit(ack_links.acknowledge_url(incident, channel)).path
    answers = {
        gone(client, "/acknowledge/made-up/"),
        gone(client, f"{url[:-2]}x/"),
        gone(client, f"{url[:40]}/"),
    }
    with time_machine.travel(datetime.now(UTC) + ack_links.VALID + timedelta(days=1)):
        answers.add(gone(client, url))
    incident.delete()
    answers.add(gone(client, url))
    assert len(answers) == 1
    assert "This link doesn't work" in answers.pop()


def test_a_link_works_for_fourteen_days(client, path):
    with time_machine.travel(datetime.now(UTC) + timedelta(days=13, hours=23)):
        assert client.get(path).status_code == 200
    with time_machine.travel(datetime.now(UTC) + timedelta(days=14, minutes=1)):
        gone(client, path)


def test_the_link_of_a_channel_that_was_deleted_does_not_work(client, path, channel):
    channel.delete()
    gone(client, path)


def test_a_channel_of_another_workspace_opens_nothing(client, incident):
    stranger = make_channel(workspace=make_workspace())
    gone(client, urlsplit(ack_links.acknowledge_url(incident, stranger)).path)


def test_a_token_signed_for_something_else_does_not_work(client, path):
    from django.core.signing import TimestampSigner

    named = path.split("/")[-2].split(".")[0]
    gone(client, f"/acknowledge/{TimestampSigner(sep='.', salt='another').sign(named)}/")
    assert ack_links.read(ack_links._signer().sign("AAAA")) is None
    assert ack_links.read(ack_links._signer().sign("A")) is None


def test_every_link_is_one_address_without_marks_that_end_it(incident, channel):
    assert re.fullmatch(
        r"https?://[\w.:-]+/acknowledge/[\w.-]+/", ack_links.acknowledge_url(incident, channel)
    )


# --- Where the notification was sent ---------------------------------------------------------------


@pytest.fixture
def team(workspace):
    config = {"addresses": ["anna@example.com", "ben@example.com"]}
    return make_channel(workspace=workspace, name="Team", kind="email", config=config)


def test_a_link_stops_when_the_channel_gets_other_addresses(client, incident, team):
    """Whoever was taken off the list still has the email."""
    path = urlsplit(ack_links.acknowledge_url(incident, team)).path
    assert client.get(path).status_code == 200
    team.config = {"addresses": ["ben@example.com"]}
    team.save()
    gone(client, path)
    assert client.get(urlsplit(ack_links.acknowledge_url(incident, team)).path).status_code == 200


def test_a_link_to_all_stops_with_the_address_too(client, digest, all_path):
    assert client.get(all_path).status_code == 200
    digest.channel.config = {"url": "http://127.0.0.1:9/other"}
    digest.channel.save()
    gone(client, all_path)


def test_a_link_outlives_other_changes_of_its_channel(client, incident, team):
    path = urlsplit(ack_links.acknowledge_url(incident, team)).path
    team.name, team.delay, team.title = "On call", 60, "{monitor}"
    team.save()
    assert client.get(path).status_code == 200


def test_a_secret_that_is_encrypted_again_is_the_same_address(client, incident, workspace, settings):
    sealed = channel_config.sealed("https://chat.example.com/in/very-secret")
    channel = make_channel(workspace=workspace, config={"url": sealed})
    path = urlsplit(ack_links.acknowledge_url(incident, channel)).path
    channel.config = {"url": channel_config.sealed("https://chat.example.com/in/very-secret")}
    channel.save()
    assert channel.config["url"] != sealed
    assert client.get(path).status_code == 200
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 60, [settings.SECRET_KEY]
    assert client.get(path).status_code == 200
    channel.config = {"url": channel_config.sealed("https://chat.example.com/in/another")}
    channel.save()
    gone(client, path)


def test_a_link_does_not_work_while_its_channel_is_disabled(client, path, channel):
    channel.enabled = False
    channel.save()
    gone(client, path)
    channel.enabled = True
    channel.save()
    assert client.get(path).status_code == 200


def test_a_link_does_not_reveal_the_address(incident, workspace):
    """Its digest is keyed: nobody can try addresses against it."""
    one = make_channel(workspace=workspace, kind="email", config={"addresses": ["anna@example.com"]})
    token = urlsplit(ack_links.acknowledge_url(incident, one)).path.split("/")[-2]
    named = base64.urlsafe_b64decode(token.split(".")[0] + "==")
    plain = hashlib.sha256(b'{"addresses": ["anna@example.com"]}').digest()
    assert len(named) == 40
    assert named[32:] != plain[:8]


@pytest.mark.parametrize("cut", [1, 7, 8])
def test_a_link_without_its_address_is_not_signed(client, path, cut):
    named, *signature = path.split("/")[-2].split(".")
    ids = base64.urlsafe_b64decode(f"{named}{'=' * (-len(named) % 4)}")[:-cut]
    shorter = base64.urlsafe_b64encode(ids).decode().rstrip("=")
    gone(client, f"/acknowledge/{'.'.join([shorter, *signature])}/")


def test_links_of_the_version_before_work_until_their_time_is_over(client, incident, channel, workspace):
    ids = incident.public_id.bytes + channel.public_id.bytes
    named = base64.urlsafe_b64encode(ids).decode().rstrip("=")
    path = f"/acknowledge/{ack_links._signer().sign(named)}/"
    assert client.get(path).status_code == 200
    with time_machine.travel(datetime.now(UTC) + timedelta(days=14, minutes=1)):
        gone(client, path)
    channel.delete()
    gone(client, path)
