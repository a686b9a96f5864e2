"""What may be entered for the fields of kinds, and what is shown of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from notifications.destinations import clean_url

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Words = str | _StrPromise

_SHOWN, _LONG = 4, 12


def matching(pattern: str, allowed: Words) -> Callable[[str], str]:
    """Return a `clean` that lets what is all of `pattern` pass; `allowed` says what that is."""

    def clean(given: str) -> str:
        if not re.fullmatch(pattern, given, re.ASCII):
            raise ValidationError(allowed)
        return given

    return clean


def address_at(hosts: Iterable[str], pattern: str, allowed: Words) -> Callable[[str], str]:
    """Return a `clean` for addresses over https of one of `hosts`, whose path is all of `pattern`.

    Of a host that begins with a dot all below it count.
    """
    names = tuple(hosts)

    def clean(given: str) -> str:
        parts = urlsplit(clean_url(given))
        host = parts.hostname or ""
        known = any(host == name or (name[0] == "." and host.endswith(name)) for name in names)
        if (
            parts.scheme.lower() != "https"
            or not known
            or parts.port not in (None, 443)
            or "@" in parts.netloc
            or not re.fullmatch(pattern, parts.path, re.ASCII)
        ):
            raise ValidationError(allowed)
        # As the provider writes it, with nothing that only looks like a part of it.
        query = f"?{parts.query}" if parts.query else ""
        return f"https://{host}{parts.path}{query}"

    return clean


def clean_server(given: str) -> str:
    """Return the address of a server, without a slash at its end. Raises ValidationError."""
    parts = urlsplit(clean_url(given))
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValidationError(_("Give the address of the server alone, such as https://push.example.com."))
    return given.rstrip("/")


def clean_number(most: int) -> Callable[[str], str]:
    """Return a `clean` for a positive whole number of at most `most` digits, kept as text."""
    return matching(rf"[1-9]\d{{0,{most - 1}}}", gettext_lazy("Give a whole number."))


def ending(secret: object) -> str:
    """Return the last characters of a secret, by which those who know it tell it from others."""
    return f"…{secret[-_SHOWN:]}" if isinstance(secret, str) and len(secret) >= _LONG else "…"


def host_of(url: object) -> str:
    """Return the host and port in an address, empty where there is none."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return ""
