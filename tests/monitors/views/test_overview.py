"""The overview: all monitors of a workspace on one screen."""

from __future__ import annotations

import gzip
import json
import random
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import AuditEntry, Membership, Role
from core.clock import database_now
from monitors.heartbeats.pipeline import process_pipeline
from monitors.models import Gap, Monitor, MonitorState, PushToken
from monitors.pages.overview import versions
from monitors.pages.overview.params import OverviewParams
from monitors.services import monitors as monitor_service
from tests.support.factories import make_monitor, make_user, make_workspace
from tests.support.heartbeats import let_pass
from tests.support.incidents import push

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """What a poll finds is not kept for the next one: tests do not wait."""
    monkeypatch.setattr(versions, "CACHE_SECONDS", -1)
    # However slow the machine is.
    monkeypatch.setattr(versions, "_KEPT_MOST", -1)


def first_overview(client, query=""):
    """A page as the first of all that this process shows."""
    versions._pages.clear()
    return overview(client, query)


def overview(client, query="", **headers):
    return client.get(reverse("monitors:overview") + query, headers=headers).content.decode()


def names(client, query):
    return names_in_order(overview(client, query))


def poll(client, page, query=""):
    """Ask as an open page does: with the version that it shows, and how far it knows the news."""
    version, newest = (re.search(rf'data-{name}="(\w+)"', page)[1] for name in ("version", "news"))
    headers = {**HTMX, "Tianji-Version": version, "Tianji-News": newest}
    return client.get(reverse("monitors:overview") + query, headers=headers)


def news(response):
    """The sentences that came with an answer."""
    messages = json.loads(response.headers.get("HX-Trigger", "{}")).get("tianji:news", [])
    return [one["text"] for one in messages]


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


def test_an_anonymous_user_is_redirected_to_sign_in(client):
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
    monitor_service.pause(monitor=by_name["Beta"])
    assert names_in_order(overview(admin)) == ["Delta", "Epsilon", "Alpha", "Beta", "Gamma"]


def test_the_counts_say_how_many_monitors_have_which_status(admin, workspace):
    up, down = make_monitor(workspace=workspace), make_monitor(workspace=workspace)
    make_monitor(workspace=workspace)
    push(up)
    push(down, up=False)
    assert "1 down 0 late 1 up 0 paused 1 new" in text_of(overview(admin))


def test_a_row_shows_the_next_due_time_and_the_last_message(admin, workspace):
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
    assert 'id="bulk"' not in part


def test_the_part_for_htmx_names_the_number_of_fallen_monitors_in_the_title(admin, workspace):
    push(make_monitor(workspace=workspace), up=False)
    assert "<title>(1) Tianji</title>" in overview(admin, **HTMX)


def test_pages_and_their_parts_are_kept_out_of_caches(admin):
    response = admin.get(reverse("monitors:overview"))
    assert "no-store" in response["Cache-Control"]
    assert "HX-Request" in response["Vary"]


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?status=up,late&sort=due", "?tag=tag&q=monitor"])
def test_the_number_of_queries_does_not_grow_with_the_monitors(
    admin, workspace, django_assert_max_num_queries, query
):
    def grow(number):
        push(*(make_monitor(workspace=workspace, tags=["tag"]) for _ in range(number)))

    grow(3)
    overview(admin, query)
    with django_assert_max_num_queries(24) as few:
        first_overview(admin, query)
    grow(27)
    with django_assert_max_num_queries(24) as many:
        first_overview(admin, query)
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
    with CaptureQueriesContext(connection) as before:
        first_overview(admin)
    workspace.token_age_days = 90
    workspace.save()
    with django_assert_num_queries(len(before) + 1):
        first_overview(admin)
    monitor = Monitor.objects.get()
    push(monitor)
    overview(admin, **HTMX)
    with CaptureQueriesContext(connection) as update:
        overview(admin, **HTMX)
    assert not any("pushtoken" in query["sql"] for query in update)


def test_the_workspace_chosen_in_the_menu_is_the_one_shown(admin, workspace):
    other = make_workspace("Other")
    user = workspace.memberships.get().user
    Membership.objects.create(user=user, workspace=other, role=Role.VIEWER)
    make_monitor(workspace=other, name="Elsewhere")
    assert "Elsewhere" not in overview(admin)
    response = admin.post(reverse("accounts:switch_workspace", args=[other.public_id]))
    assert response.status_code == 303
    assert "Elsewhere" in overview(admin)


class TestFilters:
    @pytest.fixture(autouse=True)
    def of_each_status(self, workspace):
        """A monitor of each status as shown, and one that is overdue."""
        labels = {name: name.title() for name in ("new", "up", "late", "overdue", "down", "paused")}
        made = {
            key: make_monitor(workspace=workspace, name=name, timeout=60, grace=60)
            for key, name in labels.items()
        }
        push(made["up"], made["late"], made["overdue"])
        push(made["down"], up=False)
        silent_for(made["late"], 90)
        silent_for(made["overdue"], 150)
        monitor_service.pause(monitor=made["paused"])

    def test_counts_are_those_of_the_statuses_as_shown(self, admin):
        assert "2 down 1 late 1 up 1 paused 1 new" in text_of(overview(admin))

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("?status=down", ["Down", "Overdue"]),
            ("?status=late", ["Late"]),
            ("?status=up", ["Up"]),
            ("?status=paused", ["Paused"]),
            ("?status=new", ["New"]),
            ("?status=late,down", ["Down", "Overdue", "Late"]),
            ("?status=nonsense", ["Down", "Overdue", "Late", "New", "Paused", "Up"]),
        ],
    )
    def test_several_statuses_may_be_chosen(self, admin, query, expected):
        assert names(admin, query) == expected

    def test_a_count_is_a_link_that_adds_its_status_and_takes_it_away_again(self, admin):
        page = overview(admin, "?status=late&sort=name")
        assert 'href="/?status=down,late&amp;sort=name"' in page
        assert re.search(r'href="/\?sort=name"[^>]* aria-current="true"><strong>1</strong> late', page)

    def test_counts_are_of_what_the_search_finds_and_the_title_is_of_all(self, admin, workspace):
        make_monitor(workspace=workspace, name="Newest", tags=["db"])
        page = overview(admin, "?q=new")
        assert "0 down 0 late 0 up 0 paused 2 new" in text_of(page)
        assert "<title>(2) Tianji</title>" in page
        assert "0 down 0 late 0 up 0 paused 1 new" in text_of(overview(admin, "?tag=db"))

    def test_filters_together_narrow_what_is_shown(self, admin, workspace):
        for name, tags in (("Mail in", ["db"]), ("Mail out", []), ("Backup", ["db", "mail"])):
            make_monitor(workspace=workspace, name=name, tags=tags)
        assert names(admin, "?tag=db") == ["Backup", "Mail in"]
        assert names(admin, "?q=mail&tag=db&status=new,up") == ["Mail in"]
        assert "1 of 9 monitors" in text_of(overview(admin, "?q=mail&tag=db&status=new"))

    def test_what_is_filtered_by_can_be_taken_away_again(self, admin):
        page = overview(admin, "?q=up&tag=db&sort=name")
        assert "No monitors match" in page
        assert 'id="chip-tag" href="/?q=up&amp;sort=name"' in page
        assert 'id="chip-text" href="/?tag=db&amp;sort=name"' in page
        assert 'value="up"' in page

    def test_the_search_works_as_a_form_and_keeps_the_other_filters(self, admin):
        page = overview(admin, "?status=down&sort=-last&page=1")
        assert '<form class="search" id="search" method="get" action="/"' in page
        assert '<input type="hidden" name="status" value="down">' in page
        assert '<input type="hidden" name="sort" value="-last">' in page

    @pytest.mark.parametrize(
        "query", ["?q=%00", "?tag=%00%ff", "?page=x&sort=y", "?page=99999999999", "?q=%25"]
    )
    def test_an_address_that_makes_no_sense_is_a_page_all_the_same(self, admin, query):
        assert admin.get(reverse("monitors:overview") + query).status_code == 200

    def test_a_tag_is_a_link_to_all_that_have_it(self, admin, workspace):
        make_monitor(workspace=workspace, name="Tagged", tags=["a & b"])
        assert 'href="?tag=a%20%26%20b"' in overview(admin)
        assert names(admin, "?tag=a%20%26%20b") == ["Tagged"]


class TestOrder:
    @pytest.fixture(autouse=True)
    def three_monitors(self, workspace):
        for name, timeout, seconds in (("beta", 3600, 10), ("Alpha", 60, 30), ("gamma", 600, 20)):
            monitor = make_monitor(workspace=workspace, name=name, timeout=timeout)
            push(monitor)
            let_pass(monitor, seconds=seconds)
        make_monitor(workspace=workspace, name="unheard")

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("name", ["Alpha", "beta", "gamma", "unheard"]),
            ("-name", ["unheard", "gamma", "beta", "Alpha"]),
            ("last", ["beta", "gamma", "Alpha", "unheard"]),
            ("-last", ["Alpha", "gamma", "beta", "unheard"]),
            ("due", ["Alpha", "gamma", "beta", "unheard"]),
            ("-due", ["beta", "gamma", "Alpha", "unheard"]),
        ],
    )
    def test_columns_sort_both_ways_and_those_without_a_time_come_last(self, admin, sort, expected):
        assert names(admin, f"?sort={sort}") == expected

    def test_a_cron_monitor_is_due_when_its_schedule_says(self, admin, workspace):
        # Months away, whatever the day is on which this runs.
        month = (database_now().month + 5) % 12 + 1
        monitor = make_monitor(
            workspace=workspace, name="yearly", kind="cron", cron=f"0 2 1 {month} *", timezone="UTC"
        )
        push(monitor)
        assert names(admin, "?sort=due") == ["Alpha", "gamma", "beta", "yearly", "unheard"]

    def test_the_column_sorted_by_says_so_and_leads_the_other_way(self, admin):
        page = overview(admin, "?sort=last")
        assert re.search(r'aria-sort="descending"><a href="/\?sort=-last"', page)

    def test_a_heartbeat_moves_no_row(self, admin, workspace):
        before = names(admin, "")
        push(Monitor.objects.get(name="gamma"))
        assert names(admin, "") == before


class TestPages:
    @pytest.fixture(autouse=True)
    def more_than_a_page(self, workspace, monkeypatch):
        monkeypatch.setattr(versions, "ROWS", 3)
        for number in range(1, 8):
            make_monitor(workspace=workspace, name=f"Number {number}")

    def test_rows_come_in_pages_that_lead_to_each_other(self, admin):
        assert names(admin, "?page=2") == ["Number 4", "Number 5", "Number 6"]
        page = overview(admin, "?status=new&page=2")
        assert "4–6 of 7" in text_of(page)
        assert 'href="/?status=new"' in page
        assert 'href="/?status=new&amp;page=3"' in page

    def test_past_the_last_page_there_is_the_last_page(self, admin):
        assert names(admin, "?page=99") == ["Number 7"]

    def test_counts_are_of_all_pages(self, admin):
        assert "7 new" in text_of(overview(admin))


class TestPolling:
    @pytest.fixture(autouse=True)
    def no_time_passes(self, monkeypatch):
        """Keep the age of bars out of versions, which changes at every full two minutes of the clock."""
        monkeypatch.setattr(versions, "_STALE_AFTER", 10**9)

    def test_nothing_is_sent_when_nothing_changed(self, admin, workspace):
        push(make_monitor(workspace=workspace))
        response = poll(admin, overview(admin))
        assert (response.status_code, response.content) == (204, b"")

    @pytest.mark.parametrize("query", ["?status=down", "?page=7", "?q=x&sort=due"])
    def test_a_filtered_page_is_polled_as_cheaply(self, admin, workspace, query):
        make_monitor(workspace=workspace)
        assert poll(admin, overview(admin, query), query).status_code == 204

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(push, id="heartbeat"),
            pytest.param(lambda monitor: push(monitor, up=False), id="down"),
            pytest.param(lambda monitor: monitor_service.pause(monitor=monitor), id="pause"),
            pytest.param(lambda monitor: monitor_service.edit(monitor=monitor, name="Other"), id="edit"),
            pytest.param(lambda monitor: monitor_service.delete(monitor=monitor), id="delete"),
            pytest.param(lambda monitor: make_monitor(workspace=monitor.workspace), id="create"),
            pytest.param(lambda monitor: silent_for(monitor, 90), id="late"),
            pytest.param(lambda monitor: silent_for(monitor, 9000), id="overdue"),
        ],
    )
    def test_whatever_a_reader_would_see_is_another_version(self, admin, workspace, change):
        monitor = make_monitor(workspace=workspace, timeout=60, grace=60)
        push(monitor)
        page = overview(admin)
        change(monitor)
        response = poll(admin, page)
        assert response.status_code == 200
        assert poll(admin, response.content.decode()).status_code == 204

    def test_the_earlier_of_two_heartbeats_is_seen_even_if_it_is_committed_last(self, admin, workspace):
        early, late = make_monitor(workspace=workspace), make_monitor(workspace=workspace)
        push(early, late)
        page = overview(admin)
        state = MonitorState.objects.filter(monitor=early)
        state.update(last_heartbeat_at=state.get().last_heartbeat_at - timedelta(milliseconds=5))
        assert poll(admin, page).status_code == 200

    def test_another_view_has_another_version(self, admin, workspace):
        make_monitor(workspace=workspace)
        assert poll(admin, overview(admin), "?status=new").status_code == 200

    def test_what_happens_in_other_workspaces_is_no_news(self, admin, workspace):
        make_monitor(workspace=workspace)
        page = overview(admin)
        push(make_monitor())
        assert poll(admin, page).status_code == 204

    def test_tabs_that_poll_together_cost_one_look(
        self, admin, workspace, monkeypatch, django_assert_num_queries
    ):
        make_monitor(workspace=workspace)
        page = overview(admin)
        monkeypatch.setattr(versions, "CACHE_SECONDS", 60)
        with django_assert_num_queries(0):
            assert poll(admin, page).status_code == 204

    def test_tabs_that_show_the_same_are_drawn_once(
        self, admin, workspace, monkeypatch, django_assert_num_queries
    ):
        monitor = make_monitor(workspace=workspace)
        page = overview(admin)
        push(monitor)
        drawn = poll(admin, page).content
        monkeypatch.setattr(versions, "CACHE_SECONDS", 60)
        # Who asks: session, user and membership; and the news.
        with django_assert_num_queries(4):
            assert poll(admin, page).content == drawn

    def test_viewers_are_not_sent_what_was_drawn_for_an_admin(self, admin, workspace):
        viewer = Client()
        viewer.force_login(make_user(workspace=workspace, role=Role.VIEWER))
        monitor = make_monitor(workspace=workspace)
        pages = overview(admin), overview(viewer)
        push(monitor)
        shown = [poll(*each).content.decode() for each in zip((admin, viewer), pages, strict=True)]
        assert ["choose-all" in each for each in shown] == [True, False]

    @pytest.mark.parametrize("labels", ["x", "_", "0" * 32, f"{'0' * 32}_{'0' * 24}", "é" * 57])
    def test_an_unknown_version_gets_the_page(self, admin, workspace, labels):
        make_monitor(workspace=workspace)
        headers = {**HTMX, "Tianji-Version": labels}
        assert admin.get(reverse("monitors:overview"), headers=headers).status_code == 200

    def test_strangers_cannot_make_the_server_look(self, workspace, django_assert_num_queries):
        headers = {**HTMX, "Tianji-Version": f"{workspace.public_id.hex}_{'0' * 24}"}
        with django_assert_num_queries(0):
            response = Client().get(reverse("monitors:overview") + "?q=never+asked", headers=headers)
        assert response.status_code == 302

    def test_a_look_that_is_old_is_not_served_while_another_is_taken(self, workspace, monkeypatch):
        monkeypatch.setattr(versions, "CACHE_SECONDS", 0.0)
        snapshot = versions.take_snapshot(workspace.public_id)
        with versions._snapshot_lock:
            assert versions._recent_snapshot(workspace.public_id) is snapshot
        versions._snapshots[workspace.public_id] = replace(snapshot, taken=snapshot.taken - 60)
        assert versions._recent_snapshot(workspace.public_id).now > snapshot.now

    def test_a_tab_of_another_workspace_is_loaded_anew(self, admin, workspace):
        make_monitor(workspace=workspace)
        other = make_monitor().workspace
        Membership.objects.create(user=workspace.memberships.get().user, workspace=other, role=Role.ADMIN)
        page = overview(admin)
        admin.post(reverse("accounts:switch_workspace", args=[other.public_id]))
        push(Monitor.objects.get(workspace=workspace))
        response = poll(admin, page)
        assert response["HX-Refresh"] == "true"

    def test_a_poll_without_a_session_learns_only_that_nothing_changed(self, admin, workspace):
        monitor = make_monitor(workspace=workspace)
        page = overview(admin)
        assert poll(Client(), page).status_code == 204
        push(monitor)
        assert poll(Client(), page).status_code == 302

    def test_bars_and_uptimes_are_not_older_than_two_minutes(self, workspace, monkeypatch):
        monkeypatch.setattr(versions, "_STALE_AFTER", 120)
        snapshot, params = versions.take_snapshot(workspace.public_id), OverviewParams()
        selection = versions.select(snapshot, params)
        seen = {
            versions.version_of(
                replace(snapshot, now=snapshot.now + timedelta(seconds=seconds)), selection, params
            )
            for seconds in (0, 120)
        }
        assert len(seen) == 2


class TestNews:
    def test_a_status_change_is_announced_once_in_a_sentence(self, admin, workspace):
        monitor = make_monitor(workspace=workspace, name="Backup")
        push(monitor)
        page = overview(admin)
        push(monitor, up=False)
        response = poll(admin, page)
        assert news(response) == ["Backup is down"]
        push(monitor)
        response = poll(admin, response.content.decode())
        assert news(response) == ["Backup has recovered"]
        push(monitor)
        assert news(poll(admin, response.content.decode())) == []

    def test_long_names_are_cut_where_they_travel_in_a_header(self, admin, workspace):
        named = [make_monitor(workspace=workspace, name=letter * 100) for letter in "äöü"]
        for monitor in named:
            push(monitor)
        page = overview(admin)
        for monitor in named:
            push(monitor, up=False)
        response = poll(admin, page)
        assert news(response)[0] == f"{'ü' * 39}… is down"
        assert len(response["HX-Trigger"]) < 2000

    def test_a_change_while_the_page_is_sent_is_announced_once(self, admin, workspace, monkeypatch):
        monitor = make_monitor(workspace=workspace, name="Backup")
        push(monitor)
        page = overview(admin)
        push(monitor, up=False)
        monkeypatch.setattr(versions, "CACHE_SECONDS", 60)
        versions.take_snapshot(workspace.public_id)
        first = poll(admin, page)
        push(monitor)
        # Another tab is sent what was drawn, and no more news than that knows of.
        assert news(poll(admin, page)) == news(first) == ["Backup is down"]
        monkeypatch.setattr(versions, "CACHE_SECONDS", -1)
        assert news(poll(admin, first.content.decode())) == ["Backup has recovered"]

    def test_names_in_any_language_are_announced(self, admin, workspace):
        monitor = make_monitor(workspace=workspace, name="Bücher\n備份")
        page = overview(admin)
        push(monitor)
        assert news(poll(admin, page)) == ["Bücher\n備份 is up"]

    def test_pausing_and_resuming_are_announced(self, admin, workspace):
        monitor = make_monitor(workspace=workspace, name="Backup")
        page = overview(admin)
        monitor_service.pause(monitor=monitor)
        response = poll(admin, page)
        monitor_service.resume(monitor=monitor)
        again = poll(admin, response.content.decode())
        assert (news(response), news(again)) == (["Backup is paused"], ["Backup was resumed"])

    def test_many_changes_are_one_sentence(self, admin, workspace):
        monitors = [make_monitor(workspace=workspace) for _ in range(5)]
        page = overview(admin)
        push(*monitors[:4], up=False)
        push(monitors[4])
        assert news(poll(admin, page)) == ["5 monitors changed: 4 down, 1 up"]

    def test_other_workspaces_and_invalid_positions_are_not_announced(self, admin, workspace):
        make_monitor(workspace=workspace)
        page = overview(admin)
        push(make_monitor(), up=False)
        make_monitor(workspace=workspace)
        assert news(poll(admin, page)) == []
        response = admin.get(reverse("monitors:overview"), headers={**HTMX, "Tianji-News": "x"})
        assert news(response) == []


class TestRows:
    def test_a_row_has_the_bar_the_value_and_the_uptimes(self, admin, workspace):
        monitor = make_monitor(workspace=workspace)
        push(monitor, value=12.5)
        let_pass(monitor, hours=40)
        push(monitor, value=12.75)
        monitor_service.pause(monitor=monitor)
        page = overview(admin)
        assert page.count('class="slots"') == 1
        assert "12.75" in page
        day, month = re.findall(r"([\d.]+)\xa0%", page)
        assert 0 <= float(day) < 1
        assert 0 <= float(month) < 1

    def test_uptime_is_never_rounded_up_to_the_whole(self):
        from monitors.history.current import percent

        assert [percent(share) for share in (None, 1.0, 0.99999, 0.9731, 0.0)] == [
            "–",
            "100\xa0%",
            "99.99\xa0%",
            "97.31\xa0%",
            "0.00\xa0%",
        ]

    def test_a_monitor_that_reported_down_shows_the_message(self, admin, workspace):
        reported, missed = make_monitor(workspace=workspace), make_monitor(workspace=workspace, timeout=60)
        push(missed, message="all well")
        silent_for(missed, 900)
        push(reported, up=False, message="disk full")
        page = overview(admin)
        assert '<span class="text-down">disk full</span>' in page
        assert '<span class="text-down">all well</span>' not in page

    @pytest.mark.slow
    def test_a_full_page_weighs_less_than_150_kb(self, admin, workspace, rng):
        monitors = [
            make_monitor(workspace=workspace, name=f"{word()} {word()} {number}", tags=[word(), word()])
            for number in range(versions.ROWS)
            for word in [lambda: "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=9))]
        ]
        for age in (1300, 700, 60, 0):
            push(*monitors, message=f"batch {age} done")
            for monitor in monitors:
                let_pass(monitor, minutes=rng.uniform(0, age))
        page = overview(admin)
        assert len(names_in_order(page)) == versions.ROWS
        assert len(gzip.compress(page.encode(), 6)) < 150_000


@pytest.fixture
def rng():
    return random.Random(4)


class TestBulk:
    def do(self, client, action, *monitors, **more):
        data = {"action": action, "monitor": [monitor.public_id for monitor in monitors], **more}
        return client.post(reverse("monitors:bulk"), data, follow=True)

    def messages(self, response):
        return [str(message) for message in response.context["messages"]]

    def statuses(self, *monitors):
        return [MonitorState.objects.get(monitor=monitor).status for monitor in monitors]

    def test_several_are_paused_and_resumed(self, admin, workspace):
        first, second, third = (make_monitor(workspace=workspace) for _ in range(3))
        monitor_service.pause(monitor=second)
        response = self.do(admin, "pause", first, second)
        assert self.messages(response) == ["1 monitor paused. 1 unchanged."]
        assert self.statuses(first, second, third) == ["paused", "paused", "new"]
        assert self.messages(self.do(admin, "resume", first, second)) == ["2 monitors resumed."]
        assert self.statuses(first, second, third) == ["new", "new", "new"]

    def test_the_audit_log_names_the_actor(self, admin, workspace):
        monitor = make_monitor(workspace=workspace)
        self.do(admin, "pause", monitor)
        entry = AuditEntry.objects.get(action=AuditEntry.Action.MONITOR_PAUSED)
        assert entry.user == workspace.memberships.get().user
        assert entry.subject == monitor.public_id

    def test_an_unused_invalid_tag_does_not_prevent_pausing(self, admin, workspace):
        monitor = make_monitor(workspace=workspace)
        self.do(admin, "pause", monitor, tag="x" * 31)
        assert self.statuses(monitor) == ["paused"]

    def test_a_tag_is_added_and_taken_away(self, admin, workspace):
        first = make_monitor(workspace=workspace, tags=["db"])
        second = make_monitor(workspace=workspace, tags=["db", "night"])
        messages = self.messages(self.do(admin, "add_tag", first, second, tag=" night "))
        assert messages == ["1 monitor tagged “night”. 1 unchanged."]
        self.do(admin, "remove_tag", first, second, tag="db")
        assert [Monitor.objects.get(pk=one.pk).tags for one in (first, second)] == [["night"], ["night"]]

    @pytest.mark.parametrize("tag", ["", "a,b", "x" * 31])
    def test_what_is_no_tag_changes_nothing(self, admin, workspace, tag):
        monitor = make_monitor(workspace=workspace)
        (messages,) = self.messages(self.do(admin, "add_tag", monitor, tag=tag))
        assert "tag" in messages
        assert Monitor.objects.get(pk=monitor.pk).tags == []

    def test_a_monitor_full_of_tags_gets_no_other(self, admin, workspace):
        tags = [str(number) for number in range(20)]
        monitor = make_monitor(workspace=workspace, tags=tags)
        messages = self.messages(self.do(admin, "add_tag", monitor, tag="new"))
        assert messages == ["1 already has the maximum number of tags."]
        assert Monitor.objects.get(pk=monitor.pk).tags == tags

    def test_several_get_an_urgency(self, admin, workspace):
        first, second = (make_monitor(workspace=workspace) for _ in range(2))
        urgent = make_monitor(workspace=workspace, urgency="high")
        response = self.do(admin, "set_urgency", first, second, urgent, urgency="high")
        assert self.messages(response) == ["Urgency of 2 monitors changed. 1 unchanged."]
        assert set(Monitor.objects.values_list("urgency", flat=True)) == {"high"}

    @pytest.mark.parametrize("urgency", ["", "urgent"])
    def test_what_is_no_urgency_changes_nothing(self, admin, workspace, urgency):
        monitor = make_monitor(workspace=workspace)
        (message,) = self.messages(self.do(admin, "set_urgency", monitor, urgency=urgency))
        assert message
        assert Monitor.objects.get(pk=monitor.pk).urgency == "normal"

    def test_deleting_asks_first_and_counts(self, admin, workspace):
        doomed = [make_monitor(workspace=workspace) for _ in range(12)]
        snapshot = make_monitor(workspace=workspace, name="Kept")
        response = self.do(admin, "delete", *doomed)
        assert "Delete 12 monitors?" in text_of(response.content.decode())
        assert "and 2 more" in text_of(response.content.decode())
        assert Monitor.objects.count() == 13
        assert self.messages(self.do(admin, "delete", *doomed, sure="yes")) == ["12 monitors deleted."]
        assert Monitor.objects.get() == snapshot

    def test_it_leads_back_to_the_view_it_was_done_in_and_nowhere_else(self, admin, workspace):
        monitor = make_monitor(workspace=workspace)
        response = self.do(admin, "pause", monitor, view="status=new&sort=name&next=//evil.example")
        assert response.redirect_chain == [("/?status=new&sort=name", 303)]

    def test_without_a_choice_nothing_is_done(self, admin, workspace):
        make_monitor(workspace=workspace)
        assert self.messages(self.do(admin, "pause")) == ["Select monitors first."]

    def test_monitors_of_other_workspaces_are_out_of_reach(self, admin):
        foreign = make_monitor()
        self.do(admin, "delete", foreign, sure="yes")
        assert Monitor.objects.get() == foreign

    def test_viewers_can_neither_choose_nor_do_anything(self, viewer, workspace):
        monitor = make_monitor(workspace=workspace)
        assert 'name="monitor"' not in overview(viewer)
        assert self.do(viewer, "pause", monitor).status_code == 403
        assert self.statuses(monitor) == ["new"]

    def test_an_unknown_action_and_ids_that_are_none_change_nothing(self, admin, workspace):
        monitor = make_monitor(workspace=workspace)
        assert self.do(admin, "explode", monitor).status_code == 200
        response = admin.post(reverse("monitors:bulk"), {"action": "pause", "monitor": "x"}, follow=True)
        assert self.messages(response) == ["Select monitors first."]
        assert self.statuses(monitor) == ["new"]


class TestFirstMonitor:
    def test_one_form_creates_the_first_monitor(self, admin, workspace):
        page = overview(admin)
        assert f'action="{reverse("monitors:create")}"' in page
        fields = {"kind": "interval", "name": "Backup", "timeout": "5 min"}
        response = admin.post(reverse("monitors:create"), fields)
        monitor = Monitor.objects.get()
        assert response["Location"] == reverse("monitors:detail", args=[monitor.public_id])
        assert (monitor.name, monitor.timeout) == ("Backup", 300)

    def test_filters_that_match_nothing_are_no_empty_workspace(self, admin, workspace):
        assert "No monitors yet" in overview(admin, "?q=x")
        make_monitor(workspace=workspace)
        assert "No monitors yet" not in overview(admin, "?q=x")


# --- Gaps ----------------------------------------------------------------------------------------


def gap(*, ended, lasted, clock_step=None):
    """A gap that ended so many minutes ago and lasted so many seconds."""
    end = database_now() - timedelta(minutes=ended)
    return Gap.objects.create(started_at=end - timedelta(seconds=lasted), ended_at=end, clock_step=clock_step)


def notice(page):
    """The text of the notice above the list, "" without one."""
    (region,) = re.findall(r'<div[^>]*id="listening"[^>]*role="status"[^>]*>(.*?)</div>', page, re.DOTALL)
    return text_of(region)


def test_a_gap_is_one_line_above_the_list_in_the_readers_zone(viewer, workspace):
    make_monitor(workspace=workspace)
    found = gap(ended=1, lasted=200)
    viewer.cookies["zone"] = "Asia/Jakarta"
    start, end = (at + timedelta(hours=7) for at in (found.started_at, found.ended_at))
    said = notice(overview(viewer))
    assert re.fullmatch(
        rf"Tianji was not listening from .*{start:%H:%M:%S} to .*{end:%H:%M:%S}; no monitor was blamed\.",
        said,
    )


@pytest.mark.parametrize(
    ("ended", "lasted", "clock_step", "shown"),
    [
        (1, 60, None, True),
        (1, 59, None, False),
        (719, 60, None, True),
        (721, 60, None, False),
        (1, 0, -3600, True),
        (1, 3600, 3600, True),
        (721, 0, -3600, False),
        # Before the clock was set back.
        (-10, 600, None, False),
    ],
)
def test_only_recent_gaps_of_a_minute_and_clocks_that_were_set_are_above_the_list(
    viewer, workspace, ended, lasted, clock_step, shown
):
    make_monitor(workspace=workspace)
    gap(ended=ended, lasted=lasted, clock_step=clock_step)
    assert bool(notice(overview(viewer))) is shown


def test_the_newest_gap_is_the_one_above_the_list(viewer, workspace):
    make_monitor(workspace=workspace)
    gap(ended=5, lasted=0, clock_step=-3600)
    gap(ended=9, lasted=120)
    gap(ended=1, lasted=30)
    said = notice(overview(viewer))
    assert re.fullmatch(r"The database.*s clock was set back by 1 h at .*; no monitor was blamed\.", said)


def test_a_new_gap_reaches_open_pages_and_then_they_are_current(admin, workspace):
    push(make_monitor(workspace=workspace))
    page = overview(admin)
    assert notice(page) == ""
    gap(ended=0, lasted=100)
    response = poll(admin, page)
    assert notice(response.content.decode()).startswith("Tianji was not listening")
    assert poll(admin, response.content.decode()).status_code == 204


def test_while_pushes_fail_the_notice_says_so_and_goes_away_afterwards(admin, workspace, monkeypatch):
    push(make_monitor(workspace=workspace))
    gap(ended=100, lasted=100)
    page = overview(admin)
    since = database_now() - timedelta(seconds=20)
    monkeypatch.setattr(process_pipeline().listener, "_until", since)
    response = poll(admin, page)
    said = notice(response.content.decode())
    assert said.startswith("Pushes have been failing since ")
    assert said.endswith(f"{since:%H:%M:%S}. No monitor is declared down until they get through.")
    assert poll(admin, response.content.decode()).status_code == 204
    monkeypatch.setattr(process_pipeline().listener, "_until", None)
    assert notice(poll(admin, response.content.decode()).content.decode()).startswith("Tianji was not")
