"""Which pages under /accounts/ are served: those in this list, and no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.support.factories import PASSWORD, make_user

SERVED = {
    "accounts/login/",
    "accounts/logout/",
    "accounts/reauthenticate/",
    "accounts/email/change/",
    "accounts/email/confirm/<str:token>/",
    "accounts/password/change/",
    "accounts/password/set/",
    "accounts/password/reset/",
    "accounts/password/reset/done/",
    "accounts/password/reset/key/done/",
    "accounts/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
    "accounts/2fa/",
    "accounts/2fa/authenticate/",
    "accounts/2fa/reauthenticate/",
    "accounts/2fa/totp/activate/",
    "accounts/2fa/totp/deactivate/",
    "accounts/2fa/recovery-codes/",
    "accounts/2fa/recovery-codes/generate/",
    "accounts/2fa/recovery-codes/download/",
}
NOT_SERVED = (
    *(
        "",
        "email/",
        "confirm-email/",
        "confirm-email/MQ:1abc:xyz/",
        "signup/",
        "signup/passkey/",
        "inactive/",
    ),
    *("login/code/", "login/code/confirm/", "phone/change/", "phone/verify/", "password/reset/confirm/"),
    *("2fa/trust/", "2fa/webauthn/", "2fa/webauthn/add/", "2fa/webauthn/signup/", "sessions/"),
    *("social/login/cancelled/", "social/login/error/", "social/signup/", "social/connections/", "3rdparty/"),
)


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield path
        else:
            yield from routes(pattern, path)


def test_the_pages_of_accounts_are_these():
    found = {path for path in routes(get_resolver()) if path.startswith("accounts/")}
    assert found == SERVED


def test_no_page_of_allauth_is_served_elsewhere():
    def of_allauth(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
        for pattern in resolver.url_patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from of_allauth(pattern, path)
            elif (pattern.callback.__module__ or "").startswith("allauth."):
                yield path

    found = set(of_allauth(get_resolver()))
    assert len(found) > 10
    assert found <= SERVED


@pytest.mark.django_db
@pytest.mark.parametrize("signed_in", [False, True])
def test_other_pages_of_allauth_are_not_found(client, workspace, signed_in):
    if signed_in:
        user = make_user(workspace=workspace)
        client.force_login(user)
        client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    answers = {
        (method, path): getattr(client, method)(f"/accounts/{path}", {"email": "a@example.com"}).status_code
        for path in NOT_SERVED
        for method in ("get", "post")
    }
    assert {key: status for key, status in answers.items() if status != 404} == {}
