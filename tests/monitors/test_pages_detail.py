"""A monitor's page, its log and incidents, and what can be done on it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.models import Membership, Role
from monitors import lifecycle
from monitors.models import Heartbeat, Incident, Monitor, MonitorState
from monitors.status import Status
from tests.factories import make_monitor, make_workspace, secret_of
from tests.notifications.rows import make_incident, push
from tianji.clock import database_now

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
CHANGES = ["pause", "resume", "delete", "issue_token", "import_token"]


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Backup", timeout=60)


def url(name, monitor):
    return reverse(f"monitors:{name}", args=[monitor.public_id])


def detail(client, monitor, **headers):
    return client.get(url("detail", monitor), headers=headers).content.decode()


def text_of(page):
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def status_of(monitor):
    return MonitorState.objects.get(monitor=monitor).status


# --- Who sees what -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["detail", "edit", "heartbeats", "incidents", "changes", *CHANGES])
def test_a_monitor_of_another_workspace_does_not_exist(admin, name):
    foreign = make_monitor()
    method = admin.post if name in CHANGES else admin.get
    assert method(url(name, foreign)).status_code == 404
    assert status_of(foreign) == Status.NEW


@pytest.mark.parametrize("name", ["edit", *CHANGES])
def test_a_viewer_changes_nothing(viewer, monitor, name):
    secret = secret_of(monitor)
    assert viewer.post(url(name, monitor), {"name": "Mine"}).status_code == 403
    assert Monitor.objects.get().name == "Backup"
    assert status_of(monitor) == Status.NEW
    assert secret_of(monitor) == secret


@pytest.mark.parametrize("name", ["detail", "edit", "changes", *CHANGES])
def test_a_stranger_is_asked_to_sign_in(client, monitor, name):
    method = client.post if name in CHANGES else client.get
    response = method(url(name, monitor))
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")


def test_a_link_works_for_members_whatever_workspace_they_look_at(admin, workspace):
    other = make_workspace("Other")
    Membership.objects.create(user=workspace.memberships.get().user, workspace=other, role=Role.VIEWER)
    page = detail(admin, make_monitor(workspace=other, name="Elsewhere"))
    assert "Elsewhere" in page
    # The role is the one in the monitor's workspace.
    assert "Pause" not in page


# --- What it says --------------------------------------------------------------------------------


def test_a_new_monitor_waits_and_shows_how_to_send_the_first_heartbeat(admin, monitor):
    text = text_of(page := detail(admin, monitor))
    assert "Waiting for the first heartbeat" in text
    assert "curl -fsS -X POST" in page


def test_a_monitor_that_is_up_says_when_people_are_told(admin, monitor):
    push(monitor)
    text = text_of(detail(admin, monitor))
    assert re.search(r"Up for \d s · people are told at \d\d:\d\d:\d\d UTC unless a heartbeat arrives", text)


def test_a_fallen_monitor_shows_its_ongoing_incident_with_its_message(admin, monitor):
    push(monitor)
    push(monitor, up=False, message="disk full")
    text = text_of(detail(admin, monitor))
    assert "Down for" in text
    assert "ongoing for" in text
    assert "The sender said “disk full”." in text


def test_a_resolved_incident_shows_how_long_it_was(admin, monitor):
    start = database_now() - timedelta(hours=2)
    make_incident(
        monitor,
        cause="missed",
        started_at=start,
        resolved_at=start + timedelta(minutes=19),
        last_heartbeat_at=start - timedelta(seconds=66),
        opening_message="batch 881 done",
        closing_message="back",
    )
    text = text_of(detail(admin, monitor))
    assert "Missed" in text
    assert "19 min" in text
    assert "No heartbeat for 1 min 6 s. Last message: “batch 881 done”" in text
    assert "Back with “back”." in text
    assert "ongoing" not in text


def test_the_log_shows_message_value_and_source_newest_first(admin, monitor):
    push(monitor, message="first", value=0.5)
    push(monitor, message="second")
    Heartbeat.objects.filter(message="first").update(source="192.0.2.7")
    text = text_of(detail(admin, monitor))
    assert text.index("second") < text.index("first")
    assert "first 192.0.2.7 0.5" in text


def test_a_schedule_that_cannot_be_evaluated_is_pointed_out(admin, workspace):
    monitor = make_monitor(workspace=workspace, kind="cron", cron="0 0 31 2 *")
    push(monitor)
    text = text_of(detail(admin, monitor))
    assert "The schedule cannot be evaluated, so silence is not noticed." in text
    assert "Edit the schedule" in text


def test_htmx_gets_only_what_changes(admin, monitor):
    part = detail(admin, monitor, **HTMX)
    assert "Backup" in part
    assert "<html" not in part


def test_the_number_of_queries_does_not_grow_with_the_log(admin, monitor, django_assert_max_num_queries):
    push(monitor)
    detail(admin, monitor)
    with django_assert_max_num_queries(9) as few:
        detail(admin, monitor, **HTMX)
    for _ in range(5):
        push(monitor, up=False)
        push(monitor)
    with django_assert_max_num_queries(9) as many:
        detail(admin, monitor, **HTMX)
    assert len(few) == len(many)


# --- The past ------------------------------------------------------------------------------------


def older_link(page):
    return re.search(r'href="(\?before=[^"]+|[^"]+\?before=[^"]+)"', page)


def test_older_heartbeats_follow_page_by_page_each_once(admin, monitor):
    now = database_now()
    Heartbeat.objects.bulk_create(
        # Three at each instant, so that pages end in the middle of one.
        Heartbeat(
            monitor=monitor, received_at=now - timedelta(seconds=n // 3), status="up", message=f"entry-{n:03}"
        )
        for n in range(120)
    )
    page, seen, pages = detail(admin, monitor), [], 1
    while True:
        seen += re.findall(r"entry-\d+", page)
        link = older_link(page)
        if link is None:
            break
        address = link[1] if link[1].startswith("/") else url("heartbeats", monitor) + link[1]
        page, pages = admin.get(address).content.decode(), pages + 1
    assert pages == 3
    assert sorted(seen) == [f"entry-{n:03}" for n in range(120)]


def test_older_incidents_follow_after_the_newest_ten(admin, monitor):
    now = database_now()
    for n in range(12):
        start = now - timedelta(hours=n + 1)
        make_incident(
            monitor,
            started_at=start,
            resolved_at=start + timedelta(minutes=1),
            opening_message=f"fault-{n:02}",
        )
    page = detail(admin, monitor)
    assert "fault-09" in page
    assert "fault-10" not in page
    older = admin.get(older_link(page)[1]).content.decode()
    assert re.findall(r"fault-\d+", older) == ["fault-10", "fault-11"]


@pytest.mark.parametrize(
    "cursor", ["x", "1-", "-1", "fffffffffffffff-1", "1-fffffffffffffffff", "1-1-1", "%00"]
)
def test_a_broken_cursor_is_not_found(admin, monitor, cursor):
    assert admin.get(f"{url('heartbeats', monitor)}?before={cursor}").status_code == 404


def test_the_limit_of_pushes_is_among_the_facts(admin, workspace, settings):
    settings.TIANJI_PUSH_RATE = 60
    inherits, own = make_monitor(workspace=workspace), make_monitor(workspace=workspace, push_rate=0)
    assert "60 pushes a minute" in text_of(detail(admin, inherits))
    assert "Limit none" in text_of(detail(admin, own))


# --- Changes -------------------------------------------------------------------------------------


def test_changes_say_who_did_what_by_which_way_and_from_where(admin, viewer, monitor):
    user = monitor.workspace.memberships.get(role=Role.ADMIN).user
    admin.force_login(user)
    admin.post(url("edit", monitor), {"name": "Nightly", "kind": "interval", "timeout": "90"})
    admin.post(url("pause", monitor))
    text = text_of(admin.get(url("changes", monitor)).content.decode())
    assert re.search(
        rf"Paused \d\d:\d\d:\d\d UTC · {user.email} · browser · from 127.0.0.1 Changed: name, timeout", text
    )
    assert text.index("Made the push token tjp_...") < text.index("Created the monitor")


def test_viewers_see_the_changes_and_no_secret(viewer, monitor):
    page = viewer.get(url("changes", monitor)).content.decode()
    assert "Created the monitor" in page
    assert secret_of(monitor) not in page


def test_changes_of_other_monitors_are_not_among_them(admin, monitor):
    lifecycle.pause(monitor=make_monitor(workspace=monitor.workspace))
    assert "Paused" not in admin.get(url("changes", monitor)).content.decode()


def test_changes_are_loaded_into_the_page_when_they_are_opened(admin, monitor):
    page = detail(admin, monitor)
    assert f'hx-get="{url("changes", monitor)}" hx-trigger="toggle' in page
    assert "Created the monitor" not in page
    assert "<html" not in admin.get(url("changes", monitor), headers=HTMX).content.decode()


def test_older_changes_follow_page_by_page(admin, monitor):
    for _ in range(30):
        lifecycle.pause(monitor=monitor)
        lifecycle.resume(monitor=monitor)
    page = admin.get(url("changes", monitor)).content.decode()
    assert "Created the monitor" not in page
    older = admin.get(older_link(page)[1]).content.decode()
    assert "Created the monitor" in older
    assert (page + older).count("Paused") == 30


# --- What can be done ----------------------------------------------------------------------------


def test_pausing_and_resuming_come_back_to_the_page(admin, monitor):
    push(monitor)
    response = admin.post(url("pause", monitor))
    assert (response.status_code, response["Location"]) == (303, url("detail", monitor))
    assert status_of(monitor) == Status.PAUSED
    assert "Resume" in detail(admin, monitor)
    admin.post(url("resume", monitor))
    assert status_of(monitor) == Status.NEW


def test_pausing_needs_a_post(admin, monitor):
    assert admin.get(url("pause", monitor)).status_code == 405


def test_deleting_asks_first(admin, monitor):
    page = admin.get(url("delete", monitor)).content.decode()
    assert "Delete “Backup”?" in page
    assert "<html" in page
    assert Monitor.objects.exists()


def test_the_question_fits_into_a_dialog(admin, monitor):
    part = admin.get(url("delete", monitor), headers=HTMX).content.decode()
    assert "Delete “Backup”?" in part
    assert "<html" not in part


def test_deleting_removes_the_monitor_and_its_incidents(admin, monitor):
    push(monitor, up=False)
    response = admin.post(url("delete", monitor), follow=True)
    assert "“Backup” was deleted." in response.content.decode()
    assert not Monitor.objects.exists()
    assert not Incident.objects.exists()


def test_a_paused_monitor_says_that_nobody_is_told(admin, monitor):
    lifecycle.pause(monitor=monitor)
    assert "heartbeats are kept, and nobody is told of silence" in text_of(detail(admin, monitor))
