"""The one-time page that creates the first owner."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from django.test import Client

from accounts.models import User
from accounts.services import setup
from tests.support.factories import PASSWORD, make_user

pytestmark = pytest.mark.django_db
TYPED = {"email": "Owner@Example.com", "password": PASSWORD, "workspace_name": "Acme"}


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
def test_an_error_is_shown_at_its_field_and_the_input_is_kept(client, typed, error):
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


@pytest.mark.django_db(transaction=True)
def test_of_several_people_at_once_one_becomes_the_owner_and_the_others_are_told():
    """Each has the form open, with the same link."""
    link = setup.new_link()
    start, answers = threading.Barrier(4), []

    def submit(number):
        try:
            client = Client(raise_request_exception=False)
            assert client.get(link).status_code == 200
            start.wait(timeout=10)
            answers.append(client.post(link, TYPED | {"email": f"user{number}@example.com"}))
        finally:
            connection.close()

    threads = [threading.Thread(target=submit, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(answer.status_code for answer in answers) == [303, 404, 404, 404]
    for answer in answers:
        if answer.status_code == 404:
            assert "Tianji is already set up" in answer.content.decode()
            assert 'href="/accounts/login/"' in answer.content.decode()
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


def test_the_sign_in_page_mentions_the_setup_link_while_no_account_exists(client):
    assert "There is no account yet." in client.get("/accounts/login/").content.decode()
    make_user()
    assert "There is no account yet." not in client.get("/accounts/login/").content.decode()
