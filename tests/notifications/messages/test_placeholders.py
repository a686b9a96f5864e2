"""The values of the placeholders in a channel's templates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notifications.messages import placeholders, templates
from notifications.messages.events import Event, Reason
from tests.notifications.messages.test_wording import DOWN, ENDED, LATE, START, member, several

# These come from the message and the channel.
OF_MESSAGE = {"title", "text", "workspace", "url", "acknowledge_url"}


@pytest.mark.parametrize(
    "values",
    [
        placeholders.of_incident(DOWN),
        placeholders.of_incident(LATE),
        placeholders.of_digest(several(member())),
        placeholders.of_test(),
    ],
)
def test_every_placeholder_has_a_value(values):
    assert values.keys() | OF_MESSAGE == templates.placeholders().keys()


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (DOWN, "Down"),
        (replace(DOWN, again=True), "Down again"),
        (replace(DOWN, event=Event.REMINDER), "Still down"),
        (replace(DOWN, event=Event.RESOLVED), "Recovered"),
        (replace(DOWN, event=Event.PASSED), "Was down"),
        (ENDED, "Closed"),
        (replace(DOWN, event=Event.FLAPPING), "Flapping"),
        (LATE, "Late"),
    ],
)
def test_the_status_says_what_happened(facts, status):
    assert placeholders.of_incident(facts)["status"] == status


def test_an_outage_has_its_key_and_number():
    values = placeholders.of_incident(replace(DOWN, outage="0a0b", sequence=2, urgency="high"))
    assert (values["outage"], values["sequence"], values["urgency"]) == ("0a0b", "2", "high")


def test_an_outage_that_was_closed_says_why():
    assert placeholders.of_incident(replace(ENDED, reason=Reason.DELETED))["reason"] == "Monitor deleted"
    assert placeholders.of_incident(DOWN)["reason"] == ""


def test_what_is_late_has_no_cause():
    assert placeholders.of_incident(LATE)["cause"] == ""


def test_a_digest_has_its_counts_as_its_status():
    facts = several(member(1), member(2, Event.RESOLVED, resolved_at=START))
    values = placeholders.of_digest(facts)
    assert values["status"] == "1 down, 1 recovered"
    assert (values["monitor"], values["count"], values["names"]) == ("2 monitors", "2", "Oven 1, Oven 2")
