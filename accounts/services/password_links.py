"""Links to choose a password, by email.

Whoever asks for one gets the same answer in the same time, whether the address has an account or not: asking
is a row, and the worker looks up the account and sends the email.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from accounts.models import User
from accounts.sign_in_models import PasswordLinkRequest
from core.clock import database_now
from core.connections import release_connection
from core.wakeups import wake_on_commit

log = structlog.get_logger(__name__)

# While a worker sends it, and until it is tried again.
_LEASE = timedelta(minutes=1)
_BATCH = 500
# Whoever still waits has asked again.
_GIVE_UP_AFTER = timedelta(hours=1)


def request(*, email: str, language: str) -> None:
    """Have a link sent to `email` soon, in `language`, if it is the address of an active account."""
    now = database_now()
    PasswordLinkRequest.objects.create(
        email=email.lower(), language=language, requested_at=now, next_attempt_at=now
    )
    wake_on_commit("accounts.tasks.send_password_links")


def send_waiting() -> int:
    """Send the links that were asked for; return how many emails were sent.

    Safe to run many times concurrently. A claim is a lease: if its worker dies, the email is sent again.
    """
    sent, now = 0, database_now()
    for row in PasswordLinkRequest.objects.filter(next_attempt_at__lte=now).order_by("pk")[:_BATCH]:
        claimed = PasswordLinkRequest.objects.filter(pk=row.pk, next_attempt_at=row.next_attempt_at)
        if claimed.update(next_attempt_at=now + _LEASE):
            sent += _send(row, now)
    return sent


@sensitive_variables("link")
def _send(row: PasswordLinkRequest, now: datetime) -> bool:
    user = User.objects.with_address(row.email)
    if user is None or not user.is_active or now - row.requested_at > _GIVE_UP_AFTER:
        row.delete()
        return False
    link = link_for(user)
    with translation.override(row.language):
        subject = _("Choose your password for Tianji")
        paragraphs = [
            _("Open this link to choose a password for your Tianji account %(email)s:")
            % {"email": user.email},
            link,
            _("The link works once and expires in 3 days. If you did not expect this email, ignore it."),
        ]
    release_connection()
    try:
        send_mail(subject, "\n\n".join(paragraphs), None, [user.email])
    except OSError as error:  # as are the errors of smtplib
        log.warning("password link not sent", error=str(error))
        return False
    row.delete()
    return True


@sensitive_variables()
def link_for(user: User) -> str:
    """Return the URL at which `user` can choose a password, once and within three days."""
    uid, key = user_pk_to_url_str(user), default_token_generator.make_token(user)
    path = reverse("account_reset_password_from_key", kwargs={"uidb36": uid, "key": key})
    return f"{settings.TIANJI_URL}{path}"
