"""Create, import, rotate, show, revoke and look up push tokens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from accounts import audit
from accounts.actors import COMMAND, Actor
from accounts.audit import AuditTarget
from accounts.models import AuditEntry
from core import credentials
from core.clock import database_now
from monitors.domain.schedules import ScheduleError
from monitors.heartbeats.push_token import digest_of
from monitors.heartbeats.recorder import LAST_USED_EVERY_SECONDS
from monitors.locks import lock_state
from monitors.models import Monitor, PushToken
from monitors.models.tokens import PREFIX

OVERLAP_MAX = timedelta(days=7)
OVERLAP_DEFAULT = timedelta(hours=24)
# The same as whole seconds, as people and programs give them.
OVERLAP_MAX_SECONDS = int(OVERLAP_MAX.total_seconds())
OVERLAP_DEFAULT_SECONDS = int(OVERLAP_DEFAULT.total_seconds())
TOKENS_MOST = 100
_PURPOSE = b"tianji push tokens"
# Four characters of an imported token shorter than this would reveal too much.
_SHORT = 16
# A token may have been used since "last used" was written.
_USE_IS_KNOWN_WITHIN = timedelta(seconds=LAST_USED_EVERY_SECONDS)


class TokenError(Exception):
    """The operation on a token is not possible; nothing was changed."""


class TokenInactive(TokenError):
    """The token was revoked or has expired."""


class RotationInProgress(TokenError):
    """The old token of an earlier rotation is valid until `ends_at`; rotating again requires force."""

    def __init__(self, ends_at: datetime | None) -> None:
        super().__init__(ends_at)
        self.ends_at = ends_at


class NotReplaced(TokenError):
    """The token has no successor, so there is no overlap to change."""


class TokenTaken(TokenError):
    """The token to import already belongs to a monitor, perhaps in another workspace."""


class NotAToken(TokenError):
    """The token to import is not 8 to 64 URL-safe characters, or starts with tjp_ and is mistyped."""


class TooManyTokens(TokenError):
    """The monitor has the maximum number of active tokens."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token and its secret, which is not stored in plain text anywhere."""

    token: PushToken
    secret: str


@dataclass(frozen=True, slots=True)
class Rotated:
    """The new token, and the one it replaces, which is valid until its `expires_at`."""

    new: Issued
    old: PushToken


def new_secret() -> str:
    """Return `tjp_`, 30 random base62 characters and 6 of their CRC32, so that typos can be detected."""
    return credentials.new_key(PREFIX)


def reveal(token: PushToken) -> str | None:
    """Return the secret of `token`, or None if SECRET_KEY has changed since it was sealed.

    To show it to someone, call `show` instead, which writes the audit log.
    """
    return credentials.unseal(token.sealed, purpose=_PURPOSE)


def show(*, monitors: Iterable[Monitor], tokens: Iterable[PushToken], by: Actor) -> dict[int, str]:
    """Return the secrets of `tokens` by row id, and record that `by` has seen them.

    The tokens belong to `monitors`, which are in one workspace and loaded with it. Tokens that can
    no longer be decrypted are left out.
    """
    named = {monitor.pk: monitor for monitor in monitors}
    secrets = {token.pk: (token, secret) for token in tokens if (secret := reveal(token)) is not None}
    if secrets:
        audit.record_views(
            workspace=next(iter(named.values())).workspace,
            by=by,
            action=AuditEntry.Action.TOKEN_REVEALED,
            targets=[_target(named[token.monitor_id], token) for token, _ in secrets.values()],
        )
    return {pk: secret for pk, (_, secret) in secrets.items()}


def issue(*, monitor: Monitor, by: Actor = COMMAND, label: str = "") -> Issued:
    """Create another token for `monitor`.

    Raises:
        TooManyTokens: it has TOKENS_MOST active tokens, not counting rotated ones.
    """
    with transaction.atomic():
        lock_state(monitor)
        _require_room(monitor)
        issued = _make(monitor, by, secret=new_secret(), label=label)
        _record(monitor, by, AuditEntry.Action.TOKEN_ISSUED, issued.token)
    return issued


def issue_first(*, monitor: Monitor, by: Actor) -> Issued:
    """Create the first token of `monitor`, in the transaction that creates the monitor."""
    issued = _make(monitor, by, secret=new_secret(), label="")
    _record(monitor, by, AuditEntry.Action.TOKEN_ISSUED, issued.token)
    return issued


def import_token(*, monitor: Monitor, secret: str, by: Actor = COMMAND, label: str = "") -> PushToken:
    """Import `secret`, a token of another system, for `monitor`, so that its senders can keep it.

    Raises:
        NotAToken, TokenTaken, TooManyTokens: see there.
    """
    if digest_of(secret) is None:
        raise NotAToken
    with transaction.atomic():
        lock_state(monitor)
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
    """Replace `token` by a new one with the same label; the old one expires after `overlap`.

    If the token already has a successor, its newest active successor is rotated instead. Of two rotations
    at the same time, one is first, and the other finds an overlap running.

    Args:
        overlap: 0 to 7 days.
        force: rotate even if an earlier rotation's old token is still valid; that one keeps its expiry.

    Raises:
        ValueError: the overlap is out of range.
        TokenInactive: the token was revoked or has expired.
        RotationInProgress: an earlier rotation's old token is still valid, and `force` is not set.
        TooManyTokens: with `force`, twice TOKENS_MOST would be active.
    """
    _require_overlap(overlap)
    with transaction.atomic():
        monitor = token.monitor
        lock_state(monitor)
        now = database_now()
        working = _working_line(token, now)
        if token not in working:
            raise TokenInactive
        *older, newest = working
        newest.monitor = monitor
        if older and not force:
            raise RotationInProgress(max(each.expires_at for each in older if each.expires_at))
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
    """Make `token`, which was rotated and is still valid, expire in `remaining`; 0 expires it immediately.

    Raises:
        ValueError: `remaining` is not 0 to 7 days.
        NotReplaced: it was not rotated; revoke it instead.
        TokenInactive: it was revoked or has expired, which can't be undone.
    """
    _require_overlap(remaining)
    with transaction.atomic():
        monitor = token.monitor
        lock_state(monitor)
        token.refresh_from_db()
        now = database_now()
        if token.replaced_by_id is None:
            raise NotReplaced
        if not token.is_active(now):
            raise TokenInactive
        token.expires_at = now + remaining
        token.save(update_fields=["expires_at"])
        if remaining:
            seconds = int(remaining.total_seconds())
            _record(monitor, by, AuditEntry.Action.TOKEN_OVERLAP_CHANGED, token, remaining_seconds=seconds)
        else:
            _record(monitor, by, AuditEntry.Action.TOKEN_OVERLAP_ENDED, token)
    return token


def revoke(*, token: PushToken, by: Actor = COMMAND) -> bool:
    """Revoke `token`; return False if it was already revoked."""
    with transaction.atomic():
        monitor = token.monitor
        lock_state(monitor)
        revoked = monitor.tokens.filter(pk=token.pk, revoked_at=None).update(revoked_at=database_now())
        if revoked:
            _record(monitor, by, AuditEntry.Action.TOKEN_REVOKED, token)
    token.refresh_from_db()
    return bool(revoked)


def rename(*, token: PushToken, label: str, by: Actor = COMMAND) -> PushToken:
    """Change the label of `token`."""
    with transaction.atomic():
        monitor = token.monitor
        lock_state(monitor)
        token.refresh_from_db()
        before, token.label = token.label, label
        if before != label:
            token.save(update_fields=["label"])
            _record(monitor, by, AuditEntry.Action.TOKEN_RENAMED, token, before=before)
    return token


def change_is_complete(*, old: PushToken, new: PushToken, monitor: Monitor, now: datetime) -> bool:
    """Return whether senders have switched from `old` to `new`: the new one was used, and the old one has
    been idle for longer than the monitor allows."""
    if new.last_used_at is None or old.replaced_at is None:
        return False
    last_used = max(old.replaced_at, old.last_used_at) if old.last_used_at else old.replaced_at
    try:
        deadline = monitor.schedule.due_after(last_used).deadline
    except ScheduleError:
        return False
    return now > deadline + _USE_IS_KNOWN_WITHIN


def _require_overlap(overlap: timedelta) -> None:
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise ValueError("the overlap must be 0 seconds to 7 days")


def _working_line(token: PushToken, now: datetime) -> list[PushToken]:
    """Return the active ones among `token`, its predecessors and its successors, oldest first."""
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
    return [each for each in PushToken.objects.filter(pk__in=line).order_by("pk") if each.is_active(now)]


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


def _target(monitor: Monitor, token: PushToken, **details: Any) -> AuditTarget:
    label = {"label": token.label} if token.label else {}
    return AuditTarget(monitor.public_id, monitor.name, {"token": str(token), **label, **details})


def _record(monitor: Monitor, by: Actor, action: str, token: PushToken, **details: Any) -> None:
    audit.record(workspace=monitor.workspace, by=by, action=action, target=_target(monitor, token, **details))
