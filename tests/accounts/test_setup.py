"""The first owner, created with a one-time link or from the settings."""

from __future__ import annotations

import re
import threading
from io import StringIO

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone, translation

from accounts.models import Membership, Role, SetupLink, User, Workspace
from accounts.services import setup
from tests.support.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
TYPED = {"email": "Owner@Example.com", "password": PASSWORD, "workspace_name": "Acme"}


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


def test_messages_of_the_first_workspace_are_in_the_language_and_zone_of_who_sets_it_up():
    with translation.override("id"), timezone.override("Asia/Jakarta"):
        setup.create_owner(email="owner@example.com", password=PASSWORD)
    workspace = Membership.objects.get().workspace
    assert (workspace.language, workspace.timezone) == ("id", "Asia/Jakarta")


def test_of_two_people_who_both_opened_the_link_one_becomes_the_owner():
    token = token_of(setup.new_link())
    assert setup.is_valid(token)
    setup.create_owner(email="first@example.com", password=PASSWORD, token=token)
    with pytest.raises(setup.SetupUnavailable):
        setup.create_owner(email="second@example.com", password=PASSWORD, token=token)
    assert User.objects.get().email == "first@example.com"
    assert Workspace.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_people_at_the_same_moment_make_one_owner():
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


def test_without_settings_nobody_is_made():
    assert setup.create_owner_from_settings() is None
    assert setup.is_needed()


@pytest.mark.parametrize(("email", "password"), [("ops@example.com", ""), ("", PASSWORD), ("ops", PASSWORD)])
def test_settings_that_are_not_complete_are_refused(settings, email, password):
    settings.TIANJI_ADMIN_EMAIL, settings.TIANJI_ADMIN_PASSWORD = email, password
    with pytest.raises(ImproperlyConfigured, match="TIANJI_ADMIN_EMAIL"):
        setup.create_owner_from_settings()


# --- The page ------------------------------------------------------------------------------------


def test_the_page_makes_the_owner_and_signs_them_in(client):
    link = setup.new_link()
    assert "Welcome to Tianji" in client.get(link).content.decode()
    response = client.post(link, TYPED, follow=True)
    assert response.redirect_chain == [("/", 303)]
    assert "No monitors yet" in response.content.decode()
    assert response.context["user"].email == "owner@example.com"


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"email": "nobody"}, "Enter a valid email address."),
        ({"password": "short"}, "This password is too short. It must contain at least 10 characters."),
        ({"password": "password1234"}, "This password is too common."),
        ({"workspace_name": ""}, "This field is required."),
    ],
)
def test_an_error_is_told_at_its_field_and_nothing_typed_is_lost(client, typed, error):
    response = client.post(setup.new_link(), TYPED | typed)
    page = response.content.decode()
    assert response.status_code == 422
    assert error in page
    for value in (TYPED | typed).values():
        assert not value or f'value="{value}"' in page
    assert setup.is_needed()


def test_a_link_is_used_once(client):
    link = setup.new_link()
    client.post(link, TYPED)
    client.logout()
    for response in (client.get(link), client.post(link, TYPED | {"email": "second@example.com"})):
        assert response.status_code == 404
        assert "Tianji is already set up" in response.content.decode()
    assert User.objects.count() == 1


def test_an_unknown_link_says_how_to_get_a_new_one(client):
    setup.new_link()
    response = client.get("/setup/unknown/")
    assert response.status_code == 404
    assert "restart Tianji to get a new one" in " ".join(response.content.decode().split())


def test_the_address_of_the_page_is_given_to_no_other_page(client):
    response = client.get(setup.new_link())
    # "no-referrer" would make the browser send the form with "Origin: null", which fails the CSRF check.
    assert response["Referrer-Policy"] == "strict-origin"
    assert "no-store" in response["Cache-Control"]


def test_the_sign_in_page_points_to_the_link_while_nobody_exists(client):
    assert "There is no account yet." in client.get("/accounts/login/").content.decode()
    make_user()
    assert "There is no account yet." not in client.get("/accounts/login/").content.decode()


# --- The command ---------------------------------------------------------------------------------


def test_the_command_prints_a_link_that_works(client, settings):
    out = StringIO()
    call_command("setup_link", stdout=out)
    path = out.getvalue().strip().removeprefix(settings.TIANJI_URL)
    assert re.fullmatch(r"/setup/[\w-]+/", path)
    assert client.get(path).status_code == 200


def test_the_command_refuses_once_an_account_exists():
    make_user()
    with pytest.raises(CommandError, match="already exists"):
        call_command("setup_link", stdout=StringIO())
