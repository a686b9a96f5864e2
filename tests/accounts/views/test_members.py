"""The settings page of the members."""

from __future__ import annotations

import re
import threading

import pytest
from django.db import connection
from django.urls import reverse

from accounts import tasks
from accounts.actors import COMMAND
from accounts.models import AuditEntry, Membership, Role, User
from accounts.services import members
from tests.support.factories import PASSWORD, make_user, make_workspace

pytestmark = pytest.mark.django_db


def url(name, *arguments):
    return reverse(f"accounts:{name}", args=arguments)


def text_of(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


@pytest.fixture
def owner(client, workspace):
    """The test client, signed in as an owner of `workspace`."""
    client.force_login(make_user(workspace=workspace, email="owner@example.com"))
    return client


def at(name, email):
    return f"{url(name)}?member={email}"


def role_of(email):
    return Membership.objects.get(user__email=email).role


def test_the_list_shows_all_members_with_their_roles(viewer, workspace):
    make_user(workspace=workspace, email="anna@example.com", role=Role.ADMIN)
    make_user(workspace=make_workspace(), email="foreign@example.com")
    response = viewer.get(url("members"))
    assert "anna@example.com Admin" in text_of(response)
    assert "foreign" not in text_of(response)
    assert "Only owners can add members." in text_of(response)
    assert url("set_role") not in response.content.decode()


@pytest.mark.parametrize("name", ["set_role", "remove_member"])
def test_only_owners_change_members(admin, workspace, name):
    make_user(workspace=workspace, email="anna@example.com", role=Role.VIEWER)
    assert admin.post(at(name, "anna@example.com"), {"role": "owner"}).status_code == 403
    assert admin.post(url("members"), {"email": "b@example.com", "role": "owner"}).status_code == 403
    assert role_of("anna@example.com") == Role.VIEWER


@pytest.mark.parametrize("name", ["set_role", "remove_member"])
def test_members_of_another_workspace_do_not_exist(owner, name):
    make_user(workspace=make_workspace(), email="foreign@example.com")
    for email in ("foreign@example.com", "nobody@example.com", ""):
        assert owner.post(at(name, email), {"role": "viewer"}).status_code == 404


def test_an_owner_gives_another_role(owner, workspace):
    make_user(workspace=workspace, email="anna@example.com", role=Role.VIEWER)
    response = owner.post(at("set_role", "anna@example.com"), {"role": "admin"}, follow=True)
    assert "Saved." in text_of(response)
    assert role_of("anna@example.com") == Role.ADMIN
    assert AuditEntry.objects.get().details == {"member": "anna@example.com", "role": "admin"}
    assert "Changed the role of anna@example.com to Admin" in text_of(owner.get(url("audit")))


def test_a_role_that_does_not_exist_changes_nothing(owner):
    owner.post(at("set_role", "owner@example.com"), {"role": "emperor"})
    assert role_of("owner@example.com") == Role.OWNER


@pytest.mark.parametrize("name", ["set_role", "remove_member"])
def test_the_last_owner_stays(owner, name):
    response = owner.post(at(name, "owner@example.com"), {"role": "viewer"}, follow=True)
    assert "This is the last owner." in text_of(response)
    assert role_of("owner@example.com") == Role.OWNER


def test_an_owner_may_go_when_there_is_another(owner, workspace):
    make_user(workspace=workspace, email="anna@example.com")
    owner.post(at("set_role", "owner@example.com"), {"role": "viewer"})
    assert role_of("owner@example.com") == Role.VIEWER


def test_a_member_is_removed_after_a_question_and_the_account_stays(owner, workspace):
    anna = make_user(workspace=workspace, email="anna@example.com", role=Role.VIEWER)
    assert "Remove anna@example.com?" in text_of(owner.get(at("remove_member", anna.email)))
    response = owner.post(at("remove_member", anna.email), follow=True)
    assert "anna@example.com is no longer a member." in text_of(response)
    assert not anna.memberships.exists()
    assert User.objects.filter(pk=anna.pk).exists()
    assert "Removed anna@example.com from the workspace" in text_of(owner.get(url("audit")))


def test_a_member_is_not_added_again(owner, workspace):
    make_user(workspace=workspace, email="anna@example.com", role=Role.VIEWER)
    response = owner.post(url("members"), {"email": "anna@example.com", "role": "owner"})
    assert response.status_code == 422
    assert "This person is already a member." in text_of(response)
    assert role_of("anna@example.com") == Role.VIEWER


def test_an_invalid_address_is_reported_and_creates_no_account(owner):
    response = owner.post(url("members"), {"email": "anna", "role": "viewer"})
    assert response.status_code == 422
    assert 'value="anna"' in response.content.decode()
    assert User.objects.count() == 1


def test_a_newcomer_gets_a_link_by_email_that_sets_the_password(owner, client, settings, mailoutbox):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    response = owner.post(url("members"), {"email": "anna@example.com", "role": "viewer"}, follow=True)
    assert "will get an email with a link to choose a password" in text_of(response)
    assert "/password/reset/key/" not in response.content.decode()
    tasks.send_password_links()
    (message,) = mailoutbox
    assert message.to == ["anna@example.com"]
    link = re.search(r"https?://\S+/password/reset/key/\S+", message.body)[0]
    assert chooses_a_password(client, link)


def test_without_email_the_owner_gets_the_link_to_pass_on_once(owner, client, settings):
    settings.TIANJI_EMAIL_URL = ""
    response = owner.post(url("members"), {"email": "anna@example.com", "role": "viewer"})
    link = re.search(r'value="(https?://\S+/password/reset/key/[^"]+)"', response.content.decode())[1]
    assert "no-store" in response["Cache-Control"]
    assert link not in owner.get(url("members")).content.decode()
    assert not User.objects.get(email="anna@example.com").has_usable_password()
    assert chooses_a_password(client, link)


def chooses_a_password(client, link):
    """Open `link` as the new member, choose a password and sign in with it."""
    client.logout()
    form = client.get(re.sub(r"^https?://[^/]+", "", link), follow=True)
    address = form.redirect_chain[-1][0]
    client.post(address, {"password1": PASSWORD, "password2": PASSWORD})
    client.logout()
    response = client.post("/accounts/login/", {"login": "anna@example.com", "password": PASSWORD})
    return response.status_code == 302 and client.get("/").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_two_owners_removing_each_other_leave_one():
    workspace = make_workspace()
    owners = [make_user(workspace=workspace).memberships.select_related("workspace").get() for _ in range(2)]
    start, outcomes = threading.Barrier(2), []

    def remove(membership):
        try:
            start.wait(timeout=5)
            members.remove(membership=membership, by=COMMAND)
            outcomes.append("removed")
        except members.LastOwner:
            outcomes.append("stays")
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=[owner]) for owner in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(outcomes) == ["removed", "stays"]
    assert Membership.objects.get().role == Role.OWNER
