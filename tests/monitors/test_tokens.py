"""Push tokens: made, shown, replaced, looked up."""

from __future__ import annotations

import hashlib
import re

import pytest
from django.db import IntegrityError, transaction

from monitors import tokens
from monitors.models import PushToken
from monitors.recorder import Outcome
from tests.factories import make_monitor, make_user, secret_of
from tests.monitors.acts import push

pytestmark = pytest.mark.django_db
OLD_KEY, NEW_KEY = "old-" + "x" * 50, "new-" + "y" * 50


def test_a_secret_is_marked_as_ours_and_long_enough_to_be_unguessable():
    secret = tokens.new_secret()
    assert re.fullmatch(r"tjp_[0-9A-Za-z]{36}", secret)
    assert len({tokens.new_secret() for _ in range(1000)}) == 1000


def test_a_secret_ends_in_its_checksum():
    secret = tokens.new_secret().removeprefix(tokens.PREFIX)
    assert tokens._checksum(secret[:30]) == secret[30:]


def test_a_secret_is_looked_up_by_its_sha256():
    assert tokens.digest_of("tjp_0123456789") == hashlib.sha256(b"tjp_0123456789").hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        *("", "short", "x" * 65, "with space", "ünicode-token", "a/b/c/d/e/f", "tjp_0123456789\n"),
        *("a\0bcdefgh", "..%2f..%2f", "١٢٣٤٥٦٧٨", "token=12345678"),
    ],
)
def test_what_can_be_no_token_has_no_digest(text):
    assert tokens.digest_of(text) is None


@pytest.mark.parametrize("text", ["12345678", "x" * 64, "Az_-09Az"])
def test_tokens_of_other_shapes_may_be_looked_up_too(text):
    assert tokens.digest_of(text)


def test_an_issued_token_is_stored_only_as_digest_and_sealed():
    monitor = make_monitor()
    issued = tokens.issue(monitor=monitor, by=None, label="second")
    row = PushToken.objects.filter(pk=issued.token.pk).values().get()
    assert row["last_four"] == issued.secret[-4:]
    assert row["label"] == "second"
    assert issued.secret not in "".join(map(str, row.values()))
    assert tokens.reveal(issued.token) == issued.secret


def test_one_secret_names_one_monitor():
    token = make_monitor().tokens.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        PushToken.objects.filter(pk=make_monitor().tokens.get().pk).update(digest=token.digest)


def test_a_rotated_token_stops_at_once_and_the_new_one_works():
    monitor = make_monitor()
    user = make_user()
    old = secret_of(monitor)
    issued = tokens.rotate(monitor=monitor, by=user)
    assert issued.secret != old
    assert issued.token.created_by == user
    assert push(old) is Outcome.UNKNOWN_TOKEN
    assert push(issued.secret) is Outcome.RECORDED


def test_rotating_ends_every_token_of_the_monitor_and_of_no_other():
    monitor, other = make_monitor(), make_monitor()
    second = tokens.issue(monitor=monitor, by=None).secret
    tokens.rotate(monitor=monitor, by=None)
    assert monitor.tokens.filter(revoked_at=None).count() == 1
    assert push(second) is Outcome.UNKNOWN_TOKEN
    assert push(other) is Outcome.RECORDED


def test_rotating_again_leaves_the_time_of_an_earlier_revocation():
    monitor = make_monitor()
    first = monitor.tokens.get()
    tokens.rotate(monitor=monitor, by=None)
    first.refresh_from_db()
    revoked_at = first.revoked_at
    tokens.rotate(monitor=monitor, by=None)
    first.refresh_from_db()
    assert first.revoked_at == revoked_at


def test_a_token_is_still_shown_after_the_key_was_rotated_with_a_fallback(settings):
    settings.SECRET_KEY = OLD_KEY
    monitor = make_monitor()
    secret = secret_of(monitor)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW_KEY, [OLD_KEY]
    assert tokens.reveal(monitor.tokens.get()) == secret


def test_a_lost_key_loses_the_display_and_nothing_else(settings):
    settings.SECRET_KEY = OLD_KEY
    monitor = make_monitor()
    secret = secret_of(monitor)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW_KEY, []
    assert tokens.reveal(monitor.tokens.get()) is None
    assert push(secret) is Outcome.RECORDED


def test_a_token_made_after_the_key_was_rotated_is_sealed_with_the_new_key(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW_KEY, [OLD_KEY]
    issued = tokens.issue(monitor=make_monitor(), by=None)
    settings.SECRET_KEY_FALLBACKS = []
    assert tokens.reveal(issued.token) == issued.secret


def test_a_sealed_token_that_was_damaged_is_not_shown():
    token = make_monitor().tokens.get()
    for damaged in ("", "x", token.sealed[:-2], "é"):
        token.sealed = damaged
        assert tokens.reveal(token) is None


def test_a_token_says_only_its_last_four_characters():
    token = make_monitor().tokens.get()
    assert str(token) == f"tjp_...{token.last_four}"


def test_valid_tokens_are_those_neither_revoked_nor_expired():
    monitor = make_monitor()
    tokens.rotate(monitor=monitor, by=None)
    assert list(monitor.tokens.valid()) == list(monitor.tokens.filter(revoked_at=None))
