"""The rate limit of push tokens, so that one runaway sender does not affect the others.

The generic cell rate algorithm: for each token one instant is kept, before which its next push would be
ahead of the rate; a push may be ahead by a burst of half a minute's pushes. The instants are in Redis if
there is one, so that all processes count together, else in each process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import structlog
from django.conf import settings

from monitors.models import Monitor

if TYPE_CHECKING:
    from redis.connection import ConnectionInterface

log = structlog.get_logger(__name__)

_KEY_PREFIX = "tianji:push-rate:"
# How many tokens a process remembers; beyond that it forgets them, which lets a burst through.
_TOKENS_REMEMBERED = 20_000
# Redis is in the path of every push: a Redis slower than this is worse than none.
_REDIS_TIMEOUT_SECONDS = 0.2
_LEAVE_REDIS_ALONE_SECONDS = 5.0

# Returns how many microseconds too early each key's push is, by Redis's own clock, separated by spaces; 0
# means that it was counted. ARGV has the step and slack of each key's rate in one string, because a client
# is slow to send many arguments. No instant is further ahead than its rate allows, so a raised rate applies
# immediately, and a clock that was set back does no harm.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local waits, i = {}, 0
for step, slack in string.gmatch(ARGV[1], '(%d+) (%d+)') do
  i = i + 1
  local free_at = tonumber(redis.call('GET', KEYS[i])) or now
  free_at = math.min(math.max(free_at, now), now + slack + step)
  local wait = free_at - slack - now
  if wait > 0 then
    waits[i] = string.format('%.0f', wait)
  else
    waits[i] = '0'
    free_at = free_at + step
    redis.call('SET', KEYS[i], string.format('%.0f', free_at), 'PX', math.ceil((free_at - now) / 1000))
  end
end
return table.concat(waits, ' ')
"""


def rate_of(monitor: Monitor) -> int:
    """Return how many pushes per minute each token of `monitor` may send; 0 means no limit.

    The monitor's own rate, else its workspace's (load it too), else TIANJI_PUSH_RATE.
    """
    for rate in (monitor.push_rate, monitor.workspace.push_rate):
        if rate is not None:
            return rate
    return default_rate()


def default_rate() -> int:
    """Return TIANJI_PUSH_RATE, the default number of pushes per minute for each token."""
    return int(settings.TIANJI_PUSH_RATE)


def burst_of(rate: int) -> int:
    """Return how many pushes may arrive at once at `rate` pushes per minute."""
    return max(1, rate // 2)


@dataclass(frozen=True, slots=True)
class Over:
    """A push that is `wait` seconds too early for its token's rate.

    `push_rate` is the rate of the token's monitor or workspace that was applied, None for TIANJI_PUSH_RATE.
    """

    wait: float
    push_rate: int | None


class Limiter:
    """Decides which pushes are over the rate limit. One per process, used by one thread at a time.

    It never fails and never blocks for long: if Redis does not answer, this process counts on its own.

    Args:
        shared: counts for all processes together.
        local: counts for this process alone.
    """

    def __init__(self, shared: RedisStore | None = None, local: LocalStore | None = None) -> None:
        self._shared = shared
        self._local = LocalStore() if local is None else local
        # Tokens known to have their own rate; a token not seen yet uses the default.
        self._push_rates: dict[str, int] = {}

    def ask(self, digests: Sequence[str]) -> list[Over | None]:
        """Count a push for each of `digests`, in this order; return which are over the limit.

        Those are not counted, so that a sender that slows down is accepted again.
        """
        default = default_rate()
        found: list[Over | None] = [None] * len(digests)
        if not default and not self._push_rates:
            return found
        requests: list[tuple[str, int]] = []
        places: list[tuple[int, int | None]] = []
        for place, digest in enumerate(digests):
            push_rate = self._push_rates.get(digest)
            if rate := default if push_rate is None else push_rate:
                requests.append((digest, rate))
                places.append((place, push_rate))
        if requests:
            for (place, push_rate), wait in zip(places, self._take(requests), strict=True):
                if wait > 0:
                    found[place] = Over(wait, push_rate)
        return found

    def learn(self, push_rates: Mapping[str, int | None]) -> None:
        """Note the result of a look-up: by digest, the rate of a token's monitor or workspace."""
        if len(self._push_rates) > _TOKENS_REMEMBERED:
            self._push_rates.clear()
        for digest, rate in push_rates.items():
            if rate is not None:
                self._push_rates[digest] = rate
            elif digest in self._push_rates:
                del self._push_rates[digest]

    def _take(self, requests: Sequence[tuple[str, int]]) -> list[float]:
        waits = self._shared.take(requests) if self._shared else None
        return self._local.take(requests) if waits is None else waits


@lru_cache(maxsize=1024)
def _step_and_slack(rate: int) -> tuple[float, float]:
    """Return the seconds between two pushes at `rate`, and how far ahead of it a push may be."""
    step = 60 / rate
    return step, step * (burst_of(rate) - 1)


class LocalStore:
    """Counts in this process's memory.

    Args:
        most: how many tokens are remembered. Those that may send a full burst again are dropped first; if
            there are still too many, all are.
        clock: a monotonic clock in seconds.
    """

    def __init__(
        self, *, most: int = _TOKENS_REMEMBERED, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._clock = clock
        self._free_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._free_at)

    def take(self, requests: Sequence[tuple[str, int]]) -> list[float]:
        """Count a push for each (digest, pushes per minute); return how many seconds too early it is.

        0 means that it was counted; a push that is too early is not counted.
        """
        now = self._clock()
        waits = []
        for digest, rate in requests:
            step, slack = _step_and_slack(rate)
            free_at = min(max(self._free_at.get(digest, now), now), now + slack + step)
            wait = free_at - slack - now
            # Sums of floats are inexact: a push must not be too early because of rounding.
            if wait > 1e-6:
                waits.append(wait)
            else:
                waits.append(0.0)
                self._free_at[digest] = free_at + step
        if len(self._free_at) > self._most:
            self._forget(now)
        return waits

    def _forget(self, now: float) -> None:
        self._free_at = {digest: at for digest, at in self._free_at.items() if at > now}
        if len(self._free_at) > self._most:
            self._free_at.clear()


@lru_cache(maxsize=1024)
def _pace(rate: int) -> str:
    """Return step and slack of `rate` in the script's format, in microseconds."""
    step, slack = _step_and_slack(rate)
    return f"{round(step * 1e6)} {round(slack * 1e6)}"


class RedisStore:
    """Counts in Redis, for all processes together; a whole batch is one round trip.

    It has one connection, opened by another thread, so that slow name resolution doesn't block a push.
    While there is none, and for some seconds after a failure, `take` returns None.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._opened: tuple[ConnectionInterface, str] | None = None
        self._opening: threading.Thread | None = None
        self._leave_alone_until = 0.0
        self._logged_unavailable = False

    def take(self, requests: Sequence[tuple[str, int]]) -> list[float] | None:
        """Do what LocalStore.take does; return None if Redis can't be reached. Never raises."""
        if self._opened is None:
            self._open_soon()
            return None
        connection, script = self._opened
        keys = [_KEY_PREFIX + digest for digest, _ in requests]
        paces = " ".join(_pace(rate) for _, rate in requests)
        try:
            connection.send_command("EVALSHA", script, len(keys), *keys, paces)
            return [int(wait) / 1e6 for wait in connection.read_response().split()]
        except Exception as error:  # redis, its parser and the operating system each raise their own
            self._opened = None
            self._give_up(connection, error)
            return None

    def open(self) -> bool:
        """Connect; return whether that worked. Never raises."""
        # It takes a fifth of a second to import, and is not needed without Redis.
        from redis import ConnectionPool
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        connection = None
        try:
            # The pool only parses the URL: a dedicated connection never reconnects on its own, and no
            # other commands come before a push's.
            connection = ConnectionPool.from_url(
                self._url,
                protocol=2,
                socket_timeout=_REDIS_TIMEOUT_SECONDS,
                socket_connect_timeout=_REDIS_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            ).make_connection()
            connection.connect()
            connection.send_command("SCRIPT", "LOAD", _TAKE)
            script = connection.read_response()
        except Exception as error:  # an invalid URL raises errors of its own, too
            self._give_up(connection, error)
            return False
        self._opened = connection, script.decode()
        if self._logged_unavailable:
            log.info("Redis is back: push limits are shared between processes again")
            self._logged_unavailable = False
        return True

    def close(self) -> None:
        if self._opening is not None:
            self._opening.join()
        if self._opened is not None:
            self._opened[0].disconnect()
            self._opened = None

    def _open_soon(self) -> None:
        busy = self._opening is not None and self._opening.is_alive()
        if not busy and time.monotonic() >= self._leave_alone_until:
            self._opening = threading.Thread(target=self.open, name="open-redis", daemon=True)
            self._opening.start()

    def _give_up(self, connection: ConnectionInterface | None, error: Exception) -> None:
        self._leave_alone_until = time.monotonic() + _LEAVE_REDIS_ALONE_SECONDS
        if connection is not None:
            connection.disconnect()
        if not self._logged_unavailable:
            log.warning("Redis is unavailable: each process counts push limits on its own", error=str(error))
            self._logged_unavailable = True
