"""The shop: its site, its payments and what it sends to customers and partners."""

from __future__ import annotations

from monitors.domain.durations import DAY, HOUR, MINUTE
from monitors.domain.state_machine import Cause, Urgency
from tianji.demo.catalogue.zones import BERLIN, JAKARTA, SINGAPORE
from tianji.demo.curves import daily, growing, spiky
from tianji.demo.jobs import Fate, Job, Mishap, Voice

SHOP = (
    Job(
        "Payments API",
        ("production", "web", "payments"),
        every=30,
        description="Pushed by the service itself, from both nodes. The value: median time of a call in ms.",
        described=20.5,
        voice=Voice(
            messages=("OK",),
            curve=spiky(daily(38, 74, noise=5, weekends=0.8), chance=0.004, times=4),
            digits=0,
            troubles=("Card processor answers 503", "Connection pool exhausted"),
            bad=(520, 900),
        ),
        senders=("10.20.1.11", "10.20.1.12"),
        fate=Fate.ROTATING,
        mishaps=(
            Mishap(
                Cause.REPORTED,
                14.43,
                22,
                message="Card processor answers 503",
                note="Outage at the card processor, confirmed on their status page. Orders were queued and "
                "charged afterwards.",
                acknowledged=True,
            ),
            Mishap(
                Cause.VALUE, 2.71, 9, note="A long report locked the orders table. Moved it to the replica."
            ),
        ),
        settings=(("value_max", 500.0), ("timeout", 90), ("urgency", Urgency.HIGH.value)),
    ),
    Job(
        "Storefront",
        ("production", "web"),
        every=MINUTE,
        description="A synthetic visit: front page, search, cart. The value is the time of all three in ms.",
        voice=Voice(
            messages=("3 pages OK", "OK"),
            curve=spiky(daily(420, 780, noise=45, peak=20), chance=0.003, times=3),
            digits=0,
            troubles=("Search: HTTP 500", "Cart: no answer within 10 s"),
        ),
        senders=("198.51.100.23",),
        mishaps=(
            Mishap(Cause.MISSED, 23.8, 7),
            Mishap(
                Cause.REPORTED, 5.52, 4, message="Search: HTTP 500", note="Search index was being rebuilt."
            ),
            Mishap(Cause.REPORTED, 0.87, 3, message="Cart: no answer within 10 s"),
        ),
        settings=(("timeout", 150), ("urgency", Urgency.HIGH.value)),
    ),
    Job(
        "Checkout queue worker",
        ("production", "payments"),
        every=2 * MINUTE,
        voice=Voice(
            messages=("{value} jobs waiting",),
            curve=spiky(daily(0.5, 9, noise=2.2, peak=20), chance=0.01, times=6),
            digits=0,
            troubles=("Worker restarts in a loop",),
            bad=(260, 410),
        ),
        senders=("10.20.1.21",),
        mishaps=(Mishap(Cause.VALUE, 17.1, 11), Mishap(Cause.MISSED, 1.33, 9)),
        settings=(("value_max", 200.0), ("timeout", 5 * MINUTE)),
    ),
    Job(
        "Search index refresh",
        ("production", "web"),
        every=15 * MINUTE,
        voice=Voice(
            messages=("{value} documents changed",),
            curve=daily(12, 310, noise=35, weekends=0.7),
            digits=0,
            troubles=("Index is read-only: disk usage above 95 %",),
        ),
        senders=("10.20.1.30",),
        mishaps=(Mishap(Cause.REPORTED, 5.53, 2),),
    ),
    Job(
        "Thumbnail renderer",
        ("web",),
        every=5 * MINUTE,
        description="Falls over when someone uploads a huge TIFF. Known, and being replaced.",
        voice=Voice(
            messages=("{value} images rendered",),
            curve=daily(4, 60, noise=9),
            digits=0,
            troubles=("convert: cache resources exhausted", "Killed: out of memory"),
        ),
        senders=("10.20.1.41",),
        fate=Fate.FLAPPING,
        down_for=5 * HOUR,
        mishaps=(
            Mishap(Cause.REPORTED, 12.2, 2),
            Mishap(Cause.REPORTED, 6.7, 1),
            Mishap(Cause.MISSED, 3.1, 3),
        ),
        settings=(("urgency", Urgency.LOW.value),),
    ),
    Job(
        "Newsletter dispatch",
        ("marketing",),
        cron="0 9 * * 2,4",
        timezone=JAKARTA,
        voice=Voice(
            messages=("{value} mails handed over",),
            curve=growing(18_240, 35, noise=120),
            digits=0,
            troubles=("Template error on line 12",),
        ),
        senders=("10.20.1.50",),
        settings=(("grace", HOUR),),
    ),
    Job(
        "Exchange rates",
        ("finance", "payments"),
        every=HOUR,
        voice=Voice(
            messages=("1 EUR = {value} IDR",),
            curve=growing(18_912, 6.5, noise=14),
            digits=0,
            troubles=("Rates are older than 2 h",),
        ),
        senders=("10.20.2.10",),
        mishaps=(Mishap(Cause.MISSED, 21.6, 3), Mishap(Cause.REPORTED, 9.2, 1)),
        settings=(("timeout", 2 * HOUR),),
    ),
    Job(
        "Product feed export",
        ("marketing", "web"),
        cron="15 */6 * * *",
        timezone=BERLIN,
        voice=Voice(messages=("{value} products in the feed",), curve=growing(9120, 11, noise=3), digits=0),
        senders=("10.20.1.51",),
        mishaps=(Mishap(Cause.MISSED, 13.4),),
        settings=(("grace", 30 * MINUTE),),
    ),
    Job(
        "Fraud scoring model",
        ("payments", "production"),
        every=10 * MINUTE,
        description="The value is the share of orders held for review, in percent.",
        voice=Voice(
            messages=("Scored, {value} % held",),
            curve=daily(1.1, 2.4, noise=0.3, peak=22),
            digits=2,
            troubles=("Model file is corrupt",),
            bad=(11, 19),
        ),
        senders=("10.20.1.60",),
        fate=Fate.VALUE,
        down_for=95 * MINUTE,
        mishaps=(Mishap(Cause.VALUE, 26.3, 3),),
        settings=(("value_min", 0.2), ("value_max", 8.0), ("value_required", True)),
    ),
    Job(
        "Staging deployment",
        ("staging",),
        every=HOUR,
        voice=Voice(messages=("main is deployed", "Nothing to deploy"), troubles=("Migration failed",)),
        senders=("10.20.9.4",),
        fate=Fate.PAUSED,
        down_for=3 * DAY,
        mishaps=(Mishap(Cause.REPORTED, 10.3, 4), Mishap(Cause.REPORTED, 4.4, 2)),
        settings=(("timeout", 2 * HOUR),),
    ),
    Job(
        "Recommendation training",
        ("staging", "marketing"),
        cron="0 1 * * 6",
        timezone=SINGAPORE,
        description="Waits for the new GPU machine.",
        fate=Fate.NEW,
        down_for=2 * DAY,
        settings=(("grace", 6 * HOUR),),
    ),
)
