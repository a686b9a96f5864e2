"""The settings of the workspace and its audit log, and who may open the settings pages."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.models import AuditEntry, Workspace
from core.clock import database_now
from monitors.services import monitors as monitor_service
from tests.support.factories import make_monitor, make_user

pytestmark = pytest.mark.django_db
PAGES = ["settings", "members", "api_keys", "audit"]


def url(name, *arguments):
    return reverse(f"accounts:{name}", args=arguments)


def text_of(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


# --- Roles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_an_anonymous_user_is_redirected_to_sign_in(client, page):
    response = client.get(url(page))
    assert (response.status_code, response["Location"].split("?")[0]) == (302, "/accounts/login/")


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_are_for_admins_and_out_of_every_cache(admin, page):
    response = admin.get(url(page))
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert 'aria-current="page"' in response.content.decode()


@pytest.mark.parametrize(
    ("page", "status"), [("settings", 200), ("members", 200), ("api_keys", 403), ("audit", 403)]
)
def test_a_viewer_sees_the_settings_and_members_but_neither_keys_nor_audit(viewer, page, status):
    response = viewer.get(url(page))
    assert response.status_code == status
    for hidden in ("api_keys", "audit"):
        assert f'href="{url(hidden)}' not in response.content.decode()


@pytest.mark.parametrize("page", ["settings", "members", "api_keys"])
def test_a_viewer_changes_nothing(viewer, workspace, page):
    typed = {"name": "Mine", "scope": "write", "email": "a@example.com", "role": "owner"}
    assert viewer.post(url(page), typed).status_code == 403
    assert not AuditEntry.objects.exists()
    assert Workspace.objects.get().name == workspace.name


def test_an_account_without_a_workspace_has_no_settings(client):
    client.force_login(make_user())
    assert client.get(url("settings")).status_code == 404


# --- The workspace -------------------------------------------------------------------------------


def test_the_settings_of_a_workspace_are_changed_and_recorded(admin, workspace):
    typed = {"name": "Acme", "push_rate": "0", "token_age_days": "90"}
    response = admin.post(url("settings"), typed, follow=True)
    assert "Saved." in text_of(response)
    workspace.refresh_from_db()
    assert (workspace.name, workspace.push_rate, workspace.token_age_days) == ("Acme", 0, 90)
    entry = AuditEntry.objects.get()
    assert entry.details == {"fields": ["name", "push_rate", "token_age_days"]}
    page = admin.get(url("settings")).content.decode()
    for name, value in typed.items():
        assert f'name="{name}" value="{value}"' in page


def test_what_is_left_empty_is_the_servers(admin, workspace, settings):
    settings.TIANJI_PUSH_RATE = 60
    workspace.push_rate, workspace.token_age_days = 5, 90
    workspace.save()
    assert "server default of 60." in text_of(admin.get(url("settings")))
    admin.post(url("settings"), {"name": workspace.name, "push_rate": "", "token_age_days": ""})
    workspace.refresh_from_db()
    assert (workspace.push_rate, workspace.token_age_days) == (None, None)


def test_the_language_and_zone_of_messages_are_chosen(admin, workspace):
    typed = {"name": workspace.name, "language": "id", "timezone": "Asia/Jakarta"}
    page = text_of(admin.post(url("settings"), typed, follow=True))
    assert "Saved." in page
    workspace.refresh_from_db()
    assert (workspace.language, workspace.timezone) == ("id", "Asia/Jakarta")
    page = admin.get(url("settings")).content.decode()
    assert '<option value="id" selected>Bahasa Indonesia</option>' in page
    assert 'name="timezone" value="Asia/Jakarta"' in page


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"timezone": "Mars/Olympus"}, "Unknown time zone “Mars/Olympus”."),
        ({"timezone": "../../etc/passwd"}, "Unknown time zone"),
        ({"language": "tlh"}, "tlh is not one of the available choices."),
    ],
)
def test_a_language_or_zone_that_there_is_not_is_refused(admin, workspace, typed, expected):
    response = admin.post(url("settings"), {"name": workspace.name, **typed})
    assert response.status_code == 422
    assert expected in text_of(response)


def test_a_viewer_sees_the_language_and_zone_of_messages(viewer, workspace):
    Workspace.objects.update(language="id", timezone="Asia/Jakarta")
    page = text_of(viewer.get(url("settings")))
    assert "Bahasa Indonesia" in page
    assert "Asia/Jakarta" in page


def test_saving_as_it_came_records_nothing(admin, workspace):
    admin.post(url("settings"), {"name": workspace.name})
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"name": " "}, "This field is required."),
        ({"push_rate": "-1"}, "greater than or equal to 0"),
        ({"push_rate": "fast"}, "Enter a whole number."),
        ({"token_age_days": "0"}, "greater than or equal to 1"),
        ({"token_age_days": "3651"}, "less than or equal to 3650"),
    ],
)
def test_invalid_input_is_reported_and_kept_in_the_form(admin, workspace, typed, error):
    response = admin.post(url("settings"), {"name": "Acme", **typed})
    assert response.status_code == 422
    assert error in text_of(response)
    for name, value in typed.items():
        assert not value.strip() or f'name="{name}" value="{value}"' in response.content.decode()
    assert not AuditEntry.objects.exists()


# --- The audit log -------------------------------------------------------------------------------


def test_the_audit_log_lists_everything_in_the_workspace_newest_first(admin, workspace):
    monitor = make_monitor(workspace=workspace, name="Backup")
    monitor_service.pause(monitor=make_monitor(name="Foreign"))
    admin.post(reverse("monitors:pause", args=[monitor.public_id]))
    admin.post(url("api_keys"), {"name": "ci", "scope": "write"})
    admin.post(url("settings"), {"name": "Acme"})
    text = text_of(admin.get(url("audit")))
    expected = [
        "Acme · Changed: name",
        "· Created the API key (Read and write)",
        "Backup · Paused",
        "Backup · Created the push token tjp_...",
        "Backup · Created the monitor",
    ]
    places = [text.index(words) for words in expected]
    assert places == sorted(places)
    assert "Foreign" not in text
    assert "· browser · from 127.0.0.1" in text


def test_the_audit_comes_in_pages_with_the_same_number_of_queries(
    admin, workspace, django_assert_num_queries
):
    now = database_now()
    AuditEntry.objects.bulk_create(
        AuditEntry(
            workspace=workspace,
            at=now - timedelta(seconds=n // 3),
            action=AuditEntry.Action.MONITOR_PAUSED,
            actor="a@example.com",
            via=AuditEntry.Via.API,
            subject_name=f"entry-{n:03}",
        )
        for n in range(120)
    )
    address, seen = url("audit"), []
    for more in (True, True, False):
        with django_assert_num_queries(4):
            page = admin.get(address).content.decode()
        seen += re.findall(r"entry-\d+", page)
        link = re.search(r'href="(\?before=[^"]+)"', page)
        assert bool(link) == more
        address = url("audit") + (link[1] if link else "")
    assert sorted(seen) == [f"entry-{n:03}" for n in range(120)]


def test_a_broken_cursor_is_not_found(admin):
    assert admin.get(url("audit") + "?before=x").status_code == 404
