"""The plan of a run: the same for the same seed, without two faults at one target, and over in time."""

from __future__ import annotations

import itertools

import pytest

from bench.chaos.plan import FAMILIES, QUIET_SECONDS, Fault, make_plan

SEEDS = range(1, 40)


def targets(fault: Fault) -> set[str]:
    (card,) = [card for card in FAMILIES[fault.family] if card.target == fault.target]
    return set(card.busy)


def test_the_plan_follows_from_the_seed():
    assert make_plan(7, 60) == make_plan(7, 60)
    assert make_plan(7, 60) != make_plan(8, 60)


@pytest.mark.parametrize("seconds", [60, 600])
def test_no_two_faults_have_the_same_target_at_a_time(seconds: int):
    for seed in SEEDS:
        for first, second in itertools.combinations(make_plan(seed, seconds), 2):
            if targets(first) & targets(second):
                assert first.ends_at < second.at


@pytest.mark.parametrize("seconds", [30, 60, 600])
def test_every_fault_ends_before_the_run_does(seconds: int):
    for seed in SEEDS:
        plan = make_plan(seed, seconds)
        assert plan == sorted(plan, key=lambda fault: fault.at)
        assert all(QUIET_SECONDS <= fault.at <= fault.ends_at <= seconds for fault in plan)


def test_a_long_run_has_every_fault_there_is():
    for seed in SEEDS:
        happened = {(fault.family, fault.target) for fault in make_plan(seed, 600)}
        assert {family for family, _ in happened} == set(FAMILIES)
        assert len(happened) > 20


def test_the_families_can_be_chosen():
    assert {fault.family for fault in make_plan(3, 120, ["kill", "cut"])} == {"kill", "cut"}
