"""Limits on failed sign-ins: attacks on accounts, and what people who work here notice of them."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory

from accounts.known_browsers import PATH
from accounts.models import AttemptCount
from accounts.services import password_links, sign_in_limits
from accounts.services.sign_in_limits import LIMITS, Attempt, TooManyAttempts
from core.clock import database_now
from tests.support.admin_site import TOTP_SECRET
from tests.support.dumps import dump
from tests.support.factories import PASSWORD, make_user, make_workspace

pytestmark = pytest.mark.django_db
PER_ACCOUNT, PER_NETWORK = LIMITS[Attempt.PASSWORD].account, LIMITS[Attempt.PASSWORD].network
NEW = "another horse battery"


@pytest.fixture
def user():
    return make_user(workspace=make_workspace(), email="budi@example.com")


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


def post(client, email, typed="wrong", *, address="192.0.2.7", url="/accounts/login/"):
    return client.post(url, {"login": email, "password": typed}, REMOTE_ADDR=address)


def text_of(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def lock_out(email, *, address="192.0.2.7"):
    for _ in range(PER_ACCOUNT):
        assert "are not correct" in text_of(post(Client(), email, address=address))


def expire():
    """Let all periods end."""
    AttemptCount.objects.update(until=database_now() - timedelta(seconds=1))


# --- An account --------------------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["budi@example.com", "nobody@example.com"])
def test_after_some_failures_an_account_is_locked_whether_it_exists_or_not(user, email):
    lock_out(email)
    page = text_of(post(Client(), email))
    assert "Too many attempts. Try again in 5 minutes." in page
    assert "are not correct" not in page


def test_the_right_password_does_not_help_while_it_is_locked_and_does_afterwards(user):
    lock_out(user.email)
    assert post(Client(), user.email, PASSWORD).status_code == 200
    expire()
    assert post(Client(), user.email, PASSWORD).status_code == 302


@pytest.mark.parametrize("typed", ["BUDI@example.com", " budi@example.com ", "Budi@Example.Com"])
def test_another_spelling_of_the_address_is_the_same_account(user, typed):
    lock_out(user.email)
    assert "Too many attempts" in text_of(post(Client(), typed, PASSWORD))


def test_trying_from_ever_new_networks_does_not_help(user):
    for number in range(PER_ACCOUNT):
        post(Client(), user.email, address=f"198.51.{number}.7")
    assert "Too many attempts" in text_of(post(Client(), user.email, PASSWORD, address="203.0.113.9"))


def test_the_sentence_says_how_long_it_still_takes(user):
    lock_out(user.email)
    AttemptCount.objects.update(until=database_now() + timedelta(seconds=61))
    assert "Try again in 2 minutes." in text_of(post(Client(), user.email))
    AttemptCount.objects.update(until=database_now() + timedelta(seconds=20))
    assert "Try again in 1 minute." in text_of(post(Client(), user.email))


def test_the_sentence_is_in_the_readers_language(user):
    lock_out(user.email)
    page = Client().post(
        "/accounts/login/",
        {"login": user.email, "password": "wrong"},
        headers={"accept-language": "id"},
        REMOTE_ADDR="192.0.2.7",
    )
    assert "Coba lagi dalam 5 menit." in text_of(page)


def test_trying_on_while_it_is_locked_does_not_lock_it_for_longer(user):
    lock_out(user.email)
    before = set(AttemptCount.objects.values_list("key", "until"))
    post(Client(), user.email)
    assert set(AttemptCount.objects.values_list("key", "until")) == before


def test_signing_in_costs_no_attempt(user):
    for _ in range(2 * PER_ACCOUNT):
        assert post(Client(), user.email, PASSWORD).status_code == 302
    for _ in range(PER_ACCOUNT):
        assert "are not correct" in text_of(post(Client(), user.email))


def test_signing_in_in_between_does_not_give_guesses_back(user):
    """Otherwise someone with an account of their own could go on guessing in the same network."""
    mine = make_user(email="mallory@example.com")
    for number in range(PER_NETWORK):
        post(Client(), f"victim{number}@example.com")
        if number < PER_NETWORK - 1:
            assert post(Client(), mine.email, PASSWORD).status_code == 302
    assert "Too many attempts" in text_of(post(Client(), user.email, PASSWORD))


def test_it_does_not_depend_on_the_cache(user):
    """Each web process has its own without Redis."""
    for _ in range(PER_ACCOUNT):
        post(Client(), user.email)
        cache.clear()
    assert "Too many attempts" in text_of(post(Client(), user.email))


def test_the_count_names_neither_the_address_nor_the_network(user):
    lock_out(user.email)
    stored = dump()["accounts_attemptcount"]
    assert stored
    assert user.email not in stored
    assert "192.0.2" not in stored


# --- A network ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "addresses",
    [
        [f"192.0.2.{number}" for number in range(PER_NETWORK + 1)],
        [f"2001:db8:1:2::{number:x}" for number in range(PER_NETWORK + 1)],
        [f"::ffff:192.0.2.{number}" for number in range(PER_NETWORK + 1)],
    ],
)
def test_one_network_does_not_try_many_accounts(user, addresses):
    for number, address in enumerate(addresses[:-1]):
        assert "are not correct" in text_of(post(Client(), f"u{number}@example.com", address=address))
    assert "Too many attempts" in text_of(post(Client(), user.email, PASSWORD, address=addresses[-1]))
    assert post(Client(), user.email, PASSWORD, address="203.0.113.9").status_code == 302


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        (None, "unknown"),
    ],
)
def test_the_network_of_an_address(address, network):
    assert sign_in_limits.network_of(address) == network


# --- A known browser -----------------------------------------------------------------------------------


def test_a_browser_that_was_signed_in_before_gets_past_a_lock_out_by_others(user):
    known = Client()
    post(known, user.email, PASSWORD)
    known.post("/accounts/logout/")
    lock_out(user.email, address="203.0.113.66")
    assert "Too many attempts" in text_of(post(Client(), user.email, PASSWORD))
    assert post(known, user.email, PASSWORD).status_code == 302


def test_a_known_browser_gets_past_what_its_network_does(user):
    known = Client()
    post(known, user.email, PASSWORD)
    known.post("/accounts/logout/")
    for number in range(PER_NETWORK + 1):
        post(Client(), f"u{number}@example.com")
    assert "Too many attempts" in text_of(post(Client(), user.email, PASSWORD))
    assert post(known, user.email, PASSWORD).status_code == 302


def test_a_known_browser_has_as_few_guesses_as_any_other(user):
    known = Client()
    post(known, user.email, PASSWORD)
    known.post("/accounts/logout/")
    for number in range(PER_ACCOUNT):
        assert "are not correct" in text_of(post(known, user.email, address=f"198.51.{number}.7"))
    assert "Too many attempts" in text_of(post(known, user.email, PASSWORD))
    # Others are not locked out by it.
    assert post(Client(), user.email, PASSWORD).status_code == 302


def test_a_browser_is_known_for_its_own_account_only(user):
    victim = make_user(email="anna@example.com")
    mallory = Client()
    post(mallory, user.email, PASSWORD)
    mallory.post("/accounts/logout/")
    cookie = next(cookie for name, cookie in mallory.cookies.items() if name.startswith("tianji_known_"))
    for other in (victim.email, "nobody@example.com"):
        mallory.cookies[sign_in_limits.known_browsers._name(other)] = cookie.value
    for number in range(PER_ACCOUNT):
        post(mallory, victim.email, address=f"198.51.{number}.7")
    assert "Too many attempts" in text_of(post(Client(), victim.email, PASSWORD, address="203.0.113.9"))


def test_an_own_count_needs_a_completed_sign_in_and_a_genuine_cookie(user):
    name = sign_in_limits.known_browsers._name(user.email)
    lock_out(user.email)
    for forged in ("", "x", "WyJ4IiwieSJd:1vO:abc", '["a", "b"]'):
        client = Client()
        client.cookies[name] = forged
        assert "Too many attempts" in text_of(post(client, user.email, PASSWORD))


def test_the_cookie_lasts_a_year_and_goes_to_the_sign_in_pages_only(user):
    client = Client()
    answer = post(client, user.email, PASSWORD)
    (cookie,) = [c for name, c in answer.cookies.items() if name.startswith("tianji_known_")]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == PATH
    assert cookie["max-age"] == 365 * 86_400
    assert "budi" not in cookie.OutputString()
    client.post("/accounts/logout/")
    lock_out(user.email)
    with time_machine.travel(datetime.now(UTC) + timedelta(days=366)):
        assert (
            sign_in_limits.known_browsers.id_in(
                RequestFactory(headers={"cookie": f"{cookie.key}={cookie.value}"}).get("/"), email=user.email
            )
            is None
        )


def test_signing_in_again_keeps_the_count_of_the_browser(user):
    """Otherwise a thief with a stolen cookie and another account could start anew."""
    client = Client()
    post(client, user.email, PASSWORD)
    request = RequestFactory()
    request.cookies = client.cookies
    first = sign_in_limits.known_browsers.id_in(request.get("/"), email=user.email)
    client.post("/accounts/logout/")
    post(client, user.email, PASSWORD)
    request.cookies = client.cookies
    assert first
    assert sign_in_limits.known_browsers.id_in(request.get("/"), email=user.email) == first


# --- Codes -------------------------------------------------------------------------------------------


def code(seconds=0):
    return format_hotp_value(hotp_value(TOTP_SECRET, (int(time.time()) + seconds) // 30))


def wrong_code():
    """A code that is not valid now."""
    return f"{(int(code()) + 1) % 1_000_000:06d}"


@pytest.fixture
def guarded(user):
    TOTP.activate(user, TOTP_SECRET)
    RecoveryCodes.activate(user)
    return user


def to_second_step(client, user, *, address="192.0.2.7"):
    answer = post(client, user.email, PASSWORD, address=address)
    assert answer["Location"].startswith("/accounts/2fa/authenticate/")


def post_code(client, typed, *, address="192.0.2.7"):
    return client.post("/accounts/2fa/authenticate/", {"code": typed}, REMOTE_ADDR=address)


def test_codes_are_not_guessed_however_often_the_password_is_entered(guarded):
    for number in range(LIMITS[Attempt.CODE].account):
        client, address = Client(), f"198.51.{number}.7"
        to_second_step(client, guarded, address=address)
        assert "Incorrect code" in text_of(post_code(client, wrong_code(), address=address))
    client = Client()
    to_second_step(client, guarded)
    page = text_of(post_code(client, code()))
    assert "Too many attempts. Try again in 15 minutes." in page
    assert client.get("/settings/").status_code == 302


def test_recovery_codes_are_counted_with_the_others(guarded):
    recovery = RecoveryCodes.activate(guarded).generate_codes()[0]
    client = Client()
    to_second_step(client, guarded)
    for _ in range(LIMITS[Attempt.CODE].account):
        post_code(client, "00000000")
    assert "Too many attempts" in text_of(post_code(client, recovery))
    expire()
    assert post_code(client, recovery).status_code == 302


def test_a_known_browser_gets_past_codes_that_others_guess(guarded):
    known = Client()
    to_second_step(known, guarded)
    assert post_code(known, RecoveryCodes.activate(guarded).generate_codes()[0]).status_code == 302
    known.post("/accounts/logout/")
    other = Client()
    to_second_step(other, guarded)
    for _ in range(LIMITS[Attempt.CODE].account + 1):
        post_code(other, wrong_code())
    to_second_step(known, guarded)
    assert post_code(known, RecoveryCodes.activate(guarded).generate_codes()[1]).status_code == 302


def test_the_password_alone_makes_no_browser_known(guarded):
    client = Client()
    to_second_step(client, guarded)
    assert not [name for name in client.cookies if name.startswith("tianji_known_")]


def test_a_code_is_used_once_in_all_processes(guarded):
    first, second = Client(), Client()
    to_second_step(first, guarded)
    to_second_step(second, guarded)
    typed = code()
    assert post_code(first, typed).status_code == 302
    # The other process has a cache of its own.
    cache.clear()
    assert "Incorrect code" in text_of(post_code(second, typed))
    assert second.get("/settings/").status_code == 302


# --- In a session ------------------------------------------------------------------------------------


def test_a_stolen_session_does_not_guess_the_password(client, user):
    client.force_login(user)
    for _ in range(PER_ACCOUNT):
        page = client.post("/accounts/reauthenticate/", {"password": "wrong"})
        assert "Incorrect password" in text_of(page)
    assert "Too many attempts" in text_of(client.post("/accounts/reauthenticate/", {"password": PASSWORD}))
    typed = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    assert "Too many attempts" in text_of(client.post("/accounts/password/change/", typed))


def test_changing_the_password_counts_wrong_guesses_only(client, user):
    client.force_login(user)
    for _ in range(PER_ACCOUNT):
        typed = {"oldpassword": "wrong", "password1": NEW, "password2": NEW}
        assert client.post("/accounts/password/change/", typed).status_code == 200
    expire()
    typed["oldpassword"] = PASSWORD
    assert client.post("/accounts/password/change/", typed).status_code == 302


def test_the_admin_site_signs_in_the_same_way(user):
    user.is_staff = user.is_superuser = True
    user.save()
    lock_out(user.email)
    client = Client()
    answer = client.post("/admin/login/", {"username": user.email, "password": PASSWORD})
    assert answer["Location"].startswith("/accounts/login/")
    assert "Too many attempts" in text_of(post(client, user.email, PASSWORD, url=answer["Location"]))


# --- Password links ----------------------------------------------------------------------------------


def test_a_new_password_through_a_link_ends_the_lock_out(user, settings):
    lock_out(user.email)
    client = Client()
    path = client.get(password_links.link_for(user).removeprefix(settings.TIANJI_URL))["Location"]
    assert client.post(path, {"password1": NEW, "password2": NEW}).status_code == 302
    assert post(Client(), user.email, NEW).status_code == 302


@pytest.mark.parametrize("email", ["budi@example.com", "nobody@example.com"])
def test_links_are_asked_for_a_few_times_only_whether_there_is_an_account_or_not(user, settings, email):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    for number in range(LIMITS[Attempt.LINK].account):
        asked = Client().post("/accounts/password/reset/", {"email": email}, REMOTE_ADDR=f"198.51.{number}.7")
        assert asked.status_code == 302
    asked = Client().post("/accounts/password/reset/", {"email": email.upper()}, REMOTE_ADDR="203.0.113.9")
    assert "Too many attempts. Try again in 15 minutes." in text_of(asked)


# --- Known and unknown addresses -----------------------------------------------------------------------


class CountingHasher(PBKDF2PasswordHasher):
    """PBKDF2 with few rounds, that counts how often it is used."""

    iterations = 10
    used = 0

    def encode(self, password, salt, iterations=None):
        CountingHasher.used += 1
        return super().encode(password, salt, iterations)


@pytest.fixture
def hashes(settings):
    settings.PASSWORD_HASHERS = [f"{__name__}.CountingHasher"]

    def count(act):
        before = CountingHasher.used
        act()
        return CountingHasher.used - before

    return count


def test_an_unknown_address_costs_as_many_hashes_as_a_known_one(hashes):
    make_user(email="known@example.com")
    invited = make_user(email="invited@example.com")
    invited.set_unusable_password()
    invited.save()
    gone = make_user(email="gone@example.com")
    gone.is_active = False
    gone.save()
    emails = ("known@example.com", "invited@example.com", "gone@example.com", "nobody@example.com")
    assert {email: hashes(lambda email=email: post(Client(), email)) for email in emails} == dict.fromkeys(
        emails, 1
    )


def test_the_answers_for_known_and_unknown_addresses_are_the_same(user):
    def answer(email):
        page = post(Client(), email).content.decode()
        # Each page has a token against forged forms of its own.
        return re.sub(r'(value|content)="[^"]*"|"X-CSRFToken": "\w+"', "", page).replace(email, "")

    assert answer(user.email) == answer("nobody@example.com")


# --- Races -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_wrong_attempts_at_the_same_time_are_as_few_as_one_after_the_other(hashes):
    user = make_user(workspace=make_workspace(), email="budi@example.com")

    def attempt(_number):
        try:
            return "Too many attempts" in text_of(post(Client(), user.email))
        finally:
            connection.close()

    refused = []

    def many():
        # As many as there are connections.
        with ThreadPoolExecutor(10) as pool:
            refused.extend(pool.map(attempt, range(50)))

    assert hashes(many) == PER_ACCOUNT
    assert (len(refused), refused.count(False)) == (50, PER_ACCOUNT)
    # The account counts what the limit of the network let through.
    assert sorted(AttemptCount.objects.values_list("attempts", flat=True)) == [PER_NETWORK, 50]


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_a_password_is_hashed(user, settings):
    seen = []

    class Watching(PBKDF2PasswordHasher):
        iterations = 10

        def encode(self, password, salt, iterations=None):
            seen.append(connection.in_atomic_block)
            return super().encode(password, salt, iterations)

    globals()["Watching"] = Watching
    settings.PASSWORD_HASHERS = [f"{__name__}.Watching"]
    post(Client(), "nobody@example.com")
    assert seen == [False]


# --- Keeping -----------------------------------------------------------------------------------------


def test_what_counts_no_more_is_deleted():
    request = RequestFactory().get("/")
    for number in range(3):
        sign_in_limits.count(Attempt.PASSWORD, email=f"u{number}@example.com", request=request)
    assert sign_in_limits.delete_old() == 0
    expire()
    sign_in_limits.count(Attempt.PASSWORD, email="u1@example.com", request=request)
    assert sign_in_limits.delete_old() == 2
    assert AttemptCount.objects.count() == 2


def test_after_its_period_a_count_starts_anew():
    request = RequestFactory().get("/")
    for _ in range(PER_ACCOUNT):
        sign_in_limits.count(Attempt.PASSWORD, email="u@example.com", request=request)
    with pytest.raises(TooManyAttempts):
        sign_in_limits.count(Attempt.PASSWORD, email="u@example.com", request=request)
    expire()
    counted = sign_in_limits.count(Attempt.PASSWORD, email="u@example.com", request=request)
    counted.give_back()
    assert set(AttemptCount.objects.values_list("attempts", flat=True)) == {0}
