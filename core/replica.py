"""Reads from a replica of the database, if one is set up: long reads of what no longer changes.

Only blocks that ask for it read there, and none that records or decides anything. Each says until when its
rows must be complete, so what was just written is never missing; a replica that is not that far is not read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections

log = structlog.get_logger(__name__)

ALIAS = "replica"

# A transaction may commit so long after the time that it wrote; longer statements are cancelled.
_COMMITTED_WITHIN = timedelta(seconds=30)
# For how long an answer counts, and a replica that didn't respond is left alone: waiting for one takes long.
_ASK_EVERY_SECONDS, _LEAVE_ALONE_SECONDS = 5.0, 30.0
# The time of the primary's last commit that was replayed. A primary in its place has all.
_REPLAYED = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_xact_replay_timestamp() ELSE clock_timestamp() END"
)


@dataclass(slots=True)
class _Known:
    """What the replica has replayed, as this process last asked; nothing while it is away."""

    replayed: datetime | None = None
    ask_at: float = 0.0


_known = _Known()


@contextmanager
def reading(*, complete_until: datetime) -> Iterator[bool]:
    """Make the block's queries on the replica; yields whether it does.

    On the usual database, if there is no replica, or it lacks what was written until `complete_until`, or
    inside a transaction. Writing in the block is an error.
    """
    own = connections[DEFAULT_DB_ALIAS]
    if ALIAS not in settings.DATABASES or own.in_atomic_block or not _has_all(until=complete_until):
        yield False
        return
    replica = connections[ALIAS]
    try:
        replica.ensure_connection()
    except Error as error:
        _leave_alone(error)
        yield False
        return
    connections[DEFAULT_DB_ALIAS] = replica
    try:
        yield True
    finally:
        connections[DEFAULT_DB_ALIAS] = own
        # Back to its pool.
        replica.close()


def _has_all(*, until: datetime) -> bool:
    if time.monotonic() >= _known.ask_at:
        _ask()
    return _known.replayed is not None and _known.replayed - _COMMITTED_WITHIN >= until


def _ask() -> None:
    replica = connections[ALIAS]
    try:
        with replica.cursor() as cursor:
            cursor.execute(_REPLAYED)
            (_known.replayed,) = cursor.fetchone()
            _known.ask_at = time.monotonic() + _ASK_EVERY_SECONDS
    except Error as error:
        _leave_alone(error)
    finally:
        replica.close()


def _leave_alone(error: Error) -> None:
    log.warning("the replica is not read", error=str(error).strip())
    _known.replayed, _known.ask_at = None, time.monotonic() + _LEAVE_ALONE_SECONDS
