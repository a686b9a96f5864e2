"""How allauth is adapted: one address a person, changes are recorded, second factors are encrypted."""

import base64
import secrets
from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import known_browsers
from accounts.actors import Actor, actor_of
from accounts.models import AuditEntry, Membership, User
from accounts.services import invitations, sign_in_changes, sign_in_limits
from accounts.services.sign_in_limits import Attempt
from core import credentials

log = structlog.get_logger(__name__)

_SEALED = "sealed:"
_PURPOSE = b"tianji second factors"


Action = AuditEntry.Action

# What allauth would send an email about, by its template: what is recorded and announced instead. Passwords
# are dealt with where they are stored, in `set_password`.
FACTOR_CHANGES = {
    "mfa/email/totp_activated": (Action.FACTOR_ADDED, "authenticator app"),
    "mfa/email/totp_deactivated": (Action.FACTOR_REMOVED, "authenticator app"),
    "mfa/email/webauthn_added": (Action.FACTOR_ADDED, "passkey"),
    "mfa/email/webauthn_removed": (Action.FACTOR_REMOVED, "passkey"),
    "mfa/email/recovery_codes_generated": (Action.CODES_RENEWED, "recovery codes"),
}


class AccountAdapter(DefaultAccountAdapter):
    """Accounts are created on the setup page and by owners; sign-up is by invitation, and not routed."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def reauthenticate(self, user: Any, password: str) -> bool:
        """Return whether it is the password of `user`, who has one address."""
        found = self.authenticate(context.request, email=user.email, password=password)
        return found is not None and found.pk == user.pk

    def set_password(self, user: Any, password: str) -> None:
        """Store a new password: chosen by the person who is signed in, or by whoever has a link."""
        request = context.request
        by = actor_of(request)
        if by.user != user:
            by = Actor(user, None, AuditEntry.Via.LINK, by.address)
        sign_in_changes.set_password(user=user, password=password, by=by)
        # Whoever has forgotten it may have tried too often.
        sign_in_limits.forget(email=user.email)

    def send_notification_mail(
        self, template_prefix: str, user: Any, context: Any = None, email: str | None = None
    ) -> None:
        """Record and announce what allauth would only send an email about, to an address of its own."""
        if template_prefix in FACTOR_CHANGES:
            action, factor = FACTOR_CHANGES[template_prefix]
            by = actor_of(self.request)
            sign_in_changes.factor_changed(user=user, by=by, action=action, factor=factor)

    def respond_user_inactive(self, request: HttpRequest, user: Any) -> HttpResponse:
        messages.error(request, _("This account is inactive."))
        return HttpResponseRedirect(reverse("account_login"))

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Return the first page: the invitations, for someone who is a member of nothing yet."""
        user = request.user
        if (
            isinstance(user, User)
            and not Membership.objects.filter(user=user).exists()
            and invitations.pending_for(user).exists()
        ):
            return reverse("accounts:invitations")
        url: str = super().get_login_redirect_url(request)
        return url

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
