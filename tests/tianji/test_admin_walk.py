"""Every page of the admin site, for everyone who may open it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from tests.support.admin_site import Samples, make_staff, signed_in
from tests.support.factories import make_user, make_workspace

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def pages() -> Iterator[str]:
    """Return the URL of every list, and of every page of its first row."""
    for model, model_admin in admin.site._registry.items():
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"admin:{name}_changelist")
        yield reverse(f"admin:{name}_add")
        row = model._default_manager.first()
        if row is None:
            continue
        yield reverse(f"admin:{name}_change", args=[row.pk])
        yield reverse(f"admin:{name}_history", args=[row.pk])
        yield reverse(f"admin:{name}_delete", args=[row.pk])
        for url in model_admin.get_urls():
            own = getattr(url, "name", None)
            if own and own.startswith(name) and own.endswith(("_rotate", "_revoke", "_password_link")):
                yield reverse(f"admin:{own}", args=[row.pk])
    yield reverse("admin:index")
    yield reverse("admin:jsi18n")
    yield reverse("admin:autocomplete")
    yield from (reverse("admin:app_list", args=[app]) for app in ("accounts", "monitors", "notifications"))


def answers(client: Client) -> dict[str, int]:
    return {page: client.get(page).status_code for page in pages()}


@pytest.fixture
def scheduled(db):
    """Celery Beat's schedule, as it is after its first run."""
    from tests.support.beat_schedule import install_schedule

    install_schedule()


def test_a_superuser_sees_every_page_that_is_there(samples: Samples, scheduled, root: Client):
    found = answers(root)
    broken = {page: status for page, status in found.items() if status not in (200, 302, 403)}
    # Autocompletion requires the name of the field.
    assert set(broken) <= {reverse("admin:autocomplete")}
    refused = {page for page, status in found.items() if status == 403}
    # Read-only models have no pages for adding and deleting.
    assert all(
        page.endswith(("/add/", "/delete/")) or page == reverse("admin:autocomplete") for page in refused
    )
    lists = [page for page in found if page.endswith(("change/",)) or page.count("/") == 4]
    assert all(found[page] == 200 for page in lists)


def test_no_page_has_a_script_or_style_that_its_policy_forbids(samples: Samples, scheduled, root: Client):
    for page in pages():
        text = root.get(page).text
        scripts = re.findall(r"<script\b[^>]*>", text)
        inline = [tag for tag in scripts if " src=" not in tag and "application/json" not in tag]
        assert inline == [], page
        assert re.findall(r"<style\b|<[^>]+ (?:style|on\w+)=", text) == [], page


def test_staff_without_permissions_see_the_index_and_nothing_in_it(samples: Samples, scheduled):
    found = answers(signed_in(make_staff()))
    open_to_all_staff = {reverse("admin:index"), reverse("admin:jsi18n")}
    assert {page for page, status in found.items() if status == 200} == open_to_all_staff
    assert {found[page] for page in set(found) - open_to_all_staff} <= {302, 403, 404}


@pytest.mark.parametrize("who", ["member", "nobody"])
def test_members_and_strangers_are_led_to_the_sign_in(samples: Samples, scheduled, who):
    client = signed_in(make_user(workspace=make_workspace())) if who == "member" else Client()
    for page in pages():
        answer = client.get(page)
        assert answer.status_code in (302, 403), page
        if answer.status_code == 302:
            assert answer["Location"].startswith("/admin/login/"), page


@pytest.mark.parametrize("who", ["staff", "member", "nobody"])
def test_without_permission_tokens_cannot_be_rotated_or_revoked(samples: Samples, who):
    client = {
        "staff": lambda: signed_in(make_staff()),
        "member": lambda: signed_in(samples.rows["member"]),
        "nobody": Client,
    }[who]()
    changelist = reverse("admin:monitors_pushtoken_changelist")
    for page in ("rotate", "revoke"):
        answer = client.post(
            reverse(f"admin:monitors_pushtoken_{page}", args=[samples.token.pk]), {"overlap": "1 h"}
        )
        assert answer.status_code in (302, 403)
        chosen = {"action": f"{page}_selected", "_selected_action": samples.token.pk, "overlap": "0 s"}
        answer = client.post(changelist, chosen | {"after": 0, "up_to": 10**6})
        assert answer.status_code in (302, 403)
    samples.token.refresh_from_db()
    assert (samples.token.replaced_by, samples.token.revoked_at) == (None, None)


def test_the_view_permission_does_not_allow_rotation(samples: Samples):
    staff = make_staff()
    staff.user_permissions.add(Permission.objects.get(codename="view_pushtoken"))
    client = signed_in(staff)
    changelist = reverse("admin:monitors_pushtoken_changelist")
    page = client.get(changelist)
    assert page.status_code == 200
    assert "rotate_selected" not in page.text
    assert client.get(reverse("admin:monitors_pushtoken_change", args=[samples.token.pk])).status_code == 200
    rotate = reverse("admin:monitors_pushtoken_rotate", args=[samples.token.pk])
    assert client.post(rotate, {"overlap": "1 h"}).status_code == 403
    chosen = {"action": "rotate_selected", "_selected_action": samples.token.pk, "overlap": "0 s"}
    client.post(changelist, chosen | {"after": 0, "up_to": 10**6})
    samples.token.refresh_from_db()
    assert samples.token.replaced_by is None


def test_a_form_without_its_csrf_token_is_refused(samples: Samples, superuser):
    client = Client(enforce_csrf_checks=True)
    client.force_login(superuser)
    rotate = reverse("admin:monitors_pushtoken_rotate", args=[samples.token.pk])
    assert client.post(rotate, {"overlap": "1 h"}).status_code == 403
    delete = reverse("admin:monitors_monitor_delete", args=[samples.monitor.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403


def test_sessions_and_heartbeats_have_no_page():
    registered = {model._meta.label for model in admin.site._registry}
    assert not registered & {"sessions.Session", "monitors.Heartbeat", "accounts.StoredResponse"}
    assert {"accounts.AuditEntry", "accounts.ApiKey", "django_celery_beat.PeriodicTask"} <= registered


def test_the_audit_can_be_read_and_not_changed(samples: Samples, root: Client):
    entry = AuditEntry.objects.first()
    change = reverse("admin:accounts_auditentry_change", args=[entry.pk])
    assert root.get(change).status_code == 200
    assert root.post(change, {"actor": "somebody else"}).status_code == 403
    assert root.post(reverse("admin:accounts_auditentry_delete", args=[entry.pk])).status_code == 403
