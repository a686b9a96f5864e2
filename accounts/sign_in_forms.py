"""Forms of sign-in pages whose attempts are counted: codes, the current password, and password links."""

from __future__ import annotations

from typing import Any, cast

from allauth.account import forms as account_forms
from allauth.account.adapter import get_adapter
from allauth.core import context
from allauth.mfa.adapter import get_adapter as get_mfa_adapter
from allauth.mfa.base import forms as mfa_forms
from allauth.mfa.models import Authenticator
from django.http import HttpRequest
from django.utils.translation import get_language

from accounts.models import User
from accounts.services import password_links, sign_in_limits
from accounts.services.sign_in_limits import Attempt, Counted


def _count(attempt: Attempt, email: str) -> Counted:
    return sign_in_limits.count(attempt, email=email, request=context.request)


class _CountedCode:
    """Mixin: a wrong code of an authenticator app, or a wrong recovery code, is counted."""

    user: Any
    authenticator: Authenticator

    def clean_code(self) -> str:
        attempt = _count(Attempt.CODE, self.user.email)
        code: str = super().clean_code()  # type: ignore[misc]
        is_totp = self.authenticator.type == Authenticator.Type.TOTP
        # allauth remembers used codes in the cache, which each process may have for itself.
        if is_totp and not sign_in_limits.is_first_use(code.strip(), email=self.user.email):
            raise get_mfa_adapter().validation_error("incorrect_code")
        attempt.give_back()
        return code


class AuthenticateForm(_CountedCode, mfa_forms.AuthenticateForm):
    """The second step of signing in."""


class ReauthenticateForm(_CountedCode, mfa_forms.ReauthenticateForm):
    """A code before something that needs one again."""


class ChangePasswordForm(account_forms.ChangePasswordForm):
    """A new password; guessing the current one in a stolen session is counted like a sign-in."""

    def clean_oldpassword(self) -> str:
        attempt = _count(Attempt.PASSWORD, cast(User, self.user).email)
        password: str = super().clean_oldpassword()
        attempt.give_back()
        return password


class ResetPasswordForm(account_forms.ResetPasswordForm):
    """An address to which a link to choose a password is sent, if it has an account."""

    def clean_email(self) -> str:
        email: str = get_adapter().clean_email(self.cleaned_data["email"].lower())
        _count(Attempt.LINK, email)
        return email

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        email: str = self.cleaned_data["email"]
        password_links.request(email=email, language=get_language() or "en")
        return email
