"""Links that confirm a new email address: signed, and good as long as their EmailChange is there."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.core import signing
from django.urls import reverse

from accounts.models import EmailChange

_SALT = "accounts.email_links"


def link_for(change: EmailChange) -> str:
    token = signing.dumps(change.nonce.hex, salt=_SALT)
    return settings.TIANJI_URL + reverse("accounts:confirm_email", args=[token])


def nonce_in(token: str) -> UUID | None:
    """Return the nonce of the EmailChange that a link is for, or None if it was not made here."""
    try:
        return UUID(signing.loads(token, salt=_SALT))
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        return None
