"""People, workspaces and API keys in the admin site."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import Permission
from django.core import mail
from django.test import Client
from django.urls import reverse

from accounts import tasks
from accounts.models import ApiKey, AuditEntry, Membership, Role, User, Workspace
from accounts.services import api_keys, outbox
from tests.support.admin_site import Samples, make_staff, signed_in
from tests.support.factories import PASSWORD, make_monitor, make_user, make_workspace

pytestmark = pytest.mark.django_db

NO_MEMBERS = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}


def page_of(user: User, name: str = "change") -> str:
    return reverse(f"admin:accounts_user_{name}", args=[user.pk])


def fields_of(user: User, **changes: str) -> dict[str, str]:
    flags = {name: "on" for name in ("is_active", "is_staff", "is_superuser") if getattr(user, name)}
    return {"email": user.email, **flags, **changes}


def test_somebody_is_added_by_email_alone(root: Client):
    answer = root.post(
        reverse("admin:accounts_user_add"), {"email": "Cook@Example.com", "usable_password": "false"}
    )
    user = User.objects.get(email="cook@example.com")
    assert answer["Location"] == page_of(user)
    assert not user.has_usable_password()
    assert not user.is_staff


def test_somebody_is_added_with_a_password(root: Client):
    typed = {"email": "cook@example.com", "usable_password": "true"}
    weak = root.post(reverse("admin:accounts_user_add"), typed | {"password1": "abc", "password2": "abc"})
    assert weak.status_code == 200
    root.post(reverse("admin:accounts_user_add"), typed | {"password1": PASSWORD, "password2": PASSWORD})
    assert User.objects.get(email="cook@example.com").check_password(PASSWORD)


def test_an_address_that_somebody_has_is_refused_in_any_case(root: Client):
    make_user(email="cook@example.com")
    answer = root.post(
        reverse("admin:accounts_user_add"), {"email": "COOK@example.com", "usable_password": "false"}
    )
    assert "email" in answer.context["adminform"].form.errors


def test_a_former_address_opens_nothing_any_more(root: Client):
    user = make_user(email="old@example.com")
    assert root.post(page_of(user), fields_of(user, email="New@example.com")).status_code == 302
    user.refresh_from_db()
    assert user.email == "new@example.com"
    signs_in = Client().post("/accounts/login/", {"login": "old@example.com", "password": PASSWORD})
    assert signs_in.status_code == 200


def test_another_address_is_recorded_and_both_are_told(root: Client, settings, mailoutbox):
    settings.TIANJI_EMAIL_URL = "smtp://mail.example.com"
    user = make_user(workspace=make_workspace(), email="old@example.com")
    root.post(page_of(user), fields_of(user, email="new@example.com"))
    entry = AuditEntry.objects.get(action="email.changed")
    assert (entry.actor, entry.via) == ("root@example.com", "admin")
    assert entry.details == {"member": "new@example.com", "old": "old@example.com", "new": "new@example.com"}
    outbox.send_due()
    assert [message.to for message in mailoutbox] == [["old@example.com"], ["new@example.com"]]
    assert "By: root@example.com" in mailoutbox[0].body


def test_a_link_to_choose_a_password_is_sent(root: Client, settings):
    settings.TIANJI_EMAIL_URL = "smtp://mail.example.com"
    user = User.objects.create_user("cook@example.com")
    assert root.get(page_of(user, "password_link")).status_code == 200
    assert not mail.outbox
    root.post(page_of(user, "password_link"))
    tasks.send_password_links()
    assert mail.outbox[0].to == ["cook@example.com"]
    assert "/accounts/password/reset/key/" in mail.outbox[0].body


def test_without_email_the_link_is_not_promised(root: Client):
    answer = root.post(page_of(make_user(), "password_link"), follow=True)
    assert "Email is not set up" in answer.text
    assert not mail.outbox


def test_staff_cannot_change_a_superuser(superuser):
    staff = make_staff()
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    client = signed_in(staff)
    assert client.post(page_of(superuser), fields_of(superuser, email="x@example.com")).status_code == 403
    assert client.post(page_of(superuser, "delete")).status_code == 403
    assert client.post(page_of(superuser, "password_link")).status_code == 403
    password = reverse("admin:auth_user_password_change", args=[superuser.pk])
    assert client.post(password, {"password1": PASSWORD, "password2": PASSWORD}).status_code == 403


def test_staff_cannot_make_a_superuser():
    staff, other = make_staff(), make_user()
    staff.user_permissions.set(Permission.objects.filter(content_type__app_label="accounts"))
    for user in (staff, other):
        signed_in(staff).post(page_of(user), fields_of(user, is_superuser="on", is_staff="on"))
        user.refresh_from_db()
        assert not user.is_superuser
    assert not other.is_staff


def test_users_cannot_delete_themselves(root: Client, superuser):
    assert root.post(page_of(superuser, "delete"), {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=superuser.pk).exists()


def test_audit_entries_outlive_the_account(samples: Samples, root: Client):
    from accounts.actors import Actor
    from monitors.services import monitors as monitor_service

    member = samples.rows["member"]
    make_user(workspace=samples.workspace)
    monitor_service.pause(monitor=samples.monitor, by=Actor(member))
    root.post(page_of(member, "delete"), {"post": "yes"})
    assert not User.objects.filter(pk=member.pk).exists()
    entry = AuditEntry.objects.get(action="monitor.paused")
    assert (entry.user, entry.actor) == (None, "cook@example.com")


def test_a_lost_second_factor_can_be_taken_away(samples: Samples, root: Client):
    factor = samples.rows["factor"]
    change = reverse("admin:mfa_authenticator_change", args=[factor.pk])
    assert root.get(change).status_code == 200
    assert root.post(change, {"data": "{}"}).status_code == 403
    root.post(reverse("admin:mfa_authenticator_delete", args=[factor.pk]), {"post": "yes"})
    assert not Authenticator.objects.filter(type="totp").exists()


def test_a_workspace_is_edited_with_its_members(root: Client, superuser):
    workspace, cook = make_workspace("Kitchen"), make_user()
    fields = {
        "name": "Bakery",
        "push_rate": "120",
        "token_age_days": "",
        "language": "id",
        "timezone": "Asia/Jakarta",
        "memberships-TOTAL_FORMS": "1",
        "memberships-INITIAL_FORMS": "0",
        "memberships-0-user": cook.pk,
        "memberships-0-role": "viewer",
    }
    answer = root.post(reverse("admin:accounts_workspace_change", args=[workspace.pk]), fields)
    assert answer.status_code == 302
    workspace.refresh_from_db()
    assert (workspace.name, workspace.push_rate) == ("Bakery", 120)
    assert (workspace.language, workspace.timezone) == ("id", "Asia/Jakarta")
    assert Membership.objects.get(user=cook).role == Role.VIEWER
    changed, added = AuditEntry.objects.filter(action__in=["workspace.changed", "member.added"]).order_by(
        "pk"
    )
    assert {(entry.via, entry.user) for entry in (changed, added)} == {("admin", superuser)}
    assert changed.details == {"fields": ["language", "name", "push_rate", "timezone"]}
    assert added.details["member"] == cook.email


def members_form(workspace: Workspace, *rows: dict[str, str]) -> dict[str, str]:
    """Return the form data of a workspace's page: the input for each member, then for new ones."""
    fields = {"name": workspace.name, "memberships-TOTAL_FORMS": str(len(rows))}
    members = list(workspace.memberships.order_by("pk"))
    fields["memberships-INITIAL_FORMS"] = str(len(members))
    for number, row in enumerate(rows):
        known = {"id": str(members[number].pk)} if number < len(members) else {}
        fields |= {f"memberships-{number}-{name}": value for name, value in (known | row).items()}
    return fields


def test_one_owner_can_follow_another_in_one_form(root: Client):
    workspace = make_workspace()
    old, new = make_user(workspace=workspace), make_user()
    form = members_form(workspace, {"role": "owner", "DELETE": "on"}, {"user": str(new.pk), "role": "owner"})
    root.post(reverse("admin:accounts_workspace_change", args=[workspace.pk]), form)
    assert [m.user for m in workspace.memberships.all()] == [new]
    assert User.objects.filter(pk=old.pk).exists()
    assert AuditEntry.objects.filter(action__startswith="member.", via="admin").count() == 2


@pytest.mark.parametrize("typed", [{"role": "viewer"}, {"role": "owner", "DELETE": "on"}])
def test_the_last_owner_stays_and_nothing_of_the_form_is_saved(root: Client, typed):
    workspace = make_workspace()
    make_user(workspace=workspace)
    form = members_form(workspace, typed) | {"name": "Renamed"}
    answer = root.post(reverse("admin:accounts_workspace_change", args=[workspace.pk]), form, follow=True)
    assert "needs at least one owner" in answer.text
    assert workspace.memberships.get().role == "owner"
    assert Workspace.objects.get().name == workspace.name


def test_a_membership_is_given_another_role_and_taken_away(root: Client):
    workspace = make_workspace()
    make_user(workspace=workspace)
    membership = make_user(workspace=workspace, role=Role.VIEWER).memberships.get()
    change = reverse("admin:accounts_membership_change", args=[membership.pk])
    root.post(change, {"role": "admin", "user": "1", "workspace": "1"})
    membership.refresh_from_db()
    assert membership.role == Role.ADMIN
    root.post(reverse("admin:accounts_membership_delete", args=[membership.pk]), {"post": "yes"})
    assert workspace.memberships.count() == 1
    assert AuditEntry.objects.filter(action__startswith="member.", via="admin").count() == 2


def test_the_last_owners_membership_and_account_cannot_be_deleted(root: Client):
    owner = make_user(workspace=make_workspace("Kitchen"))
    membership = owner.memberships.get()
    page = reverse("admin:accounts_membership_delete", args=[membership.pk])
    assert "needs at least one owner" in root.post(page, {"post": "yes"}, follow=True).text
    assert "no other owner" in root.post(page_of(owner, "delete"), {"post": "yes"}, follow=True).text
    assert Membership.objects.filter(pk=membership.pk).exists()


def test_a_membership_is_added(root: Client):
    workspace, user = make_workspace(), make_user()
    add = reverse("admin:accounts_membership_add")
    root.post(add, {"user": user.pk, "workspace": workspace.pk, "role": "owner"})
    assert workspace.memberships.get().user == user
    again = root.post(add, {"user": user.pk, "workspace": workspace.pk, "role": "viewer"})
    assert again.status_code == 200


def test_a_workspace_is_added(root: Client):
    root.post(reverse("admin:accounts_workspace_add"), {"name": "Bar", **NO_MEMBERS})
    assert Workspace.objects.get().name == "Bar"


def test_only_an_empty_workspace_can_be_deleted(root: Client):
    full = make_monitor().workspace
    empty = make_workspace()
    for workspace in (full, empty):
        root.post(reverse("admin:accounts_workspace_delete", args=[workspace.pk]), {"post": "yes"})
    assert list(Workspace.objects.all()) == [full]


def test_keys_are_revoked_by_an_action_that_asks(samples: Samples, root: Client):
    changelist = reverse("admin:accounts_apikey_changelist")
    key = samples.rows["key"]
    confirmation = root.post(changelist, {"action": "revoke_selected", "_selected_action": [key.pk]})
    assert ApiKey.objects.get().revoked_at is None
    result = root.post(changelist, dict(confirmation.context["hidden"]))
    assert result.context["counts"] == [("Revoked", 1)]
    assert AuditEntry.objects.get(action="api_key.revoked").via == "admin"
    assert api_keys.find(samples.secrets["API key"], address=None) is None


def test_keys_are_neither_made_nor_edited(samples: Samples, root: Client):
    assert root.post(reverse("admin:accounts_apikey_add"), {"name": "x"}).status_code == 403
    key = samples.rows["key"]
    before = ApiKey.objects.values().get()
    root.post(
        reverse("admin:accounts_apikey_change", args=[key.pk]), {"scope": "read", "name": "x", "digest": "y"}
    )
    assert ApiKey.objects.values().get() == before
