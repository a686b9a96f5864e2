"""What a look at the pushes comes to: a table, and what holds for any look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitors.domain.listening import (
    GAP_LEAST,
    ClockSetBack,
    Failing,
    GapEnded,
    Listening,
    Look,
    Pushes,
    judge,
)

NOW = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


HOUR = timedelta(hours=1)
AGO_10, AGO_600 = ago(10), ago(600)
ENDED = GapEnded(AGO_600)
TABLE = [
    # a second has passed
    ({"until": ago(1)}, Listening()),
    # a busy machine
    ({"until": ago(5)}, Listening()),
    # nobody looked for ten seconds: killed, deployed, asleep, or the database was away
    ({"until": AGO_10}, GapEnded(AGO_10)),
    # the process itself looked a second ago, and the clock moved by ten minutes
    ({"until": AGO_600, "stepped": timedelta(seconds=599)}, GapEnded(AGO_600, timedelta(seconds=599))),
    # ten minutes without a look, and the clock moved a little more than it should
    ({"until": AGO_600, "stepped": timedelta(seconds=6)}, GapEnded(AGO_600)),
    ({"until": NOW + HOUR}, ClockSetBack(-HOUR)),
    # failed pushes: at the limit, over it, over it in a gap that has just ended
    ({"until": ago(1), "pushes": (Pushes(5, 5, AGO_10),)}, Listening()),
    ({"until": ago(1), "pushes": (Pushes(4, 5, AGO_10),)}, Failing(AGO_10)),
    ({"until": AGO_600, "pushes": (Pushes(0, 5, AGO_10),)}, GapEnded(AGO_600)),
    # few of a minute, but all of the last seconds
    ({"until": ago(1), "pushes": (Pushes(99, 6, ago(40)), Pushes(0, 5, AGO_10))}, Failing(AGO_10)),
    # held: still over the limit, then no longer
    ({"until": AGO_600, "held": True, "pushes": (Pushes(0, 5, AGO_10),)}, Failing(AGO_600)),
    (
        {"until": AGO_600, "held": True, "pushes": (Pushes(9, 5, AGO_10),)},
        GapEnded(AGO_600),
    ),
    ({"until": AGO_600, "held": True}, GapEnded(AGO_600)),
]


@pytest.mark.parametrize(("found", "verdict"), TABLE)
def test_what_a_look_comes_to(found, verdict):
    assert judge(Look(**{"now": NOW, "held": False, "tolerated": 0.5, **found})) == verdict


def test_with_everything_tolerated_only_an_outage_is_a_gap():
    look = Look(until=ago(1), held=False, now=NOW, pushes=(Pushes(0, 9, AGO_10),), tolerated=1)
    assert judge(look) == Listening()


@given(
    silent=st.floats(-10_000, 10_000),
    held=st.booleans(),
    stepped=st.floats(-10_000, 10_000),
    answered=st.integers(0, 100),
    failed=st.integers(0, 100),
    tolerated=st.floats(0, 1),
)
def test_the_watermark_never_passes_over_a_time_in_which_nobody_listened(
    silent, held, stepped, answered, failed, tolerated
):
    look = Look(
        until=ago(silent),
        held=held,
        now=NOW,
        stepped=timedelta(seconds=stepped),
        pushes=(Pushes(answered, failed, AGO_10 if failed else None),),
        tolerated=tolerated,
    )
    match judge(look):
        case Listening():
            assert NOW - look.until <= GAP_LEAST
            assert failed <= tolerated * (answered + failed)
        case GapEnded(started_at=started_at):
            assert started_at == look.until
        case Failing(until=until):
            assert until <= look.until
        case ClockSetBack(clock_step=step):
            assert step < timedelta(0)
