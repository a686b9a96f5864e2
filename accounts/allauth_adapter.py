"""How allauth is adapted: sign-up is closed, links use TIANJI_URL, second factors are encrypted."""

import base64
import secrets
from typing import Any
from urllib.parse import urlsplit

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts import known_browsers
from accounts.services import sign_in_limits
from accounts.services.sign_in_limits import Attempt
from core import credentials

log = structlog.get_logger(__name__)

_SEALED = "sealed:"
_PURPOSE = b"tianji second factors"


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are created on the setup page and by owners; sign-up is by invitation."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Return the link under TIANJI_URL, as in all messages.

        The host of the request may be forged by whoever requests a reset for someone else.
        """
        link: str = super().get_reset_password_from_key_url(key)
        return settings.TIANJI_URL + urlsplit(link).path

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Check a password, for signing in and where it is asked for again; each attempt is counted."""
        email = str(credentials.get("email", ""))
        attempt = sign_in_limits.count(Attempt.PASSWORD, email=email, request=request)
        user = super().authenticate(request, **credentials)
        if user is not None:
            attempt.give_back()
        return user

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **kwargs)
        known_browsers.remember(request, response, email=user.email)
        return response


class MFAAdapter(DefaultMFAAdapter):
    """Stores second factors encrypted with SECRET_KEY, like push tokens."""

    def encrypt(self, text: str) -> str:
        return _SEALED + credentials.seal(text, purpose=_PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret. Secrets stored before encryption was introduced are returned as they are.

        If the key that encrypted it is lost, return a random secret that no code matches: sign-in fails, and
        the operator removes the second factor in the admin site.
        """
        if not encrypted_text.startswith(_SEALED):
            return encrypted_text
        secret = credentials.unseal(encrypted_text.removeprefix(_SEALED), purpose=_PURPOSE)
        if secret is None:
            log.warning("second factor cannot be decrypted; has SECRET_KEY changed?")
            return base64.b32encode(secrets.token_bytes(20)).decode()
        return secret
