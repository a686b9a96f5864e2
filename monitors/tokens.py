"""Issue, rotate, reveal and look up push tokens."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction

from accounts.models import User
from monitors.models import Monitor, MonitorState, PushToken
from tianji.clock import database_now

PREFIX = "tjp_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_LENGTH, _CHECKSUM_LENGTH = 30, 6
_ACCEPTABLE = re.compile(r"[A-Za-z0-9_-]{8,64}")


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token and its secret, which is not stored in the clear anywhere."""

    token: PushToken
    secret: str


def new_secret() -> str:
    """Return `tjp_`, 30 random base62 characters and 6 of their CRC32, so that a typo can be told."""
    body = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return PREFIX + body + _checksum(body)


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits


def digest_of(secret: str) -> str | None:
    """Return the look-up key of `secret`, or None for what can be no token (8-64 URL-safe characters)."""
    if not _ACCEPTABLE.fullmatch(secret):
        return None
    return hashlib.sha256(secret.encode()).hexdigest()


def _cipher() -> MultiFernet:
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet(
        [
            Fernet(urlsafe_b64encode(hashlib.sha256(b"tianji push tokens\0" + key.encode()).digest()))
            for key in keys
        ]
    )


def reveal(token: PushToken) -> str | None:
    """Return the secret of `token`, or None where SECRET_KEY is no longer the one it was sealed with."""
    try:
        return _cipher().decrypt(token.sealed.encode()).decode()
    except InvalidToken:
        return None


def issue(*, monitor: Monitor, by: User | None, label: str = "") -> Issued:
    """Make a further token for `monitor`."""
    secret = new_secret()
    token = PushToken.objects.create(
        monitor=monitor,
        label=label,
        digest=digest_of(secret) or "",
        sealed=_cipher().encrypt(secret.encode()).decode(),
        last_four=secret[-4:],
        created_at=database_now(),
        created_by=by,
    )
    return Issued(token, secret)


def rotate(*, monitor: Monitor, by: User | None) -> Issued:
    """Replace all tokens of `monitor` by a new one; the old ones stop at once."""
    with transaction.atomic():
        MonitorState.objects.select_for_update().get(monitor=monitor)
        monitor.tokens.filter(revoked_at=None).update(revoked_at=database_now())
        return issue(monitor=monitor, by=by)
