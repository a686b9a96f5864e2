"""The admin site requires the complete sign-in, and second factors are stored encrypted."""

from __future__ import annotations

import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.core.cache import cache
from django.test import Client

from accounts.allauth_adapter import MFAAdapter
from accounts.models import User
from tests.support.admin_site import TOTP_SECRET, make_staff
from tests.support.factories import PASSWORD

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


@pytest.fixture(autouse=True)
def codes_are_fresh():
    """Allow the same code twice: tests run within its 30 s, and are not about that."""
    cache.clear()
    yield
    cache.clear()


def code(secret: str = TOTP_SECRET) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


@pytest.fixture
def guarded(db) -> User:
    """A superuser with a second factor."""
    user = make_staff(superuser=True, email="root@example.com")
    TOTP.activate(user, TOTP_SECRET)
    return user


def sign_in(client: Client) -> None:
    answer = client.post("/accounts/login/", {"login": "root@example.com", "password": PASSWORD})
    assert answer["Location"].startswith("/accounts/2fa/authenticate/")


def test_the_password_alone_does_not_open_the_admin_site(client: Client, guarded):
    sign_in(client)
    assert client.get("/admin/")["Location"].startswith("/admin/login/")
    client.post("/accounts/2fa/authenticate/", {"code": "000000"})
    assert client.get("/admin/").status_code == 302


def test_the_second_factor_opens_it(client: Client, guarded):
    sign_in(client)
    assert client.post("/accounts/2fa/authenticate/", {"code": code()}).status_code == 302
    assert client.get("/admin/").status_code == 200


def test_the_admin_sites_own_form_takes_no_password(client: Client, guarded):
    answer = client.post("/admin/login/", {"username": "root@example.com", "password": PASSWORD})
    assert answer.status_code == 302
    assert client.get("/admin/").status_code == 302


def test_a_secret_is_stored_encrypted(guarded):
    stored = Authenticator.objects.get(user=guarded).data["secret"]
    assert stored.startswith("sealed:")
    assert TOTP_SECRET not in stored
    assert MFAAdapter().decrypt(stored) == TOTP_SECRET


def test_a_secret_that_was_stored_in_the_clear_still_works(client: Client, guarded):
    Authenticator.objects.filter(user=guarded).update(data={"secret": TOTP_SECRET})
    sign_in(client)
    client.post("/accounts/2fa/authenticate/", {"code": code()})
    assert client.get("/admin/").status_code == 200


def test_recovery_codes_come_from_an_encrypted_seed(guarded):
    codes = RecoveryCodes.activate(guarded).generate_codes()
    instance = Authenticator.objects.get(user=guarded, type="recovery_codes")
    assert instance.data["seed"].startswith("sealed:")
    assert RecoveryCodes(instance).generate_codes() == codes


def test_a_seed_that_was_stored_in_the_clear_gives_the_same_codes(guarded):
    instance = RecoveryCodes.activate(guarded).instance
    codes = RecoveryCodes(instance).generate_codes()
    instance.data["seed"] = MFAAdapter().decrypt(instance.data["seed"])
    instance.save()
    assert RecoveryCodes(Authenticator.objects.get(pk=instance.pk)).generate_codes() == codes


def test_an_earlier_key_still_opens_it(client: Client, guarded, settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-" + "y" * 50
    sign_in(client)
    client.post("/accounts/2fa/authenticate/", {"code": code()})
    assert client.get("/admin/").status_code == 200


def test_without_the_key_no_code_fits_and_nothing_breaks(client: Client, guarded, settings):
    RecoveryCodes.activate(guarded)
    settings.SECRET_KEY = "another-" + "y" * 50
    sign_in(client)
    answer = client.post("/accounts/2fa/authenticate/", {"code": code()})
    assert answer.status_code == 200
    assert client.get("/admin/").status_code == 302


def test_switching_it_on_in_the_browser_encrypts_it(client: Client):
    user = make_staff(superuser=True, email="root@example.com")
    client.force_login(user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    answer = client.post("/accounts/2fa/totp/activate/", {"code": code(secret)})
    assert answer.status_code == 302
    stored = Authenticator.objects.get(user=user, type="totp").data["secret"]
    assert MFAAdapter().decrypt(stored) == secret != stored
