"""Messages as they really leave, one of each event, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from monitors.domain.state_machine import Cause
from notifications.messages import digests, payloads, single
from notifications.messages.events import Event
from notifications.messages.single import Message
from notifications.transports.base import Outgoing, Tone

AT = datetime(2026, 11, 22, 15, 52, 45, 123_000, tzinfo=UTC)
MONITOR_ID, INCIDENT_ID = str(uuid4()), str(uuid4())
MONITOR_URL = f"https://tianji.example.com/monitors/{MONITOR_ID}/"
ACKNOWLEDGE_URL = "https://tianji.example.com/acknowledge/signed-and-long/"
NAME = "Café <b>nightly</b> & *backup* [a](http://x.example)"
DIGESTS = (Event.DIGEST_DOWN, Event.DIGEST_UP, Event.DIGEST_REMINDER)
TONES = {
    Event.RESOLVED: Tone.UP,
    Event.PASSED: Tone.UP,
    Event.DIGEST_UP: Tone.UP,
    Event.LATE: Tone.LATE,
    Event.FAILING: Tone.INFO,
    Event.TEST: Tone.INFO,
}


def outgoing(event: Event = Event.OPENED, *, thread: UUID | None = None, **facts: Any) -> Outgoing:
    """A message of `event`, about a monitor whose name is full of marks; `facts` are members of its facts."""
    delivery_id = uuid4()
    message, payload = _message_and_payload(event, delivery_id, facts)
    if event in (Event.OPENED, Event.RESOLVED, Event.PASSED, Event.REMINDER):
        thread = thread or UUID(INCIDENT_ID)
    return Outgoing(
        # Receivers verify that a signature is recent.
        delivery_id,
        message,
        payload,
        datetime.now(UTC),
        thread=thread,
        tone=TONES.get(event, Tone.DOWN),
    )


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
    if event in DIGESTS:
        several = _digest(event, **more)
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
    }
    if event in (Event.OPENED, Event.REMINDER):
        fields["acknowledge_url"] = ACKNOWLEDGE_URL
    if event is Event.REMINDER:
        fields |= {"reminder": 2, "reminders": 24}
    if event in (Event.RESOLVED, Event.PASSED):
        fields |= {"resolved_at": AT, "closing_message": "good again", "closing_value": 12.0}
    if event is Event.LATE:
        fields |= {"deadline": AT + timedelta(minutes=5), "incident_id": "", "cause": Cause.MISSED}
    return single.Facts(**(fields | more))


def _digest(event: Event, *, count: int = 3) -> digests.Facts:
    resolved_at = AT if event is Event.DIGEST_UP else None
    members = tuple(
        digests.Member(f"{NAME} {i}", str(uuid4()), MONITOR_URL, Cause.MISSED, AT, resolved_at)
        for i in range(min(count, digests.LISTED))
    )
    return digests.Facts(
        event, AT, AT, "Kitchen", "https://tianji.example.com/?status=down", count, members, AT, AT
    )
