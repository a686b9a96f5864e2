"""Limits on guessing passwords and codes, counted in the database: by account, network and known browser.

An attempt is counted before it is checked, in one statement, so that attempts at the same time can't slip
past each other; no lock is held while a password is hashed. One that succeeds is given back. What is counted
is a digest of what was typed, so that an address without an account is counted like any other.

A browser in which someone has signed in before has a count of its own: neither what others try with the same
address nor what they do in the same network locks it out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from ipaddress import IPv6Address, ip_address, ip_network

from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import F
from django.http import HttpRequest
from django.utils.translation import ngettext

from accounts import known_browsers
from accounts.sign_in_models import AttemptCount
from core import credentials
from core.client_ip import address_of
from core.clock import database_now

_BATCH = 1000
_CODE_PERIOD = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Limit:
    """So many attempts in so much time, for an account (or a known browser) and for a network."""

    account: int
    network: int
    period: timedelta


class Attempt(Enum):
    """What is tried."""

    PASSWORD = "password"  # noqa: S105  (what is tried, not what is right)
    CODE = "code"
    LINK = "password link"


LIMITS = {
    Attempt.PASSWORD: Limit(5, 30, timedelta(minutes=5)),
    # Six digits: at this rate, a code is guessed once in years.
    Attempt.CODE: Limit(5, 30, timedelta(minutes=15)),
    Attempt.LINK: Limit(3, 20, timedelta(minutes=15)),
}


class TooManyAttempts(ValidationError):
    """The attempt must not be made; the message says when the next one may."""

    def __init__(self, wait: timedelta) -> None:
        minutes = max(1, math.ceil(wait / timedelta(minutes=1)))
        sentence = ngettext(
            "Too many attempts. Try again in %(count)d minute.",
            "Too many attempts. Try again in %(count)d minutes.",
            minutes,
        )
        super().__init__(sentence % {"count": minutes}, code="too_many_attempts")


@dataclass(frozen=True, slots=True)
class Counted:
    """An attempt that was counted, and may be made: under which keys, until when."""

    counts: tuple[tuple[str, datetime], ...]

    def give_back(self) -> None:
        """Count it no longer: it succeeded."""
        for key, until in self.counts:
            rows = AttemptCount.objects.filter(key=key, until=until, attempts__gt=0)
            rows.update(attempts=F("attempts") - 1)


def count(attempt: Attempt, *, email: str, request: HttpRequest) -> Counted:
    """Count an attempt with the account of `email`, whether there is one or not.

    Raises:
        TooManyAttempts: it must not be made. It was counted, too.
    """
    limit, email = LIMITS[attempt], email.strip().lower()
    if browser := known_browsers.id_in(request, email=email):
        return Counted((_count(attempt, f"browser {browser}", limit.account),))
    network = _count(attempt, f"network {network_of(address_of(request))}", limit.network)
    return Counted((network, _count(attempt, f"account {email}", limit.account)))


def is_first_use(code: str, *, email: str) -> bool:
    """Return whether `code`, which is valid, was not used before; from now on it was, in all processes."""
    now = database_now()
    # It is valid for 30 s, and one that was just replaced may be too.
    times, _until = _add_one(credentials.digest(f"used {email.lower()} {code}"), now, now + _CODE_PERIOD)
    return times == 1


def forget(*, email: str) -> None:
    """Count nothing for the account of `email` any more: its owner has just chosen a new password."""
    keys = [_key(attempt, f"account {email.strip().lower()}") for attempt in Attempt]
    AttemptCount.objects.filter(key__in=keys).delete()


def delete_old() -> int:
    """Delete what counts no more; return how many rows."""
    total, now = 0, database_now()
    while keys := list(AttemptCount.objects.filter(until__lt=now).values_list("pk", flat=True)[:_BATCH]):
        # Not those whose next period has begun in the meantime.
        total += AttemptCount.objects.filter(pk__in=keys, until__lt=now).delete()[0]
    return total


def network_of(address: str | None) -> str:
    """Return the network of an IP address: /24 of IPv4, /64 of IPv6, which is what one subscriber has."""
    if address is None:
        return "unknown"
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return str(ip_network((ip, 24 if ip.version == 4 else 64), strict=False))


def _count(attempt: Attempt, who: str, most: int) -> tuple[str, datetime]:
    key, now = _key(attempt, who), database_now()
    attempts, until = _add_one(key, now, now + LIMITS[attempt].period)
    if attempts > most:
        raise TooManyAttempts(until - now)
    return key, until


def _key(attempt: Attempt, who: str) -> str:
    return credentials.digest(f"{attempt.value} {who}")


def _add_one(key: str, now: datetime, until: datetime) -> tuple[int, datetime]:
    """Add one to the count of `key`, in one statement; return it, and until when it counts."""
    table = AttemptCount._meta.db_table
    current, end = map(connection.ops.adapt_datetimefield_value, (now, until))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (key, attempts, until) VALUES (%s, 1, %s) ON CONFLICT (key) DO UPDATE SET"
            f" attempts = CASE WHEN {table}.until <= %s THEN 1 ELSE {table}.attempts + 1 END,"
            f" until = CASE WHEN {table}.until <= %s THEN excluded.until ELSE {table}.until END"
            " RETURNING attempts, until",
            [key, end, current, current],
        )
        attempts, counted_until = cursor.fetchone()
    # SQLite's times have no zone.
    counted_until = counted_until if counted_until.tzinfo else counted_until.replace(tzinfo=UTC)
    return attempts, counted_until
