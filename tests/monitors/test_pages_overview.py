"""The overview: all monitors of a workspace on one screen."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.models import Membership, Role
from monitors import lifecycle
from monitors.models import MonitorState, PushToken
from tests.factories import make_monitor, make_user, make_workspace
from tests.notifications.rows import push
from tianji.clock import database_now

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def overview(client, **headers):
    return client.get(reverse("monitors:overview"), headers=headers).content.decode()


def names_in_order(page):
    return re.findall(r'id="link-[^>]*>([^<]*)</a>', page)


def text_of(page):
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def silent_for(monitor, seconds):
    """Move the last heartbeat of `monitor` into the past, as if no sweep had looked since."""
    state = MonitorState.objects.get(monitor=monitor)
    state.last_heartbeat_at -= timedelta(seconds=seconds)
    state.due_at = state.due_at and state.due_at - timedelta(seconds=seconds)
    state.save()


def test_a_stranger_is_asked_to_sign_in(client):
    response = client.get(reverse("monitors:overview"))
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/"


def test_an_account_without_a_workspace_sees_nothing(client):
    client.force_login(make_user())
    assert client.get(reverse("monitors:overview")).status_code == 404


def test_an_empty_workspace_leads_to_the_first_monitor(admin):
    page = overview(admin)
    assert "No monitors yet" in page
    assert reverse("monitors:create") in page


def test_a_viewer_is_not_offered_to_create_a_monitor(viewer, workspace):
    assert reverse("monitors:create") not in overview(viewer)
    make_monitor(workspace=workspace)
    assert reverse("monitors:create") not in overview(viewer)


def test_monitors_of_other_workspaces_are_not_shown(admin):
    make_monitor(name="Foreign")
    assert "Foreign" not in overview(admin)


def test_down_comes_first_then_late_then_the_rest_by_name(admin, workspace):
    by_name = {
        name: make_monitor(workspace=workspace, name=name, timeout=60, grace=60)
        for name in ("Alpha", "Beta", "Gamma", "Delta", "Epsilon")
    }
    push(by_name["Alpha"], by_name["Gamma"], by_name["Epsilon"])
    push(by_name["Delta"], up=False, message="disk full")
    silent_for(by_name["Epsilon"], 90)
    lifecycle.pause(monitor=by_name["Beta"])
    assert names_in_order(overview(admin)) == ["Delta", "Epsilon", "Alpha", "Beta", "Gamma"]


def test_the_counts_say_how_many_monitors_have_which_status(admin, workspace):
    up, down = make_monitor(workspace=workspace), make_monitor(workspace=workspace)
    make_monitor(workspace=workspace)
    push(up)
    push(down, up=False)
    assert "1 down 0 late 1 up 1 new 0 paused" in text_of(overview(admin))


def test_a_row_says_when_the_next_heartbeat_is_due_and_what_the_last_one_said(admin, workspace):
    monitor = make_monitor(workspace=workspace, timeout=300, interval=120, tags=["erp"])
    push(monitor, message="42 invoices")
    text = text_of(overview(admin))
    assert "erp · every 2 min" in text
    assert "42 invoices" in text
    assert re.search(r"0 s ago in (5 min|4 min 59 s)", text)


def test_a_silent_monitor_inside_its_grace_is_late_before_any_sweep(admin, workspace):
    monitor = make_monitor(workspace=workspace, timeout=60, grace=3600)
    push(monitor)
    silent_for(monitor, 72)
    text = text_of(overview(admin))
    assert "1 late" in text
    assert "late by 12 s" in text


def test_a_silent_monitor_past_its_deadline_is_down_before_any_sweep(admin, workspace):
    monitor = make_monitor(workspace=workspace, timeout=60, grace=0)
    push(monitor)
    silent_for(monitor, 60 + 5 * 3600 + 12 * 60)
    assert "down 5 h 12 min" in text_of(overview(admin))


def test_what_senders_and_people_write_is_escaped(admin, workspace):
    push(make_monitor(workspace=workspace, name="<b>name</b>", tags=["<i>"]), message="<script>")
    page = overview(admin)
    assert "<b>name" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;" in page


def test_htmx_gets_only_what_changes(admin, workspace):
    make_monitor(workspace=workspace, name="Backup")
    part = overview(admin, **HTMX)
    assert "Backup" in part
    assert "<html" not in part
    assert "<form" not in part


def test_the_part_for_htmx_names_the_number_of_fallen_monitors_in_the_title(admin, workspace):
    push(make_monitor(workspace=workspace), up=False)
    assert "<title>(1 down)" in overview(admin, **HTMX)


def test_pages_and_their_parts_are_kept_out_of_caches(admin):
    response = admin.get(reverse("monitors:overview"))
    assert "no-store" in response["Cache-Control"]
    assert "HX-Request" in response["Vary"]


def test_the_number_of_queries_does_not_grow_with_the_monitors(
    admin, workspace, django_assert_max_num_queries
):
    def grow(number):
        push(*(make_monitor(workspace=workspace, tags=["tag"]) for _ in range(number)))

    grow(3)
    overview(admin)
    with django_assert_max_num_queries(5) as few:
        overview(admin)
    grow(27)
    with django_assert_max_num_queries(5) as many:
        overview(admin)
    assert len(few) == len(many)


def test_tokens_older_than_the_workspace_wants_are_one_line_that_leads_to_them(admin, workspace):
    for _ in range(3):
        make_monitor(workspace=workspace)
    make_monitor()
    PushToken.objects.update(created_at=database_now() - timedelta(days=91))
    make_monitor(workspace=workspace)
    assert reverse("monitors:tokens") not in overview(admin)
    workspace.token_age_days = 90
    workspace.save()
    page = overview(admin)
    assert "3 push tokens are older than 90 days." in text_of(page)
    assert f'href="{reverse("monitors:tokens")}"' in page


def test_viewers_are_not_reminded_of_tokens(viewer, workspace):
    make_monitor(workspace=workspace)
    PushToken.objects.update(created_at=database_now() - timedelta(days=91))
    workspace.token_age_days = 90
    workspace.save()
    assert "older than" not in overview(viewer)


def test_the_reminder_costs_the_page_one_query_and_its_updates_none(
    admin, workspace, django_assert_num_queries
):
    make_monitor(workspace=workspace)
    with django_assert_num_queries(5):
        overview(admin)
    workspace.token_age_days = 90
    workspace.save()
    with django_assert_num_queries(6):
        overview(admin)
    with django_assert_num_queries(5):
        overview(admin, **HTMX)


def test_the_workspace_chosen_in_the_menu_is_the_one_shown(admin, workspace):
    other = make_workspace("Other")
    user = workspace.memberships.get().user
    Membership.objects.create(user=user, workspace=other, role=Role.VIEWER)
    make_monitor(workspace=other, name="Elsewhere")
    assert "Elsewhere" not in overview(admin)
    response = admin.post(reverse("accounts:switch_workspace", args=[other.public_id]))
    assert response.status_code == 303
    assert "Elsewhere" in overview(admin)
