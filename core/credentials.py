"""Secret keys: generation, typo detection, digests for lookup, and encryption for showing them again."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from base64 import urlsafe_b64encode

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH, _CHECKSUM_LENGTH = 30, 6
# What follows the prefix.
KEY_LENGTH = _RANDOM_LENGTH + _CHECKSUM_LENGTH


def new_key(prefix: str) -> str:
    """Return `prefix`, 30 random base62 characters and 6 of their CRC32, for detecting typos."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return prefix + body + checksum(body)


def checksum(body: str) -> str:
    """Return the CRC32 of `body` as six base62 characters."""
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def is_mistyped(text: str, prefix: str) -> bool:
    """Return whether `text` starts like one of our keys but cannot be one."""
    if not text.startswith(prefix):
        return False
    body = text.removeprefix(prefix)
    return len(body) != KEY_LENGTH or checksum(body[:_RANDOM_LENGTH]) != body[_RANDOM_LENGTH:]


def digest(text: str) -> str:
    """Return the SHA-256 of `text` in hexadecimal, which is stored for a key and used to find it."""
    return hashlib.sha256(text.encode()).hexdigest()


def seal(text: str, *, purpose: bytes) -> str:
    """Return `text` encrypted with SECRET_KEY. It can be decrypted for the same purpose only."""
    return _cipher(purpose).encrypt(text.encode()).decode()


def unseal(sealed: str, *, purpose: bytes) -> str | None:
    """Return the decrypted text, or None if neither SECRET_KEY nor a fallback fits."""
    try:
        return _cipher(purpose).decrypt(sealed.encode()).decode()
    except InvalidToken:
        return None


def _cipher(purpose: bytes) -> MultiFernet:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet(
        [Fernet(urlsafe_b64encode(hashlib.sha256(purpose + b"\0" + key.encode()).digest())) for key in keys]
    )
