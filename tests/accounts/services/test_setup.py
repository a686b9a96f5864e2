"""The first owner, created with a one-time link or from the settings."""

from __future__ import annotations

import threading

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone, translation

from accounts.models import Membership, Role, SetupLink, User, Workspace
from accounts.services import setup
from tests.support.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db


def token_of(link):
    return link.removeprefix("/setup/").removesuffix("/")


# --- The operations ------------------------------------------------------------------------------


def test_a_link_is_valid_until_a_newer_one_is_made():
    first, second = setup.new_link(), setup.new_link()
    assert not setup.is_valid(token_of(first))
    assert setup.is_valid(token_of(second))


def test_only_the_digest_of_a_link_is_kept():
    token = token_of(setup.new_link())
    assert token not in SetupLink.objects.get().digest


def test_no_link_is_valid_once_an_account_exists():
    link = setup.new_link()
    make_user()
    assert not setup.is_needed()
    assert not setup.is_valid(token_of(link))
    with pytest.raises(setup.SetupUnavailable):
        setup.create_owner(email="a@example.com", password=PASSWORD, token=token_of(link))


def test_the_owner_owns_the_first_workspace_and_may_open_the_admin_site():
    owner = setup.create_owner(email="Owner@Example.com", password=PASSWORD, workspace_name="Acme")
    assert owner.email == "owner@example.com"
    assert owner.is_superuser
    assert owner.is_staff
    membership = Membership.objects.get()
    assert (membership.user, membership.workspace.name, membership.role) == (owner, "Acme", Role.OWNER)


def test_the_first_workspace_gets_the_language_and_time_zone_of_its_creator():
    with translation.override("id"), timezone.override("Asia/Jakarta"):
        setup.create_owner(email="owner@example.com", password=PASSWORD)
    workspace = Membership.objects.get().workspace
    assert (workspace.language, workspace.timezone) == ("id", "Asia/Jakarta")


def test_two_people_with_the_same_link_make_one_owner():
    token = token_of(setup.new_link())
    assert setup.is_valid(token)
    setup.create_owner(email="first@example.com", password=PASSWORD, token=token)
    with pytest.raises(setup.SetupUnavailable):
        setup.create_owner(email="second@example.com", password=PASSWORD, token=token)
    assert User.objects.get().email == "first@example.com"
    assert Workspace.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_setups_create_one_owner():
    token = token_of(setup.new_link())
    start, outcomes = threading.Barrier(2), []

    def create(email):
        try:
            start.wait(timeout=5)
            setup.create_owner(email=email, password=PASSWORD, token=token)
            outcomes.append("made")
        except setup.SetupUnavailable:
            outcomes.append("over")
        finally:
            connection.close()

    threads = [threading.Thread(target=create, args=[f"user{n}@example.com"]) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(outcomes) == ["made", "over"]
    assert User.objects.count() == Workspace.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_link_and_the_settings_at_once_create_one_owner(settings):
    """Neither finds an account, and they lock no common row."""
    settings.TIANJI_ADMIN_EMAIL, settings.TIANJI_ADMIN_PASSWORD = "ops@example.com", PASSWORD
    for _ in range(5):
        User.objects.all().delete()
        Workspace.objects.all().delete()
        token = token_of(setup.new_link())
        start, outcomes = threading.Barrier(2), []

        def by_link(token=token, start=start, outcomes=outcomes):
            try:
                start.wait(timeout=5)
                setup.create_owner(email="link@example.com", password=PASSWORD, token=token)
                outcomes.append("link")
            except setup.SetupUnavailable:
                outcomes.append("over")
            finally:
                connection.close()

        def by_settings(start=start, outcomes=outcomes):
            try:
                start.wait(timeout=5)
                outcomes.append("settings" if setup.create_owner_from_settings() else "over")
            finally:
                connection.close()

        threads = [threading.Thread(target=one) for one in (by_link, by_settings)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        assert outcomes.count("over") == 1, outcomes
        assert User.objects.count() == Workspace.objects.count() == 1


def test_a_failed_creation_does_not_use_the_link_up(monkeypatch):
    token = token_of(setup.new_link())

    def fail(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(Workspace.objects, "create", fail)
    with pytest.raises(RuntimeError):
        setup.create_owner(email="a@example.com", password=PASSWORD, token=token)
    assert setup.is_valid(token)
    assert setup.is_needed()


# --- From the settings ---------------------------------------------------------------------------


def test_the_settings_make_the_owner_once(settings):
    settings.TIANJI_ADMIN_EMAIL, settings.TIANJI_ADMIN_PASSWORD = "ops@example.com", PASSWORD
    owner = setup.create_owner_from_settings()
    assert owner is not None
    assert owner.check_password(PASSWORD)
    assert setup.create_owner_from_settings() is None
    assert User.objects.count() == 1


def test_without_settings_no_account_is_created():
    assert setup.create_owner_from_settings() is None
    assert setup.is_needed()


@pytest.mark.parametrize(("email", "password"), [("ops@example.com", ""), ("", PASSWORD), ("ops", PASSWORD)])
def test_settings_that_are_not_complete_are_refused(settings, email, password):
    settings.TIANJI_ADMIN_EMAIL, settings.TIANJI_ADMIN_PASSWORD = email, password
    with pytest.raises(ImproperlyConfigured, match="TIANJI_ADMIN_EMAIL"):
        setup.create_owner_from_settings()
