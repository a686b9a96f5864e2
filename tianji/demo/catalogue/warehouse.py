"""The warehouse: cold rooms, stock and machines."""

from __future__ import annotations

from monitors.domain.durations import MINUTE
from monitors.domain.state_machine import Cause
from tianji.demo.curves import daily
from tianji.demo.jobs import Fate, Job, Mishap, Voice

WAREHOUSE = (
    Job(
        "Cold room 1",
        ("warehouse", "iot"),
        every=5 * MINUTE,
        description="Degrees Celsius. Vaccines are in it: 2 to 8 are allowed.",
        voice=Voice(
            messages=("{value} °C",),
            curve=daily(3.9, 5.4, noise=0.25, peak=15),
            troubles=("Sensor error 0x51",),
            bad=(8.3, 10.9),
        ),
        senders=("10.30.0.41",),
        mishaps=(
            Mishap(
                Cause.VALUE,
                4.62,
                7,
                note="The door was open during the delivery. Quality has been informed, the goods are fine.",
                acknowledged=True,
            ),
        ),
        settings=(("value_min", 2.0), ("value_max", 8.0), ("value_required", True)),
    ),
    Job(
        "Cold room 2",
        ("warehouse", "iot"),
        every=5 * MINUTE,
        voice=Voice(messages=("{value} °C",), curve=daily(3.4, 4.6, noise=0.2, peak=15), bad=(8.2, 9.0)),
        senders=("10.30.0.42",),
        settings=(("value_min", 2.0), ("value_max", 8.0), ("value_required", True)),
    ),
    Job(
        "Warehouse stock sync",
        ("warehouse", "production"),
        every=15 * MINUTE,
        voice=Voice(
            messages=("{value} movements",),
            curve=daily(1, 140, noise=15, peak=11, weekends=0.2),
            digits=0,
            troubles=("Scanner gateway does not answer",),
        ),
        senders=("10.30.0.10",),
        mishaps=(Mishap(Cause.REPORTED, 8.3, 2),),
    ),
    Job(
        "Conveyor controller",
        ("warehouse", "iot"),
        every=5 * MINUTE,
        voice=Voice(messages=("Running", "Idle"), troubles=("Emergency stop",)),
        senders=("10.30.0.60",),
        fate=Fate.MISSED,
        down_for=8 * MINUTE,
        mishaps=(Mishap(Cause.REPORTED, 13.2, 3, message="Emergency stop"), Mishap(Cause.REPORTED, 3.3, 2)),
    ),
)
