"""The rotation of a push token on its monitor's page, and the old token's last days."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F

from core.clock import database_now
from monitors.models import PushToken
from monitors.services import tokens
from tests.support.factories import make_monitor, secret_of
from tests.support.token_pages import at, detail, push_with, text_of, url

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def monitor(workspace):
    return make_monitor(workspace=workspace, name="Backup", timeout=60)


@pytest.fixture
def token(monitor):
    return monitor.tokens.get()


def rotated_before(token, **ago):
    """Move the rotation of `token` into the past; its time to work stays."""
    PushToken.objects.filter(pk=token.pk).update(replaced_at=F("replaced_at") - timedelta(**ago))


# --- Rotate --------------------------------------------------------------------------------------


def test_rotating_asks_first_and_offers_a_day(admin, monitor, token):
    page = admin.get(at("rotate", token)).content.decode()
    assert 'name="overlap" value="24 h"' in page
    assert "every sender needs the new push URL before the next deadline" in page
    assert 'name="force"' not in page
    assert monitor.tokens.count() == 1


def test_the_question_fits_into_a_dialog(admin, token):
    part = admin.get(at("rotate", token), headers=HTMX).content.decode()
    assert f"Rotate the push token {token}?" in part
    assert "<html" not in part


def test_rotating_shows_the_new_push_url_and_lets_the_old_one_work(admin, monitor, token):
    old = secret_of(monitor)
    response = admin.post(at("rotate", token), {"overlap": "21 h"})
    assert (response.status_code, response["Location"]) == (303, url("detail", monitor) + "#tokens")
    page = detail(admin, monitor)
    new = monitor.tokens.get(replaced_by=None)
    assert tokens.reveal(new) in page
    assert old not in page
    assert "The old one expires in 21 h: update the senders by then." in page
    token.refresh_from_db()
    assert timedelta(hours=20) < token.expires_at - database_now() <= timedelta(hours=21)


def test_rotating_without_overlap_stops_the_old_push_url_at_once(admin, monitor, token):
    page = admin.post(at("rotate", token), {"overlap": "0"}, follow=True).content.decode()
    assert "Pushes to the old one are now rejected." in page
    assert not monitor.tokens.valid().filter(pk=token.pk).exists()


@pytest.mark.parametrize("typed", ["", "soon", "8 d", "-1"])
def test_an_invalid_overlap_is_reported_and_kept_in_the_form(admin, monitor, token, typed):
    response = admin.post(at("rotate", token), {"overlap": typed})
    assert response.status_code == 422
    assert 'class="error"' in response.content.decode()
    assert not typed or f'value="{typed}"' in response.content.decode()
    assert monitor.tokens.count() == 1


def test_the_page_shows_the_senders_with_the_old_token_and_its_expiry(admin, monitor, token):
    secret = secret_of(monitor)
    tokens.rotate(token=token, overlap=timedelta(hours=21, minutes=1))
    rotated_before(token, hours=3)
    push_with(secret, source="10.0.0.9", minutes=20)
    push_with(secret, source="10.0.0.7")
    PushToken.objects.filter(pk=token.pk).update(
        last_used_at=database_now() - timedelta(minutes=3, milliseconds=100), last_used_from="10.0.0.7"
    )
    text = text_of(detail(admin, monitor))
    assert "Old token last used 3 min ago from 10.0.0.7, expires in 21 h" in text
    assert "Still using the old token: 10.0.0.7, 10.0.0.9" in text
    assert "Expire now" in text
    assert "Extend" in text
    assert "Rotation complete" not in text


def test_senders_of_before_the_rotation_are_not_named(admin, monitor, token):
    push_with(secret_of(monitor), source="10.0.0.7", hours=1)
    tokens.rotate(token=token)
    assert "Still using the old token" not in detail(admin, monitor)


def test_a_complete_rotation_is_shown(admin, monitor, token):
    push_with(secret_of(monitor), hours=3)
    issued = tokens.rotate(token=token).new
    rotated_before(token, hours=2)
    push_with(issued.secret, source="10.0.0.7")
    text = text_of(detail(admin, monitor))
    assert "Rotation complete: the new token is in use and the old one is idle." in text
    assert "Expire now" in text
    assert "Extend" not in text


def test_a_second_rotation_during_an_overlap_asks_first(admin, monitor, token):
    new = tokens.rotate(token=token).new.token
    page = admin.get(at("rotate", new)).content.decode()
    assert 'name="force"' in page
    assert "If you rotate again, there will be two old tokens" in page
    assert f"the old token {token} was never used and expires in" in page
    refused = admin.post(at("rotate", new), {"overlap": "1 h"})
    assert refused.status_code == 422
    assert "Tick this to rotate again" in refused.content.decode()
    assert monitor.tokens.count() == 2
    admin.post(at("rotate", new), {"overlap": "1 h", "force": "on"})
    assert monitor.tokens.valid().count() == 3


def test_an_overlap_that_begins_during_confirmation_needs_another_one(admin, monitor, token, monkeypatch):
    rotate = tokens.rotate

    def somebody_is_faster(**how):
        monkeypatch.undo()
        rotate(token=token)
        return rotate(**how)

    monkeypatch.setattr(tokens, "rotate", somebody_is_faster)
    response = admin.post(at("rotate", token), {"overlap": "1 h"})
    assert response.status_code == 422
    assert 'name="force"' in response.content.decode()
    assert monitor.tokens.count() == 2


def test_rotating_an_old_token_stands_for_the_one_that_replaced_it(admin, monitor, token):
    new = tokens.rotate(token=token).new.token
    admin.post(at("rotate", token), {"overlap": "1 h", "force": "on"})
    new.refresh_from_db()
    assert new.replaced_by is not None


# --- The old token -------------------------------------------------------------------------------


def test_an_old_token_is_ended_early_after_a_question(admin, monitor, token):
    push_with(secret_of(monitor), source="10.0.0.7")
    tokens.rotate(token=token)
    question = admin.get(at("end", token)).content.decode()
    assert "from 10.0.0.7. Senders that use it are rejected from then on." in question
    page = admin.post(at("end", token), follow=True).content.decode()
    assert "Expired the old token." in page
    assert not monitor.tokens.valid().filter(pk=token.pk).exists()


def test_an_old_token_is_given_more_time(admin, token):
    tokens.rotate(token=token, overlap=timedelta(hours=1))
    assert 'name="remaining" value="24 h"' in admin.get(at("extend", token)).content.decode()
    assert admin.post(at("extend", token), {"remaining": "8 d"}).status_code == 422
    admin.post(at("extend", token), {"remaining": "7 d"})
    token.refresh_from_db()
    assert token.expires_at - database_now() > timedelta(days=6)


@pytest.mark.parametrize("verb", ["end", "extend"])
def test_a_token_that_was_not_rotated_has_no_time_to_change(admin, monitor, token, verb):
    page = admin.post(at(verb, token), {"remaining": "1 h"}, follow=True).content.decode()
    assert "This token was not rotated" in page
    assert monitor.tokens.valid().count() == 1


def test_an_old_token_whose_successor_was_revoked_stands_by_itself(admin, monitor, token):
    new = tokens.rotate(token=token).new.token
    newest = tokens.rotate(token=new, force=True).new.token
    tokens.revoke(token=new)
    # Its successor's successor works, so it is still that one's old token.
    assert f'id="old-{token.public_id}"' in detail(admin, monitor)
    tokens.revoke(token=newest)
    page = detail(admin, monitor)
    assert f'id="token-{token.public_id}"' in page
    assert "expires in" in text_of(page)
