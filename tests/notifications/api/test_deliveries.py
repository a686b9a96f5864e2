"""Deliveries over HTTP."""

from __future__ import annotations

import uuid

import pytest

from api.fields import in_utc
from core.clock import database_now
from notifications.dispatch import send
from notifications.messages.events import Event
from notifications.models import Delivery, DeliveryAttempt
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import make_delivery, make_incident, push
from tests.support.sinks import Answer, HttpSink

pytestmark = pytest.mark.django_db


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace)


def results(answer):
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def ids(answer):
    return [row["id"] for row in results(answer)]


def sent(channel, monitor, **fields):
    fields = {"status": Delivery.Status.SENT, "next_attempt_at": None, "sent_at": database_now(), **fields}
    return make_delivery(channel, monitor, **fields)


def test_a_delivery_has_its_outcome(writer, workspace, monitor):
    with HttpSink(Answer(503, body=b"later"), Answer(200)) as sink:
        channel = make_channel(workspace=workspace, config={"url": sink.url})
        push(monitor, up=False)
        send.deliver_due()
        Delivery.objects.update(next_attempt_at=database_now())
        send.deliver_due()
    row = Delivery.objects.select_related("incident").get()
    first, second = row.attempts.order_by("number")
    assert results(writer.get("deliveries/")) == [
        {
            "id": str(row.public_id),
            "event": "incident.opened",
            "status": "sent",
            "channel": str(channel.public_id),
            "channel_name": channel.name,
            "monitor": str(monitor.public_id),
            "monitor_name": monitor.name,
            "incident": str(row.incident.public_id),
            "subject": None,
            "digest": None,
            "outage": str(row.outage),
            "sequence": 1,
            "reason": None,
            "note": None,
            "created_at": in_utc(row.created_at),
            "planned_at": in_utc(row.planned_at),
            "next_attempt_at": None,
            "sent_at": in_utc(row.sent_at),
            "attempts": [
                {
                    "number": 1,
                    "started_at": in_utc(first.started_at),
                    "finished_at": in_utc(first.finished_at),
                    "ok": False,
                    "detail": "HTTP 503 Service Unavailable: later",
                },
                {
                    "number": 2,
                    "started_at": in_utc(second.started_at),
                    "finished_at": in_utc(second.finished_at),
                    "ok": True,
                    "detail": "HTTP 200 OK",
                },
            ],
        }
    ]


def test_a_digest_and_its_members_name_each_other(reader, workspace, monitor):
    channel, now = make_channel(workspace=workspace), database_now()
    digest = Delivery.objects.create(
        channel=channel, event=Event.DIGEST_DOWN, created_at=now, planned_at=now, next_attempt_at=now
    )
    member = make_delivery(
        channel, monitor, status=Delivery.Status.MERGED, next_attempt_at=None, digest=digest
    )
    (data,) = results(reader.get(f"deliveries/?digest={digest.public_id}"))
    assert (data["id"], data["digest"]) == (str(member.public_id), str(digest.public_id))
    (data,) = results(reader.get("deliveries/?event=digest.down"))
    assert (data["monitor"], data["incident"], data["monitor_name"]) == (None, None, None)


def test_a_skipped_delivery_shows_the_reason(reader, workspace, monitor):
    fields = {"status": Delivery.Status.SKIPPED, "note": Delivery.Note.RECOVERED, "next_attempt_at": None}
    make_delivery(make_channel(workspace=workspace), monitor, **fields)
    (data,) = results(reader.get("deliveries/?status=skipped"))
    assert data["note"] == "recovered"


def test_the_news_of_a_failing_channel_names_it(reader, workspace):
    now = database_now()
    failing = make_channel(workspace=workspace)
    Delivery.objects.create(
        channel=make_channel(workspace=workspace),
        subject=failing,
        event=Event.FAILING,
        created_at=now,
        planned_at=now,
        next_attempt_at=now,
    )
    (data,) = results(reader.get("deliveries/"))
    assert (data["event"], data["subject"]) == ("channel.failing", str(failing.public_id))


def test_a_viewer_does_not_see_the_receivers_response(reader, workspace, monitor):
    row = make_delivery(make_channel(workspace=workspace), monitor)
    now = database_now()
    DeliveryAttempt.objects.create(
        delivery=row, number=1, started_at=now, finished_at=now, ok=True, detail="Accepted for a@example.com."
    )
    (data,) = results(reader.get("deliveries/"))
    assert data["attempts"][0]["detail"] is None
    assert data["next_attempt_at"] == in_utc(row.next_attempt_at)


def test_deliveries_can_be_filtered(reader, workspace, monitor):
    first, second = make_channel(workspace=workspace), make_channel(workspace=workspace)
    other = make_monitor(workspace=workspace)
    waiting = str(make_delivery(first, monitor).public_id)
    arrived = str(sent(second, other, event=Event.RESOLVED).public_id)
    assert ids(reader.get("deliveries/")) == [arrived, waiting]
    assert ids(reader.get("deliveries/?status=pending")) == [waiting]
    assert ids(reader.get("deliveries/?event=incident.resolved")) == [arrived]
    assert ids(reader.get(f"deliveries/?channel={first.public_id}")) == [waiting]
    assert ids(reader.get(f"deliveries/?monitor={other.public_id}&status=sent")) == [arrived]
    assert ids(reader.get(f"deliveries/?monitor={other.public_id}&status=failed")) == []


def test_deliveries_of_other_workspaces_are_not_found(reader, monitor):
    stranger = make_workspace()
    theirs = make_channel(workspace=stranger)
    row = make_delivery(theirs, make_monitor(workspace=stranger))
    for query in ("", f"channel={theirs.public_id}", f"monitor={row.incident.monitor.public_id}"):
        assert ids(reader.get(f"deliveries/?{query}")) == []
    assert ids(reader.get(f"deliveries/?channel={uuid.uuid4()}")) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=lost", "status"),
        ("status=", "status"),
        ("event=test", "event"),
        ("channel=7", "channel"),
        ("monitor=%00", "monitor"),
        ("incident=7", "incident"),
        ("limit=many", "limit"),
        ("cursor=x", "cursor"),
    ],
)
def test_invalid_filters_are_explained(reader, query, field):
    answer = reader.get(f"deliveries/?{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_without_a_key_nothing_is_returned(client, db):
    assert client.get("/api/v1/deliveries/").status_code == 401


@pytest.mark.slow
def test_pages_are_stable_and_cost_the_same_however_long(
    reader, workspace, monitor, django_assert_num_queries
):
    channel = make_channel(workspace=workspace)
    incident, now = make_incident(monitor), database_now()
    Delivery.objects.bulk_create(
        Delivery(
            incident=incident,
            monitor=monitor,
            channel=channel,
            event=Event.OPENED,
            sequence=n,
            created_at=now,
            next_attempt_at=now,
        )
        for n in range(1000)
    )
    DeliveryAttempt.objects.bulk_create(
        DeliveryAttempt(delivery=row, number=1, started_at=now, finished_at=now, ok=False)
        for row in Delivery.objects.all()
    )
    known = [str(row.public_id) for row in Delivery.objects.order_by("-pk")]
    reader.get("deliveries/?limit=1")
    with django_assert_num_queries(4):
        page = reader.get("deliveries/?limit=400").json()
    seen = [row["id"] for row in page["results"]]
    while page["next"]:
        sent(channel, make_monitor(workspace=workspace))
        page = reader.get(page["next"].partition("/api/v1/")[2]).json()
        seen += [row["id"] for row in page["results"]]
    assert seen == known
