"""Browsers in which someone has signed in before: each has a signed cookie for the account.

It signs no one in. It only gives the browser a count of its own for failed sign-ins, so that a lock-out that
others cause doesn't keep out the people who work there.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from core import credentials

AGE = timedelta(days=365)
# Where people sign in; no other page needs it.
PATH = "/accounts/"
_SALT = "accounts.known_browsers"


def id_in(request: HttpRequest, *, email: str) -> str | None:
    """Return the id of the browser if the account of `email` has signed in there before."""
    cookie = request.COOKIES.get(_name(email))
    if cookie is None:
        return None
    try:
        account, browser = signing.loads(cookie, salt=_SALT, max_age=AGE)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    return browser if account == _account(email) and isinstance(browser, str) else None


def remember(request: HttpRequest, response: HttpResponse, *, email: str) -> None:
    """Give the browser a cookie for the account of `email`, which has just signed in; it keeps its id."""
    browser = id_in(request, email=email) or secrets.token_urlsafe(16)
    response.set_cookie(
        _name(email),
        signing.dumps([_account(email), browser], salt=_SALT),
        max_age=AGE,
        path=PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _name(email: str) -> str:
    """Return the name of the cookie, one for each account, without the address in it."""
    return f"tianji_known_{_account(email)[:16]}"


def _account(email: str) -> str:
    return credentials.digest(f"known browser {email.strip().lower()}")
