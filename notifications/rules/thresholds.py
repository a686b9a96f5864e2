"""How many failures it takes until people are told: arithmetic, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from notifications.rules.effective import Tolerance

# How soon what hangs on the next heartbeat is looked at again.
LOOK_AGAIN = timedelta(seconds=2)


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
    missed_at: Sequence[datetime],
    ended_at: datetime | None,
    now: datetime,
    before: Sequence[bool] = (),
) -> datetime | None:
    """Return None where enough heartbeats are missing, else when to look again.

    Args:
        missed_at: when a heartbeat is missing in a silence that lasts, in order: at least the first of them,
            and all until now.
        ended_at: when the silence ended, if it did.
        before: what came before the silence, newest first: True for a heartbeat that was missing.
    """
    # The first one is what opened the incident, whatever the clocks say.
    missing = 1 + sum(at <= (ended_at or now) for at in missed_at[1 : tolerance.of])
    short = tolerance.needed - missing - sum(before[: tolerance.of - missing])
    if short <= 0:
        return None
    # Each one that is missing from now on may push one out at the other end.
    return max([*missed_at[missing : missing + 1], now + LOOK_AGAIN])
