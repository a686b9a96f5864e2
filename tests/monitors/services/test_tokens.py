"""Push tokens: made, imported, shown, rotated, revoked, looked up."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from accounts.actors import Actor
from accounts.models import AuditEntry
from core import credentials
from core.clock import database_now
from monitors.heartbeats import recorder
from monitors.heartbeats.recorder import Outcome
from monitors.models import PushToken
from monitors.services import tokens
from tests.support.factories import make_monitor, make_user, make_workspace, secret_of
from tests.support.heartbeats import Queries, arrival, let_pass, push

pytestmark = pytest.mark.django_db
OLD_KEY, NEW_KEY = "old-" + "x" * 50, "new-" + "y" * 50
DAY = timedelta(days=1)
NONE = timedelta(0)
RECORDED, UNKNOWN = Outcome.RECORDED, Outcome.UNKNOWN_TOKEN


@pytest.fixture
def monitor():
    return make_monitor()


@pytest.fixture
def by(monitor):
    return Actor(make_user(workspace=monitor.workspace), via=AuditEntry.Via.BROWSER, address="192.0.2.7")


def first_of(monitor):
    """The token that the monitor began with."""
    return monitor.tokens.order_by("pk").first()


def stored(token):
    return PushToken.objects.get(pk=token.pk)


def remaining(token):
    """For how many seconds more `token` works."""
    return (stored(token).expires_at - database_now()).total_seconds()


def age(token, **length):
    """Let time pass for one token: the clock is the database's and cannot be turned."""
    columns = ("created_at", "expires_at", "replaced_at", "last_used_at")
    PushToken.objects.filter(pk=token.pk).update(
        **{name: F(name) - timedelta(**length) for name in columns if getattr(stored(token), name)}
    )


def audited(monitor, action):
    return list(AuditEntry.objects.filter(subject=monitor.public_id, action=action).order_by("id"))


# --- what a secret is


def test_a_secret_is_marked_as_ours_and_long_enough_to_be_unguessable():
    secret = tokens.new_secret()
    assert re.fullmatch(r"tjp_[0-9A-Za-z]{36}", secret)
    assert len({tokens.new_secret() for _ in range(1000)}) == 1000


def test_a_secret_ends_in_its_checksum():
    secret = tokens.new_secret().removeprefix(tokens.PREFIX)
    assert credentials.checksum(secret[:30]) == secret[30:]


def test_a_secret_is_looked_up_by_its_sha256():
    secret = tokens.new_secret()
    assert tokens.digest_of(secret) == hashlib.sha256(secret.encode()).hexdigest()


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


def test_one_mistyped_character_is_detected_by_the_checksum():
    secret = tokens.new_secret()
    for at in range(len(tokens.PREFIX), len(secret)):
        other = "a" if secret[at] != "a" else "b"
        assert tokens.digest_of(secret[:at] + other + secret[at + 1 :]) is None
    for cut in (secret[:-1], secret + "a", "tjp_"):
        assert tokens.digest_of(cut) is None


# --- issue


def test_an_issued_token_is_stored_only_as_digest_and_sealed(monitor):
    issued = tokens.issue(monitor=monitor, label="second")
    row = PushToken.objects.filter(pk=issued.token.pk).values().get()
    assert row["last_four"] == issued.secret[-4:]
    assert row["label"] == "second"
    assert issued.secret not in "".join(map(str, row.values()))
    assert tokens.reveal(issued.token) == issued.secret


def test_an_issued_token_is_recorded_with_its_creator_and_without_its_secret(monitor, by):
    issued = tokens.issue(monitor=monitor, label="host-a", by=by)
    assert issued.token.created_by == by.user
    entry = audited(monitor, "token.issued")[-1]
    assert (entry.user, entry.address, entry.via) == (by.user, "192.0.2.7", "browser")
    assert entry.details == {"token": f"tjp_...{issued.secret[-4:]}", "label": "host-a"}


def test_each_token_of_a_monitor_has_its_own_last_use(monitor):
    first, second = secret_of(monitor), tokens.issue(monitor=monitor)
    push(first, source="192.0.2.1")
    assert stored(second.token).last_used_at is None
    push(second.secret, source="192.0.2.2")
    assert first_of(monitor).last_used_from == "192.0.2.1"
    assert stored(second.token).last_used_from == "192.0.2.2"


def test_one_secret_names_one_monitor():
    token = make_monitor().tokens.get()
    with pytest.raises(IntegrityError), transaction.atomic():
        PushToken.objects.filter(pk=make_monitor().tokens.get().pk).update(digest=token.digest)


def test_a_monitor_has_so_many_tokens_and_no_more(monitor, monkeypatch):
    monkeypatch.setattr(tokens, "TOKENS_MOST", 3)
    tokens.issue(monitor=monitor)
    last = tokens.issue(monitor=monitor).token
    with pytest.raises(tokens.TooManyTokens):
        tokens.issue(monitor=monitor)
    with pytest.raises(tokens.TooManyTokens):
        tokens.import_token(monitor=monitor, secret="uptime-kuma-1")
    assert monitor.tokens.count() == 3
    tokens.revoke(token=last)
    tokens.issue(monitor=monitor)


def test_a_token_that_is_being_replaced_takes_nobodys_place(monitor, monkeypatch):
    monkeypatch.setattr(tokens, "TOKENS_MOST", 2)
    tokens.rotate(token=first_of(monitor))
    tokens.issue(monitor=monitor)
    tokens.rotate(token=monitor.tokens.get(replaced_by=None, replaces=None, replaced_at=None))
    with pytest.raises(tokens.TooManyTokens):
        tokens.issue(monitor=monitor)


# --- import


@pytest.mark.parametrize("secret", ["12345678", "aGVsbG8_d29ybGQ-", "x" * 64])
def test_a_token_of_another_system_can_be_imported_and_pushes(monitor, secret):
    token = tokens.import_token(monitor=monitor, secret=secret, label="kuma")
    assert push(secret) is RECORDED
    assert token.imported
    assert tokens.reveal(token) == secret
    assert audited(monitor, "token.imported")[0].details["label"] == "kuma"


def test_an_imported_token_shows_few_of_its_characters(monitor):
    assert str(tokens.import_token(monitor=monitor, secret="12345678")) == "...78"
    assert str(tokens.import_token(monitor=monitor, secret="0123456789abcdef")) == "...cdef"


@pytest.mark.parametrize(
    "secret", ["", "short", "x" * 65, "with space", "a/b/c/d/e", "tjp_mistyped", "tjp_" + "0" * 36]
)
def test_what_can_be_no_token_is_not_imported(monitor, secret):
    with pytest.raises(tokens.NotAToken):
        tokens.import_token(monitor=monitor, secret=secret)
    assert monitor.tokens.count() == 1


def test_a_token_of_another_instance_can_be_imported(monitor):
    secret = tokens.new_secret()
    tokens.import_token(monitor=monitor, secret=secret)
    assert push(secret) is RECORDED


def test_a_token_that_names_a_monitor_already_is_not_imported(monitor):
    taken = secret_of(make_monitor())
    for secret in (taken, secret_of(monitor)):
        with pytest.raises(tokens.TokenTaken):
            tokens.import_token(monitor=monitor, secret=secret)
    assert monitor.tokens.count() == 1
    assert not audited(monitor, "token.imported")


def test_a_token_that_was_revoked_is_not_imported_again(monitor):
    secret = secret_of(monitor)
    tokens.revoke(token=first_of(monitor))
    with pytest.raises(tokens.TokenTaken):
        tokens.import_token(monitor=monitor, secret=secret)
    assert push(secret) is UNKNOWN


def test_an_imported_token_is_rotated_to_one_of_ours(monitor):
    imported = tokens.import_token(monitor=monitor, secret="uptime-kuma-1", label="host-a")
    new = tokens.rotate(token=imported, overlap=NONE).new
    assert new.secret.startswith("tjp_")
    assert (new.token.imported, new.token.label) == (False, "host-a")
    assert push("uptime-kuma-1") is UNKNOWN


# --- rotate


def test_after_a_rotation_both_tokens_work_for_the_overlap(monitor, by):
    old = secret_of(monitor)
    rotated = tokens.rotate(token=first_of(monitor), by=by)
    assert rotated.new.secret != old
    assert rotated.new.token.created_by == by.user
    assert stored(rotated.old).replaced_by == rotated.new.token
    assert remaining(rotated.old) == pytest.approx(24 * 3600, abs=5)
    assert push(old) is push(rotated.new.secret) is RECORDED


def test_after_the_overlap_the_old_token_stops_and_the_new_one_works(monitor):
    old = secret_of(monitor)
    rotated = tokens.rotate(token=first_of(monitor), overlap=timedelta(hours=1))
    age(rotated.old, minutes=59)
    assert push(old) is RECORDED
    age(rotated.old, minutes=2)
    assert push(old) is UNKNOWN
    assert push(rotated.new.secret) is RECORDED


def test_without_an_overlap_the_old_token_stops_at_once(monitor):
    old = secret_of(monitor)
    rotated = tokens.rotate(token=first_of(monitor), overlap=NONE)
    assert push(old) is UNKNOWN
    assert push(rotated.new.secret) is RECORDED


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_an_overlap_is_none_to_seven_days(monitor, overlap):
    with pytest.raises(ValueError, match="7 days"):
        tokens.rotate(token=first_of(monitor), overlap=overlap)
    old = tokens.rotate(token=first_of(monitor)).old
    with pytest.raises(ValueError, match="7 days"):
        tokens.set_overlap(token=old, remaining=overlap)
    assert monitor.tokens.count() == 2
    assert remaining(old) == pytest.approx(24 * 3600, abs=5)


def test_the_longest_overlap_is_seven_days(monitor):
    old = tokens.rotate(token=first_of(monitor), overlap=timedelta(days=7)).old
    assert remaining(old) == pytest.approx(7 * 86_400, abs=5)


def test_a_rotation_is_of_one_token_and_keeps_its_label(monitor):
    tokens.issue(monitor=monitor, label="host-a")
    second = tokens.issue(monitor=monitor, label="host-b")
    others = secret_of(make_monitor()), tokens.reveal(first_of(monitor))
    rotated = tokens.rotate(token=second.token, overlap=NONE)
    assert rotated.new.token.label == "host-b"
    assert push(second.secret) is UNKNOWN
    assert [push(secret) for secret in others] == [RECORDED] * 2


def test_a_rotation_is_recorded_without_secrets(monitor, by):
    old = secret_of(monitor)
    rotated = tokens.rotate(token=first_of(monitor), overlap=timedelta(hours=2), by=by)
    (entry,) = audited(monitor, "token.rotated")
    assert entry.user == by.user
    assert entry.details == {
        "token": f"tjp_...{old[-4:]}",
        "new_token": f"tjp_...{rotated.new.secret[-4:]}",
        "overlap_seconds": 7200,
    }


def test_a_rotation_leaves_what_pushes_wrote_of_the_old_token(monitor):
    stale = first_of(monitor)
    push(monitor, source="192.0.2.1")
    old = tokens.rotate(token=stale).old
    assert stored(old).last_used_from == "192.0.2.1"


def test_a_second_rotation_during_an_overlap_asks_first(monitor):
    rotated = tokens.rotate(token=first_of(monitor), overlap=timedelta(hours=3))
    for token in (rotated.old, rotated.new.token):
        with pytest.raises(tokens.RotationInProgress) as caught:
            tokens.rotate(token=token)
        assert caught.value.ends_at == stored(rotated.old).expires_at
    assert monitor.tokens.count() == 2


def test_a_forced_rotation_leaves_each_old_token_its_own_time(monitor):
    first = tokens.rotate(token=first_of(monitor), overlap=timedelta(hours=3))
    second = tokens.rotate(token=first.new.token, overlap=timedelta(hours=1), force=True)
    assert remaining(first.old) == pytest.approx(3 * 3600, abs=5)
    assert remaining(second.old) == pytest.approx(3600, abs=5)
    with pytest.raises(tokens.RotationInProgress) as caught:
        tokens.rotate(token=second.new.token)
    assert caught.value.ends_at == stored(first.old).expires_at


def test_rotating_an_old_token_by_force_rotates_the_newest(monitor):
    first = tokens.rotate(token=first_of(monitor))
    second = tokens.rotate(token=first.old, force=True)
    assert second.old == first.new.token
    assert stored(first.old).replaced_by == first.new.token


def test_an_older_token_that_still_works_behind_one_that_was_ended_asks_first_too(monitor):
    first = tokens.rotate(token=first_of(monitor))
    second = tokens.rotate(token=first.new.token, force=True)
    tokens.set_overlap(token=second.old, remaining=NONE)
    with pytest.raises(tokens.RotationInProgress) as caught:
        tokens.rotate(token=second.new.token)
    assert caught.value.ends_at == stored(first.old).expires_at


def test_after_the_overlap_a_rotation_asks_nothing(monitor):
    first = tokens.rotate(token=first_of(monitor), overlap=NONE)
    second = tokens.rotate(token=first.new.token)
    assert second.old == first.new.token


def test_an_overlap_of_one_token_is_none_of_another(monitor):
    other = tokens.issue(monitor=monitor).token
    tokens.rotate(token=first_of(monitor))
    tokens.rotate(token=other)
    assert monitor.tokens.count() == 4


@pytest.mark.parametrize("end", ["revoke", "expire"])
def test_a_token_that_ended_is_not_rotated(monitor, end):
    token = first_of(monitor)
    if end == "revoke":
        tokens.revoke(token=token)
    else:
        tokens.rotate(token=token, overlap=NONE)
    number = monitor.tokens.count()
    with pytest.raises(tokens.TokenInactive):
        tokens.rotate(token=token, force=True)
    assert monitor.tokens.count() == number


def test_an_old_token_whose_successor_was_revoked_can_be_rotated_again(monitor):
    first = tokens.rotate(token=first_of(monitor), overlap=timedelta(hours=1))
    tokens.revoke(token=first.new.token)
    second = tokens.rotate(token=first.old)
    assert second.old == first.old
    assert stored(first.old).replaced_by == second.new.token
    # It was promised to be over by then.
    assert remaining(first.old) == pytest.approx(3600, abs=5)


def test_a_rotation_at_the_most_tokens_is_possible_and_by_force_not_without_end(monitor, monkeypatch):
    monkeypatch.setattr(tokens, "TOKENS_MOST", 1)
    new = tokens.rotate(token=first_of(monitor)).new
    with pytest.raises(tokens.TooManyTokens):
        tokens.rotate(token=new.token, force=True)
    assert monitor.tokens.count() == 2


def test_a_long_line_of_rotations_costs_no_more_statements_than_a_short_one(monitor):
    def cost():
        token = monitor.tokens.get(replaced_by=None)
        with Queries() as queries:
            tokens.rotate(token=token, overlap=NONE)
        return len(queries.statements)

    first = cost()
    for _ in range(5):
        last = cost()
    assert first == last


# --- the overlap


def test_an_overlap_is_extended_from_now_on(monitor, by):
    old = tokens.rotate(token=first_of(monitor), overlap=timedelta(hours=1)).old
    tokens.set_overlap(token=old, remaining=timedelta(days=2), by=by)
    assert remaining(old) == pytest.approx(2 * 86_400, abs=5)
    (entry,) = audited(monitor, "token.overlap_changed")
    assert (entry.user, entry.details["remaining_seconds"]) == (by.user, 2 * 86_400)


def test_an_overlap_is_ended_early(monitor, by):
    secret = secret_of(monitor)
    old = tokens.rotate(token=first_of(monitor)).old
    tokens.set_overlap(token=old, remaining=NONE, by=by)
    assert push(secret) is UNKNOWN
    (entry,) = audited(monitor, "token.overlap_ended")
    assert entry.user == by.user


def test_a_token_that_was_not_rotated_has_no_overlap(monitor):
    with pytest.raises(tokens.NotReplaced):
        tokens.set_overlap(token=first_of(monitor), remaining=DAY)
    assert first_of(monitor).expires_at is None


@pytest.mark.parametrize("end", ["revoke", "expire"])
def test_nothing_brings_a_token_back_that_ended(monitor, end):
    secret = secret_of(monitor)
    old = tokens.rotate(token=first_of(monitor)).old
    if end == "revoke":
        tokens.revoke(token=old)
    else:
        tokens.set_overlap(token=old, remaining=NONE)
    with pytest.raises(tokens.TokenInactive):
        tokens.set_overlap(token=old, remaining=DAY)
    assert push(secret) is UNKNOWN


# --- revoke and rename


def test_a_revoked_token_stops_at_once_and_no_other_does(monitor, by):
    first, second = secret_of(monitor), tokens.issue(monitor=monitor)
    assert tokens.revoke(token=second.token, by=by)
    assert push(second.secret) is UNKNOWN
    assert push(first) is RECORDED
    (entry,) = audited(monitor, "token.revoked")
    assert entry.user == by.user


def test_revoking_twice_is_revoking_once(monitor):
    token = first_of(monitor)
    tokens.revoke(token=token)
    revoked_at = stored(token).revoked_at
    assert not tokens.revoke(token=token)
    assert stored(token).revoked_at == revoked_at
    assert len(audited(monitor, "token.revoked")) == 1


def test_a_token_with_another_label_is_the_same_token(monitor, by):
    secret = secret_of(monitor)
    tokens.rename(token=first_of(monitor), label="host-a", by=by)
    assert first_of(monitor).label == "host-a"
    assert push(secret) is RECORDED
    (entry,) = audited(monitor, "token.renamed")
    assert (entry.details["before"], entry.details["label"]) == ("", "host-a")


def test_the_same_label_again_is_no_change(monitor):
    stale = first_of(monitor)
    tokens.rename(token=first_of(monitor), label="host-a")
    tokens.rename(token=stale, label="host-a")
    assert len(audited(monitor, "token.renamed")) == 1


# --- show


def test_a_token_is_shown_and_the_look_is_recorded(monitor, by):
    token = first_of(monitor)
    shown = tokens.show(monitors=[monitor], tokens=[token], by=by)
    assert shown == {token.pk: secret_of(monitor)}
    (entry,) = audited(monitor, "token.revealed")
    assert (entry.user, entry.address) == (by.user, "192.0.2.7")
    assert entry.details == {"token": str(token)}


def test_looking_again_within_an_hour_is_not_recorded_and_later_it_is(monitor, by):
    token = first_of(monitor)
    for _ in range(3):
        tokens.show(monitors=[monitor], tokens=[token], by=by)
    assert len(audited(monitor, "token.revealed")) == 1
    AuditEntry.objects.update(at=F("at") - timedelta(minutes=61))
    tokens.show(monitors=[monitor], tokens=[token], by=by)
    assert len(audited(monitor, "token.revealed")) == 2


def test_each_viewing_is_recorded_per_actor_and_token(monitor, by):
    second = tokens.issue(monitor=monitor, label="host-a").token
    elsewhere = Actor(by.user, via=by.via, address="192.0.2.8")
    somebody = Actor(make_user(workspace=monitor.workspace), via=by.via, address=by.address)
    for who in (by, elsewhere, somebody):
        tokens.show(monitors=[monitor], tokens=[first_of(monitor)], by=who)
    tokens.show(monitors=[monitor], tokens=[first_of(monitor), second], by=by)
    assert len(audited(monitor, "token.revealed")) == 4


def test_tokens_of_many_monitors_are_shown_with_as_many_statements_as_one(by):
    workspace = make_workspace()
    monitors = [make_monitor(workspace=workspace) for _ in range(20)]
    rows = list(PushToken.objects.filter(monitor__in=monitors).order_by("monitor"))

    def cost(monitors, rows):
        with Queries() as queries:
            assert len(tokens.show(monitors=monitors, tokens=rows, by=by)) == len(rows)
        return len(queries.statements)

    assert cost(monitors[:1], rows[:1]) == cost(monitors[1:], rows[1:]) == 3


def test_nothing_to_show_is_no_look(monitor, by):
    assert tokens.show(monitors=[monitor], tokens=[], by=by) == {}
    token = first_of(monitor)
    token.sealed = "damaged"
    assert tokens.show(monitors=[monitor], tokens=[token], by=by) == {}
    assert not audited(monitor, "token.revealed")


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
    assert push(secret) is RECORDED


def test_a_token_made_after_the_key_was_rotated_is_sealed_with_the_new_key(settings):
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW_KEY, [OLD_KEY]
    issued = tokens.issue(monitor=make_monitor())
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


def test_valid_tokens_are_those_neither_revoked_nor_expired(monitor):
    old = tokens.rotate(token=first_of(monitor)).old
    revoked = tokens.issue(monitor=monitor).token
    tokens.revoke(token=revoked)
    assert monitor.tokens.valid().count() == 2
    age(old, days=2)
    assert list(monitor.tokens.valid()) == [stored(old).replaced_by]


# --- whether the change is complete


def is_complete(monitor, rotated):
    old, new = stored(rotated.old), stored(rotated.new.token)
    return tokens.change_is_complete(old=old, new=new, monitor=monitor, now=database_now())


@pytest.fixture
def rotated():
    """A token that was used until it was rotated five minutes ago, of a monitor with a minute's patience."""
    monitor = make_monitor(timeout=60, grace=0)
    push(monitor)
    rotated = tokens.rotate(token=first_of(monitor))
    age(rotated.old, minutes=5)
    return rotated


def test_a_change_is_complete_when_the_new_token_was_used_and_the_old_one_is_silent(rotated):
    assert not is_complete(rotated.old.monitor, rotated)
    push(rotated.new.secret)
    assert is_complete(rotated.old.monitor, rotated)


def test_a_change_is_not_complete_while_the_old_token_is_still_used(rotated):
    push(rotated.new.secret)
    push(tokens.reveal(rotated.old))
    assert not is_complete(rotated.old.monitor, rotated)


def test_a_change_is_not_complete_before_the_old_token_was_silent_for_longer_than_is_allowed(rotated):
    monitor = rotated.old.monitor
    push(rotated.new.secret)
    monitor.timeout = 360
    assert not is_complete(monitor, rotated)
    age(rotated.old, minutes=3)
    assert is_complete(monitor, rotated)


def test_a_change_is_not_complete_where_the_schedule_cannot_be_evaluated(rotated):
    push(rotated.new.secret)
    monitor = rotated.old.monitor
    monitor.kind, monitor.cron = "cron", "nonsense"
    assert not is_complete(monitor, rotated)


def test_an_old_token_that_was_never_used_counts_from_its_rotation():
    monitor = make_monitor(timeout=60, grace=0)
    rotated = tokens.rotate(token=first_of(monitor))
    push(rotated.new.secret)
    assert not is_complete(monitor, rotated)
    age(rotated.old, minutes=5)
    assert is_complete(monitor, rotated)


# --- all of them together


def test_a_monitor_stays_up_through_a_rotation(monitor):
    old = secret_of(monitor)
    push(old)
    rotated = tokens.rotate(token=first_of(monitor))
    recorder.record([arrival(old), arrival(rotated.new.secret)])
    let_pass(monitor, seconds=30)
    push(rotated.new.secret)
    assert not monitor.incidents.exists()
    assert monitor.heartbeats.count() == 4
