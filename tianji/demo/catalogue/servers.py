"""The servers: disks, logs, updates and what else runs on them."""

from __future__ import annotations

from monitors.domain.durations import DAY, HOUR, MINUTE
from monitors.domain.state_machine import Cause
from tianji.demo.curves import daily, filling, spiky
from tianji.demo.jobs import Fate, Job, Mishap, Voice

SERVERS = (
    Job(
        "Database replica lag",
        ("database", "production"),
        every=2 * MINUTE,
        description="In seconds. Reads go to the primary while this is down.",
        voice=Voice(
            messages=("Streaming, {value} s behind",),
            curve=spiky(daily(0.1, 0.9, noise=0.15), chance=0.006, times=12),
            digits=2,
            troubles=("Replication slot is inactive",),
            bad=(64, 140),
        ),
        senders=("10.20.0.21",),
        mishaps=(
            Mishap(Cause.VALUE, 19.22, 8),
            Mishap(Cause.VALUE, 2.72, 6, note="Same report as at the Payments API."),
        ),
        settings=(("value_max", 60.0), ("timeout", 5 * MINUTE)),
    ),
    Job(
        "File server disk",
        ("servers",),
        every=15 * MINUTE,
        description="Percent used of /srv. Old exports are deleted on the first of the month.",
        voice=Voice(
            messages=("/srv {value} % used",),
            curve=filling(61, 83, days=24, noise=0.15),
            bad=(92, 95),
        ),
        senders=("10.20.0.12",),
        mishaps=(Mishap(Cause.VALUE, 16.05, 7, note="Video exports of marketing. Deleted after asking."),),
        settings=(("value_max", 90.0),),
    ),
    Job(
        "Log shipper",
        ("servers", "production"),
        every=5 * MINUTE,
        voice=Voice(
            messages=("{value} MB shipped",),
            curve=daily(35, 240, noise=18, weekends=0.6),
            digits=0,
            troubles=("Elasticsearch rejects writes",),
        ),
        senders=("10.20.0.14",),
        fate=Fate.MISSED,
        down_for=74 * MINUTE,
        mishaps=(Mishap(Cause.MISSED, 9.9, 4),),
    ),
    Job(
        "Operating system updates",
        ("servers",),
        every=DAY,
        voice=Voice(messages=("{count} packages upgraded", "Nothing to upgrade"), count=(2, 24)),
        senders=("10.20.0.12", "10.20.0.14"),
        settings=(("timeout", 26 * HOUR), ("grace", 3 * HOUR)),
    ),
    Job(
        "Virus definitions",
        ("servers",),
        every=6 * HOUR,
        voice=Voice(messages=("daily.cvd is up to date",)),
        senders=("10.20.0.25",),
        fate=Fate.LATE,
        down_for=3 * HOUR,
        settings=(("timeout", 8 * HOUR), ("grace", 16 * HOUR)),
    ),
    Job(
        "CRM contact sync",
        ("marketing", "servers"),
        every=15 * MINUTE,
        description="Moved to the new server; the old one still runs its crontab somewhere.",
        described=2.9,
        voice=Voice(
            messages=("{value} contacts changed",), curve=daily(0.5, 34, noise=5, weekends=0.2), digits=0
        ),
        senders=("10.20.4.17",),
        fate=Fate.REJECTED,
        mishaps=(Mishap(Cause.MISSED, 3.2, 4),),
        settings=(("timeout", 30 * MINUTE),),
    ),
    Job(
        "Legacy ERP bridge",
        ("finance", "servers"),
        every=30 * MINUTE,
        description="Switched off at the end of the quarter.",
        voice=Voice(messages=("OK",)),
        senders=("10.20.4.2",),
        fate=Fate.PAUSED,
        down_for=9 * DAY,
    ),
    Job(
        "Grafana snapshots",
        ("servers",),
        every=HOUR,
        fate=Fate.NEW,
        down_for=3 * HOUR,
    ),
)
