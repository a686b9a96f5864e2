"""The settings pages: the workspace, its members, API keys and the audit log."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse

from accounts.actors import COMMAND
from accounts.models import ApiKey, AuditEntry, Membership, Role, User, Workspace
from accounts.services import api_keys, members
from core.clock import database_now
from monitors.services import monitors as monitor_service
from tests.support.factories import PASSWORD, make_monitor, make_user, make_workspace

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
PAGES = ["settings", "members", "api_keys", "audit"]


def url(name, *arguments):
    return reverse(f"accounts:{name}", args=arguments)


def text_of(response):
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


@pytest.fixture
def owner(client, workspace):
    """The test client, signed in as an owner of `workspace`."""
    client.force_login(make_user(workspace=workspace, email="owner@example.com"))
    return client


# --- Roles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_a_stranger_is_asked_to_sign_in(client, page):
    response = client.get(url(page))
    assert (response.status_code, response["Location"].split("?")[0]) == (302, "/accounts/login/")


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_are_for_admins_and_out_of_every_cache(admin, page):
    response = admin.get(url(page))
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert 'aria-current="page"' in response.content.decode()


@pytest.mark.parametrize(
    ("page", "status"), [("settings", 200), ("members", 200), ("api_keys", 403), ("audit", 403)]
)
def test_a_viewer_sees_the_settings_and_members_but_neither_keys_nor_audit(viewer, page, status):
    response = viewer.get(url(page))
    assert response.status_code == status
    for hidden in ("api_keys", "audit"):
        assert f'href="{url(hidden)}' not in response.content.decode()


@pytest.mark.parametrize("page", ["settings", "members", "api_keys"])
def test_a_viewer_changes_nothing(viewer, workspace, page):
    typed = {"name": "Mine", "scope": "write", "email": "a@example.com", "role": "owner"}
    assert viewer.post(url(page), typed).status_code == 403
    assert not AuditEntry.objects.exists()
    assert Workspace.objects.get().name == workspace.name


def test_an_account_without_a_workspace_has_no_settings(client):
    client.force_login(make_user())
    assert client.get(url("settings")).status_code == 404


# --- The workspace -------------------------------------------------------------------------------


def test_the_settings_of_a_workspace_are_changed_and_recorded(admin, workspace):
    typed = {"name": "Acme", "push_rate": "0", "token_age_days": "90"}
    response = admin.post(url("settings"), typed, follow=True)
    assert "Saved." in text_of(response)
    workspace.refresh_from_db()
    assert (workspace.name, workspace.push_rate, workspace.token_age_days) == ("Acme", 0, 90)
    entry = AuditEntry.objects.get()
    assert entry.details == {"fields": ["name", "push_rate", "token_age_days"]}
    page = admin.get(url("settings")).content.decode()
    for name, value in typed.items():
        assert f'name="{name}" value="{value}"' in page


def test_what_is_left_empty_is_the_servers(admin, workspace, settings):
    settings.TIANJI_PUSH_RATE = 60
    workspace.push_rate, workspace.token_age_days = 5, 90
    workspace.save()
    assert "server default of 60." in text_of(admin.get(url("settings")))
    admin.post(url("settings"), {"name": workspace.name, "push_rate": "", "token_age_days": ""})
    workspace.refresh_from_db()
    assert (workspace.push_rate, workspace.token_age_days) == (None, None)


def test_the_language_and_zone_of_messages_are_chosen(admin, workspace):
    typed = {"name": workspace.name, "language": "id", "timezone": "Asia/Jakarta"}
    page = text_of(admin.post(url("settings"), typed, follow=True))
    assert "Saved." in page
    workspace.refresh_from_db()
    assert (workspace.language, workspace.timezone) == ("id", "Asia/Jakarta")
    page = admin.get(url("settings")).content.decode()
    assert '<option value="id" selected>Bahasa Indonesia</option>' in page
    assert 'name="timezone" value="Asia/Jakarta"' in page


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"timezone": "Mars/Olympus"}, "Unknown time zone “Mars/Olympus”."),
        ({"timezone": "../../etc/passwd"}, "Unknown time zone"),
        ({"language": "tlh"}, "tlh is not one of the available choices."),
    ],
)
def test_a_language_or_zone_that_there_is_not_is_refused(admin, workspace, typed, said):
    response = admin.post(url("settings"), {"name": workspace.name, **typed})
    assert response.status_code == 422
    assert said in text_of(response)


def test_a_viewer_sees_the_language_and_zone_of_messages(viewer, workspace):
    Workspace.objects.update(language="id", timezone="Asia/Jakarta")
    page = text_of(viewer.get(url("settings")))
    assert "Bahasa Indonesia" in page
    assert "Asia/Jakarta" in page


def test_saving_as_it_came_records_nothing(admin, workspace):
    admin.post(url("settings"), {"name": workspace.name})
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"name": " "}, "This field is required."),
        ({"push_rate": "-1"}, "greater than or equal to 0"),
        ({"push_rate": "fast"}, "Enter a whole number."),
        ({"token_age_days": "0"}, "greater than or equal to 1"),
        ({"token_age_days": "3651"}, "less than or equal to 3650"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_typed_is_lost(admin, workspace, typed, error):
    response = admin.post(url("settings"), {"name": "Acme", **typed})
    assert response.status_code == 422
    assert error in text_of(response)
    for name, value in typed.items():
        assert not value.strip() or f'name="{name}" value="{value}"' in response.content.decode()
    assert not AuditEntry.objects.exists()


# --- API keys ------------------------------------------------------------------------------------


def test_a_key_is_shown_once_in_the_answer_to_the_form(admin, workspace):
    response = admin.post(url("api_keys"), {"name": "ci", "scope": "write", "expires_days": "30"})
    secret = re.search(r'value="(tja_\w{36})"', response.content.decode())[1]
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    key = api_keys.find(secret, address=None)
    assert (key.name, key.scope, key.workspace) == ("ci", "write", workspace)
    assert key.created_by == workspace.memberships.get().user
    assert timedelta(days=29) < key.expires_at - database_now() <= timedelta(days=30)
    page = admin.get(url("api_keys"))
    assert secret not in page.content.decode()
    assert f"ci tja_...{secret[-4:]}" in text_of(page)
    assert secret not in str(dict(admin.session.items()))


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"name": ""}, "Enter a name."),
        ({"scope": "all"}, "Select a valid choice."),
        ({"expires_days": "0"}, "greater than or equal to 1"),
        ({"expires_days": "soon"}, "Enter a whole number."),
    ],
)
def test_a_key_that_cannot_be_is_told_and_kept(admin, typed, error):
    response = admin.post(url("api_keys"), {"name": "ci", "scope": "read", **typed})
    assert response.status_code == 422
    assert error in text_of(response)
    assert not ApiKey.objects.exists()


def test_the_list_tells_the_state_and_use_of_each_key(admin, workspace):
    now = database_now()

    def make(name, **columns):
        key = api_keys.issue(workspace=workspace, name=name, scope="read", by=COMMAND).key
        ApiKey.objects.filter(pk=key.pk).update(**columns)

    make("fresh")
    make("used", last_used_at=now - timedelta(minutes=20, seconds=1), last_used_from="192.0.2.7")
    make("ends", expires_at=now + timedelta(days=2, seconds=30))
    make("ended", expires_at=now - timedelta(hours=2, seconds=1))
    make("revoked", revoked_at=now - timedelta(days=1, seconds=1))
    api_keys.issue(workspace=make_workspace(), name="foreign", scope="read", by=COMMAND)
    response = admin.get(url("api_keys"))
    text = text_of(response)
    assert re.search(r"fresh tja_...\w{4} Read · created 0 s ago · not used yet", text)
    assert "last used 20 min ago from 192.0.2.7" in text
    assert "Expires in 2 d" in text
    assert "Expired 2 h ago" in text
    assert "Revoked 1 d ago" in text
    assert "foreign" not in text
    # Expired keys cannot be revoked.
    assert response.content.decode().count("/revoke/") == 2 * 3


def test_the_number_of_queries_does_not_grow_with_the_keys(admin, workspace, django_assert_num_queries):
    for number in range(2):
        for _ in range(10 * number + 1):
            admin.post(url("api_keys"), {"name": "ci", "scope": "read"})
        with django_assert_num_queries(5):
            admin.get(url("api_keys"))


def test_a_key_is_revoked_after_a_question(admin, workspace):
    issued = api_keys.issue(workspace=workspace, name="ci", scope="read", by=COMMAND)
    address = url("revoke_api_key", issued.key.public_id)
    assert "Revoke API key “ci”?" in text_of(admin.get(address))
    assert "<html" not in admin.get(address, headers=HTMX).content.decode()
    assert api_keys.find(issued.secret, address=None)
    assert "API key “ci” revoked." in text_of(admin.post(address, follow=True))
    assert api_keys.find(issued.secret, address=None) is None


def test_a_key_of_another_workspace_does_not_exist(admin):
    key = api_keys.issue(workspace=make_workspace(), name="ci", scope="read", by=COMMAND).key
    assert admin.post(url("revoke_api_key", key.public_id)).status_code == 404


def test_a_viewer_revokes_nothing(viewer, workspace):
    key = api_keys.issue(workspace=workspace, name="ci", scope="read", by=COMMAND).key
    assert viewer.post(url("revoke_api_key", key.public_id)).status_code == 403


# --- The audit log -------------------------------------------------------------------------------


def test_the_audit_tells_everything_in_the_workspace_newest_first(admin, workspace):
    monitor = make_monitor(workspace=workspace, name="Backup")
    monitor_service.pause(monitor=make_monitor(name="Foreign"))
    admin.post(reverse("monitors:pause", args=[monitor.public_id]))
    admin.post(url("api_keys"), {"name": "ci", "scope": "write"})
    admin.post(url("settings"), {"name": "Acme"})
    text = text_of(admin.get(url("audit")))
    said = [
        "Acme · Changed: name",
        "· Created the API key (Read and write)",
        "Backup · Paused",
        "Backup · Created the push token tjp_...",
        "Backup · Created the monitor",
    ]
    places = [text.index(words) for words in said]
    assert places == sorted(places)
    assert "Foreign" not in text
    assert "· browser · from 127.0.0.1" in text


def test_the_audit_comes_in_pages_with_the_same_number_of_queries(
    admin, workspace, django_assert_num_queries
):
    now = database_now()
    AuditEntry.objects.bulk_create(
        AuditEntry(
            workspace=workspace,
            at=now - timedelta(seconds=n // 3),
            action=AuditEntry.Action.MONITOR_PAUSED,
            actor="a@example.com",
            via=AuditEntry.Via.API,
            subject_name=f"entry-{n:03}",
        )
        for n in range(120)
    )
    address, seen = url("audit"), []
    for more in (True, True, False):
        with django_assert_num_queries(4):
            page = admin.get(address).content.decode()
        seen += re.findall(r"entry-\d+", page)
        link = re.search(r'href="(\?before=[^"]+)"', page)
        assert bool(link) == more
        address = url("audit") + (link[1] if link else "")
    assert sorted(seen) == [f"entry-{n:03}" for n in range(120)]


def test_a_broken_cursor_is_not_found(admin):
    assert admin.get(url("audit") + "?before=x").status_code == 404


# --- Members -------------------------------------------------------------------------------------


def at(name, email):
    return f"{url(name)}?member={email}"


def role_of(email):
    return Membership.objects.get(user__email=email).role


def test_the_list_tells_everybody_and_their_role(viewer, workspace):
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


def test_somebody_with_an_account_is_added(owner, workspace, mailoutbox):
    make_user(email="anna@example.com")
    typed = {"email": "Anna@Example.com", "role": "admin"}
    response = owner.post(url("members"), typed, follow=True)
    assert "anna@example.com has been added." in text_of(response)
    assert role_of("anna@example.com") == Role.ADMIN
    assert User.objects.filter(email__iexact="anna@example.com").count() == 1
    assert mailoutbox == []


def test_a_member_is_not_added_again(owner, workspace):
    make_user(workspace=workspace, email="anna@example.com", role=Role.VIEWER)
    response = owner.post(url("members"), {"email": "anna@example.com", "role": "owner"})
    assert response.status_code == 422
    assert "This person is already a member." in text_of(response)
    assert role_of("anna@example.com") == Role.VIEWER


def test_what_is_no_address_is_told_and_makes_nobody(owner):
    response = owner.post(url("members"), {"email": "anna", "role": "viewer"})
    assert response.status_code == 422
    assert 'value="anna"' in response.content.decode()
    assert User.objects.count() == 1


def test_a_newcomer_gets_a_link_by_email_that_sets_the_password(owner, client, settings, mailoutbox):
    settings.TIANJI_EMAIL_URL = "smtp://localhost:25"
    response = owner.post(url("members"), {"email": "anna@example.com", "role": "viewer"}, follow=True)
    assert "will get an email with a link to choose a password" in text_of(response)
    assert "/password/reset/key/" not in response.content.decode()
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
def test_of_two_owners_who_remove_each_other_one_stays():
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
