"""Which addresses notifications may be sent to, so that a channel can't attack Tianji's own network (SSRF).

Names are resolved here, every address is checked, and connections go to an address that was checked: a name
that resolves differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from django.conf import settings
from django.utils.translation import gettext as _

Address = IPv4Address | IPv6Address

# Not global, although ipaddress says so: reserved for protocols (RFC 6890), and 6to4 relays (RFC 7526).
_NOT_GLOBAL = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
# All that is routed in IPv6 (RFC 4291, 2.4); everything else is local, multicast or unassigned.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
# IPv6 ranges that contain an IPv4 address, with the position of its 32 bits: the well-known prefix of NAT64
# (RFC 6052), 6to4 (RFC 3056), and IPv4-compatible addresses (RFC 4291), which old stacks still understand.
_CARRIERS = (
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
    (IPv6Network("::/96"), 0),
)


class AddressNotAllowed(OSError):
    """This address must not be reached. Its text is meant for people."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What TIANJI_ALLOW_PRIVATE_WEBHOOKS allows."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    names: frozenset[str]


def parse(entries: Iterable[str]) -> Allowance:
    """Return what the entries allow: networks, addresses and host names."""
    networks: list[IPv4Network | IPv6Network] = []
    names: set[str] = set()
    for entry in entries:
        try:
            networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
        except ValueError:
            names.add(_name(entry))
    return Allowance(tuple(networks), frozenset(names))


@functools.lru_cache(maxsize=8)
def _allowance(entries: tuple[str, ...]) -> Allowance:
    return parse(entries)


def check(address: str, *, host: str) -> None:
    """Check `address`, which `host` (a name, or the address itself) resolves to.

    Raises:
        AddressNotAllowed: it is in a private network that the operator has not allowed.
    """
    try:
        # The zone of a link-local address (fe80::1%eth0) makes no difference.
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise AddressNotAllowed(_refusal(host, address)) from None
    ip = _carried(ip)
    if _is_public(ip):
        return
    allowed = _allowance(tuple(settings.TIANJI_ALLOW_PRIVATE_WEBHOOKS))
    if _name(host) in allowed.names or any(ip in network for network in allowed.networks):
        return
    raise AddressNotAllowed(_refusal(host, str(ip)))


def checked(host: str, found: Iterable[str]) -> list[str]:
    """Return those of the addresses `found` of `host` that may be reached, in their order.

    Raises:
        AddressNotAllowed: there are some, but none of them may be reached.
    """
    good, refused = [], None
    for address in found:
        try:
            check(address, host=host)
        except AddressNotAllowed as error:
            refused = error
        else:
            good.append(address)
    if refused is not None and not good:
        raise refused
    return good


def addresses(infos: Iterable[tuple[int, int, int, str, tuple[object, ...]]]) -> list[str]:
    """Return the addresses in the result of getaddrinfo, without duplicates, in its order."""
    return list(
        dict.fromkeys(
            str(sockaddr[0])
            for family, _type, _protocol, _canonical, sockaddr in infos
            if family in (socket.AF_INET, socket.AF_INET6)
        )
    )


def _carried(ip: Address) -> Address:
    """Return the IPv4 address that `ip` contains, or `ip`."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    for network, shift in _CARRIERS:
        if ip in network and ip not in (IPv6Address("::"), IPv6Address("::1")):
            return IPv4Address((int(ip) >> shift) & 0xFFFFFFFF)
    return ip


def _is_public(ip: Address) -> bool:
    if not ip.is_global or ip.is_multicast:
        return False
    if isinstance(ip, IPv6Address):
        return ip in _GLOBAL_UNICAST
    return not any(ip in network for network in _NOT_GLOBAL)


def _name(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _refusal(host: str, address: str) -> str:
    """Return the sentence for people. It must not reveal which address a name resolves to."""
    if _name(host) == _name(address):
        where = _("“%(host)s” is a private address") % {"host": host}
    else:
        where = _("“%(host)s” resolves to a private address") % {"host": host}
    return _(
        "%(where)s, which is not allowed. The operator of this server can allow it with %(setting)s."
    ) % {"where": where, "setting": "TIANJI_ALLOW_PRIVATE_WEBHOOKS"}
