"""Validators for the fields of integrations, and what is shown of their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from core.text import without_bidi
from notifications.transports import signing

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    StrOrPromise = str | _StrPromise

ADDRESSES_MOST = 20
ADDRESS_LENGTH = 320
URL_LENGTH = 2000
# What a URL must look like at all; `clean_url` decides whether it can be used.
URL = r"[Hh][Tt][Tt][Pp][Ss]?://[^\s\\\x00-\x1f\x7f]+"
NOT_A_URL = gettext_lazy(
    "Enter a full URL starting with https:// or http://, such as https://example.com/tianji."
)
NOT_A_SECRET = gettext_lazy(
    "Enter whsec_ followed by the base64 of 24 to 64 bytes, for example from openssl rand -base64 32."
)
_SEPARATORS = re.compile(r"[,;\s]+")
_SHOWN, _LONG = 4, 12


def clean_addresses(given: Iterable[str] | str) -> list[str]:
    """Return the email addresses, without duplicates, in the order given; a text is split into them.

    Raises:
        ValidationError: with an error for each invalid one; its `params` contain its position as `index`.
    """
    if isinstance(given, str):
        given = filter(None, _SEPARATORS.split(given))
    listed = list(given)
    addresses = list(dict.fromkeys(listed))
    if not addresses:
        raise ValidationError(_("Enter at least one email address, such as anna@example.com."))
    errors = []
    for address in addresses:
        try:
            clean_address(address)
        except ValidationError as error:
            error.params = {**(error.params or {}), "index": listed.index(address)}
            errors.append(error)
    if len(addresses) > ADDRESSES_MOST:
        errors.append(
            ValidationError(
                ngettext_lazy(
                    "%(count)d addresses are too many: enter at most %(most)d.",
                    "%(count)d addresses are too many: enter at most %(most)d.",
                    "count",
                ),
                params={"count": len(addresses), "most": ADDRESSES_MOST},
            )
        )
    if errors:
        raise ValidationError(errors)
    return addresses


def clean_address(address: str) -> str:
    """Return an email address. Raises ValidationError."""
    try:
        if without_bidi(address) != address:
            raise ValidationError("")
        validate_email(address)
    except ValidationError:
        raise ValidationError(
            _("“%(address)s” is not an email address. Enter one such as anna@example.com."),
            params={"address": address[:100]},
        ) from None
    return address


def clean_url(url: str) -> str:
    """Return an http(s) URL. A host without a dot is fine: it may be a machine in the same network.

    Raises:
        ValidationError: it isn't one.
    """
    if not re.fullmatch(URL, url) or len(url) > URL_LENGTH or not _names_a_host(url):
        raise ValidationError(NOT_A_URL)
    return url


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        return False


def clean_secret(secret: str) -> str:
    """Return a webhook's secret. Raises ValidationError."""
    if not signing.is_secret(secret):
        raise ValidationError(NOT_A_SECRET)
    return secret


def matching(pattern: str, allowed: StrOrPromise) -> Callable[[str], str]:
    """Return a `clean` that accepts full matches of `pattern`; `allowed` is the error message."""

    def clean(given: str) -> str:
        if not re.fullmatch(pattern, given, re.ASCII):
            raise ValidationError(allowed)
        return given

    return clean


def address_at(hosts: Iterable[str], pattern: str, allowed: StrOrPromise) -> Callable[[str], str]:
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
