"""How the values of sample monitors change over days: office hours, growth, noise and occasional spikes."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

# Returns the value at a time, given also as its age in days.
Curve = Callable[[datetime, float, Random], float]

# The curves follow office hours in Jakarta.
_OFFICE = timedelta(hours=7)
_SATURDAY = 5


def steady(mean: float, noise: float) -> Curve:
    return lambda _at, _age, rng: rng.gauss(mean, noise)


def daily(low: float, high: float, *, noise: float, peak: float = 14.0, weekends: float = 1.0) -> Curve:
    """From `low` at night to `high` at the hour `peak`; on weekends only the share `weekends` of that."""

    def value(at: datetime, age: float, rng: Random) -> float:
        there = at + _OFFICE
        hour = there.hour + there.minute / 60
        share = (1 + math.cos(2 * math.pi * (hour - peak) / 24)) / 2
        if there.weekday() >= _SATURDAY:
            share *= weekends
        # The higher the value, the more noise.
        return max(low + (high - low) * share + rng.gauss(0, noise) * (0.4 + share), 0.0)

    return value


def growing(now: float, per_day: float, *, noise: float) -> Curve:
    return lambda _at, age, rng: now - per_day * age + rng.gauss(0, noise)


def filling(low: float, high: float, *, days: float, noise: float = 0.0) -> Curve:
    """From `low` to `high` in `days`, then back to `low`, such as a disk that is cleaned up."""

    def value(at: datetime, age: float, rng: Random) -> float:
        # The last cleanup was a third of `days` ago.
        share = (days / 3 - age) % days / days
        return low + (high - low) * share + rng.gauss(0, noise)

    return value


def spiky(curve: Curve, *, chance: float, times: float) -> Curve:
    """`curve`, with spikes of up to `times` its value, each with the probability `chance`."""

    def value(at: datetime, age: float, rng: Random) -> float:
        usual = curve(at, age, rng)
        return usual * rng.uniform(times / 2, times) if rng.random() < chance else usual

    return value
