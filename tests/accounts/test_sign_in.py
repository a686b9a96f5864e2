"""Signing in and out, switching workspaces, and the error pages."""

from __future__ import annotations

import re
import uuid

import pytest
from django.template.loader import render_to_string
from django.urls import reverse

from accounts import tasks
from accounts.access import SESSION_KEY
from accounts.models import Membership, Role, User
from tests.support.factories import PASSWORD, make_user, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return make_user(workspace=make_workspace("First"), email="budi@example.com")


def test_signing_in_redirects_to_the_requested_page(client, user):
    response = client.post(
        "/accounts/login/?next=/channels/", {"login": "Budi@example.com", "password": PASSWORD}
    )
    assert (response.status_code, response["Location"]) == (302, "/channels/")


def test_a_wrong_password_is_an_error_and_keeps_the_address(client, user):
    page = client.post("/accounts/login/", {"login": user.email, "password": "wrong"}).content.decode()
    assert 'class="form-error"' in page
    assert 'value="budi@example.com"' in page


def test_signing_out_takes_a_post(client, user):
    client.force_login(user)
    client.get("/accounts/logout/")
    assert client.get("/").status_code == 200
    client.post("/accounts/logout/")
    assert client.get("/").status_code == 302


def test_a_password_reset_is_offered_only_where_email_can_be_sent(client, user, settings):
    reset = reverse("account_reset_password")
    settings.TIANJI_EMAIL_URL = ""
    page = client.get("/accounts/login/").content.decode()
    assert reset not in page
    assert "ask your administrator" in page
    assert "cannot send email" in client.get(reset).content.decode()
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    assert reset in client.get("/accounts/login/").content.decode()
    assert "Send link" in client.get(reset).content.decode()


def test_the_password_reset_link_uses_the_configured_url_whatever_the_host_header(
    client, user, settings, mailoutbox
):
    settings.TIANJI_EMAIL_URL, settings.ALLOWED_HOSTS = "smtp://localhost:25", ["*"]
    settings.TIANJI_URL = "https://tianji.example.com"
    client.post(reverse("account_reset_password"), {"email": user.email}, headers={"host": "evil.example"})
    tasks.send_password_links()
    (message,) = mailoutbox
    links = re.findall(r"https?://\S+", message.body)
    assert links
    assert all(link.startswith("https://tianji.example.com/accounts/password/reset/") for link in links)


def test_asking_for_a_reset_sends_nothing_to_people_without_an_account(client, user, settings, mailoutbox):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    client.post(reverse("account_reset_password"), {"email": "stranger@example.com"})
    tasks.send_password_links()
    assert mailoutbox == []


def test_a_second_factor_can_be_added_after_a_password_reset_was_requested(client, user, settings):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    client.post(reverse("account_reset_password"), {"email": user.email})
    client.force_login(user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert 'name="code"' in client.get("/accounts/2fa/totp/activate/").content.decode()


def test_the_admin_site_has_no_sign_in_of_its_own(client):
    owner = User.objects.create_superuser("root@example.com", PASSWORD)
    page = client.get("/admin/login/?next=/admin/")
    assert (page.status_code, page["Location"]) == (302, "/accounts/login/?next=%2Fadmin%2F")
    client.post("/admin/login/", {"username": owner.email, "password": PASSWORD})
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("address", ["/accounts/password/change/", "/accounts/2fa/"])
def test_the_pages_of_an_account_look_like_ours(client, user, address):
    client.force_login(user)
    page = client.get(address, follow=True).content.decode()
    assert 'class="bar"' in page
    assert "style=" not in page


def test_the_menu_offers_workspaces_only_where_there_are_several(client, user):
    client.force_login(user)
    assert "/switch/" not in client.get("/").content.decode()
    Membership.objects.create(user=user, workspace=make_workspace("Second"), role=Role.VIEWER)
    page = client.get("/").content.decode()
    assert page.count("/switch/") == 2
    assert "Second" in page


def test_switching_to_a_workspace_of_other_people_is_not_found(client, user):
    client.force_login(user)
    for public_id in (make_workspace().public_id, uuid.uuid4()):
        assert client.post(reverse("accounts:switch_workspace", args=[public_id])).status_code == 404
    assert SESSION_KEY not in client.session


def test_switching_needs_a_post(client, user):
    client.force_login(user)
    address = reverse("accounts:switch_workspace", args=[user.memberships.get().workspace.public_id])
    assert client.get(address).status_code == 405


def test_an_unknown_address_is_answered_with_our_page(client):
    response = client.get("/nothing/here/")
    assert response.status_code == 404
    assert "Page not found" in response.content.decode()


def test_the_page_of_a_fault_needs_nothing_that_may_be_broken():
    page = render_to_string("500.html")
    assert "Something went wrong" in page
    assert "<style" not in page


def test_no_page_carries_inline_script_or_style(client, user):
    client.force_login(user)
    for address in ("/", reverse("monitors:create"), "/accounts/password/change/"):
        page = client.get(address).content.decode()
        assert "<style" not in page
        assert " style=" not in page
        assert "<script>" not in page
        assert "onclick" not in page
