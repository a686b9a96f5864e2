"""The pages of channels in the browser's eyes."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEntry, Role, User
from monitors.models import Monitor
from notifications import channel_config
from notifications.dispatch import send as sender
from notifications.models import Channel, Delivery
from notifications.services.channels import assign
from tests.support.factories import make_channel, make_monitor, make_user, make_workspace
from tests.support.incidents import make_delivery, make_incident, push
from tests.support.sinks import Answer, HttpSink

pytestmark = pytest.mark.django_db
SECRET_URL = "https://user:pw@chat.example.com/hooks/very-secret?key=1"
HTMX = {"HX-Request": "true"}


def url(name, *objects):
    return reverse(f"notifications:{name}", args=[getattr(thing, "public_id", thing) for thing in objects])


def secret_channel(workspace):
    return make_channel(workspace=workspace, name="Chat", config={"url": SECRET_URL})


# --- The list ------------------------------------------------------------------------------------


def test_the_list_of_a_new_workspace_says_what_a_channel_is(admin):
    page = admin.get(url("list")).content.decode()
    assert "No channels yet" in page
    assert url("new") in page


def test_the_list_shows_where_a_channel_leads_and_what_was_last_sent(admin, workspace):
    monitor = make_monitor(workspace=workspace, name="Backup")
    make_delivery(secret_channel(workspace), monitor, status=Delivery.Status.SENT, next_attempt_at=None)
    page = admin.get(url("list")).content.decode()
    assert "https://chat.example.com/********" in page
    assert "very-secret" not in page
    assert "down, recovery, reminders (immediately)" in page
    assert "Backup" in page
    assert "Sent" in page


def test_a_viewer_sees_no_address_and_no_button(viewer, workspace):
    secret_channel(workspace)
    make_channel(workspace=workspace, kind="email", config={"addresses": ["anna@example.com"]})
    page = viewer.get(url("list")).content.decode()
    assert "https://chat.example.com/…" in page
    assert "1 address" in page
    assert "secret" not in page
    assert "anna" not in page
    assert url("new") not in page


def test_the_list_shows_only_the_own_workspace(admin):
    secret_channel(make_workspace())
    assert "Chat" not in admin.get(url("list")).content.decode()


def test_the_list_costs_the_same_number_of_queries_however_long(
    admin, workspace, django_assert_max_num_queries
):
    for _ in range(8):
        channel = make_channel(workspace=workspace)
        make_delivery(channel, make_monitor(workspace=workspace))
    with django_assert_max_num_queries(9):
        admin.get(url("list"))


def test_for_htmx_the_list_is_a_fragment(admin):
    page = admin.get(url("list"), headers=HTMX).content.decode()
    assert "<html" not in page
    assert "No channels yet" in page


@pytest.mark.parametrize("name", ["list", "new"])
def test_an_anonymous_user_is_redirected_to_sign_in(client, name):
    assert client.get(url(name)).status_code == 302


# --- Creating and editing ------------------------------------------------------------------------


def test_a_channel_is_created_for_chosen_monitors(admin, workspace):
    monitor = make_monitor(workspace=workspace)
    make_monitor(workspace=workspace)
    data = {
        "name": "Chat",
        "url": "https://example.com/x",
        "scope": "some",
        "events": ["down", "late"],
        "delay": "10 min",
        "monitors": [monitor.public_id],
        "enabled": "on",
    }
    answer = admin.post(url("create", "webhook"), data)
    channel = Channel.objects.get()
    assert answer.url == url("detail", channel)
    assert (channel.workspace, channel.kind, channel.all_monitors) == (workspace, "webhook", False)
    assert list(channel.monitors.all()) == [monitor]
    assert channel_config.opened(channel) == {"url": "https://example.com/x"}
    assert (channel.delay, channel.on_late, channel.on_recovery) == (600, True, False)


def test_a_change_in_the_browser_is_recorded_with_its_actor(admin, workspace):
    data = {"name": "Chat", "url": "https://example.com/x", "scope": "all", "events": "down", "enabled": "on"}
    admin.post(url("create", "webhook"), data)
    channel = Channel.objects.get()
    admin.post(url("edit", channel), {**data, "name": "New"})
    admin.post(url("delete", channel))
    entries = AuditEntry.objects.filter(subject=channel.public_id).order_by("pk")
    assert [(entry.action, entry.via) for entry in entries] == [
        ("channel.created", "browser"),
        ("channel.changed", "browser"),
        ("channel.deleted", "browser"),
    ]
    assert all(entry.user for entry in entries)


def test_a_secret_that_was_entered_is_on_no_page(admin, workspace):
    secret = "whsec_" + "QUJD" * 8
    data = {
        "name": "Chat",
        "url": "https://example.com/x",
        "scope": "all",
        "events": "down",
        "enabled": "on",
        "secret": secret,
    }
    admin.post(url("create", "webhook"), data)
    channel = Channel.objects.get()
    assert channel_config.opened(channel)["secret"] == secret
    for page in (admin.get(url("edit", channel)), admin.get(url("detail", channel)), admin.get(url("list"))):
        assert "QUJDQUJD" not in page.content.decode()


def test_nothing_typed_is_lost_on_an_error(admin, workspace):
    monitor = make_monitor(workspace=workspace, name="Backup")
    data = {
        "name": "My chat",
        "url": "nonsense",
        "scope": "some",
        "monitors": [monitor.public_id],
        "events": "late",
        "title": "My title",
        "template": '{"text": "{title}"}',
    }
    answer = admin.post(url("create", "webhook"), data)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="My chat"' in page
    assert 'value="My title"' in page
    assert "{&quot;text&quot;: &quot;{title}&quot;}" in page
    assert "starting with https://" in page
    assert page.count(" checked") == 3  # some monitors, that one, and one event
    assert "nonsense" not in page  # an address may be a secret
    assert not Channel.objects.exists()


def test_without_a_mail_server_the_page_says_so_before_and_after(admin, settings):
    settings.TIANJI_EMAIL_URL = ""
    assert "TIANJI_EMAIL_URL" in admin.get(url("create", "email")).content.decode()
    data = {
        "name": "Team",
        "addresses": "anna@example.com",
        "scope": "all",
        "events": "down",
        "enabled": "on",
    }
    answer = admin.post(url("create", "email"), data)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert page.count("TIANJI_EMAIL_URL") == 1
    assert "anna@example.com</textarea>" in page
    assert not Channel.objects.exists()


def test_with_a_mail_server_an_email_channel_is_created(admin, settings):
    settings.TIANJI_EMAIL_URL = "smtp://mail.example.com"
    data = {
        "name": "Team",
        "addresses": "anna@example.com",
        "scope": "all",
        "events": "down",
        "enabled": "on",
    }
    admin.post(url("create", "email"), data)
    assert Channel.objects.get().config == {"addresses": ["anna@example.com"]}


def test_a_kind_that_does_not_exist_is_not_found(admin):
    assert admin.get(url("create", "pigeon")).status_code == 404


def test_a_channel_is_edited(admin, workspace):
    channel = secret_channel(workspace)
    page = admin.get(url("edit", channel)).content.decode()
    assert "A value is set but never shown" in page
    data = {"name": "New", "url": "https://b.example/", "scope": "all", "events": "down"}
    assert admin.post(url("edit", channel), data).status_code == 302
    channel.refresh_from_db()
    assert (channel.name, channel.enabled) == ("New", False)
    assert channel_config.opened(channel) == {"url": "https://b.example/"}


def test_a_channel_is_deleted_after_a_question(admin, workspace):
    channel = secret_channel(workspace)
    assert "Delete channel “Chat”?" in admin.get(url("delete", channel)).content.decode()
    assert Channel.objects.exists()
    fragment = admin.get(url("delete", channel), headers=HTMX).content.decode()
    assert "<html" not in fragment
    admin.post(url("delete", channel))
    assert not Channel.objects.exists()


@pytest.mark.parametrize(
    ("name", "method"), [("edit", "get"), ("edit", "post"), ("delete", "post"), ("test", "post")]
)
def test_a_viewer_changes_nothing(viewer, workspace, name, method):
    channel = secret_channel(workspace)
    assert getattr(viewer, method)(url(name, channel)).status_code == 403
    assert Channel.objects.exists()


@pytest.mark.parametrize("name", ["new", "create"])
def test_a_viewer_creates_nothing(viewer, name):
    assert viewer.get(url(name, *(["webhook"] if name == "create" else []))).status_code == 403


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("detail", "get"),
        ("edit", "get"),
        ("edit", "post"),
        ("delete", "get"),
        ("delete", "post"),
        ("test", "post"),
    ],
)
def test_a_channel_of_another_workspace_is_not_found(admin, name, method):
    channel = secret_channel(make_workspace())
    assert getattr(admin, method)(url(name, channel)).status_code == 404
    assert Channel.objects.exists()


def test_a_link_to_a_channel_works_from_another_workspace_of_the_reader(client):
    first, second = make_workspace(), make_workspace()
    user = make_user(workspace=first)
    user.memberships.create(workspace=second, role=Role.VIEWER)
    client.force_login(user)
    channel = secret_channel(second)
    page = client.get(url("detail", channel)).content.decode()
    assert "very-secret" not in page
    assert client.post(url("delete", channel)).status_code == 403


def test_a_test_requires_post(admin, workspace):
    assert admin.get(url("test", secret_channel(workspace))).status_code == 405


# --- The test message ----------------------------------------------------------------------------


def test_a_test_that_arrives_says_so(admin, workspace):
    with HttpSink() as sink:
        channel = make_channel(workspace=workspace, config={"url": sink.url})
        answer = admin.post(url("test", channel), headers=HTMX).content.decode()
    assert "Test sent: HTTP 200 OK" in answer
    assert "<html" not in answer


def test_a_test_that_does_not_arrive_says_why_and_escapes_it(admin, workspace):
    with HttpSink(default=Answer(403, body=b"<b>wrong</b> key")) as sink:
        channel = make_channel(workspace=workspace, config={"url": sink.url})
        answer = admin.post(url("test", channel), headers=HTMX).content.decode()
    assert "Test failed: HTTP 403 Forbidden: &lt;b&gt;wrong" in answer


def test_without_htmx_the_result_shows_on_the_page(admin, workspace):
    with HttpSink() as sink:
        channel = make_channel(workspace=workspace, config={"url": sink.url})
        page = admin.post(url("test", channel), follow=True).content.decode()
    assert "Test sent" in page


# --- Delivery log --------------------------------------------------------------------------------


def failed_once(workspace):
    with HttpSink(default=Answer(500, body=b"broken inside")) as sink:
        channel = make_channel(workspace=workspace, name="Chat", config={"url": sink.url})
        monitor = make_monitor(workspace=workspace, name="Backup")
        make_delivery(channel, monitor)
        sender.deliver_due()
    return channel, monitor


def test_a_channel_shows_each_delivery_with_its_attempts(admin, workspace):
    channel, _ = failed_once(workspace)
    page = admin.get(url("detail", channel)).content.decode()
    for words in ("Backup", "Down", "Pending", "Attempt 2 failed", "HTTP 500", "broken inside"):
        assert words in page


def test_a_viewer_sees_that_it_failed_but_not_the_response(viewer, workspace):
    channel, _ = failed_once(workspace)
    page = viewer.get(url("detail", channel)).content.decode()
    assert "Attempt 2 failed" in page
    assert "broken inside" not in page


def test_the_deliveries_are_a_fragment_for_htmx_and_come_in_pages(admin, workspace):
    channel = make_channel(workspace=workspace)
    monitor = make_monitor(workspace=workspace)
    for _ in range(51):
        make_delivery(channel, monitor, incident=make_incident(make_monitor(workspace=workspace)))
    page = admin.get(url("detail", channel), headers=HTMX).content.decode()
    assert "<html" not in page
    assert "?page=2" in page
    assert page.count('id="delivery-') == 50
    assert admin.get(url("detail", channel) + "?page=2").content.decode().count('id="delivery-') == 1


def test_a_monitor_shows_its_channels(admin, workspace):
    monitor, other = (make_monitor(workspace=workspace) for _ in range(2))
    make_channel(workspace=workspace, name="For all")
    make_channel(workspace=workspace, name="For it", monitors=[monitor])
    make_channel(workspace=workspace, name="For another", monitors=[other])
    make_channel(workspace=workspace, name="Quiet", enabled=False)
    page = admin.get(url("for_monitor", monitor)).content.decode()
    assert "For all" in page
    assert "For it" in page
    assert "For another" not in page
    assert "Quiet" not in page
    assert "<html" not in page


def test_a_monitor_without_channels_says_so(admin, workspace):
    page = admin.get(url("for_monitor", make_monitor(workspace=workspace))).content.decode()
    assert "No notifications: no channel is subscribed" in page
    assert url("new") in page


def test_an_incident_shows_its_deliveries(admin, workspace):
    with HttpSink() as sink:
        make_channel(workspace=workspace, name="Chat", config={"url": sink.url})
        monitor = make_monitor(workspace=workspace)
        push(monitor, up=False)
        sender.deliver_due()
    page = admin.get(url("of_incident", monitor.incidents.get())).content.decode()
    for words in ("Chat", "Down", "Sent", "Attempt 1 succeeded"):
        assert words in page


def test_an_incident_without_deliveries_says_so(admin, workspace):
    incident = make_incident(make_monitor(workspace=workspace))
    assert "No notifications were sent" in admin.get(url("of_incident", incident)).content.decode()


def test_fragments_of_another_workspace_are_not_found(admin):
    monitor = make_monitor()
    incident = make_incident(monitor)
    assert admin.get(url("for_monitor", monitor)).status_code == 404
    assert admin.get(url("of_incident", incident)).status_code == 404


def test_the_admin_site_shows_channels_and_deliveries(client, workspace):
    user = make_user(workspace=workspace)
    user.is_staff = user.is_superuser = True
    user.save(update_fields=["is_staff", "is_superuser"])
    client.force_login(user)
    row = make_delivery(secret_channel(workspace), make_monitor(workspace=workspace))
    for path in (
        reverse("admin:notifications_channel_changelist"),
        reverse("admin:notifications_channel_change", args=[row.channel_id]),
        reverse("admin:notifications_delivery_changelist"),
        reverse("admin:notifications_delivery_change", args=[row.pk]),
    ):
        assert client.get(path).status_code == 200


def test_the_admin_site_shows_a_destination_and_cannot_break_it(client, workspace):
    channel = make_channel(workspace=workspace)
    client.force_login(User.objects.create_superuser("root@example.com", "correct horse battery"))
    address = reverse("admin:notifications_channel_change", args=[channel.pk])
    assert "http://127.0.0.1:9/…" in client.get(address).content.decode()
    client.post(address, {"name": "Renamed", "config": "[]", "all_monitors": "on"})
    channel.refresh_from_db()
    assert (channel.name, channel.on_down, type(channel.config)) == ("Renamed", True, dict)


class TestAssigning:
    """Monitors selected on the overview, and the channels that are subscribed to them."""

    @pytest.fixture
    def some(self, workspace):
        return [make_monitor(workspace=workspace) for _ in range(3)]

    def send(self, client, monitors, **more):
        data = {"monitor": [monitor.public_id for monitor in monitors], **more}
        return client.post(reverse("notifications:assign"), data)

    def test_the_page_asks_which_channels_and_names_those_for_all(self, admin, workspace, some):
        make_channel(workspace=workspace, monitors=[some[0]], name="Night shift")
        make_channel(workspace=workspace, name="Everybody")
        page = self.send(admin, some).content.decode()
        assert 'name="channels"' in page
        assert "Night shift" in page
        assert "Everybody" in page

    def test_selected_channels_are_subscribed_to_the_monitors(self, admin, workspace, some):
        channel = make_channel(workspace=workspace, monitors=[some[0]])
        response = self.send(
            admin, some[1:], channels=[channel.public_id], subscribed="yes", view="status=down"
        )
        assert response["Location"] == "/?status=down"
        assert set(channel.monitors.all()) == set(some)
        entry = AuditEntry.objects.get(action="channel.changed")
        assert entry.details["fields"] == ["monitors"]

    def test_selected_channels_are_unsubscribed_from_the_monitors(self, admin, workspace, some):
        channel = make_channel(workspace=workspace, monitors=some)
        self.send(admin, some[:2], channels=[channel.public_id], subscribed="no")
        assert list(channel.monitors.all()) == some[2:]

    def test_without_a_channel_it_says_so_and_keeps_the_monitors(self, admin, workspace, some):
        make_channel(workspace=workspace, monitors=[some[0]])
        response = self.send(admin, some, subscribed="yes")
        assert response.status_code == 422
        page = response.content.decode()
        assert "Choose at least one channel." in page
        assert all(str(monitor.public_id) in page for monitor in some)

    @pytest.mark.parametrize("rubbish", ["x", "00000000-0000-0000-0000-000000000000"])
    def test_a_channel_that_is_not_there_is_an_error(self, admin, workspace, some, rubbish):
        response = self.send(admin, some, channels=[rubbish], subscribed="yes")
        assert response.status_code == 422

    def test_nothing_of_another_workspace_is_touched(self, admin, workspace, some):
        foreign = make_monitor()
        theirs = make_channel(workspace=foreign.workspace, monitors=[])
        ours = make_channel(workspace=workspace, monitors=[some[0]])
        self.send(admin, [*some, foreign], channels=[ours.public_id], subscribed="yes")
        assert self.send(admin, some, channels=[theirs.public_id], subscribed="yes").status_code == 422
        assert foreign not in ours.monitors.all()
        assert not theirs.monitors.exists()

    def test_it_is_in_the_log_of_each_monitor(self, admin, workspace, some):
        channel = make_channel(workspace=workspace, monitors=[some[0]])
        self.send(admin, some, channels=[channel.public_id], subscribed="yes")
        entries = AuditEntry.objects.filter(action="monitor.changed")
        assert {entry.subject for entry in entries} == {one.public_id for one in some[1:]}
        page = admin.get(reverse("monitors:log", args=[some[1].public_id])).text
        assert "Changed: channels" in page

    def test_channels_and_monitors_deleted_meanwhile_are_left_out(self, workspace, some):
        gone, there = (make_channel(workspace=workspace, monitors=[]) for _ in range(2))
        chosen = list(Channel.objects.order_by("pk"))
        Channel.objects.filter(pk=gone.pk).delete()
        Monitor.objects.filter(pk=some[0].pk).delete()
        assert assign(channels=chosen, monitors=some, subscribed=True) == 2
        assert set(there.monitors.all()) == set(some[1:])

    def test_what_was_so_already_is_not_a_change(self, admin, workspace, some):
        channel = make_channel(workspace=workspace, monitors=some)
        self.send(admin, some, channels=[channel.public_id], subscribed="yes")
        assert not AuditEntry.objects.filter(action="channel.changed").exists()
