"""The SQL statements of the hot path.

With the ORM, building these statements took several times as long as running them. Each is one text for
PostgreSQL and SQLite, apart from a few dialect differences, and always the same text whatever the size of
the batch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any

from django.db import connection

from accounts.models import Workspace
from core.clock import sql_now
from core.sql import as_select, run, write_time
from monitors.domain.value_rules import ValueRules
from monitors.heartbeats.parser import Push
from monitors.models import Heartbeat, Monitor, MonitorState, PushToken

TOKENS = PushToken._meta.db_table
STATES = MonitorState._meta.db_table
MONITORS = Monitor._meta.db_table
WORKSPACES = Workspace._meta.db_table
HEARTBEATS = Heartbeat._meta.db_table

# Columns with their PostgreSQL types; SQLite uses JSON's types.
_STATE_COLUMNS = {
    "workspace_id": "bigint",
    "monitor_id": "bigint",
    "status": "text",
    "status_changed_at": "timestamptz",
    "last_heartbeat_at": "timestamptz",
    "last_message": "text",
    "last_value": "float8",
    "due_at": "timestamptz",
    "fault": "text",
    "recent_outcomes": "bigint",
}
_STATE_KEY = ("workspace_id", "monitor_id")
_HEARTBEAT_COLUMNS = {
    "workspace_id": "bigint",
    "monitor_id": "bigint",
    "received_at": "timestamptz",
    "status": "text",
    "value": "float8",
    "message": "text",
    "source": "inet",
    "token_id": "bigint",
}


def _is_postgresql() -> bool:
    return connection.vendor == "postgresql"


@dataclass(frozen=True, slots=True)
class FoundToken:
    """An active token, and what it can change of its monitor.

    `quiet`: a good push changes nothing, because the monitor is up and not yet due. `spare`: a good push
    may be left out, because the monitor is paused, or is up and at most half of the time from its last
    heartbeat until it is due has passed, so that a sender that keeps this pace pushes again in time.
    `use_is_old`: it is time to write the token's last use again. `push_rate` is the number of pushes per
    minute set on the monitor or its workspace, None if on neither. `rules` are those for values, None if
    there are none.
    """

    token_id: int
    workspace_id: int
    monitor_id: int
    post_only: bool
    quiet: bool
    spare: bool
    use_is_old: bool
    push_rate: int | None
    rules: ValueRules | None

    @property
    def key(self) -> tuple[int, int]:
        """The ids of workspace and monitor."""
        return self.workspace_id, self.monitor_id

    def is_good(self, push: Push) -> bool:
        """Return whether a push is good: up, with a value that the rules allow."""
        return push.up and (self.rules is None or self.rules.allow(push.value, readable=not push.unreadable))


class Lock(Enum):
    """How `find_tokens` treats the states of the monitors."""

    WAIT = "FOR UPDATE OF s"
    # Those that others hold are left out.
    SKIP = "FOR UPDATE OF s SKIP LOCKED"
    # They may change at any time.
    NONE = ""


def find_tokens(
    digests: Collection[str], *, use_is_old_after: int, lock: Lock
) -> tuple[dict[str, FoundToken], datetime]:
    """Find the tokens of `digests`, and lock the states of their monitors, in order of the monitors.

    Return the active tokens by digest, and the database's time. That time is after every change committed to
    one of these states: if the statement waited for a lock and the row has changed since, PostgreSQL
    evaluates the whole row again, including the clock. If the row has not changed, the time is that of the
    start of the statement; a caller that waited long calls again, now that it holds the locks.
    `use_is_old_after` is in seconds.
    """
    with connection.cursor() as cursor:
        given = list(digests) if _is_postgresql() else json.dumps(list(digests))
        cursor.execute(_find_statement(_is_postgresql(), lock), [use_is_old_after, given])
        rows = cursor.fetchall()
    held = {digest: _held(*row) for digest, *row, _epoch in rows}
    now = max((float(epoch) for *_, epoch in rows), default=0.0)
    return held, datetime.fromtimestamp(now, UTC)


def _held(
    token_id: int,
    workspace_id: int,
    monitor_id: int,
    post_only: bool,
    quiet: bool,
    spare: bool,
    use_is_old: bool,
    push_rate: int | None,
    low: float | None,
    high: float | None,
    required: bool,
) -> FoundToken:
    # SQLite has no booleans.
    rules = ValueRules(low, high, bool(required)) if required or low is not None or high is not None else None
    flags = bool(post_only), bool(quiet), bool(spare), bool(use_is_old)
    return FoundToken(token_id, workspace_id, monitor_id, *flags, push_rate, rules)


@cache
def _find_statement(postgresql: bool, lock: Lock) -> str:
    if postgresql:
        among, locked = "= ANY(%s)", lock.value
        since_use = "extract(epoch from clock_timestamp() - t.last_used_at)"
        spare = "s.due_at - clock_timestamp() >= clock_timestamp() - s.last_heartbeat_at"
        epoch = "extract(epoch from clock_timestamp())"
    else:
        among, locked = "IN (SELECT value FROM json_each(%s))", ""
        since_use = "(julianday('now') - julianday(t.last_used_at)) * 86400"
        spare = "julianday(s.due_at) + julianday(s.last_heartbeat_at) >= 2 * julianday('now')"
        # With the milliseconds of a stored time.
        epoch = "(strftime('%%s', 'now') || substr(strftime('%%f', 'now'), 3))"
    now = sql_now()
    return (
        f"SELECT t.digest, t.id, s.workspace_id, s.monitor_id, m.post_only,"
        f" s.status = 'up' AND s.due_at > {now},"
        f" s.status = 'paused' OR s.status = 'up' AND {spare},"
        f" COALESCE({since_use} > %s, TRUE), COALESCE(m.push_rate, w.push_rate),"
        f" m.value_min, m.value_max, m.value_required, {epoch}"
        f" FROM {of_tokens()}"
        f" WHERE t.digest {among} AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > {now})"
        f" ORDER BY s.monitor_id {locked}"
    )


def of_tokens() -> str:
    """Return what a push needs to know, joined: tokens `t`, monitors `m`, states `s` and workspaces `w`."""
    return (
        f"{TOKENS} t JOIN {MONITORS} m ON m.id = t.monitor_id AND m.workspace_id = t.workspace_id"
        f" JOIN {STATES} s ON s.monitor_id = m.id AND s.workspace_id = m.workspace_id"
        f" JOIN {WORKSPACES} w ON w.id = m.workspace_id"
    )


def active_tokens(digests: Collection[str]) -> frozenset[str]:
    """Return those of `digests` that are of active tokens."""
    return frozenset(PushToken.objects.valid().filter(digest__in=digests).values_list("digest", flat=True))


def touch(heartbeats: dict[tuple[int, int], tuple[str, float | None, int]], *, at: datetime) -> None:
    """Write the last heartbeat of monitors whose status is unchanged, all of whose heartbeats are good.

    Args:
        heartbeats: by workspace and monitor id, the last message and value, and the number of heartbeats.
    """
    run(
        _touch_statement(_is_postgresql()),
        [(*ids, write_time(at), *heartbeat) for ids, heartbeat in heartbeats.items()],
    )


@cache
def _touch_statement(postgresql: bool) -> str:
    names = (*_STATE_KEY, "last_heartbeat_at", "last_message", "last_value")
    columns = {name: _STATE_COLUMNS[name] for name in names} | {"good": "int"}
    # As domain.thresholds.shifted does it for each. PostgreSQL shifts by the remainder of 64.
    outcomes = f"CASE WHEN given.good < 64 THEN {STATES}.recent_outcomes << given.good ELSE 0 END"
    return _update_statement(columns, postgresql, good=f"recent_outcomes = {outcomes}")


def write_states(states: Iterable[MonitorState]) -> None:
    """Write states that the caller has locked, in one statement."""
    run(
        _write_states_statement(_is_postgresql()),
        [
            (
                state.workspace_id,
                state.monitor_id,
                state.status,
                write_time(state.status_changed_at),
                write_time(state.last_heartbeat_at),
                state.last_message,
                state.last_value,
                write_time(state.due_at),
                state.fault,
                state.recent_outcomes,
            )
            for state in states
        ],
    )


@cache
def _write_states_statement(postgresql: bool) -> str:
    return _update_statement(_STATE_COLUMNS, postgresql)


def _update_statement(columns: dict[str, str], postgresql: bool, **others: str) -> str:
    """Return a statement that sets each of `columns` as given, except for those in `others`."""
    assignments = ", ".join(
        others.get(name, f"{name} = given.{name}") for name in columns if name not in _STATE_KEY
    )
    given = as_select(columns, postgresql)
    return (
        f"UPDATE {STATES} SET {assignments} FROM ({given}) AS given"
        f" WHERE {' AND '.join(f'{STATES}.{name} = given.{name}' for name in _STATE_KEY)}"
    )


def insert_heartbeats(rows: Iterable[tuple[Any, ...]], *, received_at: datetime) -> None:
    """Insert rows of (workspace id, monitor id, status, value, message, source address, token id)."""
    at = write_time(received_at)
    statement = _insert_heartbeats_statement(_is_postgresql())
    run(statement, [(workspace_id, monitor_id, at, *rest) for workspace_id, monitor_id, *rest in rows])


@cache
def _insert_heartbeats_statement(postgresql: bool) -> str:
    names = ", ".join(_HEARTBEAT_COLUMNS)
    given = as_select(_HEARTBEAT_COLUMNS, postgresql)
    return f"INSERT INTO {HEARTBEATS} ({names}) SELECT {names} FROM ({given}) AS given"


def note_use(used: dict[tuple[int, int], str | None], *, at: datetime) -> None:
    """Write when and from where tokens were used: by workspace and token id, the sender's address."""
    run(
        _note_use_statement(_is_postgresql()),
        [(*ids, write_time(at), source) for ids, source in used.items()],
    )


@cache
def _note_use_statement(postgresql: bool) -> str:
    columns = {"workspace_id": "bigint", "id": "bigint", "used_at": "timestamptz", "used_from": "inet"}
    return (
        f"UPDATE {TOKENS} SET last_used_at = given.used_at, last_used_from = given.used_from"
        f" FROM ({as_select(columns, postgresql)}) AS given"
        f" WHERE {TOKENS}.id = given.id AND {TOKENS}.workspace_id = given.workspace_id"
    )
