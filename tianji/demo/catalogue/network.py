"""The network: routers, gateways, names and certificates."""

from __future__ import annotations

from monitors.domain.durations import HOUR, MINUTE
from monitors.domain.state_machine import Cause
from tianji.demo.curves import daily, filling, spiky
from tianji.demo.jobs import Fate, Job, Mishap, Voice

NETWORK = (
    Job(
        "Edge router Jakarta",
        ("network", "jakarta"),
        every=MINUTE,
        description="Pushed by the router. The value is the round trip to the exchange in ms.",
        voice=Voice(
            messages=("Uplink OK",),
            curve=spiky(daily(7, 16, noise=1.6, peak=15, weekends=0.4), chance=0.005, times=5),
            troubles=("BGP session to AS7713 lost",),
        ),
        senders=("203.0.113.1",),
        mishaps=(Mishap(Cause.REPORTED, 25.1, 3), Mishap(Cause.MISSED, 1.71, 12)),
        settings=(("timeout", 3 * MINUTE), ("post_only", True)),
    ),
    Job(
        "Edge router Singapore",
        ("network", "singapore"),
        every=2 * MINUTE,
        voice=Voice(messages=("Uplink OK",), curve=daily(3, 7, noise=0.7, peak=16, weekends=0.5)),
        senders=("203.0.113.9",),
        mishaps=(Mishap(Cause.MISSED, 16.6, 6),),
        settings=(("timeout", 5 * MINUTE),),
    ),
    Job(
        "VPN gateway",
        ("network",),
        every=5 * MINUTE,
        voice=Voice(
            messages=("{value} tunnels",), curve=daily(3, 41, noise=2, peak=11, weekends=0.1), digits=0
        ),
        senders=("203.0.113.5",),
        mishaps=(Mishap(Cause.MISSED, 27.7, 4),),
    ),
    Job(
        "Office Wi-Fi Jakarta",
        ("network", "jakarta"),
        every=5 * MINUTE,
        voice=Voice(
            messages=("{value} clients",), curve=daily(2, 96, noise=6, peak=13, weekends=0.05), digits=0
        ),
        senders=("203.0.113.1",),
        mishaps=(Mishap(Cause.MISSED, 22.5, 5),),
    ),
    Job(
        "Branch printer server",
        ("singapore", "facilities"),
        every=10 * MINUTE,
        description="The old one under the desk. Replacement arrives next week.",
        voice=Voice(messages=("Spooler is running",), troubles=("Spooler stopped",)),
        senders=("203.0.113.9",),
        fate=Fate.SNOOZED,
        down_for=21 * HOUR,
        mishaps=(Mishap(Cause.REPORTED, 18.3, 3), Mishap(Cause.MISSED, 6.1, 4), Mishap(Cause.MISSED, 2.4, 6)),
        settings=(("timeout", 20 * MINUTE),),
    ),
    Job(
        "Certificate renewal",
        ("network", "web"),
        cron="40 3 * * *",
        description="certbot renew, on the load balancer.",
        voice=Voice(
            messages=("No renewal due", "{value} days left"),
            curve=filling(82, 30, days=52),
            digits=0,
            troubles=("Challenge failed for shop.example.com",),
            bad=(2, 6),
        ),
        senders=("10.20.1.2",),
        settings=(("grace", HOUR), ("value_min", 7.0)),
    ),
    Job(
        "DNS zone transfer",
        ("network",),
        every=30 * MINUTE,
        voice=Voice(messages=("Serial is current",)),
        senders=("10.20.0.53", "10.20.0.54"),
    ),
    Job(
        "Mail gateway",
        ("network", "production"),
        every=5 * MINUTE,
        voice=Voice(
            messages=("{value} mails in the queue",),
            curve=spiky(daily(2, 26, noise=4, weekends=0.3), chance=0.01, times=7),
            digits=0,
            troubles=("Queue runs full",),
        ),
        senders=("10.20.0.25",),
        fate=Fate.MAINTENANCE,
        down_for=32 * MINUTE,
        mishaps=(Mishap(Cause.MISSED, 24.4, 3),),
    ),
)
