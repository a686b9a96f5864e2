"""Mail about accounts waits in the database, and the worker sends it."""

from __future__ import annotations

import smtplib
from datetime import timedelta
from email.message import Message

import pytest
from django.core.mail.backends.base import BaseEmailBackend

from accounts.actors import COMMAND
from accounts.email_links import link_for
from accounts.models import AccountMail
from accounts.services import email_changes, outbox
from accounts.tasks import send_mail
from core import wakeups
from core.clock import database_now
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db
Kind = AccountMail.Kind


class Broken(BaseEmailBackend):
    """A mail server that is away."""

    def send_messages(self, email_messages: list[Message]) -> int:
        raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")


@pytest.fixture(autouse=True)
def a_mail_server(settings):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"


@pytest.fixture
def waiting():
    user = make_user(email="budi@example.com")
    outbox.queue(Kind.PASSWORD_CHANGED, user=user, language="id", by="", address="192.0.2.7")
    return AccountMail.objects.get()


def break_the_mail_server(settings):
    settings.EMAIL_BACKEND = f"{__name__}.Broken"


def test_the_task_sends_what_waits_once_in_the_language_it_was_asked_in(waiting, mailoutbox):
    send_mail()
    send_mail()
    (mail,) = mailoutbox
    assert mail.to == ["budi@example.com"]
    assert "Kata sandi" in mail.subject
    assert mail.extra_headers == {"Auto-Submitted": "auto-generated"}
    assert mail.content_subtype == "plain"
    assert not AccountMail.objects.exists()


def test_a_hint_wakes_the_worker_after_the_commit(django_capture_on_commit_callbacks, monkeypatch):
    hints = []
    monkeypatch.setattr(wakeups, "_publish", lambda task, args: hints.append(task))
    user = make_user()
    with django_capture_on_commit_callbacks(execute=True):
        outbox.queue(Kind.PASSWORD_CHANGED, user=user)
        assert hints == []
    assert hints == ["accounts.tasks.send_mail"]


def test_what_a_mail_server_does_not_take_is_tried_again_ever_more_rarely(
    waiting, mailoutbox, settings, monkeypatch
):
    backend = settings.EMAIL_BACKEND
    break_the_mail_server(settings)
    waits = []
    for _attempt in range(8):
        AccountMail.objects.update(next_attempt_at=database_now())
        assert outbox.send_due() == 0
        waits.append((AccountMail.objects.get().next_attempt_at - database_now()).total_seconds())
    assert 20 < waits[0] < 60
    assert waits == sorted(waits) or max(waits) > 1700
    assert max(waits) <= 1800
    assert outbox.send_due() == 0
    settings.EMAIL_BACKEND = backend
    AccountMail.objects.update(next_attempt_at=database_now())
    assert outbox.send_due() == 1
    assert len(mailoutbox) == 1


def test_after_a_day_it_is_given_up(waiting, settings):
    break_the_mail_server(settings)
    AccountMail.objects.update(created_at=database_now() - timedelta(days=1, minutes=1))
    outbox.send_due()
    assert not AccountMail.objects.exists()


def test_one_that_another_worker_is_sending_is_left_to_it(waiting, mailoutbox):
    stale = AccountMail.objects.get()
    AccountMail.objects.update(next_attempt_at=database_now() + timedelta(minutes=2))
    assert not outbox._attempt(stale)
    assert outbox.send_due() == 0
    assert mailoutbox == []


def test_mail_whose_reason_is_gone_is_not_sent(mailoutbox):
    user = make_user()
    outbox.queue(Kind.EMAIL_LINK, user=user, to="new@example.com", nonce="0" * 32)
    outbox.queue(Kind.INVITATION, user=user, invitation="00000000-0000-4000-8000-000000000000")
    assert outbox.send_due() == 0
    assert mailoutbox == []
    assert not AccountMail.objects.exists()


def test_nothing_that_waits_holds_a_secret(waiting, client):
    change = email_changes.request(user=waiting.user, email="new@example.com", by=COMMAND)
    rows = str(list(AccountMail.objects.values())) + str(change.__dict__)
    token = link_for(change).rstrip("/").rsplit("/", 1)[-1]
    assert token not in rows
    assert token.rsplit(":", 1)[-1] not in rows
