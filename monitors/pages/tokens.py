"""What a monitor's page says of its push tokens, and the lines to copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from monitors.heartbeats import rate_limit
from monitors.history import current
from monitors.models import Heartbeat, Monitor, PushToken
from monitors.services import tokens

# Who still uses an old token is looked for in so many of the newest heartbeats.
_HEARTBEATS_LOOKED_AT = 500
_SENDERS_NAMED = 5


@dataclass(frozen=True, slots=True)
class PushLines:
    """A push URL in full and lines that use it; `crontab_line` is None where cron is too slow.

    `test_line` prints the whole answer, for people who look for what goes wrong.
    """

    push_url: str
    curl_line: str
    test_line: str
    crontab_line: str | None = None


@dataclass(frozen=True, slots=True)
class OldToken:
    """A token that was rotated and still works.

    `senders` are the addresses that used it since, the latest first. `complete` is whether they have
    all gone over to the new one.
    """

    token: PushToken
    senders: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A working token as the page shows it, with the working ones it replaced.

    `asked` is whether it is to be shown in full; `lines` then are, unless SECRET_KEY has changed.
    `to_change` is whether it is older than the workspace wants.
    """

    token: PushToken
    old: tuple[OldToken, ...] = ()
    to_change: bool = False
    asked: bool = False
    lines: PushLines | None = None

    @property
    def id(self) -> str:
        """What names it in a page."""
        return str(self.token.public_id)

    @property
    def masked(self) -> str:
        return masked_url(self.token)


@dataclass(frozen=True, slots=True)
class TokenSection:
    """All working tokens of a monitor, by label and age, and how many pushes a minute each may send."""

    rows: list[TokenRow]
    rate: int

    @property
    def first(self) -> TokenRow | None:
        """The one to send the first heartbeat with: one that is shown, else any."""
        return next((row for row in self.rows if row.lines), self.rows[0] if self.rows else None)

    def row_of(self, public_id: UUID) -> TokenRow | None:
        """Return the row of a token, which may be among its old ones."""
        for row in self.rows:
            if any(token.public_id == public_id for token in (row.token, *(old.token for old in row.old))):
                return row
        return None


def section(
    monitor: Monitor, now: datetime, shown: Mapping[int, PushLines | None] | None = None
) -> TokenSection:
    """Return what the page of `monitor`, loaded with its workspace, says of its tokens.

    Args:
        shown: by row id, the lines of tokens that the reader asked to see; None for one that cannot be.
    """
    shown = shown or {}
    working = {
        token.pk: token
        for token in monitor.tokens.valid()
        .select_related("replaced_by")
        .order_by("label", "created_at", "id")
    }
    newest = _newest_working(working)
    replaced = [token for token in working.values() if newest[token.pk] != token.pk]
    senders = _senders(monitor, replaced) if replaced else {}
    old: dict[int, list[OldToken]] = {pk: [] for pk in working}
    for token in reversed(replaced):
        heir = working[newest[token.pk]]
        complete = tokens.change_is_complete(old=token, new=heir, monitor=monitor, now=now)
        old[heir.pk].append(OldToken(token, tuple(senders[token.pk]), complete))
    rows = [
        TokenRow(
            token,
            old=tuple(old[pk]),
            to_change=_is_to_change(token, monitor.workspace.token_age_days, now),
            asked=pk in shown,
            lines=shown.get(pk),
        )
        for pk, token in working.items()
        if newest[pk] == pk
    ]
    return TokenSection(rows, rate_limit.rate_of(monitor))


def _newest_working(working: Mapping[int, PushToken]) -> dict[int, int]:
    """Return for each working token the newest working one of those that replaced it, or itself."""
    heirs = {pk: token.replaced_by_id for pk, token in working.items()}
    unknown = {heir for heir in heirs.values() if heir is not None} - set(working)
    while unknown:
        # A successor that was revoked, and may have been rotated before: rare, so it costs a query.
        found = dict(PushToken.objects.filter(pk__in=unknown).values_list("pk", "replaced_by_id"))
        heirs |= found
        unknown = {heir for heir in found.values() if heir is not None} - set(heirs)
    newest = {}
    for pk in working:
        newest[pk] = at = pk
        while (heir := heirs.get(at)) is not None:
            at = heir
            if at in working:
                newest[pk] = at
    return newest


def _senders(monitor: Monitor, replaced: Iterable[PushToken]) -> dict[int, list[str]]:
    """Return by token the addresses that used it after it was rotated, the latest first."""
    rotated_at = {token.pk: token.replaced_at for token in replaced if token.replaced_at}
    found: dict[int, list[str]] = {token.pk: [] for token in replaced}
    if not rotated_at:
        return found
    heartbeats = Heartbeat.objects.filter(monitor=monitor, received_at__gt=min(rotated_at.values()))
    newest = heartbeats.order_by("-received_at", "-pk").values_list("token_id", "source", "received_at")
    for token_id, source, received_at in newest[:_HEARTBEATS_LOOKED_AT]:
        senders = found.get(token_id)
        if senders is None or not source or received_at <= rotated_at[token_id]:
            continue
        if source not in senders and len(senders) < _SENDERS_NAMED:
            senders.append(source)
    return found


def _is_to_change(token: PushToken, age_days: int | None, now: datetime) -> bool:
    if age_days is None or token.replaced_by_id is not None:
        return False
    return token.created_at < now - timedelta(days=age_days)


def masked_url(token: PushToken) -> str:
    """Return the push URL as everybody may see it."""
    return f".../api/push/{token}"


def push_lines(monitor: Monitor, url: str) -> PushLines:
    """Return the lines that push to `url`, which may be a masked one."""
    times = current.crontab_times(monitor)
    return PushLines(
        push_url=url,
        curl_line=f'curl -fsS -X POST "{url}?status=up&msg=OK"',
        test_line=f'curl -sS -i -X POST "{url}?status=up&msg=Test"',
        crontab_line=times
        and (
            f"{times} /path/to/job; curl -fsS -m 10 --retry 3 -o /dev/null -X POST "
            f'"{url}?status=$([ $? -eq 0 ] && echo up || echo down)"'
        ),
    )
