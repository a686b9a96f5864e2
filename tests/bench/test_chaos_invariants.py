"""Each invariant of bench/chaos/ holds of a run without faults, and fails where a ledger violates it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bench.chaos import invariants
from bench.chaos.invariants import Sender
from bench.chaos.ledger import Attempt, Delivery, Incident, Ledger, Message, News, Rows, Silence, iso

START = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
SENDERS = {
    "steady": Sender("steady", True, timedelta(seconds=14)),
    "reports": Sender("reports", True, timedelta(seconds=14)),
    "silent": Sender("silent", False, timedelta(seconds=8)),
}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def news(meaning: str, monitor: str, start: float, *, outage: str = "") -> News:
    return News(meaning, monitor, iso(at(start)), outage or f"{monitor}-{start:g}")


class World:
    """A run in which all went well: a reported outage and a silence, both notified and ended.

    A push arrives as many seconds after the start as its monotonic time says.
    """

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.rows = Rows({}, [], [], [])
        for second in range(0, 60, 2):
            self.push("steady", second)
            self.push("reports", second + 0.5, "down" if second == 20 else "up")
            if not 20 < second < 40:
                self.push("silent", second + 1)
        self.ledger.write(Silence("silent", "silent 21", 21, 41))
        self.incident("reports", "reported", 20.5, 22.5, "reports 20.5", "reports 22.5")
        self.incident("silent", "missed", 29, 41, "silent 21", "silent 41")

    def push(self, sender: str, second: float, status: str = "up", answer: str = "200") -> Attempt:
        message = f"{sender} {second:g}"
        attempt = Attempt(
            sender=sender,
            message=message,
            status=status,
            token="abcd",
            web=0,
            due=second,
            began=second,
            ended=second,
            wall=START.timestamp() + second,
            answer=answer,
        )
        self.ledger.write(attempt)
        if attempt.acknowledged:
            self.rows.received.setdefault(message, []).append(at(second))
        return attempt

    def incident(
        self, monitor: str, cause: str, start: float, end: float, opening: str, closing: str
    ) -> None:
        self.rows.incidents.append(Incident(monitor, cause, at(start), at(end), opening, closing))
        for event, meaning, when in (("opened", "down", start), ("resolved", "up", end)):
            id_ = f"{monitor}-{start:g}-{event}"
            self.rows.deliveries.append(
                Delivery("hook", monitor, at(start), f"incident.{event}", "sent", "", id_)
            )
            self.tell(id_, f"incident.{event}", when, news(meaning, monitor, start))

    def tell(self, id_: str, event: str, second: float, *said: News) -> None:
        self.ledger.write(Message("hook", id_, event, second, said))

    def broken(self) -> list[str]:
        return invariants.broken(SENDERS, self.ledger, self.rows)


@pytest.fixture
def world() -> World:
    return World()


def test_all_hold_of_a_run_in_which_all_went_well(world: World):
    assert world.broken() == []


# --- Pushes ----------------------------------------------------------------------------------------


def test_an_acknowledged_push_that_is_not_stored_is_lost(world: World):
    del world.rows.received["steady 30"]
    assert world.broken() == ["lost: steady 30 was answered 200 at 30.00"]


def test_a_push_that_was_not_acknowledged_may_be_stored_or_not(world: World):
    world.push("steady", 60, answer="timeout")
    world.push("steady", 62, answer="503")
    world.rows.received["steady 62"] = [at(62)]
    assert world.broken() == []


def test_a_push_is_stored_once(world: World):
    world.rows.received["steady 30"].append(at(30.1))
    assert world.broken() == ["stored 2 times: steady 30"]


# --- Incidents -------------------------------------------------------------------------------------


def test_an_incident_of_a_steady_sender_is_false(world: World):
    world.incident("steady", "missed", 44, 46, "steady 30", "steady 46")
    assert world.broken() == [
        "false: missed incident of steady from 2026-11-27T12:00:44.000Z, after 'steady 30'"
    ]


def test_it_is_false_as_well_if_the_sender_was_late_but_not_by_that_much(world: World):
    attempts = world.ledger.attempts
    # Refused for 20 s, and late by 3 s once.
    for number, each in enumerate(attempts):
        if each.sender == "steady" and 30 < each.began < 50:
            attempts[number] = replace(each, answer="refused", due=each.due - 3 * (each.began == 40))
    world.incident("steady", "missed", 44, 50, "steady 30", "steady 50")
    assert any(each.startswith("false: missed incident of steady") for each in world.broken())


def test_an_incident_of_a_sender_that_could_not_run_is_not_false(world: World):
    attempts = world.ledger.attempts
    attempts[:] = [each for each in attempts if not (each.sender == "steady" and 30 < each.began < 48)]
    late = next(number for number, each in enumerate(attempts) if each.message == "steady 48")
    attempts[late] = replace(attempts[late], due=32)
    world.incident("steady", "missed", 44, 48, "steady 30", "steady 48")
    assert world.broken() == []


def test_an_incident_that_no_report_opened_is_false(world: World):
    world.incident("reports", "reported", 30.5, 32.5, "reports 30.5", "reports 32.5")
    assert world.broken() == [
        "false: reported incident of reports from 2026-11-27T12:00:30.500Z was opened by 'reports 30.5'"
    ]


def forget(world: World, monitor: str) -> None:
    """Take away the incident of a monitor, and its notifications."""
    world.rows.incidents[:] = [each for each in world.rows.incidents if each.monitor != monitor]
    world.rows.deliveries[:] = [each for each in world.rows.deliveries if each.monitor != monitor]
    world.ledger.messages[:] = [m for m in world.ledger.messages if m.news[0].monitor != monitor]


def test_a_report_without_an_incident_is_missed(world: World):
    forget(world, "reports")
    assert world.broken() == ["missed: the report 'reports 20.5' is in no incident"]


def test_a_silence_without_an_incident_is_missed(world: World):
    forget(world, "silent")
    assert world.broken() == ["missed: silent was silent for 20.0 s after 'silent 21', without an incident"]


def test_a_silence_counts_only_between_gaps(world: World):
    forget(world, "silent")
    world.rows.gaps.append((at(25), at(36)))
    assert world.broken() == []
    world.rows.gaps[:] = [(at(22), at(28))]
    assert world.broken() == ["missed: silent was silent for 13.0 s after 'silent 21', without an incident"]


def test_a_clock_that_was_set_back_starts_a_silence_again(world: World):
    forget(world, "silent")
    # Ten seconds back at 31: what follows is stored with earlier times.
    world.rows.gaps.append((at(21), at(21)))
    for message in [each for each in world.rows.received if float(each.split()[1]) > 31]:
        world.rows.received[message] = [world.rows.received[message][0] - timedelta(seconds=10)]
    assert world.broken() == []


def test_who_is_silent_at_the_end_must_be_down():
    assert invariants.undetected({"a": True, "b": False}, after=20) == [
        "missed: b is silent, and not down 20 s after all had healed"
    ]


# --- Deliveries ------------------------------------------------------------------------------------


def test_a_second_id_for_the_same_news_is_a_second_delivery(world: World):
    world.tell("another", "incident.opened", 21.5, news("down", "reports", 20.5))
    assert any(each.startswith("notified 2 times: hook of down of reports") for each in world.broken())


def test_what_was_replaced_may_have_arrived(world: World):
    world.tell("another", "incident.opened", 21.5, news("down", "reports", 20.5))
    world.rows.deliveries.append(
        Delivery("hook", "reports", at(20.5), "incident.opened", "skipped", "outdated", "another")
    )
    assert world.broken() == []


def test_news_in_a_digest_and_by_itself_are_two_deliveries(world: World):
    world.tell("digest", "digest", 50, news("up", "reports", 20.5))
    assert any(each.startswith("notified 2 times: hook of up of reports") for each in world.broken())


def test_the_same_id_may_arrive_again(world: World):
    world.ledger.write(replace(world.ledger.messages[0], at=55))
    assert world.broken() == []


def test_what_is_sent_was_received(world: World):
    world.rows.deliveries[0] = replace(world.rows.deliveries[0], id="elsewhere")
    assert any(each.startswith("not received: incident.opened of reports") for each in world.broken())


@pytest.mark.parametrize("status", ["pending", "sending", "failed"])
def test_every_delivery_is_finished(world: World, status: str):
    world.rows.deliveries[0] = replace(world.rows.deliveries[0], status=status)
    assert any(each.startswith("unfinished: incident.opened of reports") for each in world.broken())


def test_an_incident_is_notified_unless_it_was_over_before(world: World):
    opened = world.rows.deliveries[0]
    world.ledger.messages[:] = [each for each in world.ledger.messages if "reports" not in each.id]
    del world.rows.deliveries[1]
    world.rows.deliveries[0] = replace(opened, status="skipped", note="recovered")
    assert world.broken() == []
    world.rows.deliveries[0] = replace(opened, status="skipped", note="unsubscribed")
    assert any(each.startswith("not notified: incident.opened of reports") for each in world.broken())


def test_a_later_notification_includes_what_was_missed_before(world: World):
    world.rows.incidents.append(Incident("silent", "missed", at(25), at(26), "silent 15", "silent 17"))
    assert world.broken() == []
    world.rows.incidents[-1] = replace(world.rows.incidents[-1], started_at=at(50), resolved_at=at(51))
    assert any(each.startswith("not notified: missed incident of silent") for each in world.broken())


def test_what_was_replaced_is_no_notification(world: World):
    world.rows.deliveries[:2] = [replace(world.rows.deliveries[0], status="skipped", note="outdated")]
    assert any(each.startswith("not notified: reported incident of reports") for each in world.broken())


def test_an_incident_without_a_delivery_is_not_notified(world: World):
    world.rows.deliveries[:] = [each for each in world.rows.deliveries if each.monitor != "silent"]
    assert any(each.startswith("not notified: missed incident of silent") for each in world.broken())


def test_what_was_announced_is_ended(world: World):
    world.ledger.messages[:] = [each for each in world.ledger.messages if each.id != "silent-29-resolved"]
    assert "not ended: hook was notified that silent is down from 2026-11-27T12:00:29.000Z" in world.broken()


def test_a_relapse_belongs_to_its_outage_until_that_is_ended(world: World):
    moved = next(each for each in world.ledger.messages if each.id == "silent-29-resolved")
    world.ledger.messages.remove(moved)
    world.tell("again", "incident.opened", 45, news("down", "silent", 44, outage="silent-29"))
    world.tell("flapping", "monitor.flapping", 45.5, news("flapping", "silent", 44, outage="silent-29"))
    world.ledger.write(replace(moved, at=46))
    assert world.broken() == []


def test_nothing_comes_after_the_end_of_an_outage(world: World):
    world.tell("again", "incident.opened", 45, news("down", "silent", 44, outage="silent-29"))
    world.tell("end", "incident.resolved", 46, news("up", "silent", 44, outage="silent-29"))
    (found,) = world.broken()
    assert found == "ended before its end: hook of silent, the outage from 2026-11-27T12:00:29.000Z"
    ended = world.rows.deliveries[-1]
    world.rows.deliveries[:] = [
        *world.rows.deliveries,
        replace(ended, status="skipped", note="outdated"),
        replace(ended, started_at=at(44), id="end"),
    ]
    assert world.broken() == []
