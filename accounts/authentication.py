"""How people are found when they sign in: by the one column `User.email`.

allauth would look in a table of its own as well, which may list the addresses of others.
"""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend

from accounts.models import User


class EmailBackend(AuthenticationBackend):
    """Checks the password of the account that has the address."""

    def _authenticate_by_email(self, email: str, password: str) -> Any:
        return self._check_password(User.objects.with_address(email), password)
