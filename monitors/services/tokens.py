"""Issue, import, rotate, show, revoke and look up push tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from accounts import audit
from accounts.actors import COMMAND, Actor
from accounts.audit import Deed
from accounts.models import AuditEntry
from core import credentials
from core.clock import database_now
from monitors.domain.schedules import ScheduleError
from monitors.models import Monitor, MonitorState, PushToken

PREFIX = "tjp_"
OVERLAP_MAX = timedelta(days=7)
OVERLAP_DEFAULT = timedelta(hours=24)
TOKENS_MOST = 100
_ACCEPTABLE = re.compile(r"[A-Za-z0-9_-]{8,64}")
_PURPOSE = b"tianji push tokens"
# Of an imported token shorter than this, four characters would give too much away.
_SHORT = 16
# "Last used" is written once a minute (recorder.py), so a token may have been used since.
_USE_IS_KNOWN_WITHIN = timedelta(seconds=60)


class TokenError(Exception):
    """What was asked of a token cannot be done; nothing was changed."""


class TokenGone(TokenError):
    """The token was revoked or has expired."""


class OverlapRunning(TokenError):
    """A token that was rotated before still works, until `ends_at`; to rotate again has to be forced."""

    def __init__(self, ends_at: datetime | None) -> None:
        super().__init__(ends_at)
        self.ends_at = ends_at


class NotReplaced(TokenError):
    """The token has no successor, so there is no overlap to change."""


class TokenTaken(TokenError):
    """The token to import names a monitor already, perhaps of another workspace."""


class NotAToken(TokenError):
    """What is to be imported is not 8 to 64 URL-safe characters, or begins with tjp_ and is mistyped."""


class TooManyTokens(TokenError):
    """The monitor has as many tokens that work as it may have."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token and its secret, which is not stored in the clear anywhere."""

    token: PushToken
    secret: str


@dataclass(frozen=True, slots=True)
class Rotated:
    """The new token, and the one it replaces, which works until its `expires_at`."""

    new: Issued
    old: PushToken


def new_secret() -> str:
    """Return `tjp_`, 30 random base62 characters and 6 of their CRC32, so that a typo can be told."""
    return credentials.new_key(PREFIX)


def digest_of(secret: str) -> str | None:
    """Return the look-up key of `secret`, or None for what can be no token.

    Tokens are 8-64 URL-safe characters, and those that begin with tjp_ have a checksum: a typo does
    not even reach the database.
    """
    if not _ACCEPTABLE.fullmatch(secret) or credentials.is_mistyped(secret, PREFIX):
        return None
    return credentials.digest(secret)


def reveal(token: PushToken) -> str | None:
    """Return the secret of `token`, or None where SECRET_KEY is no longer the one it was sealed with.

    Whoever shows it to somebody calls `show` instead, which keeps the record.
    """
    return credentials.unseal(token.sealed, purpose=_PURPOSE)


def show(*, monitors: Iterable[Monitor], tokens: Iterable[PushToken], by: Actor) -> dict[int, str]:
    """Return the secrets of `tokens` by their row ids, and record that `by` has seen them.

    The tokens are of `monitors`, which are of one workspace and loaded with it. Those that cannot be
    opened any more are left out.
    """
    named = {monitor.pk: monitor for monitor in monitors}
    secrets = {token.pk: (token, secret) for token in tokens if (secret := reveal(token)) is not None}
    if secrets:
        audit.record_looks(
            workspace=next(iter(named.values())).workspace,
            by=by,
            action=AuditEntry.Action.TOKEN_REVEALED,
            deeds=[_deed(named[token.monitor_id], token) for token, _ in secrets.values()],
        )
    return {pk: secret for pk, (_, secret) in secrets.items()}


def issue(*, monitor: Monitor, by: Actor = COMMAND, label: str = "") -> Issued:
    """Make a further token for `monitor`.

    Raises:
        TooManyTokens: it has TOKENS_MOST, not counting those that were rotated.
    """
    with transaction.atomic():
        _hold(monitor)
        _require_room(monitor)
        issued = _make(monitor, by, secret=new_secret(), label=label)
        _record(monitor, by, AuditEntry.Action.TOKEN_ISSUED, issued.token)
    return issued


def import_token(*, monitor: Monitor, secret: str, by: Actor = COMMAND, label: str = "") -> PushToken:
    """Let `secret`, a token of another system, name `monitor`, so that its senders need not change.

    Raises:
        NotAToken, TokenTaken, TooManyTokens: as they say.
    """
    if digest_of(secret) is None:
        raise NotAToken
    with transaction.atomic():
        _hold(monitor)
        _require_room(monitor)
        try:
            with transaction.atomic():
                token = _make(monitor, by, secret=secret, label=label, imported=True).token
        except IntegrityError:
            raise TokenTaken from None
        _record(monitor, by, AuditEntry.Action.TOKEN_IMPORTED, token)
    return token


def rotate(
    *, token: PushToken, by: Actor = COMMAND, overlap: timedelta = OVERLAP_DEFAULT, force: bool = False
) -> Rotated:
    """Replace `token` by a new one with its label; the old one works for `overlap` more.

    A token that has a successor already stands for the newest of them that works. Of two rotations at
    once one comes first, and the other finds an overlap running.

    Args:
        overlap: 0 to 7 days.
        force: rotate although an earlier rotation's old token still works; it keeps its own time.

    Raises:
        ValueError: the overlap is out of range.
        TokenGone: the token does not work any more.
        OverlapRunning: a token rotated earlier still works, and not `force`.
        TooManyTokens: by force, so often that twice TOKENS_MOST work.
    """
    _require_overlap(overlap)
    with transaction.atomic():
        monitor = _hold(token.monitor)
        now = database_now()
        working = _working_line(token, now)
        if token not in working:
            raise TokenGone
        *older, newest = working
        newest.monitor = monitor
        if older and not force:
            raise OverlapRunning(max(each.expires_at for each in older if each.expires_at))
        if monitor.tokens.valid().count() >= 2 * TOKENS_MOST:
            raise TooManyTokens
        issued = _make(monitor, by, secret=new_secret(), label=newest.label)
        ends = now + overlap
        newest.expires_at = min(newest.expires_at, ends) if newest.expires_at else ends
        newest.replaced_by, newest.replaced_at = issued.token, now
        newest.save(update_fields=["expires_at", "replaced_by", "replaced_at"])
        details = {"new_token": str(issued.token), "overlap_seconds": int(overlap.total_seconds())}
        _record(monitor, by, AuditEntry.Action.TOKEN_ROTATED, newest, **details)
    return Rotated(issued, newest)


def set_overlap(*, token: PushToken, remaining: timedelta, by: Actor = COMMAND) -> PushToken:
    """Let `token`, which was rotated and still works, work for `remaining` from now on; 0 ends it.

    Raises:
        ValueError: `remaining` is not 0 to 7 days.
        NotReplaced: it was not rotated; revoke it to end it.
        TokenGone: it does not work any more, and nothing brings it back.
    """
    _require_overlap(remaining)
    with transaction.atomic():
        monitor = _hold(token.monitor)
        token.refresh_from_db()
        now = database_now()
        if token.replaced_by_id is None:
            raise NotReplaced
        if not _works(token, now):
            raise TokenGone
        token.expires_at = now + remaining
        token.save(update_fields=["expires_at"])
        if remaining:
            seconds = int(remaining.total_seconds())
            _record(monitor, by, AuditEntry.Action.TOKEN_OVERLAP_CHANGED, token, remaining_seconds=seconds)
        else:
            _record(monitor, by, AuditEntry.Action.TOKEN_OVERLAP_ENDED, token)
    return token


def revoke(*, token: PushToken, by: Actor = COMMAND) -> bool:
    """End `token` at once; return False where it had been revoked before."""
    with transaction.atomic():
        monitor = _hold(token.monitor)
        revoked = monitor.tokens.filter(pk=token.pk, revoked_at=None).update(revoked_at=database_now())
        if revoked:
            _record(monitor, by, AuditEntry.Action.TOKEN_REVOKED, token)
    token.refresh_from_db()
    return bool(revoked)


def rename(*, token: PushToken, label: str, by: Actor = COMMAND) -> PushToken:
    """Give `token` another label."""
    with transaction.atomic():
        monitor = _hold(token.monitor)
        token.refresh_from_db()
        before, token.label = token.label, label
        if before != label:
            token.save(update_fields=["label"])
            _record(monitor, by, AuditEntry.Action.TOKEN_RENAMED, token, before=before)
    return token


def change_is_complete(*, old: PushToken, new: PushToken, monitor: Monitor, now: datetime) -> bool:
    """Return whether senders have gone from `old` to `new`: the new one was used, and the old one has
    been silent for longer than the monitor allows."""
    if new.last_used_at is None or old.replaced_at is None:
        return False
    spoke = max(old.replaced_at, old.last_used_at) if old.last_used_at else old.replaced_at
    try:
        deadline = monitor.schedule.due_after(spoke).deadline
    except ScheduleError:
        return False
    return now > deadline + _USE_IS_KNOWN_WITHIN


def _require_overlap(overlap: timedelta) -> None:
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise ValueError("the overlap is 0 seconds to 7 days")


def _hold(monitor: Monitor) -> Monitor:
    """Lock the monitor's state, as the recorder does: what is done to its tokens comes one by one."""
    MonitorState.objects.select_for_update().get(monitor=monitor)
    return monitor


def _works(token: PushToken, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def _working_line(token: PushToken, now: datetime) -> list[PushToken]:
    """Return those of `token`, what it replaced and what replaced it that work, oldest first."""
    replaced = PushToken.objects.filter(monitor=token.monitor_id, replaced_by__isnull=False)
    after = dict(replaced.values_list("pk", "replaced_by_id"))
    before = {successor: pk for pk, successor in after.items()}
    line, earlier, later = {token.pk}, before.get(token.pk), after.get(token.pk)
    while earlier is not None:
        line.add(earlier)
        earlier = before.get(earlier)
    while later is not None:
        line.add(later)
        later = after.get(later)
    return [each for each in PushToken.objects.filter(pk__in=line).order_by("pk") if _works(each, now)]


def _require_room(monitor: Monitor) -> None:
    if monitor.tokens.valid().filter(replaced_by=None).count() >= TOKENS_MOST:
        raise TooManyTokens


def _make(monitor: Monitor, by: Actor, *, secret: str, label: str, imported: bool = False) -> Issued:
    token = PushToken.objects.create(
        monitor=monitor,
        label=label,
        digest=credentials.digest(secret),
        sealed=credentials.seal(secret, purpose=_PURPOSE),
        last_four=secret[-4:] if len(secret) >= _SHORT else secret[-2:],
        created_at=database_now(),
        created_by=by.user,
        imported=imported,
    )
    return Issued(token, secret)


def _deed(monitor: Monitor, token: PushToken, **details: Any) -> Deed:
    label = {"label": token.label} if token.label else {}
    return Deed(monitor.public_id, monitor.name, {"token": str(token), **label, **details})


def _record(monitor: Monitor, by: Actor, action: str, token: PushToken, **details: Any) -> None:
    audit.record(workspace=monitor.workspace, by=by, action=action, deed=_deed(monitor, token, **details))
