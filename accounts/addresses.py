"""Email addresses as they are stored and compared: each in one way only."""

from __future__ import annotations

from contextlib import suppress

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _


def normalized(email: str) -> str:
    """Return `email` in lower case, with a domain in other scripts as in the DNS (xn--...).

    So two addresses that look alike are never shown alike: a Cyrillic letter in a domain is visible.
    """
    name, at, domain = email.strip().rpartition("@")
    # If it fails, no such domain exists; whoever has to write to it finds that out.
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return f"{name}{at}{domain}".lower()


def require_plain(email: str) -> None:
    """Raise ValidationError if what is before the @ has characters that only look like others.

    Django's own check allows two that are no ASCII: the Kelvin sign, whose lower case is "k", and a long "s".
    """
    if not email.rpartition("@")[0].isascii():
        raise ValidationError(_("Only plain letters, digits and signs can be in front of the @."))
