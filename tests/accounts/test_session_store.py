"""Sessions: nobody signs in with what is in the database."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.models import Session as FormerSession
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts import tasks
from accounts.models import Session
from accounts.services import password_links
from accounts.session_store import SessionStore
from tests.support.dumps import dump, words_in
from tests.support.factories import PASSWORD, make_user, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return make_user(workspace=make_workspace(), email="budi@example.com")


def sign_in(client, user):
    answer = client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    assert answer.status_code == 302
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


def is_signed_in(client):
    return client.get("/settings/").status_code == 200


def with_cookie(key):
    client = Client()
    client.cookies[django_settings.SESSION_COOKIE_NAME] = key
    return client


# --- Attacks -------------------------------------------------------------------------------------


def test_nothing_in_a_dump_of_the_database_signs_in(client, user):
    key = sign_in(client, user)
    tables = dump()
    assert is_signed_in(with_cookie(key))
    assert key not in "".join(tables.values())
    words = words_in(tables)
    assert Session.objects.get().session_key in words
    # A cookie has no other characters.
    tried = {word for word in words if re.fullmatch(r"[\w.:+/=-]+", word, re.ASCII)}
    assert len(tried) > 100
    assert [word for word in tried if is_signed_in(with_cookie(word))] == []


def test_a_dump_has_no_secret_that_a_session_holds(client, user):
    sign_in(client, user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    assert client.get("/accounts/2fa/totp/activate/").status_code == 200
    secret = client.session[SECRET_SESSION_KEY]
    user.refresh_from_db()
    link = password_links.link_for(user).removeprefix(django_settings.TIANJI_URL)
    stranger = Client()
    assert stranger.get(link).status_code == 302
    key = stranger.session["_password_reset_key"]
    everything = "".join(dump().values())
    assert secret not in everything
    assert key not in everything
    # Nor in a form that only has to be unpacked.
    assert all(row.session_data.startswith("gAAAA") for row in Session.objects.all())


def test_a_row_that_someone_writes_without_the_secret_key_is_an_empty_session(user):
    forged = FormerSession.get_session_store_class()().encode({"_auth_user_id": str(user.pk)})
    expires = timezone.now() + timedelta(days=1)
    store = SessionStore("k" * 32)
    store["mine"] = 1
    store.save(must_create=True)
    Session.objects.update(session_data=forged, expire_date=expires)
    assert SessionStore("k" * 32).get("_auth_user_id") is None
    assert not is_signed_in(with_cookie("k" * 32))


# --- As Django's, allauth's and the admin site's use of it expects -----------------------------------


def test_signing_in_gives_the_browser_another_key(client, user):
    client.get("/accounts/login/")
    session = client.session
    session["seen"] = True
    session.save()
    before = session.session_key
    client.cookies[django_settings.SESSION_COOKIE_NAME] = before
    after = sign_in(client, user)
    assert after != before
    assert not SessionStore().exists(before)
    assert SessionStore(after)["seen"] is True


def test_signing_out_ends_the_session(client, user):
    key = sign_in(client, user)
    client.post("/accounts/logout/")
    assert not is_signed_in(with_cookie(key))
    assert not SessionStore().exists(key)


def test_a_new_password_ends_the_other_sessions_and_keeps_its_own(client, user):
    key, other = sign_in(client, user), Client()
    sign_in(other, user)
    new = "another horse battery"
    typed = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert client.post("/accounts/password/change/", typed).status_code == 302
    assert is_signed_in(client)
    assert not is_signed_in(other)
    assert not is_signed_in(with_cookie(key))


def test_the_admin_site_uses_the_same_session(client):
    user = make_user(email="root@example.com")
    user.is_staff = user.is_superuser = True
    user.save()
    sign_in(client, user)
    assert client.get("/admin/").status_code == 200
    client.post("/admin/logout/")
    assert client.get("/admin/").status_code == 302


def test_a_store_keeps_what_it_is_given():
    store = SessionStore()
    store["answer"] = {"is": [42, "é"]}
    store.save()
    key = store.session_key
    assert store.exists(key)
    assert not store.exists("x" * 32)
    assert SessionStore(key)["answer"] == {"is": [42, "é"]}
    store["answer"] = 43
    store.save()
    assert SessionStore(key)["answer"] == 43
    assert Session.objects.count() == 1


def test_cycling_the_key_keeps_the_data_and_ends_the_former_key():
    store = SessionStore()
    store["answer"] = 42
    store.save()
    before = store.session_key
    store.cycle_key()
    assert store.session_key != before
    assert SessionStore(store.session_key)["answer"] == 42
    assert SessionStore(before).get("answer") is None
    assert not store.exists(before)


def test_flushing_leaves_nothing():
    store = SessionStore()
    store["answer"] = 42
    store.save()
    key = store.session_key
    store.flush()
    assert not Session.objects.exists()
    assert store.session_key is None
    assert SessionStore(key).get("answer") is None


def test_deleting_by_key_or_its_own():
    first, second = SessionStore(), SessionStore()
    first.save(), second.save()
    second.delete(first.session_key)
    assert not SessionStore().exists(first.session_key)
    second.delete()
    assert not Session.objects.exists()
    # What is not there is deleted already.
    second.delete()
    SessionStore().delete()


def test_a_session_that_was_deleted_meanwhile_is_not_saved_again():
    store = SessionStore()
    store.save()
    SessionStore().delete(store.session_key)
    store["answer"] = 42
    with pytest.raises(UpdateError):
        store.save()


def test_the_same_key_is_not_given_twice():
    store = SessionStore()
    store.save()
    with pytest.raises(CreateError):
        SessionStore(store.session_key).save(must_create=True)


def test_an_expired_session_is_not_found_and_is_deleted(user):
    old, current = SessionStore(), SessionStore()
    old.save(), current.save()
    for store, days in ((old, -1), (current, 1)):
        store["mine"] = days
        store.set_expiry(timezone.now() + timedelta(days=days))
        store.save()
    assert SessionStore(old.session_key).get("mine") is None
    tasks.retention()
    assert not SessionStore().exists(old.session_key)
    assert SessionStore(current.session_key)["mine"] == 1


def test_the_command_of_django_deletes_expired_sessions_too():
    store = SessionStore()
    store.set_expiry(timezone.now() - timedelta(days=1))
    store.save()
    call_command("clearsessions")
    assert not Session.objects.exists()


def test_a_former_secret_key_still_opens_sessions(settings):
    store = SessionStore()
    store["answer"] = 42
    store.save()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 60, [settings.SECRET_KEY]
    assert SessionStore(store.session_key)["answer"] == 42
    settings.SECRET_KEY_FALLBACKS = []
    assert SessionStore(store.session_key).get("answer") is None


@pytest.mark.parametrize("key", ["", "short", "x" * 500, "é" * 40, "\x00" * 40, "' OR 1=1 --"])
def test_a_cookie_of_whatever_form_is_no_session(key):
    store = SessionStore(key)
    assert store.get("answer") is None
    assert store.session_key is None


def test_what_asynchronous_code_does_leaves_no_key_in_the_database_either():
    async def use():
        store = SessionStore()
        await store.aset("answer", 42)
        await store.asave()
        key = store.session_key
        assert await store.aexists(key)
        assert await SessionStore(key).aget("answer") == 42
        return key

    # In this thread, which has the connection of the test.
    key = async_to_sync(use)()
    assert key not in "".join(dump().values())
    async_to_sync(SessionStore(key).adelete)()
    assert not Session.objects.exists()
