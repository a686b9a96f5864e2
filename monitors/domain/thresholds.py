"""How many failures confirm an incident, and how many good heartbeats resolve it; without a database.

The last 64 outcomes of a monitor are the bits of one signed 64-bit integer, the newest lowest: 0 is a good
heartbeat, 1 a failure. Before the first heartbeat all of them are good.
"""

from __future__ import annotations

from dataclasses import dataclass

OUTCOMES = 64
# What a threshold may ask for; more than this would not fit into the outcomes.
NEEDED_MOST, OF_MOST = 20, 50
_ALL = (1 << OUTCOMES) - 1
_SIGN = 1 << (OUTCOMES - 1)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A failure threshold: `needed` failures of the last `of` outcomes; in a row if both are the same."""

    needed: int = 1
    of: int = 1

    def reached(self, outcomes: int) -> bool:
        """Return whether the newest outcomes reach the threshold."""
        return failures(outcomes, self.of) >= self.needed


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The thresholds of one monitor.

    Attributes:
        missed: for a failure that is a missed deadline.
        reported: for a failed heartbeat: reported down, or with a value out of range.
        recovery: so many good heartbeats in a row resolve an incident.
    """

    missed: Threshold = Threshold()
    reported: Threshold = Threshold()
    recovery: int = 1


DEFAULT_THRESHOLDS = Thresholds()


def shifted(outcomes: int, *, failed: bool) -> int:
    """Return `outcomes` with one more; the oldest one is forgotten."""
    bits = (outcomes << 1 | failed) & _ALL
    # Signed, as databases store it.
    return bits - (1 << OUTCOMES) if bits & _SIGN else bits


def failures(outcomes: int, of: int) -> int:
    """Return how many of the last `of` outcomes (1 to 64) were failures."""
    return (outcomes & ((1 << of) - 1)).bit_count()


def last_failed(outcomes: int) -> bool:
    """Return whether the newest outcome was a failure."""
    return bool(outcomes & 1)


def good_in_a_row(outcomes: int) -> int:
    """Return how many outcomes there are since the last failure; 64 if there was none."""
    lowest_failure = outcomes & -outcomes
    return lowest_failure.bit_length() - 1 if outcomes else OUTCOMES
