"""How many failures it takes until people are told: arithmetic, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from notifications.judging import LOOK_AGAIN
from notifications.rules import Tolerance


def after_reports(
    tolerance: Tolerance, failures: Sequence[bool], *, now: datetime, silent_at: datetime | None = None
) -> datetime | None:
    """Return None where a monitor failed often enough, else when to look again.

    Who reports a failure and is never heard again is not waited for: silence past `silent_at` is enough.

    Args:
        failures: of its last heartbeats, newest first: whether each was a failure.
        silent_at: the deadline of the next heartbeat, if there is one.
    """
    if sum(failures[: tolerance.of]) >= tolerance.needed or (silent_at is not None and silent_at <= now):
        return None
    return now + LOOK_AGAIN


def after_silence(
    tolerance: Tolerance,
    *,
    started_at: datetime,
    ended_at: datetime | None,
    now: datetime,
    period: timedelta,
    before: Sequence[bool] = (),
) -> datetime | None:
    """Return None where enough heartbeats are missing, else when to look again.

    The first one is missing at `started_at`, and another one after each `period` of silence.

    Args:
        ended_at: when the silence ended, if it did.
        before: what came before the silence, newest first: True for a heartbeat that was missing.
    """
    silence = max((ended_at or now) - started_at, timedelta(0))
    missing = min(1 + silence // period, tolerance.of)
    short = tolerance.needed - missing - sum(before[: tolerance.of - missing])
    if short <= 0:
        return None
    # Each one that is missing from now on may push one out at the other end.
    return max(started_at + missing * period, now + LOOK_AGAIN)
