"""The tokens in links to choose a password. They end with the account's password or address."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.tokens import PasswordResetTokenGenerator


class PasswordTokens(PasswordResetTokenGenerator):
    """Makes and checks them from the account alone: allauth's generator writes to a table of its own."""

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        # The address twice, as allauth's generator has it: links of the version before still work.
        return f"{super()._make_hash_value(user, timestamp)}{user.email}"
