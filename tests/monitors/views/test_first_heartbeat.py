"""The first heartbeat of a new monitor, waited for and sent by hand."""

from __future__ import annotations

import re

import pytest
from django.template.loader import render_to_string
from django.urls import reverse

from core.clock import database_now
from monitors.domain.state_machine import Status
from monitors.heartbeats import recorder
from monitors.heartbeats.parser import Push
from monitors.heartbeats.recorder import TooManyTestHeartbeats
from monitors.models import Heartbeat, Incident, MonitorState
from monitors.pages import tokens as token_page
from monitors.pages.tokens import push_lines
from monitors.services import tokens
from tests.monitors.heartbeats.test_concurrency import at_once
from tests.support.factories import make_channel, make_monitor, secret_of
from tests.support.heartbeats import let_pass, push, state_of, transitions_of

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
UP, DOWN = Push(True, "by hand"), Push(False, "by hand")


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Backup", timeout=60, grace=0)


def url(name, monitor):
    return reverse(f"monitors:{name}", args=[monitor.public_id])


def text_of(page):
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def send_test_heartbeat(monitor, pushed=UP, **given):
    return recorder.record_test_heartbeat(monitor=monitor, push=pushed, **given)


# --- By hand, into the log ------------------------------------------------------------------------


def test_a_heartbeat_by_hand_is_one_like_any_other_but_for_its_token(monitor):
    assert send_test_heartbeat(monitor, source="192.0.2.7") is Status.UP
    heartbeat, state = Heartbeat.objects.get(), state_of(monitor)
    assert (heartbeat.status, heartbeat.message, heartbeat.source) == ("up", "by hand", "192.0.2.7")
    assert heartbeat.token_id is None
    assert (state.status, state.last_heartbeat_at) == ("up", heartbeat.received_at)
    assert state.due_at is not None
    assert transitions_of(monitor) == [("new", "up", "heartbeat")]


def test_a_heartbeat_by_hand_re_arms_a_monitor_that_is_up(monitor):
    push(monitor)
    let_pass(monitor, seconds=30)
    before = state_of(monitor)
    send_test_heartbeat(monitor)
    assert state_of(monitor).last_heartbeat_at > before.last_heartbeat_at
    assert state_of(monitor).last_message == "by hand"


def test_a_test_heartbeat_down_opens_an_incident_and_notifies_and_up_resolves_it(
    monitor, monkeypatch, announced
):
    make_channel(workspace=monitor.workspace)
    push(monitor)
    assert send_test_heartbeat(monitor, DOWN) is Status.DOWN
    let_pass(monitor, seconds=10)
    assert send_test_heartbeat(monitor) is Status.UP
    assert Incident.objects.get().opening_message == "by hand"
    assert announced.events() == ["opened", "resolved"]


def test_a_deadline_that_passed_unseen_is_not_covered_up_by_hand(monitor):
    push(monitor)
    let_pass(monitor, minutes=10)
    send_test_heartbeat(monitor)
    assert transitions_of(monitor)[1:] == [("up", "down", "missed"), ("down", "up", "heartbeat")]


def test_a_paused_monitor_keeps_it_and_stays_paused(monitor):
    MonitorState.objects.update(status="paused")
    assert send_test_heartbeat(monitor) is Status.PAUSED
    assert Heartbeat.objects.count() == 1
    assert not transitions_of(monitor)


def test_by_hand_one_comes_in_three_seconds_at_most(monitor):
    send_test_heartbeat(monitor)
    with pytest.raises(TooManyTestHeartbeats):
        send_test_heartbeat(monitor)
    assert Heartbeat.objects.count() == 1
    let_pass(monitor, seconds=4)
    send_test_heartbeat(monitor)
    assert Heartbeat.objects.count() == 2


def test_what_senders_push_does_not_keep_people_from_it(monitor):
    push(monitor)
    send_test_heartbeat(monitor)
    assert Heartbeat.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_several_by_hand_at_once_one_is_recorded():
    monitor = make_monitor()

    def press():
        try:
            return send_test_heartbeat(monitor)
        except TooManyTestHeartbeats:
            return None

    answers = at_once(press, press, press)
    assert sorted(answers, key=str) == [None, None, Status.UP]
    assert Heartbeat.objects.count() == 1


# --- By hand, on the page -------------------------------------------------------------------------


def test_the_button_sends_a_heartbeat_with_the_users_name(admin, monitor, workspace):
    response = admin.post(url("test_heartbeat", monitor), REMOTE_ADDR="192.0.2.7", follow=True)
    assert response.redirect_chain == [(url("detail", monitor), 303)]
    heartbeat = Heartbeat.objects.get()
    user = workspace.memberships.get().user
    assert heartbeat.message == f"Test heartbeat from {user.email}"
    assert heartbeat.source == "192.0.2.7"
    assert "Test heartbeat received." in response.text


def test_for_htmx_the_result_is_shown_in_place_and_the_page_polls_immediately(admin, monitor):
    response = admin.post(url("test_heartbeat", monitor), headers=HTMX)
    assert text_of(response.text) == "Test heartbeat received."
    assert response["HX-Trigger"] == '{"tianji:tick": {}}'


def test_pressed_again_at_once_it_asks_to_wait(admin, monitor):
    admin.post(url("test_heartbeat", monitor))
    assert "Wait a few seconds." in admin.post(url("test_heartbeat", monitor), follow=True).text
    assert Heartbeat.objects.count() == 1


def test_the_result_for_a_paused_monitor_is_that_it_stays_paused(admin, monitor):
    MonitorState.objects.update(status="paused")
    page = admin.post(url("test_heartbeat", monitor), follow=True).text
    assert "Test heartbeat recorded. The monitor stays paused." in page


def test_a_test_of_a_failure_says_first_what_it_does(admin, monitor):
    page = text_of(admin.get(url("test_heartbeat", monitor)).text)
    assert "Report “Backup” down as a test?" in page
    assert "This opens an incident and notifies these channels" in page
    assert not Heartbeat.objects.exists()


def test_a_good_one_for_a_monitor_that_is_down_asks_first(admin, monitor):
    send_test_heartbeat(monitor, DOWN)
    let_pass(monitor, seconds=10)
    assert f'href="{url("test_heartbeat", monitor)}?status=up"' in admin.get(url("detail", monitor)).text
    page = admin.post(url("test_heartbeat", monitor), follow=True).text
    assert "This resolves the incident and sends a recovery notification" in text_of(page)
    assert state_of(monitor).status == "down"
    admin.post(url("test_heartbeat", monitor), {"status": "up", "sure": "yes"})
    assert state_of(monitor).status == "up"


@pytest.mark.parametrize(
    ("status", "words"),
    [("paused", "but no notifications are sent."), ("down", "but no more notifications are sent.")],
)
def test_without_a_subscribed_channel_the_page_warns(admin, monitor, status, words):
    MonitorState.objects.update(status=status)
    assert words in admin.get(url("test_heartbeat", monitor)).text


def test_the_question_goes_into_a_dialog(admin, monitor):
    part = admin.get(url("test_heartbeat", monitor), headers=HTMX).text
    assert 'id="dialog-title"' in part
    assert "<html" not in part


def test_a_test_of_a_failure_takes_the_monitor_down(admin, monitor):
    response = admin.post(url("test_heartbeat", monitor), {"status": "down"}, follow=True)
    assert "the monitor is down until the next good heartbeat" in response.text
    assert state_of(monitor).status == "down"


def test_a_viewer_sends_none(viewer, monitor):
    for method in (viewer.get, viewer.post):
        assert method(url("test_heartbeat", monitor)).status_code == 403
    assert not Heartbeat.objects.exists()


def test_a_monitor_of_another_workspace_does_not_exist(admin):
    foreign = make_monitor()
    for answer in (
        admin.post(url("test_heartbeat", foreign)),
        admin.get(url("first_heartbeat", foreign)),
    ):
        assert answer.status_code == 404
    assert not Heartbeat.objects.exists()


# --- When it came ---------------------------------------------------------------------------------


def test_without_a_heartbeat_there_is_no_content(viewer, monitor):
    assert viewer.get(url("first_heartbeat", monitor), headers=HTMX).status_code == 204


def test_the_first_heartbeat_is_announced_with_its_time_message_and_source(viewer, monitor):
    push(monitor, message="first", source="192.0.2.7")
    push(monitor, message="second")
    text = text_of(viewer.get(url("first_heartbeat", monitor), headers=HTMX).text)
    assert re.search(r"Received, \d\d:\d\d:\d\d UTC", text)
    assert "“first” from 192.0.2.7." in text
    assert "You are alerted from now on if heartbeats stop." in text


def test_a_first_heartbeat_that_reports_down_is_no_good_news(viewer, monitor):
    push(monitor, up=False)
    assert "It reported down." in viewer.get(url("first_heartbeat", monitor), headers=HTMX).text


def test_the_first_heartbeat_of_a_paused_monitor_is_only_kept(viewer, monitor):
    MonitorState.objects.update(status="paused")
    push(monitor)
    assert "The monitor is paused" in viewer.get(url("first_heartbeat", monitor), headers=HTMX).text


def test_without_htmx_it_is_the_monitors_page(viewer, monitor):
    assert viewer.get(url("first_heartbeat", monitor))["Location"] == url("detail", monitor)


# --- The room itself ------------------------------------------------------------------------------


def room(monitor, *, may_change=True, in_full=False):
    token = monitor.tokens.get()
    secret = secret_of(monitor)
    lines = {token.pk: push_lines(monitor, f"https://t.example/api/push/{secret}")} if in_full else {}
    section = token_page.section(monitor, database_now(), lines)
    context = {"monitor": monitor, "tokens": section, "may_change": may_change, "csrf_token": "x"}
    return render_to_string("monitors/detail/_waiting.html", context)


def test_what_was_just_made_is_shown_with_programs_to_copy(monitor):
    page = room(monitor, in_full=True)
    assert f"https://t.example/api/push/{secret_of(monitor)}" in page
    assert page.count("curl -fsS -X POST &quot;https://t.example/") == 1
    for name in ("crontab", "Python"):
        assert f"<summary>{name}" in page
    assert "Send test heartbeat" in page


def test_a_monitor_that_cron_is_too_slow_for_is_shown_a_program_that_loops(workspace):
    page = room(make_monitor(workspace=workspace, timeout=30), in_full=True)
    assert "<summary>Bash" in page
    assert "crontab" not in page


def test_later_the_push_url_is_masked_until_it_is_requested(monitor):
    page = room(monitor)
    assert secret_of(monitor) not in page
    assert 'data-copy-what="curl_line"' in page
    assert url("code_examples", monitor) + "?snippet=crontab" in page


def test_a_viewer_waits_along_and_sends_nothing(monitor):
    page = room(monitor, may_change=False)
    assert "Waiting for the first heartbeat" in page
    assert "<form" not in page
    assert monitor.tokens.get().last_four not in page


def test_without_an_active_token_the_waiting_page_says_so(monitor):
    tokens.revoke(token=monitor.tokens.get())
    section = token_page.section(monitor, database_now())
    context = {"monitor": monitor, "tokens": section, "may_change": True}
    page = render_to_string("monitors/detail/_waiting.html", context)
    assert "No active push URL." in page
    assert "Send test heartbeat" in page
