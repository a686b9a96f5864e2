"""Mail about accounts: requests write rows, and the worker sends them, again and again for a day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F
from django.utils.translation import get_language

from accounts import mails
from accounts.models import AccountMail, User
from core.clock import database_now
from core.wakeups import wake_on_commit

log = structlog.get_logger(__name__)

_GIVEN_UP_AFTER = timedelta(days=1)
# While a worker sends a mail, no other one does; if it dies, another one may, after this long.
_LEASE = timedelta(minutes=2)
_LONGEST_WAIT = timedelta(minutes=30)
_AT_ONCE = 100


def queue(
    kind: AccountMail.Kind, *, user: User, to: str = "", language: str | None = None, **details: Any
) -> None:
    """Have an email sent to `to`, by default to the address of `user`.

    Call it in the transaction that is its reason. Without a mail server, nothing is written. `details`
    holds no secret.
    """
    if not settings.TIANJI_EMAIL_URL:
        return
    now = database_now()
    AccountMail.objects.create(
        user=user,
        kind=kind,
        to=to or user.email,
        language=language or get_language() or settings.LANGUAGE_CODE,
        details=details,
        created_at=now,
        next_attempt_at=now,
    )
    wake_on_commit("accounts.tasks.send_mail")


def send_due() -> int:
    """Send the mail that is due, and return how much of it has gone."""
    now = database_now()
    due = AccountMail.objects.filter(next_attempt_at__lte=now).select_related("user").order_by("pk")
    return sum(_attempt(mail) for mail in due[:_AT_ONCE])


def _attempt(mail: AccountMail) -> bool:
    now = database_now()
    # Compare and set: of two workers, one gets it.
    mine = AccountMail.objects.filter(pk=mail.pk, next_attempt_at=mail.next_attempt_at)
    if not mine.update(next_attempt_at=now + _LEASE, attempts=F("attempts") + 1):
        return False
    written = mails.write(mail)
    if written is None:
        log.info("mail dropped: its reason is gone", kind=mail.kind)
        mail.delete()
        return False
    # Auto-Submitted (RFC 3834) suppresses out-of-office replies.
    message = EmailMessage(*written, to=[mail.to], headers={"Auto-Submitted": "auto-generated"})
    try:
        message.send()
    except Exception as error:  # whatever a mail server or backend raises, the attempt failed
        _note_failure(mail, error)
        return False
    mail.delete()
    return True


def _note_failure(mail: AccountMail, error: Exception) -> None:
    now = database_now()
    if now - mail.created_at >= _GIVEN_UP_AFTER:
        log.error("mail given up", kind=mail.kind, error=str(error))
        mail.delete()
        return
    log.warning("mail not sent", kind=mail.kind, error=str(error))
    wait = min(timedelta(seconds=30) * 2**mail.attempts, _LONGEST_WAIT)
    AccountMail.objects.filter(pk=mail.pk).update(next_attempt_at=now + wait)
