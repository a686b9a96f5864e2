"""The admin site runs as many queries for a hundred rows as for three, and never counts heartbeats."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.actors import COMMAND
from accounts.models import AuditEntry
from accounts.services import api_keys
from core.admin import LargeTableAdmin
from core.clock import database_now
from monitors.models import Heartbeat, Incident
from monitors.services import tokens
from notifications.models import Delivery
from tests.support.admin_site import Samples, make_incident
from tests.support.beat_schedule import install_schedule
from tests.support.factories import make_channel, make_monitor, make_user, make_workspace, secret_of
from tests.tianji.test_admin_walk import pages

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

LISTS = (
    "accounts_apikey",
    "accounts_auditentry",
    "accounts_membership",
    "accounts_user",
    "accounts_workspace",
    "mfa_authenticator",
    "monitors_incident",
    "monitors_monitor",
    "monitors_pushtoken",
    "notifications_channel",
    "notifications_delivery",
)


def make_row() -> None:
    """Add a row to each list, in a separate workspace."""
    from allauth.mfa.models import Authenticator

    workspace = make_workspace()
    user = make_user(workspace=workspace)
    monitor = make_monitor(workspace=workspace)
    tokens.rotate(token=monitor.tokens.get())
    api_keys.issue(workspace=workspace, name="ci", scope="read", by=COMMAND)
    Authenticator.objects.create(user=user, type="totp", data={"secret": "x"})
    Delivery.objects.create(
        incident=make_incident(monitor),
        channel=make_channel(workspace=workspace),
        event="incident.opened",
        status="pending",
        created_at=database_now(),
        next_attempt_at=database_now(),
    )


def asked_by(client: Client, url: str) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert client.get(url).status_code == 200, url
    return [query["sql"] for query in seen.captured_queries]


def test_a_list_asks_the_same_for_few_rows_and_for_many(root: Client):
    for _number in range(3):
        make_row()
    urls = {name: reverse(f"admin:{name}_changelist") for name in LISTS}
    few = {name: len(asked_by(root, url)) for name, url in urls.items()}
    for _number in range(30):
        make_row()
    many = {name: len(asked_by(root, url)) for name, url in urls.items()}
    assert many == few
    assert max(many.values()) <= 6


def test_a_search_asks_no_more_than_a_list(root: Client):
    for _number in range(5):
        make_row()
    for name in LISTS:
        assert len(asked_by(root, f"{reverse(f'admin:{name}_changelist')}?q=1")) <= 6


def test_the_page_of_a_monitor_asks_the_same_however_much_it_has(root: Client, client: Client):
    monitor = make_monitor()
    url = reverse("admin:monitors_monitor_change", args=[monitor.pk])
    # Once to fill Django's caches.
    asked_by(root, url)
    few = len(asked_by(root, url))
    for number in range(20):
        tokens.issue(monitor=monitor, label=f"host-{number}")
        incident = make_incident(monitor)
        Incident.objects.filter(pk=incident.pk).update(resolved_at=database_now())
    assert len(asked_by(root, url)) == few <= 6


def test_the_page_of_a_workspace_asks_a_little_for_all_its_members(root: Client):
    workspace = make_workspace()
    url = reverse("admin:accounts_workspace_change", args=[workspace.pk])
    for _number in range(2):
        make_user(workspace=workspace)
    few = len(asked_by(root, url))
    for _number in range(20):
        make_user(workspace=workspace)
    # The field for choosing a member looks up the name of each.
    assert len(asked_by(root, url)) <= few + 2 * 20
    assert few <= 12


@pytest.mark.parametrize("name", ["monitors_pushtoken", "notifications_delivery", "monitors_incident"])
def test_other_pages_ask_little(root: Client, name: str):
    for _number in range(3):
        make_row()
    model = next(m for m in admin.site._registry if f"{m._meta.app_label}_{m._meta.model_name}" == name)
    row = model._default_manager.order_by("pk").first()
    assert len(asked_by(root, reverse(f"admin:{name}_change", args=[row.pk]))) <= 10


def test_no_page_reads_heartbeats(samples: Samples, root: Client, client: Client):
    install_schedule()
    assert client.get(f"/api/push/{samples.secrets['new push token']}").status_code == 200
    assert Heartbeat.objects.exists()
    for page in pages():
        with CaptureQueriesContext(connection) as seen:
            root.get(page)
        assert not [q["sql"] for q in seen.captured_queries if Heartbeat._meta.db_table in q["sql"]], page


def test_large_tables_are_counted_up_to_a_bound(root: Client):
    large = [m for m, model_admin in admin.site._registry.items() if isinstance(model_admin, LargeTableAdmin)]
    assert {m._meta.label for m in large} == {
        "accounts.AuditEntry",
        "monitors.Incident",
        "notifications.Delivery",
    }
    make_row()
    for model in large:
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        counts = [sql for sql in asked_by(root, url) if "COUNT(" in sql]
        assert counts
        assert all("LIMIT 10000" in sql for sql in counts)


def test_a_list_that_is_cut_says_so(root: Client, monkeypatch):
    from core import admin as shared

    monkeypatch.setattr(shared, "MAX_COUNT", 5)
    for _number in range(6):
        make_row()
    assert AuditEntry.objects.count() > 5
    page = root.get(reverse("admin:accounts_auditentry_changelist"))
    assert "Showing the first 5." in page.text


def test_rotating_asks_a_bounded_number_of_questions_a_token(root: Client):
    chosen = [make_monitor().tokens.get() for _number in range(10)]
    changelist = reverse("admin:monitors_pushtoken_changelist")
    fields = {"action": "rotate_selected", "_selected_action": [token.pk for token in chosen]}
    confirmation = root.post(changelist, fields)
    with CaptureQueriesContext(connection) as seen:
        root.post(changelist, dict(confirmation.context["hidden"]) | {"overlap": "1 h"})
    assert len(seen.captured_queries) <= 10 + 10 * 16


def test_the_list_of_monitors_shows_a_hundred_at_once(root: Client):
    monitor = make_monitor()
    assert secret_of(monitor)
    page = root.get(reverse("admin:monitors_monitor_changelist"))
    assert page.context["cl"].list_per_page == 100
