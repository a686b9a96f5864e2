"""How allauth behaves here."""

from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest


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
