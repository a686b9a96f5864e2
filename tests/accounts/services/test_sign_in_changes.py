"""Changes of passwords and second factors: in the audit logs, by email, and the end of other sessions."""

from __future__ import annotations

import re
import time
from pathlib import Path

import allauth
import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts.allauth_adapter import FACTOR_CHANGES
from accounts.models import AccountMail, AuditEntry, Membership, Role
from accounts.services import outbox, password_links
from tests.support.admin_site import root, superuser
from tests.support.factories import PASSWORD, make_user, make_workspace

__all__ = ["root", "superuser"]
pytestmark = pytest.mark.django_db
ANOTHER = "another long password"


@pytest.fixture(autouse=True)
def a_mail_server(settings):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    cache.clear()


@pytest.fixture
def user(workspace):
    return make_user(workspace=workspace, email="budi@example.com", role=Role.ADMIN)


@pytest.fixture
def browser(user) -> Client:
    client = Client()
    client.force_login(user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def sent(mailoutbox):
    outbox.send_due()
    return [(mail.subject, mail.to) for mail in mailoutbox]


def recorded():
    return [
        (entry.action, entry.actor, entry.via, entry.details.get("factor"))
        for entry in AuditEntry.objects.order_by("pk")
    ]


def change_password(browser):
    fields = {"oldpassword": PASSWORD, "password1": ANOTHER, "password2": ANOTHER}
    assert browser.post("/accounts/password/change/", fields).status_code == 302


def test_a_new_password_is_recorded_and_mailed_with_what_to_do(browser, user, mailoutbox):
    change_password(browser)
    assert recorded() == [("password.changed", "budi@example.com", "browser", None)]
    assert sent(mailoutbox) == [("Your password was changed", ["budi@example.com"])]
    body = mailoutbox[0].body
    assert "If that was not you" in body
    assert "From the IP address: 127.0.0.1" in body
    assert "By:" not in body
    assert "Changed the password of budi@example.com" in browser.get(reverse("accounts:audit")).text


def test_no_email_is_sent_in_the_request(browser, mailoutbox):
    change_password(browser)
    assert mailoutbox == []
    assert AccountMail.objects.count() == 1


def test_a_new_password_ends_the_other_sessions_and_not_this_one(browser, user):
    other = Client()
    other.force_login(user)
    assert other.get("/").status_code == 200
    change_password(browser)
    assert browser.get("/").status_code == 200
    assert other.get("/").status_code == 302


def test_a_password_chosen_by_a_link_is_recorded_as_such_and_ends_all_sessions(browser, user, mailoutbox):
    anonymous = Client()
    path = re.sub(r"^https?://[^/]+", "", password_links.link_for(user))
    form = anonymous.get(path, follow=True).redirect_chain[-1][0]
    anonymous.post(form, {"password1": ANOTHER, "password2": ANOTHER})
    user.refresh_from_db()
    assert user.check_password(ANOTHER)
    assert recorded() == [("password.changed", "budi@example.com", "link", None)]
    assert sent(mailoutbox) == [("Your password was changed", ["budi@example.com"])]
    assert browser.get("/").status_code == 302
    assert "choose" not in anonymous.get(path, follow=True).redirect_chain


def test_a_password_set_in_the_admin_site_is_recorded_and_mailed(root, user, mailoutbox):
    page = reverse("admin:auth_user_password_change", args=[user.pk])
    root.post(page, {"usable_password": "true", "password1": "short", "password2": "short"})
    assert recorded() == []
    root.post(page, {"usable_password": "true", "password1": ANOTHER, "password2": ANOTHER})
    user.refresh_from_db()
    assert user.check_password(ANOTHER)
    assert recorded() == [("password.changed", "root@example.com", "admin", None)]
    assert sent(mailoutbox) == [("Your password was changed", ["budi@example.com"])]
    assert "By: root@example.com" in mailoutbox[0].body


def turn_on(browser):
    page = browser.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))
    assert browser.post("/accounts/2fa/totp/activate/", {"code": code}).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_second_factors_that_are_added_renewed_and_removed_are_recorded_and_mailed(browser, mailoutbox):
    turn_on(browser)
    browser.post("/accounts/2fa/recovery-codes/generate/")
    browser.post("/accounts/2fa/totp/deactivate/")
    assert not Authenticator.objects.exists()
    assert recorded() == [
        ("factor.added", "budi@example.com", "browser", "authenticator app"),
        ("codes.renewed", "budi@example.com", "browser", "recovery codes"),
        ("factor.removed", "budi@example.com", "browser", "authenticator app"),
    ]
    assert sent(mailoutbox) == [("Your two-factor sign-in was changed", ["budi@example.com"])] * 3
    assert "was turned on" in mailoutbox[0].body
    assert "New recovery codes were generated" in mailoutbox[1].body
    assert "was turned off" in mailoutbox[2].body
    text = browser.get(reverse("accounts:audit")).text
    assert "Added a second factor to budi@example.com: authenticator app" in text
    assert "Generated new recovery codes for budi@example.com" in text


def test_a_second_factor_removed_in_the_admin_site_is_recorded_and_mailed(root, user, mailoutbox):
    factor = Authenticator.objects.create(user=user, type="totp", data={"secret": "x"})
    root.post(reverse("admin:mfa_authenticator_delete", args=[factor.pk]), {"post": "yes"})
    assert recorded() == [("factor.removed", "root@example.com", "admin", "authenticator app")]
    assert sent(mailoutbox) == [("Your two-factor sign-in was changed", ["budi@example.com"])]


def test_every_workspace_of_the_person_has_it_in_its_audit_log_and_no_other(browser, user, workspace):
    second, foreign = make_workspace(), make_workspace()
    Membership.objects.create(user=user, workspace=second, role=Role.VIEWER)
    make_user(workspace=foreign)
    change_password(browser)
    assert set(AuditEntry.objects.values_list("workspace", flat=True)) == {workspace.pk, second.pk}


def test_without_a_mail_server_it_is_recorded_and_no_mail_waits(browser, settings):
    settings.TIANJI_EMAIL_URL = ""
    change_password(browser)
    assert len(recorded()) == 1
    assert not AccountMail.objects.exists()


def test_whatever_allauth_announces_about_second_factors_is_recorded():
    source = Path(allauth.__file__).parent / "mfa"
    announced = {
        prefix
        for path in source.rglob("*.py")
        for prefix in re.findall(r"send_notification_mail\(\s*\"([\w/]+)\"", path.read_text())
    }
    assert announced == FACTOR_CHANGES.keys()
