"""When a failed delivery is retried; without a database and without a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import Random

# The wait after the first attempt, the second, ...; the last one repeats.
WAITS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
)
GIVE_UP_AFTER = timedelta(hours=24)
# However long the receiver asks us to wait, we retry this often.
RETRY_AFTER_MOST = timedelta(hours=1)
_JITTER = 0.1


def next_attempt_at(
    *,
    first_at: datetime,
    attempts: int,
    now: datetime,
    rng: Random,
    retry_after: timedelta | None = None,
) -> datetime | None:
    """Return when to try again after `attempts` (1 or more) failed, or None to give up.

    Each wait varies by 10 % at random, so that deliveries that failed together are not retried together, but
    is never shorter than the receiver asked for with `retry_after` (at most 1 h of it is honoured). There
    are no retries later than 24 h after `first_at`, the first attempt; the event itself may be much older,
    if a snooze or maintenance held it back.
    """
    wait = WAITS[min(attempts, len(WAITS)) - 1] * rng.uniform(1 - _JITTER, 1 + _JITTER)
    if retry_after is not None:
        wait = max(wait, min(retry_after, RETRY_AFTER_MOST))
    time = now + wait
    return None if time > first_at + GIVE_UP_AFTER else time


def parse_retry_after(header: str, *, now: datetime) -> timedelta | None:
    """Return the wait that a Retry-After header asks for (RFC 9110, 10.2.3): seconds or an HTTP date.

    None if the header is not usable; a date in the past means no wait.
    """
    header = header.strip()
    if header.isascii() and header.isdigit():
        # Ten digits are three centuries; more would overflow.
        return timedelta(seconds=int(header[:10]))
    try:
        time = parsedate_to_datetime(header)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return max(time - now, timedelta(0))
