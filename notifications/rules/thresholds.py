"""Failure thresholds: arithmetic, without a database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from notifications.rules.effective import Threshold

# How soon a delivery that depends on the next heartbeat is judged again.
RECHECK_AFTER = timedelta(seconds=2)


def after_reports(
    tolerance: Threshold, failures: Sequence[bool], *, now: datetime, silent_at: datetime | None = None
) -> datetime | None:
    """Return None if a monitor has reached its threshold of reports, else when to judge again.

    A sender that reports a failure and then falls silent is not waited for: silence past `silent_at` counts.

    Args:
        failures: whether each of its last heartbeats was a failure, newest first.
        silent_at: the deadline of the next heartbeat, if there is one.
    """
    if sum(failures[: tolerance.of]) >= tolerance.needed or (silent_at is not None and silent_at <= now):
        return None
    return now + RECHECK_AFTER


def after_silence(
    tolerance: Threshold,
    *,
    missed_at: Sequence[datetime],
    ended_at: datetime | None,
    now: datetime,
    before: Sequence[bool] = (),
) -> datetime | None:
    """Return None if enough heartbeats were missed, else when to judge again.

    Args:
        missed_at: when heartbeats are missed in this silence, in order: at least the first one, and all until
            now.
        ended_at: when the silence ended, if it did.
        before: what preceded the silence, newest first: True for a missed heartbeat.
    """
    # The first one opened the incident, whatever the clocks say.
    missing = 1 + sum(at <= (ended_at or now) for at in missed_at[1 : tolerance.of])
    short = tolerance.needed - missing - sum(before[: tolerance.of - missing])
    if short <= 0:
        return None
    # Each further miss may push an older one out of the window.
    return max([*missed_at[missing : missing + 1], now + RECHECK_AFTER])
