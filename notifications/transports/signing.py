"""The secret of a webhook, and the signature that its receiver verifies (Standard Webhooks 1.0)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode

PREFIX = "whsec_"
# The base64 of 24 to 64 bytes.
PATTERN = (
    r"whsec_(?:(?:[A-Za-z0-9+/]{4}){8,21}"
    r"|(?:[A-Za-z0-9+/]{4}){8,21}[A-Za-z0-9+/]{2}=="
    r"|(?:[A-Za-z0-9+/]{4}){8,20}[A-Za-z0-9+/]{3}=)"
)
_BYTES = 32


def is_secret(text: str) -> bool:
    """Return whether `text` is a valid secret: `whsec_` and the base64 of 24 to 64 bytes."""
    return re.fullmatch(PATTERN, text, re.ASCII) is not None


def new_secret() -> str:
    """Return a secret of 32 random bytes."""
    return PREFIX + b64encode(secrets.token_bytes(_BYTES)).decode()


def signature(secret: str, *, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the header `webhook-signature`: `v1,` and the base64 of an HMAC-SHA256.

    It signs `message_id.timestamp.body` with the bytes that the secret encodes.
    """
    key = b64decode(secret.removeprefix(PREFIX))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return f"v1,{b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
