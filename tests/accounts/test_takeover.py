"""Attacks on other people's addresses: each was possible, with the requests that are made here."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts import tasks
from accounts.models import Membership, Role, User
from tests.support.factories import PASSWORD, make_user, make_workspace

pytestmark = pytest.mark.django_db
VICTIM = "victim@example.com"


@pytest.fixture(autouse=True)
def nobody_tried_too_often():
    """Each test signs in anew, and none is about how often one may."""
    cache.clear()


@pytest.fixture
def stranger():
    """Somebody with an account here, who has nothing to do with the victim."""
    return make_user(workspace=make_workspace("Elsewhere"), role=Role.VIEWER, email="stranger@example.com")


@pytest.fixture
def theirs(stranger) -> Client:
    """The stranger's browser."""
    client = Client()
    client.post("/accounts/login/", {"login": stranger.email, "password": PASSWORD})
    return client


@pytest.fixture
def ours():
    return make_workspace("Ours")


def claim(browser: Client, email: str) -> None:
    """Do what allauth's page for addresses did: list an address, and make it one's own."""
    browser.post("/accounts/email/", {"action_add": "", "email": email})
    browser.post("/accounts/email/", {"action_primary": "", "email": email})


def invite(workspace, email: str) -> None:
    browser = Client()
    browser.force_login(make_user(workspace=workspace))
    browser.post(reverse("accounts:members"), {"email": email, "role": "admin"})


def test_an_address_that_was_claimed_does_not_let_its_claimant_in_when_it_is_invited(theirs, stranger, ours):
    claim(theirs, VICTIM)
    invite(ours, VICTIM)
    assert not Membership.objects.filter(user=stranger, workspace=ours).exists()
    assert "Ours" not in theirs.get("/").content.decode()


def test_nobody_is_shown_under_an_address_that_they_only_claimed(theirs, stranger):
    claim(theirs, VICTIM)
    page = theirs.get(reverse("accounts:members")).content.decode()
    assert "stranger@example.com" in page
    assert VICTIM not in page


def test_nobody_signs_in_under_an_address_that_they_only_claimed(theirs, stranger):
    claim(theirs, VICTIM)
    browser = Client()
    browser.post("/accounts/login/", {"login": VICTIM, "password": PASSWORD})
    assert browser.get("/").status_code == 302


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize("primary", [True, False])
def test_an_address_that_is_only_in_allauths_table_opens_nothing(
    stranger, ours, settings, mailoutbox, verified, primary
):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    EmailAddress.objects.create(user=stranger, email=VICTIM, verified=verified, primary=primary)
    browser = Client()
    browser.post("/accounts/login/", {"login": VICTIM, "password": PASSWORD})
    assert browser.get("/").status_code == 302
    browser.post(reverse("account_reset_password"), {"email": VICTIM})
    assert mailoutbox == []
    invite(ours, VICTIM)
    assert not Membership.objects.filter(user=stranger, workspace=ours).exists()
    assert User.objects.get(email=VICTIM) != stranger


def test_a_link_for_a_new_password_goes_to_the_account_alone_whose_address_it_is(
    stranger, settings, mailoutbox
):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    victim = make_user(email=VICTIM)
    EmailAddress.objects.create(user=stranger, email=VICTIM, verified=True, primary=True)
    Client().post(reverse("account_reset_password"), {"email": VICTIM})
    tasks.send_password_links()
    (message,) = mailoutbox
    assert message.to == [VICTIM]
    assert victim.email in message.body
    assert stranger.email not in message.body


def test_an_account_signs_in_though_its_row_in_allauths_table_says_otherwise(stranger, ours):
    EmailAddress.objects.create(user=stranger, email="other@example.com", verified=True, primary=True)
    browser = Client()
    browser.post("/accounts/login/", {"login": "STRANGER@example.com", "password": PASSWORD})
    assert browser.get("/").status_code == 200
    browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert browser.get("/accounts/2fa/totp/activate/").status_code == 200


def test_a_stolen_session_is_not_enough_to_take_the_account(theirs, stranger, settings):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    claim(theirs, "thief@example.com")
    answer = theirs.post(reverse("accounts:change_email"), {"email": "thief@example.com"})
    assert answer["Location"].startswith("/accounts/reauthenticate/")
    for address in ("/accounts/2fa/totp/activate/", "/accounts/password/set/"):
        assert theirs.post(address, {"password1": "x" * 12, "password2": "x" * 12}).status_code == 302
    theirs.post(
        "/accounts/password/change/", {"oldpassword": "?", "password1": "n" * 12, "password2": "n" * 12}
    )
    stranger.refresh_from_db()
    assert stranger.email == "stranger@example.com"
    assert stranger.check_password(PASSWORD)


def test_nothing_writes_to_allauths_table(theirs, stranger, settings, mailoutbox):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    theirs.post("/accounts/reauthenticate/", {"password": PASSWORD})
    theirs.get("/accounts/2fa/")
    theirs.get("/accounts/2fa/totp/activate/")
    Client().post(reverse("account_reset_password"), {"email": stranger.email})
    tasks.send_password_links()
    assert len(mailoutbox) == 1
    assert not EmailAddress.objects.exists()
