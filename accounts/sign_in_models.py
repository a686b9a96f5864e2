"""Tables behind signing in: sessions, counted attempts, and password links to send."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.utils.translation import gettext_lazy as _


class Session(AbstractBaseSession):
    """A session. `session_key` is the SHA-256 of the key in the cookie, and the data is encrypted."""

    session_key = models.CharField(_("session key"), max_length=64, primary_key=True)

    @classmethod
    def get_session_store_class(cls) -> Any:
        return import_module(settings.SESSION_ENGINE).SessionStore


class AttemptCount(models.Model):
    """How often something was tried until now; from `until` on, it begins at one again.

    `key` is the SHA-256 of what is counted, so that this table lists neither people nor networks.
    """

    key = models.CharField(max_length=64, primary_key=True)
    attempts = models.PositiveIntegerField()
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.attempts} until {self.until:%Y-%m-%d %H:%M:%S}"


class PasswordLinkRequest(models.Model):
    """Someone asked for a link to choose a password, for an address that may have no account.

    The worker sends it from `next_attempt_at` on, in `language`.
    """

    email = models.EmailField()
    language = models.CharField(max_length=10)
    requested_at = models.DateTimeField()
    next_attempt_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.email} at {self.requested_at:%Y-%m-%d %H:%M:%S}"
