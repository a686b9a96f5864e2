"""Messages as they really leave, one of each event, without a database."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from monitors.domain.state_machine import Cause
from notifications.messages import digests, payloads, single
from notifications.messages.events import FORMER, Event, Reason
from notifications.messages.single import Message
from notifications.transports.base import Outgoing, Tone, tone_of, tone_of_digest

AT = datetime(2026, 11, 22, 15, 52, 45, 123_000, tzinfo=UTC)
MONITOR_ID, INCIDENT_ID = str(uuid4()), str(uuid4())
MONITOR_URL = f"https://tianji.example.com/monitors/{MONITOR_ID}/"
ACKNOWLEDGE_URL = "https://tianji.example.com/acknowledge/signed-and-long/"
NAME = "Café <b>nightly</b> & *backup* [a](http://x.example)"
OUTAGE = uuid4()
# What is sent; digests of earlier versions are only in delivery logs.
EVENTS = [event for event in Event if event not in FORMER]


def outgoing(event: Event = Event.OPENED, *, thread: UUID | None = None, **facts: Any) -> Outgoing:
    """A message of `event`, about a monitor whose name is full of marks; `facts` are members of its facts."""
    delivery_id = uuid4()
    message, payload = _message_and_payload(event, delivery_id, facts)
    if event in digests.SECTIONS:
        thread = thread or OUTAGE
    return Outgoing(
        # Receivers verify that a signature is recent.
        delivery_id,
        message,
        payload,
        datetime.now(UTC),
        thread=thread,
        tone=_tone(event, facts),
    )


def _tone(event: Event, facts: dict[str, Any]) -> Tone:
    if event is Event.DIGEST:
        return tone_of_digest(digest(**facts).counts)
    return tone_of(event, facts.get("reason"))


def _message_and_payload(
    event: Event, delivery_id: UUID, more: dict[str, Any]
) -> tuple[Message, dict[str, Any]]:
    if event is Event.TEST:
        message = single.compose_test(channel="Ops", workspace="Kitchen", url="https://tianji.example.com/")
        return message, payloads.of_test(message, test_id=delivery_id, at=AT)
    if event is Event.FAILING:
        failing = digests.FailingChannel(
            at=AT,
            channel="Ops",
            channel_id=str(uuid4()),
            kind="webhook",
            kind_label="Webhook",
            url="https://tianji.example.com/channels/1/",
            workspace="Kitchen",
            failures=20,
            failing_since=AT,
            detail="HTTP 500",
        )
        message = digests.compose_failing(failing)
        return message, payloads.of_failing(failing, message, delivery_id=delivery_id)
    if event is Event.DIGEST:
        several = digest(**more)
        message = digests.compose(several)
        return message, payloads.of_digest(several, message, delivery_id=delivery_id)
    facts = _facts(event, **more)
    message = single.compose(facts)
    return message, payloads.of_incident(facts, message, delivery_id=delivery_id)


def _facts(event: Event, **more: Any) -> single.Facts:
    fields: dict[str, Any] = {
        "event": event,
        "at": AT,
        "now": AT + timedelta(seconds=3),
        "monitor": NAME,
        "monitor_id": MONITOR_ID,
        "monitor_url": MONITOR_URL,
        "incident_id": INCIDENT_ID,
        "cause": Cause.REPORTED,
        "started_at": AT - timedelta(seconds=5),
        "detected_at": AT,
        "last_heartbeat_at": AT - timedelta(minutes=5),
        "opening_message": "disk <full> & @everyone",
        "opening_value": 97.5,
        "workspace": "Kitchen",
        "outage": str(OUTAGE),
        "sequence": 1,
    }
    if event in (Event.OPENED, Event.REMINDER):
        fields["acknowledge_url"] = ACKNOWLEDGE_URL
    if event is Event.REMINDER:
        fields |= {"reminder": 2, "reminders": 24}
    if event in (Event.RESOLVED, Event.PASSED):
        fields |= {"resolved_at": AT, "closing_message": "good again", "closing_value": 12.0}
    if event is Event.ENDED:
        fields["reason"] = Reason.PAUSED
    if event is Event.FLAPPING:
        fields |= {"is_down": True, "changes": 7}
    if event is Event.LATE:
        fields |= {"deadline": AT + timedelta(minutes=5), "incident_id": "", "cause": Cause.MISSED}
    return single.Facts(**(fields | more))


def digest(*, count: int = 3) -> digests.Facts:
    """A digest with something in every section, and `count` monitors that are down."""
    others = [event for event in digests.SECTIONS if event is not Event.OPENED]
    events = [Event.OPENED] * min(count, digests.LISTED) + others
    counts = Counter(digests.section_of(event) for event in events)
    counts[digests.Section.DOWN] = count
    return digests.Facts(
        at=AT,
        now=AT,
        workspace="Kitchen",
        url="https://tianji.example.com/?status=down",
        members=tuple(_member(event, number) for number, event in enumerate(events)),
        counts=counts,
        others=tuple(
            digests.Other(
                Event.OPENED, str(UUID(int=9000 + n)), str(UUID(int=8000 + n)), str(UUID(int=7000 + n)), 1
            )
            for n in range(digests.LISTED, count)
        ),
        acknowledge_url=ACKNOWLEDGE_URL,
    )


def _member(event: Event, number: int) -> digests.Member:
    late = event is Event.LATE
    return digests.Member(
        event=event,
        monitor=f"{NAME} {number}",
        monitor_id=str(uuid4()),
        monitor_url=MONITOR_URL,
        cause=None if late else Cause.MISSED,
        started_at=AT - timedelta(minutes=1),
        resolved_at=AT if event in (Event.RESOLVED, Event.PASSED) else None,
        outage="" if late else str(uuid4()),
        incident_id="" if late else str(uuid4()),
        sequence=1,
        reason=Reason.PAUSED if event is Event.ENDED else None,
    )
