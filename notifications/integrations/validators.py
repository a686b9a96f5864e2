"""What may be entered for the fields of kinds, and what is shown of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from notifications.transports import signing

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    Words = str | _StrPromise

ADDRESSES_MOST = 20
ADDRESS_LENGTH = 320
URL_LENGTH = 2000
# What an address must look like at all; `clean_url` says whether it can be used.
URL = r"[Hh][Tt][Tt][Pp][Ss]?://[^\s\\\x00-\x1f\x7f]+"
NOT_A_URL = gettext_lazy(
    "Give a whole address that begins with https:// or http://, such as https://example.com/tianji."
)
NOT_A_SECRET = gettext_lazy(
    "Give whsec_ and the base64 of 24 to 64 bytes, such as openssl rand -base64 32 gives."
)
_SEPARATORS = re.compile(r"[,;\s]+")
_SHOWN, _LONG = 4, 12


def clean_addresses(given: Iterable[str] | str) -> list[str]:
    """Return the email addresses, each once, in the order given; of a text, as people separate them.

    Raises:
        ValidationError: with an error for each that is none; its `params` say its place as `index`.
    """
    if isinstance(given, str):
        given = filter(None, _SEPARATORS.split(given))
    listed = list(given)
    addresses = list(dict.fromkeys(listed))
    if not addresses:
        raise ValidationError(_("Give at least one email address, such as anna@example.com."))
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
                    "These are %(count)d addresses; give at most %(most)d.",
                    "These are %(count)d addresses; give at most %(most)d.",
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
        validate_email(address)
    except ValidationError:
        raise ValidationError(
            _("“%(address)s” is not an email address; give one such as anna@example.com."),
            params={"address": address[:100]},
        ) from None
    return address


def clean_url(url: str) -> str:
    """Return an address over http(s). A host without a dot is fine: a neighbour's name.

    Raises:
        ValidationError: nothing can be sent there.
    """
    if not re.fullmatch(URL, url) or len(url) > URL_LENGTH or not _names_a_host(url):
        raise ValidationError(NOT_A_URL)
    return url


def _names_a_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        return False


def clean_secret(secret: str) -> str:
    """Return a webhook's secret. Raises ValidationError."""
    if not signing.is_secret(secret):
        raise ValidationError(NOT_A_SECRET)
    return secret


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
