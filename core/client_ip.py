"""The IP address of a request's sender."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def address_of(request: HttpRequest) -> str | None:
    """Return the sender's IP address: the peer's, or the one that our own proxy reports."""
    return sender_address(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR"))


def sender_address(peer: str, forwarded_for: str | None) -> str | None:
    """Return the sender's IP address, given the peer's and the header X-Forwarded-For."""
    if forwarded_for and settings.TIANJI_TRUST_PROXY:
        # The last entry was added by the proxy directly in front of us.
        peer = forwarded_for.rsplit(",", 1)[-1].strip()
    return _ip_address(peer)


@lru_cache(maxsize=4096)
def _ip_address(text: str) -> str | None:
    try:
        # The zone of a link-local address (fe80::1%eth0) is only meaningful on one machine, and
        # PostgreSQL does not store it.
        return str(ip_address(text.strip("[]").partition("%")[0]))
    except ValueError:
        return None
