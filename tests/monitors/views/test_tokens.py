"""Push tokens on a monitor's page: shown, copied, added, imported, labelled, revoked."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.models import AuditEntry, Membership, Role
from core.clock import database_now
from monitors.domain.schedules import CronSchedule
from monitors.models import Heartbeat, PushToken
from monitors.services import tokens
from tests.support.factories import make_monitor, make_user, make_workspace, secret_of
from tests.support.incidents import push
from tests.support.token_pages import at, detail, push_with, text_of, url

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}
OTHER_SYSTEMS = "Kuma_token-12345"
OF_A_TOKEN = ["show", "rotate", "extend", "end", "rename", "revoke"]


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Backup", timeout=60)


@pytest.fixture
def token(monitor):
    return monitor.tokens.get()


# --- Who sees what -------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", OF_A_TOKEN)
def test_a_token_of_another_workspace_does_not_exist(admin, verb):
    assert admin.post(at(verb, make_monitor().tokens.get())).status_code == 404


@pytest.mark.parametrize("verb", OF_A_TOKEN)
def test_a_token_is_not_found_under_another_monitor(admin, workspace, token, verb):
    other = make_monitor(workspace=workspace)
    assert admin.post(url(f"{verb}_token", other, token)).status_code == 404


@pytest.mark.parametrize("verb", OF_A_TOKEN)
def test_a_viewer_does_nothing_with_a_token(viewer, token, verb):
    before = PushToken.objects.values().get()
    assert viewer.post(at(verb, token), {"label": "x", "overlap": "0", "remaining": "0"}).status_code == 403
    assert PushToken.objects.values().get() == before


@pytest.mark.parametrize("verb", OF_A_TOKEN)
def test_an_anonymous_user_is_redirected_to_sign_in(client, token, verb):
    response = client.post(at(verb, token))
    assert (response.status_code, response["Location"].split("?")[0]) == (302, "/accounts/login/")


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN, Role.VIEWER])
def test_the_page_shows_the_last_four_characters_of_a_token_to_everybody(client, workspace, monitor, role):
    client.force_login(make_user(workspace=workspace, role=role))
    secret = secret_of(monitor)
    for page in (detail(client, monitor), detail(client, monitor, **HTMX)):
        assert secret not in page
        assert f".../api/push/tjp_...{secret[-4:]}" in page


def test_a_viewer_is_offered_nothing_to_do_with_tokens(viewer, monitor):
    page = detail(viewer, monitor)
    assert "/tokens/" not in page
    assert "Only owners and admins can see the full push URL." in page


# --- Show and copy -------------------------------------------------------------------------------


def test_a_push_url_is_shown_in_full_on_request(admin, monitor, token):
    response = admin.post(at("show", token))
    page, secret = response.content.decode(), secret_of(monitor)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    assert f'value="http://testserver/api/push/{secret}"' in page
    assert "curl -fsS -X POST" in page
    assert "<html" in page
    assert secret not in detail(admin, monitor)


def test_a_push_url_is_text_to_copy_and_never_a_link(admin, monitor, token):
    page = admin.post(at("show", token)).content.decode()
    assert not re.search(rf'href="[^"]*{secret_of(monitor)}', page)


def test_htmx_gets_only_the_lines(admin, monitor, token):
    part = admin.post(at("show", token), headers=HTMX).content.decode()
    assert secret_of(monitor) in part
    assert "<html" not in part
    assert "Backup" not in part


def test_a_copy_button_gets_the_lines_as_json(admin, monitor, token):
    data = admin.post(at("show", token), headers=JSON).json()
    assert data["push_url"] == f"http://testserver/api/push/{secret_of(monitor)}"
    assert data["curl_line"].startswith("curl -fsS -X POST")


def test_showing_needs_a_post(admin, token):
    assert admin.get(at("show", token)).status_code == 405


def test_whoever_had_a_token_shown_is_in_the_changes_once_an_hour(admin, token):
    for headers in (HTMX, JSON, {}):
        admin.post(at("show", token), headers=headers)
    entry = AuditEntry.objects.get(action=AuditEntry.Action.TOKEN_REVEALED)
    assert (entry.details["token"], entry.via, entry.address) == (str(token), "browser", "127.0.0.1")


def test_a_push_url_is_under_the_public_address_where_one_is_set(admin, monitor, token, settings):
    settings.TIANJI_URL, settings.TIANJI_URL_IS_SET = "https://tianji.example.com", True
    data = admin.post(at("show", token), headers=JSON).json()
    assert data["push_url"] == f"https://tianji.example.com/api/push/{secret_of(monitor)}"


def test_a_token_that_can_no_longer_be_shown_is_explained(admin, monitor, token, settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another-" + "y" * 50, []
    admin.force_login(monitor.workspace.memberships.get().user)
    assert "be shown: SECRET_KEY has changed" in admin.post(at("show", token)).content.decode()
    assert admin.post(at("show", token), headers=JSON).status_code == 409


def test_a_token_that_works_no_more_is_not_shown(admin, token):
    tokens.revoke(token=token)
    assert admin.post(at("show", token)).status_code == 404


@pytest.mark.parametrize(
    ("fields", "times"),
    [
        ({"timeout": 60}, "* * * * *"),
        ({"timeout": 3600, "interval": 420}, "*/6 * * * *"),
        ({"timeout": 5 * 3600}, "0 */4 * * *"),
        ({"timeout": 3 * 86_400}, "0 2 * * *"),
        ({"kind": "cron", "cron": "5 4 * * SUN"}, "5 4 * * SUN"),
    ],
)
def test_the_crontab_line_runs_often_enough(admin, workspace, fields, times):
    token = make_monitor(workspace=workspace, **fields).tokens.get()
    assert f'value="{times} /path/to/job; curl' in admin.post(at("show", token)).content.decode()
    assert next(CronSchedule(times).times_after(database_now()))


def test_a_monitor_that_cron_is_too_slow_for_shows_no_crontab_line(admin, workspace):
    token = make_monitor(workspace=workspace, timeout=30).tokens.get()
    assert "/path/to/job; curl" not in admin.post(at("show", token)).content.decode()


# --- A new push URL is there at once -------------------------------------------------------------


def test_the_page_after_creating_a_monitor_shows_its_push_url_once(admin):
    created = {"name": "New", "kind": "interval", "timeout": "60"}
    response = admin.post(reverse("monitors:create"), created, follow=True)
    token = PushToken.objects.get()
    secret = tokens.reveal(token)
    page = response.content.decode()
    assert f'value="http://testserver/api/push/{secret}"' in page
    # In the empty log too, as the command that sends the first heartbeat.
    assert (
        page.count(f"curl -fsS -X POST &quot;http://testserver/api/push/{secret}?status=up&amp;msg=OK") == 2
    )
    assert secret not in detail(admin, token.monitor)


def test_the_session_never_holds_a_secret(admin):
    admin.post(reverse("monitors:create"), {"name": "New", "kind": "interval", "timeout": "60"})
    kept = dict(admin.session.items())
    assert str(PushToken.objects.get().public_id) in kept.values()
    assert secret_of(PushToken.objects.get().monitor) not in str(kept)


def test_a_new_push_url_waits_for_the_page_of_its_own_monitor(admin, monitor):
    admin.post(reverse("monitors:create"), {"name": "New", "kind": "interval", "timeout": "60"})
    new = PushToken.objects.exclude(monitor=monitor).get()
    secret = tokens.reveal(new)
    assert secret not in detail(admin, monitor)
    # What keeps the page current does not use it up either.
    assert secret not in detail(admin, new.monitor, **HTMX)
    assert secret in detail(admin, new.monitor)


def test_a_user_demoted_to_viewer_does_not_see_the_new_push_url(admin, workspace):
    admin.post(reverse("monitors:create"), {"name": "New", "kind": "interval", "timeout": "60"})
    Membership.objects.update(role=Role.VIEWER)
    new = PushToken.objects.get()
    assert tokens.reveal(new) not in detail(admin, new.monitor)


def test_a_monitor_that_waits_has_its_command_at_hand(admin, monitor, token):
    page = detail(admin, monitor)
    assert "Waiting for the first heartbeat" in page
    assert f"curl -fsS -X POST &quot;.../api/push/{token}?status=up" in page.replace('"', "&quot;")
    assert 'data-copy-what="curl_line"' in page
    push(monitor)
    assert 'data-copy-what="curl_line"' not in detail(admin, monitor)


# --- Further tokens ------------------------------------------------------------------------------


def test_a_further_token_has_a_label_and_is_shown_at_once(admin, monitor):
    page = admin.post(url("issue_token", monitor), {"label": "host-a"}, follow=True).content.decode()
    new = monitor.tokens.get(label="host-a")
    assert tokens.reveal(new) in page
    assert "host-a" in page
    assert new.created_by == monitor.workspace.memberships.get().user


def test_a_label_that_is_too_long_is_an_error(admin, monitor):
    assert admin.post(url("issue_token", monitor), {"label": "x" * 61}).status_code == 422
    assert monitor.tokens.count() == 1


def test_more_tokens_than_allowed_are_an_error(admin, monitor, monkeypatch):
    monkeypatch.setattr(tokens, "TOKENS_MOST", 1)
    for name, typed in (("issue_token", {}), ("import_token", {"secret": OTHER_SYSTEMS})):
        response = admin.post(url(name, monitor), typed)
        assert response.status_code == 422
        assert "This monitor already has 1 active token, the maximum." in response.content.decode()


@pytest.mark.parametrize(
    "typed",
    [
        OTHER_SYSTEMS,
        f"  {OTHER_SYSTEMS} ",
        f"https://kuma.example.com/api/push/{OTHER_SYSTEMS}?status=up&msg=OK&ping=",
        f"http://10.0.0.1:3001/api/push/{OTHER_SYSTEMS}/",
    ],
)
def test_a_token_of_another_system_is_used(admin, monitor, typed):
    response = admin.post(url("import_token", monitor), {"secret": typed, "label": "from Kuma"}, follow=True)
    token = monitor.tokens.get(imported=True)
    assert token.label == "from Kuma"
    assert tokens.reveal(token) == OTHER_SYSTEMS
    assert f"/api/push/{OTHER_SYSTEMS}" in response.content.decode()
    push_with(OTHER_SYSTEMS)
    assert Heartbeat.objects.get().token == token


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ("", "Paste the token."),
        ("short", "A token must be 8 to 64 letters, digits, hyphens or underscores."),
        ("with spaces in it", "A token must be 8 to 64 letters, digits, hyphens or underscores."),
        ("x" * 65, "A token must be 8 to 64 letters, digits, hyphens or underscores."),
        ("tjp_" + "a" * 36, "This looks like a Tianji token, but is mistyped or incomplete."),
    ],
)
def test_an_invalid_token_is_reported_and_kept_in_the_form(admin, monitor, typed, error):
    response = admin.post(url("import_token", monitor), {"secret": typed, "label": "kept"})
    page = response.content.decode()
    assert response.status_code == 422
    assert error in page
    assert f'value="{typed}"' in page or not typed
    assert 'value="kept"' in page
    assert monitor.tokens.count() == 1


def test_a_token_that_is_in_use_cannot_be_taken(admin, monitor):
    tokens.import_token(monitor=make_monitor(), secret=OTHER_SYSTEMS)
    response = admin.post(url("import_token", monitor), {"secret": OTHER_SYSTEMS})
    assert response.status_code == 422
    assert "This token is or was already in use here." in response.content.decode()


def test_what_was_typed_as_a_token_is_not_logged(admin, monitor, caplog):
    for typed in (OTHER_SYSTEMS, OTHER_SYSTEMS, "not a token at all"):
        admin.post(url("import_token", monitor), {"secret": typed})
    assert caplog.records
    assert OTHER_SYSTEMS not in caplog.text
    assert "not a token" not in caplog.text


def test_a_token_is_labelled(admin, token):
    assert admin.post(at("rename", token), {"label": "host-b"}).status_code == 303
    token.refresh_from_db()
    assert token.label == "host-b"
    assert 'value="host-b"' in admin.get(at("rename", token)).content.decode()


def test_a_token_is_revoked_after_a_question(admin, monitor, token):
    tokens.issue(monitor=monitor)
    question = admin.get(at("revoke", token)).content.decode()
    assert "Never used." in question
    assert "the last active one" not in question
    page = admin.post(at("revoke", token), follow=True).content.decode()
    assert f"Revoked the push token {token}." in page
    token.refresh_from_db()
    assert token.revoked_at


def test_revoking_the_last_token_warns_and_leaves_a_page_that_says_so(admin, monitor, token):
    assert "It is the last active one" in admin.get(at("revoke", token)).content.decode()
    admin.post(at("revoke", token))
    text = text_of(detail(admin, monitor))
    assert "No active push URL." in text
    assert "Add token" in text


# --- What it says of a token ---------------------------------------------------------------------


def test_a_token_says_how_many_pushes_it_was_refused_and_when(admin, monitor, token):
    ago = database_now() - timedelta(minutes=3, milliseconds=100)
    PushToken.objects.update(limited_count=12, limited_at=ago)
    text = text_of(detail(admin, monitor))
    assert "12 pushes rejected by the rate limit, the last one 3 min ago ." in text


def test_a_token_older_than_the_workspace_wants_is_pointed_out(admin, workspace, monitor, token):
    PushToken.objects.update(created_at=database_now() - timedelta(days=91))
    assert "rotate it soon" not in detail(admin, monitor)
    workspace.token_age_days = 90
    workspace.save()
    assert "Older than 90 days: rotate it soon." in text_of(detail(admin, monitor))
    new = tokens.rotate(token=token).new.token
    assert new.replaced_by is None
    assert "rotate it soon" not in detail(admin, monitor)


def test_the_number_of_queries_does_not_grow_with_the_tokens(
    admin, monitor, token, django_assert_num_queries
):
    detail(admin, monitor)
    with django_assert_num_queries(28):
        detail(admin, monitor, **HTMX)
    for number in range(10):
        tokens.issue(monitor=monitor, label=f"host-{number}")
    with django_assert_num_queries(28):
        detail(admin, monitor, **HTMX)
    # Who still uses an old token is one more, however many there are.
    for each in list(monitor.tokens.all()):
        tokens.rotate(token=each)
    with django_assert_num_queries(29):
        detail(admin, monitor, **HTMX)


# --- All tokens of a workspace -------------------------------------------------------------------


def made_before(token, **ago):
    PushToken.objects.filter(pk=token.pk).update(created_at=database_now() - timedelta(**ago))


def test_the_list_has_the_working_tokens_of_the_workspace_oldest_first(viewer, workspace):
    names = ("Alpha", "Beta", "Gamma")
    for days, name in zip((10, 100, 50), names, strict=True):
        made_before(make_monitor(workspace=workspace, name=name).tokens.get(), days=days)
    tokens.revoke(token=make_monitor(workspace=workspace, name="Ended").tokens.get())
    make_monitor(workspace=make_workspace(), name="Foreign")
    page = viewer.get(reverse("monitors:tokens")).content.decode()
    assert re.findall("|".join((*names, "Ended", "Foreign")), page) == ["Beta", "Gamma", "Alpha"]
    assert "Created 100 d ago" in text_of(page)
    for token in PushToken.objects.all():
        assert tokens.reveal(token) not in page


def test_the_list_says_how_many_are_too_old(viewer, workspace):
    made_before(make_monitor(workspace=workspace).tokens.get(), days=91)
    make_monitor(workspace=workspace)
    workspace.token_age_days = 90
    workspace.save()
    page = viewer.get(reverse("monitors:tokens")).content.decode()
    assert "1 push token is older than 90 days." in text_of(page)
    assert page.count("text-late strong") == 1


def test_the_list_comes_in_pages_with_the_same_number_of_queries(admin, workspace, django_assert_num_queries):
    workspace.token_age_days = 90
    workspace.save()
    monitor = make_monitor(workspace=workspace)
    now = database_now()
    PushToken.objects.bulk_create(
        # Three at each instant, so that pages end in the middle of one.
        PushToken(
            monitor=monitor,
            label=f"label-{n:03}",
            digest=f"{n:064}",
            sealed="x",
            last_four="0000",
            created_at=now - timedelta(days=200 - n // 3),
        )
        for n in range(119)
    )
    address, seen = reverse("monitors:tokens"), []
    for more in (True, True, False):
        with django_assert_num_queries(7):
            page = admin.get(address).content.decode()
        seen += re.findall(r"label-\d+", page)
        link = re.search(r'href="(\?after=[^"]+)"', page)
        assert bool(link) == more
        address = reverse("monitors:tokens") + (link[1] if link else "")
    assert seen == [f"label-{n:03}" for n in range(119)]


def test_the_list_is_for_members_only(client):
    assert client.get(reverse("monitors:tokens")).status_code == 302
