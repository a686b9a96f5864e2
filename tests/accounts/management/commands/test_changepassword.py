"""`manage.py changepassword`: Django's, and what follows it here."""

from __future__ import annotations

import getpass
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import AuditEntry
from accounts.services import outbox
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db
ANOTHER = "another long password"


def change(monkeypatch, email: str, *typed: str) -> None:
    answers = iter(typed)
    monkeypatch.setattr(getpass, "getpass", lambda prompt="": next(answers))
    call_command("changepassword", email, stdout=StringIO(), stderr=StringIO())


def test_it_is_recorded_and_mailed_and_ends_the_sessions(monkeypatch, workspace, settings, mailoutbox):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    user, browser = make_user(workspace=workspace, email="budi@example.com"), Client()
    browser.force_login(user)
    change(monkeypatch, "budi@example.com", ANOTHER, ANOTHER)
    user.refresh_from_db()
    assert user.check_password(ANOTHER)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.via) == ("password.changed", "command line", "command")
    outbox.send_due()
    assert "By: command line" in mailoutbox[0].body
    assert browser.get("/").status_code == 302


def test_a_password_that_is_refused_is_not_recorded(monkeypatch, workspace):
    make_user(workspace=workspace, email="budi@example.com")
    with pytest.raises(CommandError):
        change(monkeypatch, "budi@example.com", *(["a", "a"] * 3))
    assert not AuditEntry.objects.exists()
