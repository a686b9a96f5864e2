"""Secrets are removed from responses before people read them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

# Shorter values are no secrets, and removing them would garble the response.
_SECRET_LENGTH = 6
# Longer than “Bearer” and the like.
_WORD_LENGTH = 7


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Return `text` without `secrets`, as they are and as they are escaped in URLs.

    The secrets in a URL are its path, each longer part of that, the values of its query, and its password; in
    a text of several words, each long word.
    """
    found: set[str] = set()
    for secret in secrets:
        found |= _forms(secret)
    for form in sorted(found, key=len, reverse=True):
        text = text.replace(form, "…")
    return text


@functools.lru_cache(maxsize=64)
def _forms(secret: str) -> frozenset[str]:
    parts = {secret} | {word for word in secret.split() if len(word) > _WORD_LENGTH and word[-1] != ":"}
    try:
        address = urlsplit(secret)
        if "://" in secret:
            parts |= {address.path, address.query, address.username or "", address.password or ""}
            parts |= set(re.split(r"[/:@]", address.path)) | {value for _, value in parse_qsl(address.query)}
    except ValueError:
        pass
    forms = {form for part in parts for form in (part, unquote(part), quote(part, safe=""), quote_plus(part))}
    return frozenset(form for form in forms if len(form) >= _SECRET_LENGTH)
