"""Letters: what leaves for a delivery, in the language, the zone and the words of its channel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db.models import F
from django.utils import translation

from accounts.models import Workspace
from core.clock import database_now
from monitors.models import Incident, MonitorState, RejectedPush
from notifications.composing import compose
from notifications.messages.events import Event
from notifications.models import Channel, Delivery, DeliveryAttempt, WorkspaceRules
from notifications.transports.base import Tone
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import make_delivery, make_incident, push

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 22, 14, 3, 7, tzinfo=UTC)


def loaded(delivery):
    return Delivery.objects.select_related(
        "channel__workspace", "monitor", "incident__monitor", "subject"
    ).get(pk=delivery.pk)


def compose_for(delivery):
    return compose.write(loaded(delivery))


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Oven")


@pytest.fixture
def channel(workspace):
    return make_channel(workspace=workspace, name="Ops")


def digest_of(channel, incidents, single=Event.OPENED):
    now = database_now()
    digest = Delivery.objects.create(
        channel=channel, event=Event.DIGEST, status="sending", created_at=now, next_attempt_at=now
    )
    for incident in incidents:
        make_delivery(
            channel,
            None,
            incident=incident,
            event=single,
            status="merged",
            digest=digest,
            next_attempt_at=None,
        )
    return digest


# --- Of one incident -----------------------------------------------------------------------------


def test_a_letter_has_the_message_the_json_the_thread_and_the_tone(channel, monitor):
    incident = make_incident(monitor, cause="missed", started_at=START)
    delivery = make_delivery(channel, monitor, incident=incident)
    composed = compose_for(delivery)
    assert composed.message.title == "Down: Oven"
    assert composed.payload["event"] == composed.payload["type"] == "incident.opened"
    assert composed.payload["id"] == str(delivery.public_id)
    assert (composed.thread, composed.tone) == (delivery.outage, Tone.DOWN)


@pytest.mark.parametrize(
    ("event", "tone"),
    [
        ("incident.resolved", Tone.UP),
        ("incident.passed", Tone.UP),
        ("incident.reminder", Tone.DOWN),
        ("monitor.flapping", Tone.FLAPPING),
        ("incident.ended", Tone.CLOSED),
    ],
)
def test_the_tone_distinguishes_open_from_resolved(channel, monitor, event, tone):
    now = database_now()
    incident = make_incident(
        monitor, started_at=now, resolved_at=now if tone in (Tone.UP, Tone.CLOSED) else None
    )
    assert compose_for(make_delivery(channel, monitor, incident=incident, event=event)).tone is tone


def test_it_is_in_the_language_and_zone_of_the_workspace_whatever_is_active(channel, monitor):
    Workspace.objects.update(language="id", timezone="Asia/Jakarta")
    delivery = make_delivery(channel, monitor, incident=make_incident(monitor, started_at=START))
    composed = compose_for(delivery)
    assert composed.message.title == "Mati: Oven"
    assert "2026-11-22 21:03:07 WIB" in composed.message.text
    assert composed.message.language == "id"
    assert composed.payload["incident"]["started_at"] == "2026-11-22T14:03:07.000Z"
    assert translation.get_language() == "en"


def test_a_language_or_zone_that_is_gone_does_not_keep_anybody_from_hearing(channel, monitor):
    Workspace.objects.update(language="tlh", timezone="Mars/Olympus")
    delivery = make_delivery(channel, monitor, incident=make_incident(monitor, started_at=START))
    assert "2026-11-22 14:03:07 UTC" in compose_for(delivery).message.text


def test_a_missed_heartbeat_says_that_pushes_were_rejected_since(channel, monitor):
    heard = START - timedelta(minutes=5)
    incident = make_incident(monitor, cause="missed", started_at=START, last_heartbeat_at=heard)
    RejectedPush.objects.create(
        monitor=monitor,
        reason=RejectedPush.Reason.REVOKED,
        method="POST",
        last_four="abcd",
        count=2,
        first_at=START,
        last_at=START + timedelta(minutes=1),
    )
    lines = compose_for(make_delivery(channel, monitor, incident=incident)).message.lines
    assert "2 pushes were rejected since: Revoked token." in lines
    incident.cause = "reported"
    incident.save()
    delivery = make_delivery(channel, monitor, incident=incident, event=Event.REMINDER, sequence=1)
    assert not [line for line in compose_for(delivery).message.lines if "rejected" in line]


def test_a_down_notification_has_an_acknowledge_link(channel, monitor):
    composed = compose_for(make_delivery(channel, monitor))
    assert "/acknowledge/" in composed.message.ack_url
    assert composed.payload["acknowledge_url"] == composed.message.ack_url


@pytest.mark.parametrize("seen_to", [{"acknowledged_at": START}, {"resolved_at": START, "started_at": START}])
def test_what_is_seen_to_or_over_has_no_link_to_acknowledge(channel, monitor, seen_to):
    incident = make_incident(monitor, **seen_to)
    assert compose_for(make_delivery(channel, monitor, incident=incident)).message.ack_url == ""


def test_a_reminder_says_which_of_how_many_it_is(channel, monitor):
    WorkspaceRules.objects.create(workspace=channel.workspace, remind_every=3600, remind_most=5)
    planned = database_now()
    delivery = make_delivery(
        channel,
        monitor,
        event="incident.reminder",
        sequence=3,
        reminder=2,
        created_at=planned,
        planned_at=planned,
    )
    composed = compose_for(delivery)
    assert "Reminder 2 of 5." in composed.message.lines
    assert composed.payload["reminder"] == {"number": 2, "of": 5}
    assert datetime.fromisoformat(composed.payload["at"]) - planned < timedelta(seconds=1)


def test_a_reminder_has_the_value_that_was_reported_last(channel, monitor):
    push(monitor, up=False, value=5)
    incident = Incident.objects.get()
    reminder = {"incident": incident, "event": Event.REMINDER, "sequence": 1}
    delivery = make_delivery(channel, monitor, **reminder)
    assert compose_for(delivery).payload["value"] == 5
    push(monitor, up=False, value=7)
    composed = compose_for(delivery)
    assert composed.payload["value"] == 7
    assert "Last value: 7" in composed.message.lines


def test_a_value_out_of_range_is_notified_with_the_allowed_range(channel, workspace):
    monitor = make_monitor(workspace=workspace, name="Oven")
    type(monitor).objects.update(value_max=10)
    monitor.refresh_from_db()
    incident = make_incident(monitor, cause="value", opening_value=12.0)
    composed = compose_for(make_delivery(channel, monitor, incident=incident))
    assert "Value: 12, above the maximum of 10." in composed.message.lines
    assert composed.payload["incident"]["cause"] == "value"


# --- Late ----------------------------------------------------------------------------------------


def late(channel, monitor, last_heartbeat):
    now = database_now()
    MonitorState.objects.update(
        status="up", last_heartbeat_at=last_heartbeat, last_message="warm", last_value=180
    )
    return Delivery.objects.create(
        channel=channel,
        monitor=monitor,
        event=Event.LATE,
        occasion=last_heartbeat,
        created_at=now,
        planned_at=now,
        next_attempt_at=now,
    )


def test_a_late_notification_has_the_expected_time_and_the_deadline(channel, workspace):
    monitor = make_monitor(workspace=workspace, name="Oven", timeout=60, grace=120)
    last_heartbeat = database_now() - timedelta(seconds=90)
    composed = compose_for(late(channel, monitor, last_heartbeat))
    assert composed.message.title == "Late: Oven"
    assert composed.message.lines[0].startswith("Oven is 30 s late. A heartbeat was expected by")
    assert "Last message: warm" in composed.message.lines
    assert composed.tone is Tone.LATE
    assert composed.payload["incident"] is None
    expected, deadline = (
        datetime.fromisoformat(composed.payload["late"][name]) for name in ("expected_by", "deadline")
    )
    assert deadline - expected == timedelta(seconds=120)


def test_a_late_notification_after_a_new_heartbeat_predicts_no_down(channel, workspace):
    monitor = make_monitor(workspace=workspace, timeout=60, grace=120)
    delivery = late(channel, monitor, database_now() - timedelta(seconds=90))
    MonitorState.objects.update(last_heartbeat_at=F("last_heartbeat_at") + timedelta(seconds=80))
    lines = compose_for(delivery).message.lines
    assert lines[1].startswith("A heartbeat has since arrived")


# --- Several -------------------------------------------------------------------------------------


def test_a_digest_names_its_monitors_and_leads_to_those_that_are_down(channel, workspace):
    incidents = [
        make_incident(make_monitor(workspace=workspace, name=name), cause=cause, started_at=START)
        for name, cause in (("Oven", "missed"), ("Grill", "reported"))
    ]
    composed = compose_for(digest_of(channel, incidents))
    assert composed.message.title == "2 down"
    oven, grill = composed.message.lines[2:]
    assert oven.startswith("• Oven: down for ")
    assert oven.endswith(" (missed heartbeat)")
    assert grill.endswith(" (reported down)")
    assert composed.message.url.endswith("/?status=down")
    assert (composed.thread, composed.tone) == (None, Tone.DOWN)
    digest = composed.payload["digest"]
    assert digest["count"] == 2
    assert [listed["name"] for listed in digest["monitors"]] == ["Oven", "Grill"]
    assert digest["monitors"][0]["id"] == str(incidents[0].monitor.public_id)
    assert digest["monitors"][0]["incident"]["started_at"] == "2026-11-22T14:03:07.000Z"


def test_a_digest_takes_as_many_queries_for_thirty_as_for_two(channel, workspace, django_assert_num_queries):
    for count in (2, 30):
        incidents = [make_incident(make_monitor(workspace=workspace)) for _ in range(count)]
        delivery = loaded(digest_of(channel, incidents))
        with django_assert_num_queries(3):
            compose.write(delivery)


def test_the_payload_has_the_outages_beyond_the_listed_ones(channel, workspace, monkeypatch):
    monkeypatch.setattr("notifications.messages.digests.LISTED", 2)
    incidents = [make_incident(make_monitor(workspace=workspace)) for _ in range(4)]
    delivery = digest_of(channel, incidents)
    digest = compose_for(delivery).payload["digest"]
    assert (digest["count"], len(digest["monitors"]), len(digest["others"])) == (4, 2, 2)
    outages = {each["outage"] for each in digest["monitors"] + digest["others"]}
    assert outages == {str(row.outage) for row in delivery.members.all()}
    assert {each["id"] for each in digest["others"]} == {
        str(each.monitor.public_id) for each in incidents[2:]
    }


# --- Channels ------------------------------------------------------------------------------------


def failing(channel, subject):
    now = database_now()
    return Delivery.objects.create(
        channel=channel,
        subject=subject,
        event=Event.FAILING,
        created_at=now,
        next_attempt_at=now,
    )


def test_a_failing_channel_is_notified_with_the_last_response(channel, workspace, monitor):
    subject = make_channel(workspace=workspace, name="Pager", failures=20, failing_since=START)
    now = database_now()
    delivery = make_delivery(subject, monitor)
    for number, detail in enumerate(("HTTP 500", "HTTP 403 Forbidden: no such key")):
        DeliveryAttempt.objects.create(
            delivery=delivery,
            number=number,
            started_at=now,
            finished_at=now,
            ok=False,
            detail=detail,
        )
    composed = compose_for(failing(channel, subject))
    assert composed.message.title == "Channel failing: Pager"
    assert "Last response: HTTP 403 Forbidden: no such key" in composed.message.lines
    assert composed.message.url.endswith(f"/channels/{subject.public_id}/")
    assert composed.message.manage_url.endswith(f"/channels/{channel.public_id}/")
    assert composed.payload["channel"]["id"] == str(subject.public_id)
    assert composed.payload["channel"]["failures"] == 20


# --- The channel's own words ---------------------------------------------------------------------


def worded(channel, **templates):
    Channel.objects.filter(pk=channel.pk).update(**templates)
    return channel


def test_a_channel_says_it_its_own_way(channel, monitor):
    worded(channel, title="[{status}] {monitor}", body="{cause}\n{url}\n\n{{x}}")
    incident = make_incident(monitor, opening_message="disk is full")
    message = compose_for(make_delivery(channel, monitor, incident=incident)).message
    assert message.title == "[Down] Oven"
    assert message.text == (f"Cause: reported down with the message: disk is full\n{message.url}\n\n{{x}}")
    assert message.lines == tuple(message.text.replace("\n\n", "\n").split("\n"))


def test_a_template_can_include_the_default_text(channel, monitor):
    worded(channel, title="Kitchen: {title}", body="{text}\n-- {workspace}")
    composed = compose_for(make_delivery(channel, monitor))
    assert composed.message.title == "Kitchen: Down: Oven"
    assert "Oven reported down." in composed.message.text
    assert composed.payload["title"] == composed.message.title
    assert composed.payload["text"] == composed.message.text


def test_a_placeholder_in_a_heartbeats_message_is_not_filled(channel, monitor):
    worded(channel, body="{message}")
    incident = make_incident(monitor, opening_message="{monitor} {{")
    assert compose_for(make_delivery(channel, monitor, incident=incident)).message.text == "{monitor} {{"


def test_a_title_stays_one_line_and_short(channel, monitor):
    worded(channel, title="{text}\n" + "{monitor}" * 100)
    title = compose_for(make_delivery(channel, monitor)).message.title
    assert len(title) == 200
    assert title.splitlines() == [title]


@pytest.mark.parametrize("templates", [{"title": "{host}"}, {"body": "{monitor.name}"}])
def test_a_template_that_is_not_good_gives_way_to_the_default_and_says_so(channel, monitor, templates):
    worded(channel, **templates)
    message = compose_for(make_delivery(channel, monitor)).message
    assert message.title == "Down: Oven"
    assert message.lines[0].startswith("Oven reported down.")
    assert message.lines[-1].startswith("The channel's custom text could not be used: Unknown placeholder")


def test_a_template_that_says_nothing_gives_way_to_the_default(channel, monitor):
    worded(channel, title="{value}", body=" {value} ")
    message = compose_for(make_delivery(channel, monitor)).message
    assert message.title == "Down: Oven"
    assert len(message.lines) > 1


def test_a_digest_has_its_placeholders(channel, workspace):
    worded(channel, title="{status}: {count} ({monitor})", body="{names}")
    incidents = [make_incident(make_monitor(workspace=workspace, name=name)) for name in ("A", "B")]
    message = compose_for(digest_of(channel, incidents)).message
    assert (message.title, message.text) == ("2 down: 2 (2 monitors)", "A, B")


# --- Tests ---------------------------------------------------------------------------------------


def test_a_test_uses_the_channels_own_template_and_cannot_be_taken_for_an_incident(channel):
    worded(channel, title="[{status}] {monitor}")
    channel.refresh_from_db()
    test_id = uuid4()
    composed = compose.test(channel, test_id, START)
    assert composed.message.title == "[Test] Example"
    assert "Nothing is down." in composed.message.text
    assert (composed.thread, composed.tone) == (None, Tone.INFO)
    assert composed.payload["event"] == "test"
    assert composed.payload["id"] == str(test_id)


def test_a_test_is_in_the_language_of_the_workspace():
    workspace = make_workspace()
    workspace.language = "id"
    workspace.save()
    composed = compose.test(make_channel(workspace=workspace), uuid4(), START)
    with translation.override("id"):
        assert composed.message.title == translation.gettext("Test notification from Tianji")


def test_every_event_has_the_same_keys(channel, monitor, workspace):
    incident = make_incident(monitor)
    payloads = [
        compose_for(make_delivery(channel, monitor, incident=incident)).payload,
        compose_for(digest_of(channel, [incident], single="incident.reminder")).payload,
        compose_for(failing(channel, channel)).payload,
        compose.test(channel, uuid4(), START).payload,
    ]
    assert len({tuple(payload) for payload in payloads}) == 1
