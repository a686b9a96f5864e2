"""Accounting: invoices, the bank and the ledger."""

from __future__ import annotations

from monitors.domain.durations import HOUR
from monitors.domain.state_machine import Cause
from tianji.demo.catalogue.zones import JAKARTA
from tianji.demo.curves import steady
from tianji.demo.jobs import Fate, Job, Mishap, Voice

FINANCE = (
    Job(
        "Invoice export",
        ("finance",),
        calendar="Mon..Fri 18:00",
        timezone=JAKARTA,
        description="Hands the day's invoices to the accountants' system.",
        voice=Voice(
            messages=("{value} invoices exported in {seconds} s",),
            curve=steady(312, 38),
            digits=0,
            took=(31, 58),
            troubles=("SFTP: permission denied", "3 invoices without a tax number"),
        ),
        senders=("10.20.2.14",),
        mishaps=(
            Mishap(
                Cause.REPORTED,
                7.5,
                message="3 invoices without a tax number",
                note="Three customers of the trade fair. Sales added them; the export ran by hand.",
                acknowledged=True,
                rerun=2.4,
            ),
        ),
        settings=(("grace", HOUR), ("value_min", 1.0)),
    ),
    Job(
        "Bank statement import",
        ("finance",),
        cron="30 7 * * 1-5",
        timezone=JAKARTA,
        voice=Voice(
            messages=("{value} bookings imported",),
            curve=steady(164, 22),
            digits=0,
            troubles=("The bank's certificate has expired",),
        ),
        senders=("10.20.2.14",),
        mishaps=(Mishap(Cause.MISSED, 15.0, rerun=3.6),),
        settings=(("grace", 2 * HOUR),),
    ),
    Job(
        "Payroll transfer",
        ("finance",),
        cron="0 10 25 * *",
        timezone=JAKARTA,
        description="On the 25th. Call Dewi in accounting if it fails.",
        voice=Voice(messages=("Payroll handed to the bank",)),
        senders=("10.20.2.20",),
        settings=(("grace", 4 * HOUR),),
    ),
    Job(
        "Ledger reconciliation",
        ("finance", "database"),
        every=6 * HOUR,
        voice=Voice(
            messages=("Balanced, {count} accounts",),
            count=(418, 431),
            troubles=("Account 1210 is off by 14,500.00",),
        ),
        senders=("10.20.2.15",),
        fate=Fate.REPORTED,
        down_for=11 * HOUR,
        mishaps=(Mishap(Cause.REPORTED, 20.1, 1),),
        settings=(("timeout", 7 * HOUR),),
    ),
)
