"""Invitations of people who have an account: they accept or decline, and nobody else does it for them."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.actors import COMMAND, Actor
from accounts.models import AuditEntry, Invitation, Membership, Role, User
from accounts.services import invitations, members, outbox
from core.clock import database_now
from tests.support.factories import PASSWORD, make_user, make_workspace

pytestmark = pytest.mark.django_db
PAGE = "/invitations/"


@pytest.fixture
def ours():
    return make_workspace("Ours")


@pytest.fixture
def owner(ours):
    return make_user(workspace=ours, email="owner@example.com")


@pytest.fixture
def anna():
    return make_user(workspace=make_workspace("Of Anna"), email="anna@example.com", role=Role.VIEWER)


def browser_of(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def invited(owner, anna, role="admin") -> Invitation:
    answer = browser_of(owner).post(reverse("accounts:members"), {"email": anna.email, "role": role})
    assert answer.status_code == 303
    return Invitation.objects.get(user=anna)


def answer_with(browser: Client, name: str, invitation: Invitation):
    return browser.post(reverse(f"accounts:{name}_invitation", args=[invitation.public_id]))


def is_member(user, workspace) -> bool:
    return Membership.objects.filter(user=user, workspace=workspace).exists()


def test_whoever_has_an_account_is_invited_and_not_added(owner, anna, ours):
    page = browser_of(owner).post(
        reverse("accounts:members"), {"email": "ANNA@example.com", "role": "admin"}, follow=True
    )
    text = page.content.decode()
    assert "anna@example.com has been invited" in text
    assert "not accepted yet" in text
    assert not is_member(anna, ours)
    assert "Ours" not in browser_of(anna).get("/").content.decode()


def test_the_person_is_told_on_every_page_and_accepts(owner, anna, ours):
    invitation, browser = invited(owner, anna), browser_of(anna)
    assert PAGE in browser.get("/").content.decode()
    page = browser.get(PAGE).content.decode()
    assert "Ours" in page
    assert "owner@example.com" in page
    answer = answer_with(browser, "accept", invitation)
    assert (answer.status_code, answer["Location"]) == (303, "/")
    assert Membership.objects.get(user=anna, workspace=ours).role == Role.ADMIN
    page = browser.get("/").content.decode()
    assert "You are now a member of “Ours”." in page
    assert PAGE not in browser.get("/").content.decode()
    assert not Invitation.objects.exists()


def test_the_email_leads_to_the_page_and_has_no_secret(owner, anna, ours, settings, mailoutbox):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    settings.TIANJI_URL = "https://tianji.example.com"
    invitation = invited(owner, anna)
    outbox.send_due()
    (mail,) = mailoutbox
    assert mail.to == ["anna@example.com"]
    assert mail.subject == "Invitation to the workspace “Ours”"
    assert "owner@example.com invites you to the workspace “Ours” in Tianji, as Admin." in mail.body
    assert "https://tianji.example.com/invitations/\n" in mail.body
    assert str(invitation.public_id) not in mail.body


def test_another_account_can_neither_see_nor_accept_nor_decline_it(owner, anna, ours):
    invitation, other = invited(owner, anna), make_user(workspace=make_workspace(), email="eve@example.com")
    browser = browser_of(other)
    assert "Ours" not in browser.get(PAGE).content.decode()
    for name in ("accept", "decline"):
        assert answer_with(browser, name, invitation).status_code == 404
    assert answer_with(Client(), "accept", invitation)["Location"].startswith("/accounts/login/")
    assert not is_member(other, ours)
    assert Invitation.objects.filter(pk=invitation.pk).exists()


def test_an_owner_cannot_accept_for_the_person(owner, anna, ours):
    invitation = invited(owner, anna)
    assert answer_with(browser_of(owner), "accept", invitation).status_code == 404
    assert not is_member(anna, ours)


def test_declining_ends_it(owner, anna, ours):
    invitation, browser = invited(owner, anna), browser_of(anna)
    assert answer_with(browser, "decline", invitation).status_code == 303
    assert answer_with(browser, "accept", invitation).status_code == 404
    assert not is_member(anna, ours)


def test_an_invitation_that_expired_or_was_revoked_cannot_be_accepted(owner, anna, ours):
    invitation, browser = invited(owner, anna), browser_of(anna)
    Invitation.objects.update(expires_at=database_now() - timedelta(seconds=1))
    assert "Ours" not in browser.get(PAGE).content.decode()
    assert answer_with(browser, "accept", invitation).status_code == 404
    invitation = invited(owner, anna)
    revoked = browser_of(owner).post(reverse("accounts:revoke_invitation", args=[invitation.public_id]))
    assert revoked.status_code == 303
    assert answer_with(browser, "accept", invitation).status_code == 404
    assert not is_member(anna, ours)
    assert timedelta(days=7) == invitations.LIFETIME


@pytest.mark.parametrize("role", [Role.ADMIN, Role.VIEWER])
def test_only_owners_of_the_workspace_revoke_it(owner, anna, ours, role):
    invitation = invited(owner, anna)
    url = reverse("accounts:revoke_invitation", args=[invitation.public_id])
    assert browser_of(make_user(workspace=ours, role=role)).post(url).status_code == 403
    assert browser_of(make_user(workspace=make_workspace())).post(url).status_code == 404
    assert (
        browser_of(owner).post(reverse("accounts:revoke_invitation", args=[uuid.uuid4()])).status_code == 404
    )
    assert Invitation.objects.exists()


def test_inviting_again_replaces_the_invitation_and_its_role(owner, anna):
    first = invited(owner, anna, "owner")
    second = invited(owner, anna, "viewer")
    assert answer_with(browser_of(anna), "accept", first).status_code == 404
    answer_with(browser_of(anna), "accept", second)
    assert Membership.objects.get(user=anna, workspace=second.workspace).role == Role.VIEWER


def test_an_owner_who_is_no_longer_one_does_not_come_back_by_an_invitation_of_their_own(owner, anna, ours):
    make_user(workspace=ours, email="second@example.com")
    for end in (
        lambda membership: members.set_role(membership=membership, role=Role.VIEWER, by=COMMAND),
        lambda membership: members.remove(membership=membership, by=COMMAND),
    ):
        invitation = invitations.invite(workspace=ours, email=anna.email, role="owner", by=Actor(owner))
        assert not invitation.is_new_account
        members.set_role(membership=owner.memberships.get(), role=Role.OWNER, by=COMMAND)
        end(owner.memberships.select_related("workspace").get())
        assert not Invitation.objects.exists()


@pytest.mark.parametrize("end", ["blocked", "deleted"])
def test_an_invitation_ends_with_the_account_of_its_sender(owner, anna, ours, end):
    make_user(workspace=ours, email="second@example.com")
    invitation, browser = invited(owner, anna), browser_of(anna)
    if end == "blocked":
        User.objects.filter(pk=owner.pk).update(is_active=False)
    else:
        owner.delete()
    assert "/invitations/" not in browser.get("/").content.decode()
    assert "Ours" not in browser.get(PAGE).content.decode()
    assert answer_with(browser, "accept", invitation).status_code == 404
    assert not is_member(anna, ours)


def test_each_step_is_in_the_audit_log(owner, anna, ours):
    answer_with(browser_of(anna), "decline", invited(owner, anna))
    invitations.revoke(public_id=invited(owner, anna).public_id, workspace=ours, by=Actor(owner))
    answer_with(browser_of(anna), "accept", invited(owner, anna))
    entries = AuditEntry.objects.filter(workspace=ours).order_by("pk")
    assert [(entry.action, entry.user) for entry in entries] == [
        ("member.invited", owner),
        ("invitation.declined", anna),
        ("member.invited", owner),
        ("invitation.revoked", owner),
        ("member.invited", owner),
        ("member.joined", anna),
    ]
    text = browser_of(owner).get(reverse("accounts:audit")).content.decode()
    assert "Invited anna@example.com as Admin" in text
    assert "anna@example.com declined the invitation" in text
    assert "Revoked the invitation of anna@example.com" in text
    assert "anna@example.com accepted the invitation as Admin" in text


def test_someone_without_a_workspace_is_led_to_the_invitations_after_signing_in(owner, ours):
    lone = make_user(email="lone@example.com")
    invitation, browser = invited(owner, lone), Client()
    answer = browser.post("/accounts/login/", {"login": lone.email, "password": PASSWORD})
    assert answer["Location"] == PAGE
    assert "Ours" in browser.get(PAGE).content.decode()
    answer_with(browser, "accept", invitation)
    assert browser.get("/").status_code == 200


def test_a_link_for_a_password_is_never_shown_to_who_invites_an_account_that_has_none(owner, ours, settings):
    """The account may be a member elsewhere already, and its password would open that too."""
    settings.TIANJI_EMAIL_URL = ""
    User.objects.create_user("fresh@example.com")
    page = browser_of(owner).post(
        reverse("accounts:members"), {"email": "fresh@example.com", "role": "viewer"}, follow=True
    )
    assert "/password/reset/key/" not in page.content.decode()


def test_expired_invitations_are_forgotten(owner, anna):
    invited(owner, anna)
    invitations.forget_expired()
    assert Invitation.objects.exists()
    Invitation.objects.update(expires_at=database_now())
    invitations.forget_expired()
    assert not Invitation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_accepted_and_revoked_at_once_is_one_of_both():
    workspace = make_workspace()
    owner, anna = make_user(workspace=workspace), make_user()
    invitations.invite(workspace=workspace, email=anna.email, role="viewer", by=Actor(owner))
    public_id = Invitation.objects.get().public_id
    start, outcomes = threading.Barrier(2), []

    def run(name, do):
        try:
            start.wait(timeout=5)
            do()
            outcomes.append(name)
        except invitations.InvitationGone:
            pass
        finally:
            connection.close()

    threads = [
        threading.Thread(
            target=run,
            args=["accepted", lambda: invitations.accept(public_id=public_id, user=anna, by=Actor(anna))],
        ),
        threading.Thread(
            target=run,
            args=[
                "revoked",
                lambda: invitations.revoke(public_id=public_id, workspace=workspace, by=COMMAND),
            ],
        ),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert outcomes in (["accepted"], ["revoked"])
    assert is_member(anna, workspace) == (outcomes == ["accepted"])
    assert not Invitation.objects.exists()
