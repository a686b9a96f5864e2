"""The push tokens on a monitor's page, and the lines to copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from monitors.heartbeats import rate_limit
from monitors.history import current
from monitors.models import Heartbeat, Monitor, PushToken
from monitors.services import tokens

# How many of the newest heartbeats are searched for senders that still use an old token.
_HEARTBEATS_SEARCHED = 500
_SENDERS_NAMED = 5


@dataclass(frozen=True, slots=True)
class PushLines:
    """A full push URL and lines that use it; `crontab_line` is None if cron is too slow.

    `test_line` prints the full response, for troubleshooting.
    """

    push_url: str
    curl_line: str
    test_line: str
    crontab_line: str | None = None


@dataclass(frozen=True, slots=True)
class OldToken:
    """A rotated token that is still valid.

    `senders` are the addresses that have used it since, latest first. `complete` is whether they have all
    switched to the new one.
    """

    token: PushToken
    senders: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class TokenRow:
    """An active token on the page, with the old ones that it replaced and that are still valid.

    If it is `shown_in_full`, `lines` are set, unless SECRET_KEY has changed.
    `to_change` is whether it is older than the workspace's maximum age.
    """

    token: PushToken
    old: tuple[OldToken, ...] = ()
    to_change: bool = False
    shown_in_full: bool = False
    lines: PushLines | None = None

    @property
    def id(self) -> str:
        """Its id within the page."""
        return str(self.token.public_id)

    @property
    def masked(self) -> str:
        return masked_url(self.token)


@dataclass(frozen=True, slots=True)
class TokenSection:
    """All active tokens of a monitor, by label and age, and how many pushes per minute each may send."""

    rows: list[TokenRow]
    rate: int

    @property
    def first(self) -> TokenRow | None:
        """The token for the first heartbeat: one that is shown in full, else any."""
        return next((row for row in self.rows if row.lines), self.rows[0] if self.rows else None)

    def row_of(self, public_id: UUID) -> TokenRow | None:
        """Return the row of a token, which may be one of the row's old tokens."""
        for row in self.rows:
            if any(token.public_id == public_id for token in (row.token, *(old.token for old in row.old))):
                return row
        return None


def section(
    monitor: Monitor, now: datetime, shown: Mapping[int, PushLines | None] | None = None
) -> TokenSection:
    """Return the token section of the page of `monitor`, loaded with its workspace.

    Args:
        shown: by row id, the lines of tokens that the reader asked to see; None for one that can't be
            decrypted.
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
            shown_in_full=pk in shown,
            lines=shown.get(pk),
        )
        for pk, token in working.items()
        if newest[pk] == pk
    ]
    return TokenSection(rows, rate_limit.rate_of(monitor))


def _newest_working(working: Mapping[int, PushToken]) -> dict[int, int]:
    """Return for each active token its newest active successor, or itself."""
    heirs = {pk: token.replaced_by_id for pk, token in working.items()}
    unknown = {heir for heir in heirs.values() if heir is not None} - set(working)
    while unknown:
        # A successor that was revoked, and may have been rotated itself: rare, so it may cost a query.
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
    """Return by token the addresses that used it after it was rotated, latest first."""
    rotated_at = {token.pk: token.replaced_at for token in replaced if token.replaced_at}
    found: dict[int, list[str]] = {token.pk: [] for token in replaced}
    if not rotated_at:
        return found
    heartbeats = Heartbeat.objects.filter(monitor=monitor, received_at__gt=min(rotated_at.values()))
    newest = heartbeats.order_by("-received_at", "-pk").values_list("token_id", "source", "received_at")
    for token_id, source, received_at in newest[:_HEARTBEATS_SEARCHED]:
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
    """Return the masked push URL, which everyone may see."""
    return f".../api/push/{token}"


def push_lines(monitor: Monitor, url: str) -> PushLines:
    """Return the lines that push to `url`, which may be masked."""
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
