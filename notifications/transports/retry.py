"""When a delivery that failed is tried again; without a database and without a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import Random

# The wait after the first attempt, the second, ...; after the last of them, that one again.
WAITS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
)
GIVE_UP_AFTER = timedelta(hours=24)
# However long the other side asks us to stay away, we ask again this often.
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

    Each wait is 10 % shorter or longer at random, so that what failed together does not come back
    together, but never shorter than the other side asked for with `retry_after` (1 h at most of it
    is honoured). Given up is what would be tried later than 24 h after `first_at`, the first attempt: what
    happened may be much older, where people were not to hear of it before.
    """
    wait = WAITS[min(attempts, len(WAITS)) - 1] * rng.uniform(1 - _JITTER, 1 + _JITTER)
    if retry_after is not None:
        wait = max(wait, min(retry_after, RETRY_AFTER_MOST))
    time = now + wait
    return None if time > first_at + GIVE_UP_AFTER else time


def parse_retry_after(header: str, *, now: datetime) -> timedelta | None:
    """Return the wait that a Retry-After header asks for (RFC 9110, 10.2.3): seconds or an HTTP date.

    None where the header says nothing usable; a date in the past is no wait.
    """
    header = header.strip()
    if header.isascii() and header.isdigit():
        # Ten digits are three centuries, and more would overflow.
        return timedelta(seconds=int(header[:10]))
    try:
        time = parsedate_to_datetime(header)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return max(time - now, timedelta(0))
