"""The page on which people change the email address of their account, and the link that confirms it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, EmailChange, Role
from accounts.services import email_changes, outbox
from core.clock import database_now
from tests.support.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
PAGE = "/accounts/email/change/"
OLD, NEW = "budi@example.com", "budi@example.org"


@pytest.fixture(autouse=True)
def a_mail_server(settings):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    cache.clear()


@pytest.fixture
def user(workspace):
    return make_user(workspace=workspace, email=OLD, role=Role.ADMIN)


@pytest.fixture
def browser(user) -> Client:
    """Of `user`, who has entered the password again just now."""
    client = Client()
    client.force_login(user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def mails_to(mailoutbox, address):
    outbox.send_due()
    return [mail for mail in mailoutbox if mail.to == [address]]


def path_in(mail):
    return re.search(r"https?://[^/]+(/accounts/email/confirm/\S+)", mail.body)[1]


def asked_for(browser, mailoutbox, email=NEW):
    """Ask for the change, and return the path of the link."""
    assert browser.post(PAGE, {"email": email}).status_code == 303
    return path_in(mails_to(mailoutbox, email.lower())[-1])


def test_the_menu_leads_to_the_page(browser):
    assert f'href="{PAGE}"' in browser.get("/").content.decode()


def test_the_page_asks_for_the_password_again(user):
    client = Client()
    client.force_login(user)
    for answer in (client.get(PAGE), client.post(PAGE, {"email": NEW})):
        assert answer["Location"].startswith("/accounts/reauthenticate/")
    assert not EmailChange.objects.exists()


def test_the_link_in_the_email_changes_the_address_and_works_once(browser, user, mailoutbox):
    path = asked_for(browser, mailoutbox)
    page = browser.get(path).content.decode()
    assert f"You will sign in with {NEW} instead of {OLD}" in page
    user.refresh_from_db()
    assert user.email == OLD
    page = browser.post(path, follow=True).content.decode()
    assert f"Your email address is now {NEW}." in page
    user.refresh_from_db()
    assert user.email == NEW
    assert browser.post(path).status_code == 404
    assert Client().post("/accounts/login/", {"login": NEW, "password": PASSWORD}).status_code == 302
    assert Client().post("/accounts/login/", {"login": OLD, "password": PASSWORD}).status_code == 200


def test_the_old_address_gets_a_notice_of_the_request_and_of_the_change(browser, mailoutbox):
    path = asked_for(browser, mailoutbox)
    (notice,) = mails_to(mailoutbox, OLD)
    assert notice.subject == "Your email address is about to change"
    assert f"from {OLD} to {NEW}" in notice.body
    assert "From the IP address: 127.0.0.1" in notice.body
    assert "/accounts/email/confirm/" not in notice.body
    browser.post(path)
    assert mails_to(mailoutbox, OLD)[-1].subject == "Your email address was changed"
    assert mails_to(mailoutbox, NEW)[-1].subject == "Your email address was changed"


def test_request_and_change_are_in_the_audit_log(browser, user, mailoutbox):
    browser.post(asked_for(browser, mailoutbox))
    entries = AuditEntry.objects.order_by("pk")
    assert [entry.action for entry in entries] == ["email.requested", "email.changed"]
    assert entries[1].details == {"member": NEW, "old": OLD, "new": NEW}
    assert (entries[1].user, entries[1].address) == (user, "127.0.0.1")
    page = browser.get(reverse("accounts:audit")).content.decode()
    assert f"Changed the email address of {OLD} to {NEW}" in page


def test_until_the_link_is_opened_the_page_says_so(browser, mailoutbox):
    asked_for(browser, mailoutbox)
    page = browser.get(PAGE).content.decode()
    assert f"We have sent a link to {NEW}." in page
    assert f"You sign in with {OLD}." in page


def test_an_address_of_another_account_gets_the_same_answer_and_no_link(browser, user, mailoutbox):
    make_user(email="anna@example.com")
    answers = []
    for email in ("anna@example.com", "free@example.com"):
        answer = browser.post(PAGE, {"email": email})
        page = browser.get(PAGE).content.decode()
        without = re.sub(r'name="csrfmiddlewaretoken" value="\w+"|X-CSRFToken[^}]+', "", page)
        answers.append((answer.status_code, answer["Location"], without.replace(email, "?")))
    assert answers[0] == answers[1]
    (mail,) = mails_to(mailoutbox, "anna@example.com")
    assert mail.subject == "Your email address is already in use"
    assert "/accounts/email/confirm/" not in mail.body
    assert OLD not in mail.body


def test_an_address_that_was_taken_in_the_meantime_is_not_taken_away(browser, user, mailoutbox):
    path = asked_for(browser, mailoutbox)
    other = make_user(email=NEW)
    assert browser.post(path).status_code == 404
    user.refresh_from_db()
    other.refresh_from_db()
    assert (user.email, other.email) == (OLD, NEW)


def test_the_link_is_good_for_the_account_alone_that_asked(browser, user, mailoutbox):
    """Else whoever opened a stranger's link would give the stranger's account their own address."""
    path = asked_for(browser, mailoutbox)
    victim, signed_out = Client(), Client()
    victim.force_login(make_user(email="victim@example.com"))
    assert victim.get(path).status_code == victim.post(path).status_code == 404
    assert signed_out.post(path)["Location"].startswith("/accounts/login/")
    user.refresh_from_db()
    assert user.email == OLD


def test_the_link_expires_after_a_day(browser, user, mailoutbox):
    path = asked_for(browser, mailoutbox)
    EmailChange.objects.update(expires_at=database_now() + timedelta(seconds=30))
    assert browser.get(path).status_code == 200
    EmailChange.objects.update(expires_at=database_now() - timedelta(seconds=1))
    assert browser.get(path).status_code == browser.post(path).status_code == 404
    assert timedelta(hours=24) == email_changes.LIFETIME


def test_another_request_ends_the_link_of_the_one_before(browser, mailoutbox):
    first = asked_for(browser, mailoutbox)
    second = asked_for(browser, mailoutbox, "other@example.org")
    assert browser.get(first).status_code == 404
    assert browser.get(second).status_code == 200


def test_a_new_password_ends_the_link(browser, user, mailoutbox):
    path = asked_for(browser, mailoutbox)
    fields = {"oldpassword": PASSWORD, "password1": "another long one", "password2": "another long one"}
    assert browser.post("/accounts/password/change/", fields).status_code == 302
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize("token", ["x", "MQ:1abc:xyz", "a.b"])
def test_a_link_that_nobody_made_here_does_not_work(browser, token):
    assert browser.get(reverse("accounts:confirm_email", args=[token])).status_code == 404


def test_a_link_that_was_made_with_another_key_does_not_work(browser, user, mailoutbox, settings):
    browser.post(PAGE, {"email": NEW})
    ours, settings.SECRET_KEY = settings.SECRET_KEY, "another-" + "y" * 50
    outbox.send_due()
    settings.SECRET_KEY = ours
    path = path_in(mails_to(mailoutbox, NEW)[0])
    assert browser.get(path).status_code == 404


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Enter an email address."),
        ("budi", "Enter a valid email address."),
        ("BUDI@example.com", "This is your email address already."),
        ("bud\N{KELVIN SIGN}@example.com", "Only plain letters"),
    ],
)
def test_what_is_no_other_address_is_rejected(browser, typed, said):
    answer = browser.post(PAGE, {"email": typed})
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert not EmailChange.objects.exists()


def test_nobody_makes_the_server_write_to_strangers_all_day(browser, mailoutbox):
    for number in range(email_changes.MOST_REQUESTS):
        assert browser.post(PAGE, {"email": f"{number}@example.org"}).status_code == 303
    answer = browser.post(PAGE, {"email": NEW})
    assert answer.status_code == 422
    assert "Try again tomorrow" in answer.content.decode()
    assert mails_to(mailoutbox, NEW) == []
    # Of the earlier ones, only the last had a link that works.
    assert len(mailoutbox) == 1 + email_changes.MOST_REQUESTS


def test_without_a_mail_server_the_page_says_who_changes_it(browser, settings):
    settings.TIANJI_EMAIL_URL = ""
    page = browser.get(PAGE).content.decode()
    assert "an administrator changes your address" in page
    assert 'name="email"' not in page
    browser.post(PAGE, {"email": NEW})
    assert not EmailChange.objects.exists()


def test_requests_whose_links_expired_are_forgotten(browser, mailoutbox):
    asked_for(browser, mailoutbox)
    email_changes.forget_expired()
    assert EmailChange.objects.exists()
    EmailChange.objects.update(expires_at=database_now())
    email_changes.forget_expired()
    assert not EmailChange.objects.exists()
