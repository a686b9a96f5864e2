"""How allauth behaves here."""

import base64
import secrets
from urllib.parse import urlsplit

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest

from tianji import keys

log = structlog.get_logger(__name__)

_SEALED = "sealed:"
_PURPOSE = b"tianji second factors"


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are made by the set-up page and by owners; nobody signs up by themselves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Return the link under TIANJI_URL, like all that messages link to.

        The request's own host is what somebody who asks in another's name may have made up.
        """
        link: str = super().get_reset_password_from_key_url(key)
        return settings.TIANJI_URL + urlsplit(link).path


class MFAAdapter(DefaultMFAAdapter):
    """Second factors are kept encrypted with SECRET_KEY, like push tokens."""

    def encrypt(self, text: str) -> str:
        return _SEALED + keys.seal(text, purpose=_PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret; what was stored before secrets were encrypted is the secret itself.

        Where the key of then is gone, it is one that nobody has, so that no code fits: the person is
        refused, and whoever runs this removes the second factor in the admin site.
        """
        if not encrypted_text.startswith(_SEALED):
            return encrypted_text
        secret = keys.unseal(encrypted_text.removeprefix(_SEALED), purpose=_PURPOSE)
        if secret is None:
            log.warning("second factor cannot be decrypted; has SECRET_KEY changed?")
            return base64.b32encode(secrets.token_bytes(20)).decode()
        return secret
