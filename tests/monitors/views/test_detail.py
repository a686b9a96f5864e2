"""A monitor's page, its log and incidents, and what can be done on it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.models import Membership, Role
from core.clock import database_now
from monitors.domain.state_machine import Status
from monitors.history.rollups import half_hour_of
from monitors.models import (
    Gap,
    Heartbeat,
    Incident,
    Monitor,
    MonitorState,
    RejectedPush,
    RolledUp,
    Rollup,
)
from monitors.pages import detail as detail_page
from monitors.services import monitors as monitor_service
from monitors.services import tokens
from tests.support.factories import make_channel, make_monitor, make_workspace, secret_of
from tests.support.heartbeats import let_pass
from tests.support.incidents import make_delivery, make_incident, push

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
# Of a poll that finds something new, with a session and who it is.
QUERIES = 28
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


@pytest.mark.parametrize("name", ["edit", "timeout", *CHANGES])
def test_a_viewer_changes_nothing(viewer, monitor, name):
    secret = secret_of(monitor)
    assert viewer.post(url(name, monitor), {"name": "Mine"}).status_code == 403
    assert Monitor.objects.get().name == "Backup"
    assert status_of(monitor) == Status.NEW
    assert secret_of(monitor) == secret


@pytest.mark.parametrize("name", ["detail", "edit", "changes", *CHANGES])
def test_an_anonymous_user_is_redirected_to_sign_in(client, monitor, name):
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


def test_a_monitor_that_is_up_shows_when_it_would_alert(admin, monitor):
    push(monitor)
    text = text_of(detail(admin, monitor))
    assert re.search(r"Up for \d s · alerts at \d\d:\d\d:\d\d UTC unless a heartbeat arrives", text)


def test_a_fallen_monitor_shows_its_ongoing_incident_with_its_message(admin, monitor):
    push(monitor)
    push(monitor, up=False, message="disk full")
    text = text_of(detail(admin, monitor))
    assert "Down for" in text
    assert "ongoing for" in text
    assert "Message: “disk full”" in text


def test_a_silent_monitor_shows_that_its_pushes_are_rejected(admin, monitor):
    push(monitor)
    RejectedPush.objects.create(
        monitor=monitor,
        reason=RejectedPush.Reason.EXPIRED,
        method="POST",
        last_four="abcd",
        count=6,
        first_at=database_now(),
        last_at=database_now(),
    )
    assert "were rejected since" not in text_of(detail(admin, monitor))
    let_pass(monitor, days=1)
    page = detail(admin, monitor)
    assert "6 pushes were rejected since: Expired token." in text_of(page)
    assert url("rejected_pushes", monitor) in page


def test_a_report_with_another_message_is_shown_beside_the_first(admin, monitor):
    push(monitor, up=False, message="disk full")
    push(monitor, up=False, message="disk on fire")
    text = text_of(detail(admin, monitor))
    assert "Message: “disk full”" in text
    assert "Last report: “disk on fire”" in text


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
    assert "Recovered with “back”." in text
    assert "ongoing" not in text


def test_the_log_shows_message_value_and_source_newest_first(admin, monitor):
    push(monitor, message="first", value=0.5)
    push(monitor, message="second")
    Heartbeat.objects.filter(message="first").update(source="192.0.2.7")
    page = detail(admin, monitor)
    log = text_of(page[page.index('id="log"') :])
    assert log.index("second") < log.index("first")
    assert "0.5" in log
    assert "192.0.2.7" in log
    assert f'href="{url("log", monitor)}"' in page


def test_a_schedule_that_cannot_be_evaluated_is_pointed_out(admin, workspace):
    monitor = make_monitor(workspace=workspace, kind="cron", cron="0 0 31 2 *")
    push(monitor)
    text = text_of(detail(admin, monitor))
    assert "The schedule can't be evaluated, so missed heartbeats are not detected." in text
    assert "Edit schedule" in text


def test_htmx_gets_only_what_changes(admin, monitor):
    part = detail(admin, monitor, **HTMX)
    assert "Backup" in part
    assert "<html" not in part


def test_the_number_of_queries_does_not_grow_with_the_log(admin, monitor, django_assert_max_num_queries):
    push(monitor)
    detail(admin, monitor)
    with django_assert_max_num_queries(QUERIES) as few:
        detail(admin, monitor, **HTMX)
    for _ in range(5):
        push(monitor)
    with django_assert_max_num_queries(QUERIES) as many:
        detail(admin, monitor, **HTMX)
    assert len(few) == len(many)
    for _ in range(5):
        push(monitor, up=False)
        push(monitor)
    # One more asks whether somebody was told of the newest incident.
    with django_assert_max_num_queries(QUERIES + 1):
        detail(admin, monitor, **HTMX)


@pytest.mark.parametrize("name", ["1h", "24h", "7d", "30d", "90d", "1y", "nonsense"])
def test_the_number_of_queries_does_not_grow_with_the_range(
    admin, monitor, name, django_assert_max_num_queries
):
    push(monitor)
    admin.get(f"{url('detail', monitor)}?range={name}")
    # Two more look up the days of the bar.
    with django_assert_max_num_queries(QUERIES + 2 * (name in ("90d", "1y"))):
        admin.get(f"{url('detail', monitor)}?range={name}", headers=HTMX)


# --- What changed --------------------------------------------------------------------------------


def version_of(page):
    return re.search(r'data-version="(\w+)"', page)[1]


def poll(client, monitor, version, query=""):
    return client.get(url("detail", monitor) + query, headers={**HTMX, "Tianji-Version": version})


def test_a_page_that_shows_what_there_is_gets_no_answer_and_costs_little(
    admin, monitor, django_assert_max_num_queries, monkeypatch
):
    # The age of its bars is part of a version, which changes at every full minute of the clock.
    monkeypatch.setattr(detail_page, "_STALE_AFTER", 10**9)
    push(monitor, up=False)
    version = version_of(detail(admin, monitor))
    with django_assert_max_num_queries(7):
        response = poll(admin, monitor, version)
    assert (response.status_code, response.content) == (204, b"")


def change_it(monitor, by):
    match by:
        case "heartbeat":
            push(monitor)
        case "pause":
            monitor_service.pause(monitor=monitor)
        case "edit":
            monitor_service.edit(monitor=monitor, name="Other")
        case "token":
            tokens.issue(monitor=monitor)
        case "delivery":
            make_delivery(make_channel(workspace=monitor.workspace), None, incident=monitor.incidents.get())
        case "gap":
            now = database_now()
            Gap.objects.create(started_at=now - timedelta(seconds=9), ended_at=now)
        case "late":
            let_pass(monitor, seconds=63)


@pytest.mark.parametrize("by", ["heartbeat", "pause", "edit", "token", "delivery", "gap", "late"])
def test_whatever_changes_on_the_page_is_sent(admin, monitor, by):
    push(monitor)
    push(monitor, up=False)
    if by == "late":
        push(monitor)
    version = version_of(detail(admin, monitor))
    change_it(monitor, by)
    response = poll(admin, monitor, version)
    assert response.status_code == 200
    assert version_of(response.content.decode()) != version


def test_another_range_is_another_version(admin, monitor):
    version = version_of(detail(admin, monitor))
    response = poll(admin, monitor, version, "?range=7d")
    assert response.status_code == 200
    assert "Last 7 d" in text_of(response.content.decode())


# --- How it stands -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selected", "words", "slots"),
    [
        ("", "Last 24 h", 48),
        ("1h", "Last 1 h", 60),
        ("7d", "Last 7 d", 56),
        ("30d", "Last 30 d", 60),
        ("90d", "Last 90 d", 45),
        ("<b>", "Last 24 h", 48),
    ],
)
def test_the_bar_shows_the_range_of_the_address(admin, monitor, selected, words, slots):
    page = admin.get(url("detail", monitor), {"range": selected}).content.decode()
    assert words in text_of(page)
    assert page.count('<path class="slot-') == slots
    assert page.count('aria-current="true">' + words.removeprefix("Last ")) == 1


def test_the_current_window_is_drawn_and_described(admin, workspace):
    monitor = make_monitor(workspace=workspace, timeout=60, interval=30)
    push(monitor)
    page = detail(admin, monitor)
    assert '<svg class="window window-up"' in page
    assert " style=" not in page
    clock = r"\d\d:\d\d:\d\d UTC"
    assert re.search(
        rf"Last heartbeat {clock} Recommended next push {clock} Timeout of 60 s ends {clock} "
        rf"Grace period ends, alert is sent {clock}",
        text_of(page),
    )


def test_a_late_monitor_still_shows_when_it_will_alert(admin, monitor):
    push(monitor)
    let_pass(monitor, seconds=63)
    page = detail(admin, monitor)
    assert re.search(r"Late by [23] s · alerts at \d\d:\d\d:\d\d UTC unless", text_of(page))
    assert "window-late" in page


def test_the_page_of_an_oncalendar_monitor_shows_its_lines_and_times(admin, workspace):
    monitor = make_monitor(
        workspace=workspace,
        kind="oncalendar",
        calendar="*-*-* 02:00:00\nSat 12:00 UTC",
        timezone="Asia/Jakarta",
        early=30,
    )
    push(monitor)
    page = detail(admin, monitor)
    assert "<code>*-*-* 02:00:00</code><br><code>Sat 12:00 UTC</code>" in page
    text = text_of(page)
    assert "Expected at (Asia/Jakarta)" in text
    assert "May be early by 30 s" in text
    assert "Expected by" in text


def test_a_window_by_cron_shows_the_expected_times_in_their_zone(admin, workspace):
    monitor = make_monitor(workspace=workspace, kind="cron", cron="0 2 * * *", timezone="Asia/Jakarta")
    push(monitor)
    text = text_of(detail(admin, monitor))
    assert "Expected at (Asia/Jakarta)" in text
    assert len(re.findall(r"\w{3} \d+ \w{3} \d{4}, 02:00 \(", text)) == 4


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda monitor: None, "The timeout starts with the first heartbeat."),
        (lambda monitor: push(monitor, up=False), "The next good heartbeat resolves the incident"),
        (
            lambda monitor: monitor_service.pause(monitor=monitor),
            "No heartbeat is expected while the monitor is paused.",
        ),
    ],
    ids=["new", "down", "paused"],
)
def test_where_nothing_is_due_a_sentence_stands_for_the_picture(admin, monitor, act, words):
    act(monitor)
    page = detail(admin, monitor)
    assert words in text_of(page)
    assert '<svg class="window' not in page


def test_a_fallen_monitor_leads_to_its_incident(admin, monitor):
    push(monitor, up=False)
    assert "view incident" in detail(admin, monitor)
    push(monitor)
    assert "view incident" not in detail(admin, monitor)


def test_the_tiles_show_uptime_incidents_and_the_last_value(admin, monitor):
    push(monitor, value=12.5)
    let_pass(monitor, hours=3)
    push(monitor, value=13.25)
    let_pass(monitor, hours=1)
    text = text_of(detail(admin, monitor))
    assert re.search(r"uptime, 24 h \d+(\.\d+)?\s% uptime, 7 d .* uptime, 30 d .* uptime, 90 d", text)
    assert re.search(r"incidents? in 30 d 2? ?\d? ?down in 30 d", text)
    assert re.search(r"last value · 1 h ago 13.25", text)


def seed(monitor, *gaps, missed=0):
    """Heartbeats at these distances up to now, and incidents that some more patience would have avoided."""
    now = database_now()
    at = now - timedelta(seconds=sum(gaps))
    Monitor.objects.filter(pk=monitor.pk).update(created_at=at)
    monitor.transitions.create(at=at, source="new", target="up", reason="heartbeat")
    rows = [Heartbeat(monitor=monitor, received_at=at, status="up")]
    for gap in gaps:
        at += timedelta(seconds=gap)
        rows.append(Heartbeat(monitor=monitor, received_at=at, status="up"))
    Heartbeat.objects.bulk_create(rows)
    MonitorState.objects.filter(pk=monitor.pk).update(
        status="up", status_changed_at=now, last_heartbeat_at=now, due_at=now + timedelta(days=1)
    )
    for number in range(missed):
        start = now - timedelta(hours=number + 1)
        make_incident(
            monitor,
            cause="missed",
            started_at=start,
            resolved_at=start + timedelta(seconds=4),
            last_heartbeat_at=start - timedelta(seconds=66),
            closing_message="OK",
        )


def test_the_observed_interval_is_among_the_figures(admin, monitor):
    seed(monitor, *[30] * 98, 33, 33)
    text = text_of(detail(admin, monitor))
    assert "median interval, 24 h · 99 % within 33.0 s 30.0 s" in text
    assert "Heartbeats arrive usually every 30.0 s, 99 % within 33.0 s (last 24 h)" in text


def test_the_observed_intervals_are_those_of_the_selected_range(admin, monitor):
    # First every 20 s for an hour and more, and then every 50 s.
    seed(monitor, *[20] * 250, *[50] * 80)
    expected = {
        "1h": "every 50.0 s, 99 % within 50.0 s (last 1 h)",
        "24h": "every 20.0 s, 99 % within 50.0 s",
    }
    for selected, words in expected.items():
        page = admin.get(url("detail", monitor), {"range": selected}).content.decode()
        assert f"usually {words}" in text_of(page)


def test_intervals_of_a_range_with_too_many_heartbeats_come_from_its_rollups(admin, monitor):
    seed(monitor, *[7] * 2200)
    now = database_now()
    start = half_hour_of(now) - timedelta(hours=20)
    Rollup.objects.create(monitor=monitor, start=start, ups=1, downs=0, value_count=0, intervals="82:9000")
    RolledUp.objects.create(start=start)
    # 35.7 s, which is the middle of a bucket: it isn't exact, and has no tenths.
    assert "usually every 36 s, 99 % within 36 s (last 24 h)" in text_of(detail(admin, monitor))
    # What is not rolled up is among the newest heartbeats.
    RolledUp.objects.all().delete()
    assert "usually every 6.9 s, 99 % within 6.9 s (last 24 h)" in text_of(detail(admin, monitor))


def test_a_range_with_too_few_heartbeats_shows_the_intervals_of_30_days(admin, monitor):
    seed(monitor, *[50_000] * 9)
    assert "usually every 13 h 53 min, 99 % within 13 h 53 min (last 30 d)" in text_of(detail(admin, monitor))


def test_a_monitor_without_heartbeats_shows_no_interval(admin, monitor):
    seed(monitor, 30, 30)
    text = text_of(detail(admin, monitor))
    assert "median interval –" in text
    assert "Heartbeats arrive" not in text


def test_a_timeout_that_is_too_short_comes_with_a_suggestion(admin, monitor):
    seed(monitor, *[62.5] * 100, missed=4)
    page = detail(admin, monitor)
    assert (
        "99 % of heartbeats arrive within 63 s. A timeout of 95 s would have avoided 4 incidents in 30 d."
        " Change timeout" in text_of(page)
    )
    assert f'href="{url("timeout", monitor)}?timeout=95"' in page


def test_a_timeout_that_is_too_long_comes_with_a_suggestion(admin, workspace):
    monitor = make_monitor(workspace=workspace, timeout=3600)
    seed(monitor, *[200] * 100)
    assert "A timeout of 5 min would alert sooner without a false alarm." in text_of(detail(admin, monitor))


def test_a_viewer_reads_the_suggestion_and_cannot_follow_it(viewer, monitor):
    seed(monitor, *[62.5] * 100, missed=1)
    text = text_of(detail(viewer, monitor))
    assert "would have avoided 1 incident in 30 d." in text
    assert "Change timeout" not in text


def test_a_timeout_that_fits_needs_no_advice(admin, monitor):
    seed(monitor, *[30] * 100)
    assert "99 % of heartbeats" not in text_of(detail(admin, monitor))


def test_a_suggestion_asks_before_it_is_taken(admin, monitor):
    text = text_of(admin.get(url("timeout", monitor), {"timeout": "95"}).content.decode())
    assert "From 60 s to 95 s. Alerts 104 s after the last heartbeat" in text
    assert Monitor.objects.get().timeout == 60
    response = admin.post(url("timeout", monitor), {"timeout": "95 s"}, follow=True)
    assert "Changed the timeout from 60 s to 95 s." in response.content.decode()
    assert Monitor.objects.get().timeout == 95
    assert "Changed: timeout" in text_of(admin.get(url("changes", monitor)).content.decode())


@pytest.mark.parametrize("typed", ["", "soon", "20", "0", "9999 d"])
def test_a_timeout_that_cannot_be_is_refused_with_a_reason(admin, workspace, typed):
    monitor = make_monitor(workspace=workspace, timeout=60, interval=30)
    response = admin.post(url("timeout", monitor), {"timeout": typed})
    assert response.status_code == 422
    assert 'role="alert"' in response.content.decode()
    assert Monitor.objects.get().timeout == 60


def test_a_monitor_by_cron_has_no_timeout_to_change(admin, workspace):
    monitor = make_monitor(workspace=workspace, kind="cron", cron="0 2 * * *")
    assert admin.get(url("timeout", monitor)).status_code == 404
    assert admin.post(url("timeout", monitor), {"timeout": "95"}).status_code == 404


# --- The past ------------------------------------------------------------------------------------


def older_link(page):
    return re.search(r'href="(\?before=[^"]+|[^"]+\?before=[^"]+)"', page)


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


def test_the_limit_of_pushes_is_among_the_facts(admin, workspace, settings):
    settings.TIANJI_PUSH_RATE = 60
    inherits, own = make_monitor(workspace=workspace), make_monitor(workspace=workspace, push_rate=0)
    assert "60 pushes per minute" in text_of(detail(admin, inherits))
    assert "Rate limit none" in text_of(detail(admin, own))


# --- Changes -------------------------------------------------------------------------------------


def test_changes_show_actor_action_interface_and_address(admin, viewer, monitor):
    user = monitor.workspace.memberships.get(role=Role.ADMIN).user
    admin.force_login(user)
    admin.post(url("edit", monitor), {"name": "Nightly", "kind": "interval", "timeout": "90"})
    admin.post(url("pause", monitor))
    text = text_of(admin.get(url("changes", monitor)).content.decode())
    assert re.search(
        rf"Paused \d\d:\d\d:\d\d UTC · {user.email} · browser · from 127.0.0.1 Changed: name, timeout", text
    )
    assert text.index("Created the push token tjp_...") < text.index("Created the monitor")


def test_viewers_see_the_changes_and_no_secret(viewer, monitor):
    page = viewer.get(url("changes", monitor)).content.decode()
    assert "Created the monitor" in page
    assert secret_of(monitor) not in page


def test_changes_of_other_monitors_are_not_among_them(admin, monitor):
    monitor_service.pause(monitor=make_monitor(workspace=monitor.workspace))
    assert "Paused" not in admin.get(url("changes", monitor)).content.decode()


def test_changes_are_loaded_into_the_page_when_they_are_opened(admin, monitor):
    page = detail(admin, monitor)
    assert f'hx-get="{url("changes", monitor)}" hx-trigger="toggle' in page
    assert "Created the monitor" not in page
    assert "<html" not in admin.get(url("changes", monitor), headers=HTMX).content.decode()


def test_older_changes_follow_page_by_page(admin, monitor):
    for _ in range(30):
        monitor_service.pause(monitor=monitor)
        monitor_service.resume(monitor=monitor)
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
    assert "“Backup” deleted." in response.content.decode()
    assert not Monitor.objects.exists()
    assert not Incident.objects.exists()


def test_a_paused_monitor_shows_that_no_notifications_are_sent(admin, monitor):
    monitor_service.pause(monitor=monitor)
    assert "heartbeats are recorded, but no alerts are sent" in text_of(detail(admin, monitor))
