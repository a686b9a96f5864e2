"""Where a channel leads: what may be entered for each kind, and what of it is stored.

`Channel.config` holds the members of a kind as they were entered, but for a webhook's secret, which
is in there sealed, under a name of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

from notifications import signing

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
_SECRET, _SEALED = "secret", "sealed_secret"


def clean_addresses(given: Iterable[str]) -> list[str]:
    """Return the email addresses, each once, in the order given. Raises ValidationError."""
    addresses = list(dict.fromkeys(given))
    if not addresses:
        raise ValidationError(_("Give at least one email address, such as anna@example.com."))
    errors = []
    for address in addresses:
        try:
            clean_address(address)
        except ValidationError as error:
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


def merged(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is stored after `changes` to the stored `config`: None removes a member.

    A secret in `changes` is in the clear, and one that is there already is not sealed anew, so that
    nothing differs where nothing was changed.
    """
    stored = dict(config)
    for name, value in changes.items():
        if value is None:
            stored.pop(_SEALED if name == _SECRET else name, None)
        elif name != _SECRET:
            stored[name] = value
        elif not has_secret(stored) or signing.unseal(stored[_SEALED]) != value:
            stored[_SEALED] = signing.seal(value)
    return stored


def has_secret(config: Mapping[str, Any]) -> bool:
    """Return whether what is sent by `config` is signed."""
    return _SEALED in config


def secret_of(config: Mapping[str, Any]) -> str | None:
    """Return the secret to sign with. None: SECRET_KEY is no longer the one it was sealed with."""
    return signing.unseal(config[_SEALED])
