"""Channels over HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from datetime import time

import pytest

from accounts.models import AuditEntry
from api.fields import in_utc
from core import credentials
from core.clock import database_now
from notifications import channel_config
from notifications.channel_config import MASK
from notifications.models import Channel, Delivery
from notifications.services import channels as channel_service
from tests.support.callers import Caller
from tests.support.factories import make_channel, make_monitor, make_workspace
from tests.support.incidents import make_delivery
from tests.support.sinks import Answer, HttpSink

pytestmark = pytest.mark.django_db
URL = "https://user:pw@chat.example.com/in/very-secret?key=1"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 25))).decode()
# What is shown of it: the host.
SHOWN = f"https://chat.example.com/{MASK}"
BODY = {"name": "Chat", "kind": "webhook", "config": {"url": URL}}
# What is shown of what nobody said.
NOTHING = {"secret": None, "headers": None, "template": None}
QUIET = {"from": "22:00", "until": "07:00", "timezone": "Asia/Jakarta"}
USUAL = {
    "delay": 0,
    "least_urgency": "low",
    "quiet_hours": None,
    "burst": 5,
    "events": ["down", "recovery", "reminder"],
    "title": "",
    "body": "",
    "failing_since": None,
    "paused_until": None,
}
TEAM = {"name": "Team", "kind": "email", "config": {"addresses": ["anna@example.com", "ben@example.com"]}}


@pytest.fixture(autouse=True)
def email_is_set_up(settings):
    settings.TIANJI_EMAIL_URL = "smtp://mail.example.com"


def signed_channel(workspace, **fields):
    return channel_service.create(
        workspace=workspace, kind="webhook", name="Chat", config={"url": URL, "secret": SECRET}, **fields
    )


def path(channel, what=""):
    return f"channels/{channel.public_id}/{what}"


def problem(answer, status):
    """Return the errors of a problem by field."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    return {error["field"]: error["detail"] for error in answer.json().get("errors", [])}


# --- Creating ------------------------------------------------------------------------------------


def test_a_webhook_is_created_as_it_was_described(writer, workspace):
    monitor = make_monitor(workspace=workspace)
    body = {**BODY, "enabled": False, "all_monitors": False, "monitors": [str(monitor.public_id)]}
    answer = writer.post("channels/", body)
    channel = Channel.objects.get()
    data = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == f"/api/v1/channels/{channel.public_id}/"
    assert answer["ETag"] == '"1"'
    assert data["created_at"].endswith("Z")
    del data["created_at"], data["updated_at"]
    assert data == {**body, **USUAL, "id": str(channel.public_id), "config": {**NOTHING, "url": SHOWN}}
    assert channel_config.opened(channel) == {"url": URL}
    assert (channel.workspace, list(channel.monitors.all())) == (workspace, [monitor])


def test_a_channel_is_for_all_monitors_unless_some_are_named(writer, workspace):
    monitor = str(make_monitor(workspace=workspace).public_id)
    everything = writer.post("channels/", BODY).json()
    some = writer.post("channels/", {**BODY, "monitors": [monitor]}).json()
    none_yet = writer.post("channels/", {**BODY, "all_monitors": False}).json()
    data = writer.post("channels/", {**BODY, "all_monitors": True, "monitors": [monitor]}).json()
    assert (everything["all_monitors"], everything["monitors"]) == (True, [])
    assert (some["all_monitors"], some["monitors"]) == (False, [monitor])
    assert (none_yet["all_monitors"], none_yet["monitors"]) == (False, [])
    assert (data["all_monitors"], data["monitors"]) == (True, [])


def test_email_addresses_are_kept_each_once(writer):
    body = {**TEAM, "config": {"addresses": ["b@example.com", "a@example.com", "b@example.com"]}}
    assert writer.post("channels/", body).json()["config"] == {
        "addresses": ["b@example.com", "a@example.com"]
    }
    assert Channel.objects.get().config == {"addresses": ["b@example.com", "a@example.com"]}


def test_without_a_mail_server_an_email_channel_cannot_be_created(writer, settings):
    settings.TIANJI_EMAIL_URL = ""
    assert "TIANJI_EMAIL_URL" in problem(writer.post("channels/", TEAM), 422)["kind"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": 7}, "name"),
        ({"name": None}, "name"),
        ({"kind": "pigeon"}, "kind"),
        ({"kind": None}, "kind"),
        ({"kind": ["webhook"]}, "kind"),
        ({"enabled": "yes"}, "enabled"),
        ({"all_monitors": 1}, "all_monitors"),
        ({"monitors": ["7"]}, "monitors.0"),
        ({"monitors": "all"}, "monitors"),
        ({"colour": "red"}, "colour"),
        ({"config": None}, "config"),
        ({"config": []}, "config"),
        ({"config": {"url": "https://chat.example.com/\n"}}, "config.url"),
        ({"config": {"url": "https://a/" + "x" * 2000}}, "config.url"),
        ({"config": {"url": 7}}, "config.url"),
        ({"config": {"url": URL, "key": "x"}}, "config.key"),
        ({"delay": -1}, "delay"),
        ({"delay": 604801}, "delay"),
        ({"events": []}, "events"),
        ({"events": ["up"]}, "events.0"),
        ({"title": None}, "title"),
        ({"least_urgency": "urgent"}, "least_urgency"),
        ({"burst": 0}, "burst"),
        ({"burst": 21}, "burst"),
        ({"quiet_hours": {"from": "22:00", "until": "7:00", "timezone": "UTC"}}, "quiet_hours.until"),
        ({"quiet_hours": {"from": "24:00", "until": "07:00", "timezone": "UTC"}}, "quiet_hours.from"),
        ({"quiet_hours": {"from": "22:00", "until": "07:00"}}, "quiet_hours.timezone"),
        ({"quiet_hours": "22:00"}, "quiet_hours"),
        ({"config": {"url": URL, "secret": f"{SECRET}\n"}}, "config.secret"),
    ],
)
def test_what_is_not_allowed_is_named(writer, changes, field):
    errors = problem(writer.post("channels/", {**BODY, **changes}), 400)
    assert field in errors, errors
    assert not Channel.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"config": {}}, "config.url"),
        ({"config": {"url": "chat.example.com"}}, "config.url"),
        ({"config": {"url": "https://"}}, "config.url"),
        ({"config": {"url": "ftp://chat.example.com"}}, "config.url"),
        ({"config": {"url": "https://chat.example.com/a b"}}, "config.url"),
        ({"config": {"url": SHOWN}}, "config.url"),
        ({"config": {"url": URL, "secret": "hunter2"}}, "config.secret"),
        ({"config": {"url": URL, "secret": "whsec_c2hvcnQ="}}, "config.secret"),
        ({"title": "{pigeon}"}, "title"),
        ({"quiet_hours": {**QUIET, "until": "22:00"}}, "quiet_hours.until"),
        ({"quiet_hours": {**QUIET, "timezone": "Mars/Olympus"}}, "quiet_hours.timezone"),
        ({"body": "{"}, "body"),
    ],
)
def test_what_a_kind_refuses_is_named(writer, changes, field):
    errors = problem(writer.post("channels/", {**BODY, **changes}), 422)
    assert field in errors, errors
    assert not Channel.objects.exists()


@pytest.mark.parametrize(
    ("addresses", "status", "field"),
    [
        ([], 422, "config.addresses"),
        (["nonsense"], 422, "config.addresses.0"),
        (["a@example.com", " b@example.com"], 422, "config.addresses.1"),
        (["a@example.com, b@example.com"], 422, "config.addresses.0"),
        (["a@example.com\nBcc: b@example.com"], 422, "config.addresses.0"),
        ([None], 400, "config.addresses.0"),
        ([f"a{n}@example.com" for n in range(21)], 422, "config.addresses"),
        (7, 400, "config.addresses"),
    ],
)
def test_addresses_that_are_none_are_named(writer, addresses, status, field):
    errors = problem(writer.post("channels/", {**TEAM, "config": {"addresses": addresses}}), status)
    assert field in errors, errors


@pytest.mark.parametrize("url", ["https://:80/", "https://a:0/", "https://a:99999/", "http://[::1"])
def test_an_address_that_leads_nowhere_is_refused(writer, url):
    assert "config.url" in problem(writer.post("channels/", {**BODY, "config": {"url": url}}), 422)


@pytest.mark.parametrize("body", [[], "x", 7, None, {}])
def test_a_body_that_describes_nothing_is_refused(writer, body):
    assert writer.post("channels/", body).status_code == 400


def test_a_config_of_another_kind_is_refused(writer):
    assert "config" in problem(writer.post("channels/", {**TEAM, "config": BODY["config"]}), 422)
    assert "config" in problem(writer.post("channels/", {**BODY, "config": TEAM["config"]}), 422)
    assert "config.addresses" in problem(writer.post("channels/", {**TEAM, "config": {}}), 422)


def test_monitors_of_other_workspaces_look_like_missing_ones(writer):
    stranger = make_monitor(workspace=make_workspace())
    for unknown in (stranger.public_id, uuid.uuid4()):
        errors = problem(writer.post("channels/", {**BODY, "monitors": [str(unknown)]}), 422)
        assert errors == {"monitors": f"No such monitor in this workspace: {unknown}."}


def test_the_same_creation_twice_is_done_once(writer):
    key = {"Idempotency-Key": "one"}
    first = writer.post("channels/", BODY, **key)
    again = writer.post("channels/", BODY, **key)
    assert first.json() == again.json()
    assert Channel.objects.count() == 1


# --- Reading -------------------------------------------------------------------------------------


def test_a_channel_is_read_by_its_id(writer, workspace):
    channel = make_channel(workspace=workspace, name="Chat", config={"url": URL})
    answer = writer.get(path(channel))
    assert answer.json()["config"] == {**NOTHING, "url": SHOWN}
    assert answer["ETag"] == '"1"'


def test_a_viewer_sees_no_destination(reader, workspace):
    webhook = signed_channel(workspace)
    email = make_channel(workspace=workspace, kind="email", config={"addresses": ["a@example.com"] * 2})
    assert reader.get(path(webhook)).json()["config"] == {**NOTHING, "url": SHOWN, "secret": MASK}
    assert reader.get(path(email)).json()["config"] == {"addresses": ["…", "…"]}
    assert b"very-secret" not in reader.get("channels/").content


def test_a_viewer_reads_channels_in_the_browser(viewer, workspace):
    channel = signed_channel(workspace)
    data = viewer.get(f"/api/v1/{path(channel)}").json()
    assert data["config"]["url"] == SHOWN
    assert viewer.delete(f"/api/v1/{path(channel)}").status_code == 403


def test_channels_are_listed_in_pages(reader, workspace):
    made = [str(make_channel(workspace=workspace).public_id) for _ in range(5)]
    make_channel(workspace=make_workspace())
    first = reader.get("channels/?limit=3").json()
    second = reader.get(first["next"].partition("/api/v1/")[2]).json()
    assert sorted(row["id"] for page in (first, second) for row in page["results"]) == sorted(made)
    assert (first["previous"], second["next"]) == (None, None)


def test_a_list_costs_the_same_however_long(reader, workspace, django_assert_num_queries):
    monitors = [make_monitor(workspace=workspace) for _ in range(5)]
    Channel.objects.bulk_create(
        Channel(workspace=workspace, name=f"Channel {n}", kind="webhook", config={"url": URL})
        for n in range(1000)
    )
    make_channel(workspace=workspace, monitors=monitors)
    reader.get("channels/?limit=1")
    with django_assert_num_queries(4):
        assert len(reader.get("channels/?limit=500").json()["results"]) == 500


def test_a_parameter_that_is_none_is_refused(reader):
    assert "kind" in problem(reader.get("channels/?kind=webhook"), 400)


def test_a_failing_channel_says_so(reader, workspace):
    now = database_now()
    channel = make_channel(workspace=workspace, failing_since=now, paused_until=now)
    data = reader.get(path(channel)).json()
    assert (data["failing_since"], data["paused_until"]) == (in_utc(now), in_utc(now))


# --- Changing ------------------------------------------------------------------------------------


def test_only_what_is_named_is_changed(writer, workspace):
    monitor = make_monitor(workspace=workspace)
    channel = make_channel(workspace=workspace, monitors=[monitor], config={"url": URL})
    answer = writer.patch(path(channel), {"name": "New"})
    assert answer.status_code == 200
    assert answer["ETag"] == '"2"'
    channel.refresh_from_db()
    assert (channel.name, channel.config, channel.enabled) == ("New", {"url": URL}, True)
    assert list(channel.monitors.all()) == [monitor]


def test_what_was_read_can_be_written_back_and_changes_nothing(writer, workspace):
    channel = signed_channel(workspace)
    data = writer.get(path(channel))
    answer = writer.patch(path(channel), data.json())
    assert answer.status_code == 200, answer.content
    assert answer.json() == data.json()
    assert answer["ETag"] == data["ETag"]
    assert not AuditEntry.objects.filter(action="channel.changed").exists()


def test_urgency_quiet_hours_and_the_size_of_a_storm_are_changed(writer, workspace):
    channel = make_channel(workspace=workspace, config={"url": URL})
    body = {"least_urgency": "high", "quiet_hours": QUIET, "burst": 12}
    data = writer.patch(path(channel), body).json()
    assert {name: data[name] for name in body} == body
    channel.refresh_from_db()
    assert (channel.quiet_from, channel.quiet_until) == (time(22), time(7))
    assert writer.patch(path(channel), {"quiet_hours": None}).json()["quiet_hours"] is None
    channel.refresh_from_db()
    assert (channel.quiet_from, channel.quiet_until) == (None, None)


def test_monitors_are_chosen_and_all_of_them_again(writer, workspace):
    monitor = make_monitor(workspace=workspace)
    channel = make_channel(workspace=workspace)
    assert writer.patch(path(channel), {"monitors": [str(monitor.public_id)]}).json()["all_monitors"] is False
    assert list(channel.monitors.all()) == [monitor]
    assert writer.patch(path(channel), {"all_monitors": True}).json()["monitors"] == []
    assert not channel.monitors.exists()


def test_the_events_of_a_channel_are_changed(writer, workspace):
    channel = make_channel(workspace=workspace)
    changes = {"delay": 600, "events": ["late", "down"], "title": "{monitor}!", "body": "{text}"}
    data = writer.patch(path(channel), changes).json()
    assert {name: data[name] for name in changes} == {**changes, "events": ["down", "late"]}
    channel.refresh_from_db()
    assert (channel.on_down, channel.on_recovery, channel.on_late, channel.on_reminder) == (
        (True, False, True, False)
    )


def test_switching_it_off_gives_up_what_waits(writer, workspace):
    channel = make_channel(workspace=workspace)
    row = make_delivery(channel, make_monitor(workspace=workspace))
    writer.patch(path(channel), {"enabled": False})
    row.refresh_from_db()
    assert row.status == Delivery.Status.FAILED


def test_an_edit_of_an_older_state_is_refused(writer, workspace):
    channel = make_channel(workspace=workspace, name="Old")
    stale = writer.get(path(channel))["ETag"]
    writer.patch(path(channel), {"name": "Newer"}, **{"If-Match": stale})
    for method, body in (("PATCH", {"name": "Mine"}), ("DELETE", None)):
        answer = writer(method, path(channel), body, **{"If-Match": stale})
        problem(answer, 412)
    channel.refresh_from_db()
    assert channel.name == "Newer"


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"kind": "email"}, 422, "kind"),
        ({"config": {"addresses": ["a@example.com"]}}, 422, "config"),
        ({"config": {"url": "nonsense"}}, 422, "config.url"),
        ({"config": {"url": URL, "secret": MASK}}, 422, "config.secret"),
        ({"config": "x"}, 400, "config"),
        ({"kind": "pigeon"}, 400, "kind"),
        ({"nmae": "x"}, 400, "nmae"),
    ],
)
def test_a_change_that_cannot_be_is_explained(writer, workspace, change, status, field):
    channel = make_channel(workspace=workspace)
    assert field in problem(writer.patch(path(channel), change), status)


def test_a_channel_of_another_workspace_is_not_found(writer):
    channel = make_channel(workspace=make_workspace(), name="Theirs")
    for method, what, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "Mine"}),
        ("DELETE", "", None),
        ("POST", "test/", None),
    ):
        problem(writer(method, path(channel, what), body), 404)
    channel.refresh_from_db()
    assert channel.name == "Theirs"


def test_a_viewer_changes_nothing(reader, workspace):
    channel = make_channel(workspace=workspace)
    for method, address, body in (
        ("POST", "channels/", BODY),
        ("PATCH", path(channel), {"name": "Mine"}),
        ("DELETE", path(channel), None),
        ("POST", path(channel, "test/"), None),
    ):
        problem(reader(method, address, body), 403)
    assert Channel.objects.get() == channel


def test_a_channel_is_deleted_with_its_record(writer, workspace):
    channel = make_channel(workspace=workspace)
    make_delivery(channel, make_monitor(workspace=workspace))
    answer = writer.delete(path(channel))
    assert (answer.status_code, answer.content) == (204, b"")
    assert not Channel.objects.exists()
    problem(writer.get(path(channel)), 404)


def test_each_change_is_an_audit_entry_without_the_destination(writer, workspace):
    public_id = writer.post("channels/", {**BODY, "config": {"url": URL, "secret": SECRET}}).json()["id"]
    writer.patch(f"channels/{public_id}/", {"name": "New", "config": {"url": f"{URL}2"}})
    writer.delete(f"channels/{public_id}/")
    entries = AuditEntry.objects.filter(subject=public_id).order_by("pk")
    assert [entry.action for entry in entries] == ["channel.created", "channel.changed", "channel.deleted"]
    assert {(entry.via, entry.api_key) for entry in entries} == {("api", writer.issued.key)}
    assert [entry.subject_name for entry in entries] == ["Chat", "New", "New"]
    assert entries[1].details["fields"] == ["config", "name"]
    assert "very-secret" not in json.dumps([entry.details for entry in entries])


# --- The secret ----------------------------------------------------------------------------------


def test_a_secret_is_stored_encrypted_and_never_returned(writer, workspace):
    answer = writer.post("channels/", {**BODY, "config": {"url": URL, "secret": SECRET}})
    channel = Channel.objects.get()
    assert answer.json()["config"] == {**NOTHING, "url": SHOWN, "secret": MASK}
    assert SECRET not in json.dumps(channel.config)
    assert channel_config.opened(channel)["secret"] == SECRET
    assert SECRET[6:].encode() not in writer.get("channels/").content


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"url": "https://b.example/"}, SECRET),
        ({}, SECRET),
        ({"url": SHOWN, "secret": MASK}, SECRET),
        ({"url": "https://b.example/", "secret": MASK}, SECRET),
        ({"url": "https://b.example/", "secret": OTHER_SECRET}, OTHER_SECRET),
    ],
)
def test_a_secret_is_kept_or_replaced(writer, workspace, config, expected):
    channel = signed_channel(workspace)
    assert writer.patch(path(channel), {"config": config}).json()["config"]["secret"] == MASK
    channel.refresh_from_db()
    assert channel_config.opened(channel)["secret"] == expected


def test_after_a_change_the_secret_before_counts_for_a_while(writer, workspace):
    channel = signed_channel(workspace)
    data = writer.patch(path(channel), {"config": {"secret": OTHER_SECRET}})
    channel.refresh_from_db()
    assert channel_config.opened(channel)["previous_secret"] == SECRET
    assert channel_config.overlap_ends(channel, database_now())
    assert b"previous" not in data.content


def test_null_removes_the_secret(writer, workspace):
    channel = signed_channel(workspace)
    data = writer.patch(path(channel), {"config": {"url": URL, "secret": None}}).json()
    channel.refresh_from_db()
    assert data["config"]["secret"] is None
    assert channel_config.opened(channel) == {"url": URL}


def test_the_same_secret_again_changes_nothing(writer, workspace):
    channel = signed_channel(workspace)
    answer = writer.patch(path(channel), {"config": {"url": URL, "secret": SECRET}})
    assert answer["ETag"] == '"1"'


def test_a_secret_that_cannot_be_opened_any_more_can_be_replaced(writer, workspace):
    channel = signed_channel(workspace)
    sealed = credentials.seal(SECRET, purpose=b"another key")
    Channel.objects.update(config={"url": URL, "secret": {"sealed": sealed}})
    assert writer.get(path(channel)).json()["config"]["secret"] == MASK
    writer.patch(path(channel), {"config": {"url": URL, "secret": SECRET}})
    channel.refresh_from_db()
    assert channel_config.opened(channel)["secret"] == SECRET


@pytest.mark.parametrize("size", [24, 25, 26, 32, 63, 64])
def test_a_secret_has_24_to_64_bytes(writer, size):
    secret = "whsec_" + base64.b64encode(b"\xff" * size).decode()
    assert writer.post("channels/", {**BODY, "config": {"url": URL, "secret": secret}}).status_code == 201


@pytest.mark.parametrize("size", [0, 1, 21, 22, 23, 65, 66, 67])
def test_a_secret_has_no_other_length(writer, size):
    secret = "whsec_" + base64.b64encode(b"\xff" * size).decode()
    answer = writer.post("channels/", {**BODY, "config": {"url": URL, "secret": secret}})
    assert "config.secret" in problem(answer, 422)


# --- Testing -------------------------------------------------------------------------------------


def test_a_test_returns_the_receivers_response(writer, workspace):
    with HttpSink() as sink:
        channel = make_channel(workspace=workspace, config={"url": sink.url})
        assert writer.post(path(channel, "test/")).json() == {"ok": True, "detail": "HTTP 200 OK"}
        sink.default = Answer(503, body=b"not today")
        data = writer.post(path(channel, "test/"))
        assert [request.json["event"] for request in sink.requests] == ["test", "test"]
    assert data.status_code == 200
    assert data.json() == {"ok": False, "detail": "HTTP 503 Service Unavailable: not today"}


def test_a_test_under_one_key_is_sent_once(writer, workspace):
    with HttpSink() as sink:
        channel = make_channel(workspace=workspace, config={"url": sink.url})
        first = writer.post(path(channel, "test/"), **{"Idempotency-Key": "one"})
        again = writer.post(path(channel, "test/"), **{"Idempotency-Key": "one"})
        assert len(sink.requests) == 1
    assert first.json() == again.json()


def test_what_a_channel_with_a_secret_sends_is_signed(writer, workspace):
    with HttpSink() as sink:
        body = {**BODY, "config": {"url": sink.url, "secret": SECRET}}
        public_id = writer.post("channels/", body).json()["id"]
        writer.post(f"channels/{public_id}/test/")
        (request,) = sink.requests
    content = (
        f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    )
    digest = hmac.new(bytes(range(32)), content, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


def test_channels_belong_to_the_key_s_workspace(workspace):
    theirs = Caller(make_workspace())
    theirs.post("channels/", BODY)
    assert Caller(workspace).get("channels/").json()["results"] == []
