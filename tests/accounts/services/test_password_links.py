"""Links to choose a password: asked for by anyone, sent by the worker."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import tasks
from accounts.models import AttemptCount, PasswordLinkRequest
from accounts.services import password_links
from core.clock import database_now
from tests.support.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
NEW = "another horse battery"


@pytest.fixture(autouse=True)
def can_send(settings):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    settings.TIANJI_URL = "https://tianji.example.com"


@pytest.fixture
def user():
    return make_user(email="budi@example.com")


def ask(email, **headers):
    return Client().post(reverse("account_reset_password"), {"email": email}, headers=headers)


def link_in(message):
    (link,) = re.findall(r"https?://\S+", message.body)
    return link


def test_asking_sends_nothing_in_the_request_and_the_worker_sends_the_link(user, mailoutbox):
    assert ask(user.email).status_code == 302
    assert mailoutbox == []
    tasks.send_password_links()
    (message,) = mailoutbox
    assert (message.subject, message.to) == ("Choose your password for Tianji", ["budi@example.com"])
    assert link_in(message).startswith("https://tianji.example.com/accounts/password/reset/key/")
    assert not PasswordLinkRequest.objects.exists()


def test_the_link_chooses_a_password_once(user, mailoutbox):
    ask(user.email)
    tasks.send_password_links()
    link = link_in(mailoutbox[0]).removeprefix("https://tianji.example.com")
    client = Client()
    form = client.get(link)["Location"]
    assert client.post(form, {"password1": NEW, "password2": NEW}).status_code == 302
    user.refresh_from_db()
    assert user.check_password(NEW)
    assert "Location" not in Client().get(link)


def test_the_email_is_in_the_language_of_whoever_asked(user, mailoutbox):
    ask(user.email, **{"accept-language": "id"})
    tasks.send_password_links()
    (message,) = mailoutbox
    assert message.subject == "Pilih kata sandi Anda untuk Tianji"
    assert "Tautan hanya dapat dipakai sekali" in message.body


@pytest.mark.parametrize("typed", ["BUDI@example.com", " budi@Example.com"])
def test_the_spelling_of_the_address_does_not_matter(user, mailoutbox, typed):
    ask(typed)
    tasks.send_password_links()
    assert [message.to for message in mailoutbox] == [["budi@example.com"]]


def test_nothing_is_sent_to_an_address_without_an_active_account(user, mailoutbox):
    user.is_active = False
    user.save()
    ask(user.email)
    ask("nobody@example.com")
    tasks.send_password_links()
    assert mailoutbox == []
    assert not PasswordLinkRequest.objects.exists()


def test_the_request_does_the_same_for_known_and_unknown_addresses(user):
    def statements(email):
        AttemptCount.objects.all().delete()
        with CaptureQueriesContext(
            connection,
        ) as captured:
            answer = ask(email)
        words = [re.sub(r"'[^']*'", "?", query["sql"]) for query in captured]
        return answer.status_code, answer["Location"], words

    # The first request of a process reads more.
    statements("first@example.com")
    assert statements(user.email) == statements("nobody@example.com")
    assert [row.email for row in PasswordLinkRequest.objects.order_by("pk")][1:] == [
        "budi@example.com",
        "nobody@example.com",
    ]


def test_a_mail_server_that_is_away_is_asked_again_for_an_hour(user, mailoutbox, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    ask(user.email)
    tasks.send_password_links()
    row = PasswordLinkRequest.objects.get()
    assert row.next_attempt_at > database_now() + timedelta(seconds=30)

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    tasks.send_password_links()
    assert mail.outbox == []
    PasswordLinkRequest.objects.update(next_attempt_at=database_now())
    tasks.send_password_links()
    assert len(mail.outbox) == 1

    ask(user.email)
    PasswordLinkRequest.objects.update(requested_at=database_now() - timedelta(minutes=61))
    tasks.send_password_links()
    assert len(mail.outbox) == 1
    assert not PasswordLinkRequest.objects.exists()


def test_a_request_that_another_worker_has_claimed_is_left_alone(user, mailoutbox):
    password_links.request(email=user.email, language="en")
    PasswordLinkRequest.objects.update(next_attempt_at=database_now() + timedelta(seconds=30))
    assert password_links.send_waiting() == 0
    assert mailoutbox == []


def test_a_link_is_over_with_the_password_that_it_was_made_for(user, settings):
    link = password_links.link_for(user).removeprefix(settings.TIANJI_URL)
    assert "Location" in Client().get(link)
    user.set_password(PASSWORD + "!")
    user.save()
    assert "Location" not in Client().get(link)
