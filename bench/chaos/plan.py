"""What will go wrong, and when: made from a seed before the run starts, as plain data."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
WEB, WORKER, BEAT = ("web-1", "web-2"), ("worker-1", "worker-2"), ("beat-1", "beat-2")
MACHINE = (*WEB, *WORKER, *BEAT, "postgres", "redis")
# Before the first fault and after the last one, so that there is something to lose and time to notice it.
QUIET_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    `at` is in seconds since the start, `seconds` its length: 0 for what happens in a moment. Of a clock,
    `seconds` is by how much it is set, back if negative.
    """

    at: float
    family: str
    target: str
    seconds: float

    @property
    def ends_at(self) -> float:
        return self.at if self.family == "clock" else self.at + self.seconds

    def __str__(self) -> str:
        return f"{self.at:7.1f} s  {self.family:8} {self.target:16} {self.seconds:6.1f} s"


@dataclass(frozen=True, slots=True)
class _Card:
    """What may be dealt: a target of a family, what it keeps busy, and how long it may take."""

    target: str
    busy: tuple[str, ...]
    least: float
    most: float


def _cards(least: float, most: float, **targets: Sequence[str]) -> list[_Card]:
    return [_Card(name.replace("_", "-"), tuple(busy), least, most) for name, busy in targets.items()]


# A group of processes as it is killed or stopped: one of two, or both.
_PROCESSES: dict[str, Sequence[str]] = {
    **{"web-1": WEB[:1], "web-2": WEB[1:], "web-all": WEB},
    **{"worker-1": WORKER[:1], "worker-2": WORKER[1:], "worker-all": WORKER},
    **{"beat-1": BEAT[:1], "beat-all": BEAT},
}
_DATABASE = ("postgres",)
FAMILIES: dict[str, list[_Card]] = {
    "kill": _cards(0.5, 8, **_PROCESSES),
    "stop": _cards(2, 12, **_PROCESSES, postgres=_DATABASE, redis=("redis",)),
    "restart": [
        *_cards(1, 10, postgres_fast=_DATABASE, postgres_crash=_DATABASE),
        *_cards(2, 15, redis_empty=("redis",)),
    ],
    "cut": _cards(0, 0, postgres=_DATABASE, redis=("redis",)),
    "lock": [
        # The pushes of one monitor are no gap, and its own timeout must allow for the lock.
        *_cards(2, 7, one_state=_DATABASE),
        *_cards(2, 20, states=_DATABASE, heartbeats=_DATABASE, watermark=_DATABASE),
        *_cards(2, 20, channels=_DATABASE, deliveries=_DATABASE),
    ],
    "full": _cards(3, 20, disk=_DATABASE),
    "sleep": _cards(3, 15, machine=MACHINE),
    "clock": [*_cards(8, 60, forward=_DATABASE), *_cards(-30, -8, back=_DATABASE)],
    "sink": _cards(3, 8, fails=("sink",), slow=("sink",)),
}


def make_plan(seed: int, seconds: float, families: Sequence[str] = tuple(FAMILIES)) -> list[Fault]:
    """Return the faults of a run of `seconds`, in the order of their beginnings.

    The families are dealt like cards, all of them before one comes again. Two faults may overlap unless they
    have the same target.
    """
    rng = random.Random(seed)
    deck = _deal(rng, families)
    plan: list[Fault] = []
    free_from: dict[str, float] = {}
    # A short run is as varied as a long one, with shorter faults.
    scale = min(1.0, 0.2 + seconds / 500)
    at = QUIET_SECONDS
    while True:
        family, card = next(deck)
        at = max([at, *(free_from.get(name, 0.0) for name in card.busy)])
        length = round(rng.uniform(card.least, card.most), 1)
        if card.most > 0 and family != "clock":
            length = round(card.least + (length - card.least) * scale, 1)
        fault = Fault(round(at, 1), family, card.target, length)
        if fault.ends_at > seconds - QUIET_SECONDS:
            return plan
        plan.append(fault)
        # A process takes some seconds to start, and is to do something between two faults.
        for name in card.busy:
            free_from[name] = fault.ends_at + rng.uniform(3, 6)
        at += rng.uniform(1.5, 6.0) if rng.random() < 0.5 else fault.ends_at - fault.at + rng.uniform(1, 5)


def _deal(rng: random.Random, families: Sequence[str]) -> Iterator[tuple[str, _Card]]:
    targets = {family: _endless(rng, FAMILIES[family]) for family in sorted(families)}
    for family in _endless(rng, sorted(families)):
        yield family, next(targets[family])


def _endless(rng: random.Random, items: Sequence[T]) -> Iterator[T]:
    while True:
        yield from rng.sample(items, len(items))
