"""The token of a push: what it may consist of, and its look-up key."""

from __future__ import annotations

import re

from core import credentials
from monitors.models.tokens import PREFIX

# What a token may consist of, of whichever system it is.
ACCEPTABLE = r"[A-Za-z0-9_-]{8,64}"
_TOKEN = re.compile(ACCEPTABLE)


def digest_of(secret: str) -> str | None:
    """Return the look-up key of `secret`, or None if it can't be a token.

    Tokens are 8-64 URL-safe characters, and those that start with tjp_ have a checksum, so that typos
    don't even reach the database.
    """
    if not _TOKEN.fullmatch(secret) or credentials.is_mistyped(secret, PREFIX):
        return None
    return credentials.digest(secret)


def bearer_of(authorization: str) -> str:
    """Return the token of an `Authorization` header, "" if it has none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
