"""Validators for the fields of integrations, and what is shown of their values."""

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
    """Return a `clean` that accepts full matches of `pattern`; `allowed` is the error message."""

    def clean(given: str) -> str:
        if not re.fullmatch(pattern, given, re.ASCII):
            raise ValidationError(allowed)
        return given

    return clean


def address_at(hosts: Iterable[str], pattern: str, allowed: Words) -> Callable[[str], str]:
    """Return a `clean` for https URLs at one of `hosts` whose path is a full match of `pattern`.

    A host that begins with a dot stands for all of its subdomains.
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
        # As the provider writes it, without any part that only looks like it.
        query = f"?{parts.query}" if parts.query else ""
        return f"https://{host}{parts.path}{query}"

    return clean


def clean_server(given: str) -> str:
    """Return the URL of a server, without a trailing slash. Raises ValidationError."""
    parts = urlsplit(clean_url(given))
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValidationError(_("Enter only the address of the server, such as https://push.example.com."))
    return given.rstrip("/")


def clean_number(most: int) -> Callable[[str], str]:
    """Return a `clean` for a positive whole number of at most `most` digits, kept as text."""
    return matching(rf"[1-9]\d{{0,{most - 1}}}", gettext_lazy("Enter a whole number."))


def ending(secret: object) -> str:
    """Return the last characters of a secret, so that whoever knows it can tell which one it is."""
    return f"…{secret[-_SHOWN:]}" if isinstance(secret, str) and len(secret) >= _LONG else "…"


def host_of(url: object) -> str:
    """Return the host and port of a URL, empty if it has none."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or ""
    except ValueError:
        return ""
