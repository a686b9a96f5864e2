"""`manage.py change_email`."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.actors import COMMAND
from accounts.models import AuditEntry, EmailChange
from accounts.services import email_changes, outbox
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db


def change(old: str, new: str) -> str:
    out = StringIO()
    call_command("change_email", old, new, stdout=out)
    return out.getvalue()


def test_the_account_gets_the_address_and_it_is_in_the_audit_log(workspace):
    user = make_user(workspace=workspace, email="old@example.com")
    assert change("OLD@example.com", "New@Example.com") == (
        "The account OLD@example.com now has the address new@example.com.\n"
    )
    user.refresh_from_db()
    assert user.email == "new@example.com"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.via) == ("email.changed", "command line", "command")
    assert entry.details == {"member": "new@example.com", "old": "old@example.com", "new": "new@example.com"}


def test_both_addresses_are_told_and_a_change_that_waits_is_over(settings, mailoutbox):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    user = make_user(email="old@example.com")
    email_changes.request(user=user, email="third@example.com", by=COMMAND)
    change("old@example.com", "new@example.com")
    assert not EmailChange.objects.exists()
    outbox.send_due()
    told = [mail.to[0] for mail in mailoutbox if mail.subject == "Your email address was changed"]
    assert told == ["old@example.com", "new@example.com"]
    assert "By: command line" in mailoutbox[-1].body


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("nobody@example.com", "new@example.com", "no account with the address"),
        ("old@example.com", "new", "not an email address"),
        ("old@example.com", "TAKEN@example.com", "Another account has the address"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(old, new, said):
    user = make_user(email="old@example.com")
    make_user(email="taken@example.com")
    with pytest.raises(CommandError, match=said):
        change(old, new)
    user.refresh_from_db()
    assert user.email == "old@example.com"
