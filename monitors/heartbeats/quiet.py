"""The quiet path: pushes that change no status, recorded by one statement of PostgreSQL.

It does what `monitors/heartbeats/recorder.py` does for such pushes, in one round trip and one commit. Nearly
all pushes are quiet: the monitor is up and stays up. Those that aren't are left to the recorder, with all
others to the same monitor, so that their order is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from django.db import OperationalError, connection
from psycopg.errors import DeadlockDetected, LockNotAvailable

from core.sql import as_array
from monitors.heartbeats import sql

if TYPE_CHECKING:
    from monitors.heartbeats.recorder import Arrival

# Another transaction seldom holds a state for longer than a commit takes. One that does must not hold up the
# pushes to other monitors.
_WAIT_MS = 50
# Each lock may be waited for as long. Rules of monitors may have been edited since they were read.
_OUTDATED_MS = 250


@dataclass(frozen=True, slots=True)
class Quiet:
    """What the statement found.

    Args:
        recorded: by position, whether an arrival was recorded. Those of unknown tokens are missing.
        push_rates: by digest, the rate of a token's monitor or workspace.
    """

    recorded: Mapping[int, bool]
    push_rates: Mapping[str, int | None]


def record_quiet(arrivals: Sequence[Arrival], good: Sequence[bool], *, use_is_old_after: int) -> Quiet | None:
    """Record those of `arrivals` that change no status, committed; None if a state stayed locked.

    Args:
        good: which of them are up and readable, and not over the rate limit.
        use_is_old_after: how many seconds after a token's last use it is written again.

    Raises:
        django.db.Error: the database could not commit; nothing is recorded.
    """
    digests = [arrival.digest for arrival in arrivals]
    given = [
        digests,
        as_array(good),
        as_array([arrival.push.value for arrival in arrivals]),
        [arrival.push.message for arrival in arrivals],
        as_array([arrival.source for arrival in arrivals]),
        as_array([arrival.posted for arrival in arrivals]),
    ]
    try:
        with connection.cursor() as cursor:
            cursor.execute(_statement(), [*given, use_is_old_after, list(set(digests))])
            rows = cursor.fetchall()
    except OperationalError as error:
        if isinstance(error.__cause__, (LockNotAvailable, DeadlockDetected)):
            return None
        raise
    return Quiet(
        {number - 1: quiet for number, quiet, _rate in rows},
        {digests[number - 1]: rate for number, _quiet, rate in rows},
    )


@cache
def _statement() -> str:
    # `held` locks the states in order of the monitors and sees them as they are then, but its times may be
    # from before it waited for a lock; `clock` is read once all are held. A push is quiet if all pushes to
    # its monitor are, unless the statement waited for so many locks that what it read may be outdated. None
    # of it may be null, which bool_and() leaves out: a monitor whose set times are over has no deadline.
    return f"""
WITH patience AS MATERIALIZED (SELECT set_config('lock_timeout', '{_WAIT_MS}ms', TRUE)),
given AS MATERIALIZED (
  SELECT * FROM unnest(%s::text[], %s::bool[], %s::float8[], %s::text[], %s::text[], %s::bool[])
  WITH ORDINALITY AS given (digest, good, value, message, source, posted, number)),
held AS MATERIALIZED (
  SELECT t.digest, t.id AS token_id, s.workspace_id, s.monitor_id, s.status = 'up' AS up, s.due_at,
    m.post_only, m.value_min, m.value_max, m.value_required, COALESCE(m.push_rate, w.push_rate) AS push_rate,
    COALESCE(extract(epoch FROM clock_timestamp() - t.last_used_at) > %s, TRUE) AS use_is_old
  FROM patience CROSS JOIN {sql.of_tokens()}
  WHERE t.digest = ANY(%s::text[]) AND t.revoked_at IS NULL
    AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
  ORDER BY s.monitor_id FOR UPDATE OF s),
clock AS MATERIALIZED (SELECT clock_timestamp() AS now, count(*) FROM held),
pushes AS MATERIALIZED (
  SELECT given.*, held.token_id, held.workspace_id, held.monitor_id, held.use_is_old,
    held.push_rate, clock.now,
    bool_and(
      clock.now < statement_timestamp() + interval '{_OUTDATED_MS} ms'
      AND held.up AND COALESCE(held.due_at > clock.now, FALSE)
      AND given.good AND (given.posted OR NOT held.post_only)
      AND CASE WHEN given.value IS NULL THEN NOT held.value_required
        ELSE given.value >= COALESCE(held.value_min, '-infinity')
          AND given.value <= COALESCE(held.value_max, 'infinity') END
    ) OVER (PARTITION BY held.monitor_id) AS quiet
  FROM given JOIN held USING (digest) CROSS JOIN clock),
inserted AS (
  INSERT INTO {sql.HEARTBEATS}
    (workspace_id, monitor_id, received_at, status, value, message, source, token_id)
  SELECT workspace_id, monitor_id, now, 'up', value, message, source::inet, token_id FROM pushes
  WHERE quiet ORDER BY number),
touched AS (
  UPDATE {sql.STATES} s SET last_heartbeat_at = newest.now, last_message = newest.message,
    last_value = newest.value,
    recent_outcomes = CASE WHEN newest.count < 64 THEN s.recent_outcomes << newest.count::int ELSE 0 END
  FROM (
    SELECT DISTINCT ON (monitor_id) workspace_id, monitor_id, now, message, value,
      count(*) OVER (PARTITION BY monitor_id) AS count
    FROM pushes WHERE quiet ORDER BY monitor_id, number DESC) newest
  WHERE s.monitor_id = newest.monitor_id AND s.workspace_id = newest.workspace_id),
used AS (
  UPDATE {sql.TOKENS} t SET last_used_at = newest.now, last_used_from = newest.source::inet
  FROM (
    SELECT DISTINCT ON (token_id) workspace_id, token_id, now, source FROM pushes WHERE quiet AND use_is_old
    ORDER BY token_id, number DESC) newest
  WHERE t.id = newest.token_id AND t.workspace_id = newest.workspace_id)
SELECT number, quiet, push_rate FROM pushes"""
