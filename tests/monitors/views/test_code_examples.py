"""The page with programs that push to a monitor: who sees what in it."""

from __future__ import annotations

import html
import re

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from monitors.models import PushToken
from monitors.pages import snippets
from monitors.services import tokens
from tests.support.factories import make_monitor, secret_of

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Backup", timeout=300)


def address(monitor):
    return reverse("monitors:code_examples", args=[monitor.public_id])


def page(client, monitor, **query):
    response = client.get(address(monitor), query)
    assert response.status_code == 200
    return response.content.decode()


def copied(page):
    return [html.unescape(text) for text in re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.S)]


def looks():
    return AuditEntry.objects.filter(action=AuditEntry.Action.TOKEN_REVEALED)


def test_an_admin_sees_the_real_push_url_as_text(admin, monitor):
    shown = page(admin, monitor)
    assert f"http://testserver/api/push/{secret_of(monitor)}" in copied(shown)[0]
    assert not re.search(rf'(href|src)="[^"]*{secret_of(monitor)}', shown)


def test_that_it_was_seen_is_recorded_once_an_hour(admin, monitor):
    page(admin, monitor)
    page(admin, monitor, snippet="python")
    assert looks().get().subject == monitor.public_id


def test_a_viewer_sees_the_programs_without_the_push_url(viewer, monitor):
    for slug in snippets.LANGUAGES:
        shown = page(viewer, monitor, snippet=slug)
        assert secret_of(monitor) not in shown
        assert "https://.../api/push/<push token>" in "".join(copied(shown)).replace('\\"', '"')
    assert not looks().exists()


def test_an_anonymous_user_is_redirected_to_sign_in(client, monitor):
    assert client.get(address(monitor)).status_code == 302


def test_a_monitor_of_another_workspace_does_not_exist(admin):
    assert admin.get(address(make_monitor())).status_code == 404


def test_the_page_is_only_read(admin, monitor):
    assert admin.post(address(monitor)).status_code == 405


@pytest.mark.parametrize("slug", snippets.LANGUAGES)
def test_every_language_has_a_page_of_its_own(admin, monitor, slug):
    shown = page(admin, monitor, snippet=slug)
    assert re.search(rf'<a href="[^"]*snippet={slug}"[^>]*aria-current="true"', shown)
    assert secret_of(monitor) in "".join(copied(shown))


def test_each_part_has_a_name_and_a_button_that_copies_it(admin, monitor):
    shown = page(admin, monitor, snippet="systemd")
    for number in (1, 2, 3):
        for attribute in ("for", "id", "data-copy"):
            assert f'{attribute}="snippet-{number}"' in shown


def test_a_language_that_does_not_exist_is_the_first_one(admin, monitor):
    assert copied(page(admin, monitor, snippet="cobol")) == copied(page(admin, monitor))


def test_with_several_tokens_the_reader_chooses(admin, monitor):
    other = tokens.issue(monitor=monitor, label="host-b")
    assert other.secret not in page(admin, monitor)
    chosen = page(admin, monitor, token=str(other.token.public_id), snippet="ruby")
    assert other.secret in copied(chosen)[0]
    assert ">host-b</a>" in chosen


def test_a_token_that_was_rotated_is_not_offered(admin, monitor):
    old = secret_of(monitor)
    new = tokens.rotate(token=monitor.tokens.get()).new.secret
    shown = page(admin, monitor)
    assert new in shown
    assert old not in shown


def test_a_monitor_without_a_token_says_so(admin, monitor):
    tokens.revoke(token=monitor.tokens.get())
    shown = page(admin, monitor)
    assert "No active push token" in shown
    assert "push token&gt;" in shown


def test_a_token_that_cannot_be_opened_says_so(admin, monitor):
    PushToken.objects.update(sealed="")
    assert "SECRET_KEY has changed" in page(admin, monitor)
    assert not looks().exists()


def test_inside_another_page_it_is_only_the_part(admin, monitor):
    response = admin.get(address(monitor), headers={**HTMX, "HX-Current-URL": "http://testserver/monitors/"})
    shown = response.content.decode()
    assert "<html" not in shown
    assert copied(shown)
    assert "HX-Replace-Url" not in response


def test_on_its_own_page_the_address_keeps_the_language(admin, monitor):
    headers = {**HTMX, "HX-Current-URL": f"http://testserver{address(monitor)}?snippet=curl"}
    response = admin.get(address(monitor), {"snippet": "go"}, headers=headers)
    assert response["HX-Replace-Url"] == f"{address(monitor)}?snippet=go"


def test_it_costs_the_same_for_any_number_of_tokens(admin, monitor, django_assert_max_num_queries):
    for number in range(30):
        tokens.issue(monitor=monitor, label=f"host-{number}")
    with django_assert_max_num_queries(12):
        page(admin, monitor)
