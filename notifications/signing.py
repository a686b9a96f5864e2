"""The secret of a webhook, and the signature that its receiver checks (Standard Webhooks 1.0)."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode

from tianji import keys

PREFIX = "whsec_"
# The base64 of 24 to 64 bytes.
PATTERN = (
    r"whsec_(?:(?:[A-Za-z0-9+/]{4}){8,21}"
    r"|(?:[A-Za-z0-9+/]{4}){8,21}[A-Za-z0-9+/]{2}=="
    r"|(?:[A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{3}=)"
)
_PURPOSE = b"tianji webhook secrets"


def is_secret(text: str) -> bool:
    """Return whether `text` can be a secret: `whsec_` and the base64 of 24 to 64 bytes."""
    return re.fullmatch(PATTERN, text, re.ASCII) is not None


def seal(secret: str) -> str:
    """Return `secret` as it is stored."""
    return keys.seal(secret, purpose=_PURPOSE)


def unseal(sealed: str) -> str | None:
    """Return the secret, or None where SECRET_KEY is no longer the one it was sealed with."""
    return keys.unseal(sealed, purpose=_PURPOSE)


def signature(secret: str, *, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the header `webhook-signature`: `v1,` and the base64 of an HMAC-SHA256.

    Signed is `message_id.timestamp.body`, with the bytes that the secret is the base64 of.
    """
    key = b64decode(secret.removeprefix(PREFIX))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return f"v1,{b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
