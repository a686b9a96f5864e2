"""Forms of sign-in pages."""

from __future__ import annotations

from typing import Any

from allauth.account import forms as account_forms
from django.http import HttpRequest
from django.utils.translation import get_language

from accounts.services import password_links


class ResetPasswordForm(account_forms.ResetPasswordForm):
    """An address to which a link to choose a password is sent, if it has an account."""

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        return email

    def save(self, request: HttpRequest, **kwargs: Any) -> str:
        email: str = self.cleaned_data["email"]
        password_links.request(email=email, language=get_language() or "en")
        return email
