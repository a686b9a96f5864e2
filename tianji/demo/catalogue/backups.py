"""Backups: of databases and files, and the test that they can be restored."""

from __future__ import annotations

from monitors.domain.durations import DAY, HOUR, MINUTE
from monitors.domain.state_machine import Cause
from tianji.demo.catalogue.zones import JAKARTA
from tianji.demo.curves import daily, growing
from tianji.demo.jobs import Fate, Job, Mishap, Voice

BACKUPS = (
    Job(
        "Nightly database backup",
        ("backup", "database", "production"),
        cron="0 2 * * *",
        timezone=JAKARTA,
        description="pg_dump of the shop's database to the backup server.\n"
        "Runbook: restore from the newest dump, then replay the WAL archive.",
        voice=Voice(
            messages=("Dumped {value} GB in {minutes} min",),
            curve=growing(48.6, 0.21, noise=0.12),
            took=(13 * MINUTE, 19 * MINUTE),
            troubles=("pg_dump: error: server closed the connection unexpectedly",),
        ),
        senders=("10.20.0.31",),
        mishaps=(
            Mishap(
                Cause.REPORTED,
                19.2,
                note="The replica was restarted during the dump. Backup now waits for it.",
                acknowledged=True,
                rerun=6.2,
            ),
        ),
        settings=(("grace", 45 * MINUTE), ("value_min", 20.0)),
    ),
    Job(
        "Backup copy to Frankfurt",
        ("backup", "frankfurt"),
        cron="30 4 * * *",
        timezone=JAKARTA,
        voice=Voice(
            messages=("Copied {value} GB in {minutes} min",),
            curve=growing(61.3, 0.25, noise=0.4),
            took=(40 * MINUTE, 61 * MINUTE),
            troubles=("rsync error: timeout in data send/receive (code 30)",),
        ),
        senders=("10.20.0.31",),
        mishaps=(Mishap(Cause.REPORTED, 8.9, rerun=5.1),),
        settings=(("grace", 2 * HOUR),),
    ),
    Job(
        "Weekly full backup",
        ("backup",),
        cron="0 23 * * 0",
        timezone=JAKARTA,
        description="All servers, to tape. Takes about four hours.",
        voice=Voice(
            messages=("Full backup done, {value} GB",),
            curve=growing(812, 3.1, noise=4),
            digits=0,
            took=(3 * HOUR, 5 * HOUR),
        ),
        senders=("10.20.0.32",),
        settings=(("grace", 12 * HOUR),),
    ),
    Job(
        "Restore test",
        ("backup", "database"),
        cron="0 6 * * 1-5",
        timezone=JAKARTA,
        voice=Voice(
            messages=("Restored and compared 84 tables in {minutes} min",), took=(9 * MINUTE, 14 * MINUTE)
        ),
        senders=("10.20.0.33",),
        settings=(("grace", HOUR),),
    ),
    Job(
        "Photo archive sync",
        ("backup", "marketing"),
        every=DAY,
        description="The agency's uploads, mirrored to our storage.",
        voice=Voice(
            messages=("{value} new photos", "Mirror complete, {value} new photos"),
            curve=daily(20, 340, noise=60, weekends=0.3),
            digits=0,
        ),
        senders=("203.0.113.40",),
        fate=Fate.LATE,
        down_for=2 * HOUR,
        settings=(("timeout", 25 * HOUR), ("grace", 12 * HOUR)),
    ),
)
