"""Monitors in the admin site are created, changed and deleted with our operations; state is read-only."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from monitors.models import Heartbeat, Monitor, MonitorState, PushToken
from monitors.services import monitors as monitor_service
from tests.support.admin_site import make_incident
from tests.support.factories import make_monitor, make_workspace, secret_of

pytestmark = pytest.mark.django_db

ADD = "admin:monitors_monitor_add"
CHANGELIST = "admin:monitors_monitor_changelist"
INTERVAL = {"name": "Oven", "kind": "interval", "timeout": "5 min", "tags": "hot, kitchen"}


def page_of(monitor: Monitor, name: str = "change") -> str:
    return reverse(f"admin:monitors_monitor_{name}", args=[monitor.pk])


def fields_of(root: Client, monitor: Monitor, **changes: Any) -> dict[str, Any]:
    """Return the form data of the page of `monitor`, with `changes` typed in."""
    form = root.get(page_of(monitor)).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in (values | changes).items() if value not in (None, False)}


@pytest.fixture
def monitor(db):
    return make_monitor(name="Oven", timeout=300, tags=["hot"])


@pytest.fixture
def pushed(monitor, client):
    """The monitor with a heartbeat, so that it is up and due."""
    assert client.get(f"/api/push/{secret_of(monitor)}?msg=Baking&value=3").status_code == 200
    return monitor


def test_a_new_monitor_has_a_state_a_token_and_an_audit_entry(root: Client, superuser):
    workspace = make_workspace()
    answer = root.post(reverse(ADD), INTERVAL | {"workspace": workspace.pk})
    assert answer.status_code == 302
    monitor = Monitor.objects.get()
    assert (monitor.name, monitor.slug, monitor.timeout, monitor.tags) == (
        "Oven",
        "oven",
        300,
        ["hot", "kitchen"],
    )
    assert monitor.state.status == "new"
    assert monitor.tokens.count() == 1
    entry = AuditEntry.objects.get(action="monitor.created")
    assert (entry.via, entry.user) == ("admin", superuser)


def test_the_urgency_can_be_changed(root: Client, monitor):
    assert root.post(page_of(monitor), fields_of(root, monitor, urgency="low")).status_code == 302
    monitor.refresh_from_db()
    assert monitor.urgency == "low"


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"kind": "interval", "timeout": "0 s"}, "timeout"),
        ({"kind": "interval", "timeout": ""}, "timeout"),
        ({"kind": "interval", "timeout": "1 min", "interval": "2 min"}, "interval"),
        ({"kind": "cron", "cron": "0 0 31 2 *"}, "cron"),
        ({"kind": "cron", "cron": ""}, "cron"),
        ({"kind": "cron", "cron": "0 2 * * *", "timezone": "Mars/Olympus"}, "timezone"),
        ({"kind": "oncalendar", "calendar": ""}, "calendar"),
        ({"kind": "oncalendar", "calendar": "Mon 25:00"}, "calendar"),
        ({"kind": "oncalendar", "calendar": "daily", "early": "2 h"}, "early"),
        ({"kind": "oncalendar", "calendar": "daily", "timezone": "Mars/Olympus"}, "timezone"),
        ({"kind": "interval", "timeout": "1 min", "slug": "Not A Slug"}, "slug"),
        ({"kind": "interval", "timeout": "1 min", "tags": ",".join("abcdefghijklmnopqrstuvwxyz")}, "tags"),
        ({"kind": "interval", "timeout": "1 min", "push_rate": "-5"}, "push_rate"),
        ({"kind": "interval", "timeout": "1 min", "workspace": ""}, "workspace"),
    ],
)
def test_a_schedule_is_judged_as_on_the_members_page(root: Client, typed, field):
    answer = root.post(reverse(ADD), {"name": "Oven", "workspace": make_workspace().pk} | typed)
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert not Monitor.objects.exists()


def test_a_cron_schedule_leaves_nothing_of_the_other_kind(root: Client):
    typed = {
        "name": "Night",
        "kind": "cron",
        "cron": "0 2  * * *",
        "timezone": "Asia/Jakarta",
        "timeout": "bad",
    }
    root.post(reverse(ADD), typed | {"workspace": make_workspace().pk})
    monitor = Monitor.objects.get()
    assert (monitor.cron, monitor.timezone, monitor.timeout) == ("0 2 * * *", "Asia/Jakarta", 60)


def test_an_oncalendar_schedule_is_stored_as_it_is_evaluated(root: Client):
    typed = {
        "name": "Night",
        "kind": "oncalendar",
        "calendar": "OnCalendar=daily\r\n02:00 UTC",
        "early": "20",
    }
    root.post(reverse(ADD), typed | {"cron": "bad", "workspace": make_workspace().pk})
    monitor = Monitor.objects.get()
    assert (monitor.kind, monitor.calendar, monitor.early) == ("oncalendar", "daily\n02:00 UTC", 20)
    assert (monitor.cron, monitor.timezone) == ("", "UTC")
    page = root.get(reverse(CHANGELIST)).content.decode()
    assert "OnCalendar daily + 1" in page


def test_all_of_a_schedule_is_in_one_section(root: Client, monitor: Monitor):
    sections = dict(root.get(page_of(monitor)).context["adminform"].fieldsets)
    schedule = next(options["fields"] for title, options in sections.items() if title == "Schedule")
    assert schedule == ("kind", "timeout", "interval", "cron", "calendar", "timezone", "grace", "early")


def test_an_edit_moves_the_deadline_and_is_in_the_audit(root: Client, pushed: Monitor):
    due = pushed.state.due_at or MonitorState.objects.get(monitor=pushed).due_at
    answer = root.post(page_of(pushed), fields_of(root, pushed, timeout="1 min"))
    assert answer.status_code == 302
    assert MonitorState.objects.get(monitor=pushed).due_at < due
    pushed.refresh_from_db()
    assert (pushed.timeout, pushed.version) == (60, 2)
    entry = AuditEntry.objects.get(action="monitor.changed")
    assert (entry.via, entry.details) == ("admin", {"fields": ["timeout"]})


def test_saving_without_a_change_changes_nothing(root: Client, monitor: Monitor):
    root.post(page_of(monitor), fields_of(root, monitor))
    monitor.refresh_from_db()
    assert monitor.version == 1
    assert not AuditEntry.objects.filter(action="monitor.changed").exists()


def test_nothing_typed_reaches_the_state(root: Client, pushed: Monitor):
    before = MonitorState.objects.filter(monitor=pushed).values().get()
    typed = {
        "status": "down",
        "last_message": "forged",
        "due_at": "2000-01-01",
        "state": "x",
        "workspace": "1",
    }
    root.post(page_of(pushed), fields_of(root, pushed, name="Stove") | typed)
    assert MonitorState.objects.filter(monitor=pushed).values().get() == before
    assert Monitor.objects.get().name == "Stove"


def test_a_heartbeat_between_looking_and_saving_is_not_overwritten(root: Client, client, monitor: Monitor):
    fields = fields_of(root, monitor, name="Stove")
    assert client.get(f"/api/push/{secret_of(monitor)}?msg=Between").status_code == 200
    root.post(page_of(monitor), fields)
    state = MonitorState.objects.get(monitor=monitor)
    assert (state.status, state.last_message) == ("up", "Between")


def test_a_page_that_is_out_of_date_saves_nothing(root: Client, monitor: Monitor):
    fields = fields_of(root, monitor, name="Stove")
    monitor_service.edit(monitor=monitor, description="Theirs")
    answer = root.post(page_of(monitor), fields, follow=True)
    assert "Someone else changed this monitor" in answer.text
    assert Monitor.objects.values_list("name", "description").get() == ("Oven", "Theirs")


def test_a_slug_of_another_monitor_of_the_workspace_is_refused(root: Client, monitor: Monitor):
    other = make_monitor(workspace=monitor.workspace, name="Stove")
    answer = root.post(page_of(other), fields_of(root, other, slug="oven"))
    assert "slug" in answer.context["adminform"].form.errors
    elsewhere = make_monitor(name="Stove")
    assert root.post(page_of(elsewhere), fields_of(root, elsewhere, slug="oven")).status_code == 302


def test_a_slug_that_is_taken_at_the_last_moment_saves_nothing(root: Client, monitor: Monitor, monkeypatch):
    def taken(**kwargs):
        raise monitor_service.SlugTaken

    monkeypatch.setattr(monitor_service, "edit", taken)
    answer = root.post(page_of(monitor), fields_of(root, monitor, name="Stove"), follow=True)
    assert "has this slug" in answer.text


def test_the_page_shows_the_state_as_members_see_it(root: Client, pushed: Monitor):
    make_incident(pushed)
    page = root.get(page_of(pushed)).text
    assert "Baking" in page
    assert "still open" in page
    assert reverse("monitors:detail", args=[pushed.public_id]) in page


def test_a_monitor_that_is_overdue_is_shown_as_down_in_the_list(root: Client, pushed: Monitor):
    from datetime import timedelta

    from core.clock import database_now

    MonitorState.objects.update(last_heartbeat_at=database_now() - timedelta(hours=1))
    assert '<td class="field-shown">Down</td>' in root.get(reverse(CHANGELIST)).text


def test_deleting_asks_and_does_not_walk_the_heartbeats(
    root: Client, pushed: Monitor, django_assert_max_num_queries
):
    with django_assert_max_num_queries(6) as seen:
        confirmation = root.get(page_of(pushed, "delete"))
    assert "cannot be undone" in confirmation.text
    assert not any("heartbeat" in query["sql"].split("last_heartbeat_at")[0].lower() for query in seen)
    assert Monitor.objects.exists()


def test_a_monitor_is_deleted_by_the_operation(root: Client, pushed: Monitor):
    answer = root.post(page_of(pushed, "delete"), {"post": "yes"})
    assert answer.status_code == 302
    assert not Monitor.objects.exists()
    assert AuditEntry.objects.get(action="monitor.deleted").via == "admin"
    # They are unreachable immediately and purged later, in small batches.
    assert Heartbeat.objects.count() == 1


def run(
    root: Client, action: str, *, across: bool = False, chosen: tuple[Monitor, ...] = ()
) -> dict[str, int]:
    fields = {"action": action, "_selected_action": [m.pk for m in chosen] or ["0"]}
    confirmation = root.post(reverse(CHANGELIST), fields | ({"select_across": "1"} if across else {}))
    result = root.post(reverse(CHANGELIST), dict(confirmation.context["hidden"]))
    return dict(result.context["counts"])


def test_many_are_paused_resumed_and_deleted(root: Client, pushed: Monitor):
    other = make_monitor()
    assert run(root, "pause_selected", chosen=(pushed, other)) == {"Paused": 2}
    assert {state.status for state in MonitorState.objects.all()} == {"paused"}
    assert run(root, "resume_selected", across=True) == {"Resumed": 2}
    assert {state.status for state in MonitorState.objects.all()} == {"new"}
    assert run(root, "delete_chosen", chosen=(other,)) == {"Deleted": 1}
    assert Monitor.objects.get() == pushed
    assert set(AuditEntry.objects.exclude(via="command").values_list("via", flat=True)) == {"admin"}


def test_djangos_own_deletion_of_many_is_not_offered(root: Client, monitor: Monitor):
    root.post(
        reverse(CHANGELIST), {"action": "delete_selected", "_selected_action": [monitor.pk], "post": "yes"}
    )
    assert Monitor.objects.exists()


def test_the_tokens_of_a_deleted_monitor_go_with_it(root: Client, monitor: Monitor):
    root.post(page_of(monitor, "delete"), {"post": "yes"})
    assert not PushToken.objects.exists()


def test_a_monitor_stays_in_its_workspace(root: Client, monitor: Monitor):
    """Its tables know the workspace of each row, which nothing would change then."""
    before = monitor.workspace_id
    root.post(page_of(monitor), fields_of(root, monitor, name="Stove") | {"workspace": make_workspace().pk})
    monitor.refresh_from_db()
    assert (monitor.name, monitor.workspace_id) == ("Stove", before)
