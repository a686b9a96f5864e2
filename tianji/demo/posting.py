"""The outcome of the deliveries for the sample incidents: sent, in a digest, held, skipped or failed.

The product wrote the rows when the incidents were replayed. Their outcome, had it run at that time, is
computed here, with delays, maintenance and storms as in notifications/dispatch/queue.py and
notifications/dispatch/decide.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from core.sql import among
from monitors.domain.recurrence import Stretch
from monitors.models import Incident, Monitor
from monitors.services import maintenance
from notifications.dispatch.waiting import STORM
from notifications.messages.events import DIGESTS, Event
from notifications.models import Channel, Delivery, DeliveryAttempt
from notifications.transports import retry
from tianji.demo.channels import EMAIL, WEBHOOK

_Status, _Note = Delivery.Status, Delivery.Note
_SENT = {
    "email": "Accepted for ops@example.com, rina@example.com.",
    "ntfy": "HTTP 200 OK",
    "webhook": "HTTP 204 No Content",
}
_HICCUPS = {
    "email": "451 4.3.0 Temporary lookup failure",
    "ntfy": "No answer within 15 s.",
    "webhook": "HTTP 503 Service Unavailable",
}
_REFUSED = (
    "Refused for ops@example.com: 550 5.1.1 User unknown in virtual mailbox table; "
    "rina@example.com: 550 5.1.1 User unknown in virtual mailbox table"
)
_FAILING = "HTTP 502 Bad Gateway: upstream connect error"
# Nothing is due before the sample data is complete.
_NOT_BEFORE = timedelta(minutes=3)
# One notification in this many needs a second attempt.
_HICCUP_ONE_IN = 25


def post(channels: Iterable[Channel], monitors: Sequence[Monitor], *, now: datetime, rng: Random) -> None:
    """Compute and write the outcome of all pending deliveries to `channels` until `now`."""
    start = min(monitor.created_at for monitor in monitors)
    # Some weeks ahead, so that the end of active windows is known.
    held = maintenance.of_monitors(monitors).left_out(monitors, start=start, end=now + timedelta(days=30))
    posts = [_Post(channel, held, now, rng) for channel in channels]
    for each in posts:
        each.work_out()
    _write(posts)


@dataclass(slots=True)
class _Post:
    """One channel's deliveries, computed in memory. `digests` are with their members."""

    channel: Channel
    held: dict[int, Sequence[Stretch]]
    now: datetime
    rng: Random
    rows: list[Delivery] = field(default_factory=list)
    digests: list[tuple[Delivery, list[Delivery]]] = field(default_factory=list)
    attempts: list[tuple[Delivery, DeliveryAttempt]] = field(default_factory=list)

    def work_out(self) -> None:
        owed = self.channel.deliveries.filter(status=_Status.PENDING).select_related("incident")
        self.rows = list(owed.order_by("pk"))
        notified_at = self._openings([row for row in self.rows if row.event == Event.OPENED])
        self._endings([row for row in self.rows if row.event in (Event.RESOLVED, Event.PASSED)], notified_at)
        if self.channel.name == EMAIL:
            self._let_the_first_fail()
        if self.channel.name == WEBHOOK:
            self._let_the_newest_be_retried()

    def _openings(self, rows: Iterable[Delivery]) -> dict[int, datetime]:
        """Compute the down notifications; return when each was sent, by the incident's row id."""
        due = []
        for row in rows:
            at, resolved_at = self._after_maintenance(row), _incident(row).resolved_at
            if resolved_at is not None and resolved_at <= at:
                _withdraw(row, _Note.RECOVERED)
            elif at > self.now:
                row.planned_at = row.next_attempt_at = at
            else:
                due.append((at, row))
        notified_at: dict[int, datetime] = {}
        for at, together in _in_storms(due):
            notified_at |= {_incident(row).pk: at for row in together}
            self._send(together, at)
        return notified_at

    def _endings(self, rows: Iterable[Delivery], notified_at: dict[int, datetime]) -> None:
        """Compute the recovery notifications of incidents whose down notification was sent."""
        due = []
        for row in rows:
            incident = _incident(row).pk
            if row.event == Event.RESOLVED and incident not in notified_at:
                _withdraw(row, _Note.NOT_NOTIFIED)
            else:
                earliest = notified_at.get(incident, row.created_at) + timedelta(seconds=1)
                due.append((max(self._after_maintenance(row), earliest), row))
        for at, together in _in_storms(due):
            self._send(together, at)

    def _after_maintenance(self, row: Delivery) -> datetime:
        at = row.planned_at or row.created_at
        for start, end in self.held.get(row.monitor_id or 0, ()):
            if start <= at < end:
                at = end
        return at

    def _send(self, rows: list[Delivery], at: datetime) -> None:
        """Mark `rows` as sent at `at`, in a digest if there are several."""
        if len(rows) == 1:
            self._attempt(rows[0], at)
            return
        digest = Delivery(
            channel=self.channel, event=DIGESTS[Event(rows[0].event)], created_at=at, planned_at=at
        )
        self._attempt(digest, at)
        self.digests.append((digest, rows))
        for row in rows:
            row.status, row.sent_at, row.next_attempt_at = _Status.SENT, digest.sent_at, None

    def _attempt(self, row: Delivery, at: datetime) -> None:
        """Mark a delivery as sent, sometimes at the second attempt."""
        number = 1
        if not self.rng.randrange(_HICCUP_ONE_IN):
            self._note(row, 1, at, ok=False, detail=_HICCUPS[self.channel.kind])
            at, number = at + retry.WAITS[0], 2
        done = self._note(row, number, at, ok=True, detail=_SENT[self.channel.kind])
        row.status, row.sent_at, row.next_attempt_at, row.attempt_count = _Status.SENT, done, None, number

    def _note(self, row: Delivery, number: int, at: datetime, *, ok: bool, detail: str) -> datetime:
        """Record an attempt; return when it ended."""
        done = at + timedelta(milliseconds=self.rng.randint(90, 700))
        attempt = DeliveryAttempt(number=number, started_at=at, finished_at=done, ok=ok, detail=detail)
        self.attempts.append((row, attempt))
        return done

    def _sent_alone(self) -> list[Delivery]:
        in_digests = {id(row) for _digest, members in self.digests for row in members}
        return [row for row in self.rows if row.status == _Status.SENT and id(row) not in in_digests]

    def _let_the_first_fail(self) -> None:
        """Make the first down notification fail permanently."""
        for row in self._sent_alone():
            if row.event == Event.OPENED:
                self._forget_attempts(row)
                self._note(row, 1, row.planned_at or row.created_at, ok=False, detail=_REFUSED)
                row.status, row.sent_at, row.attempt_count = _Status.FAILED, None, 1
                return

    def _let_the_newest_be_retried(self) -> None:
        """Make the newest notification fail until now, with the usual waits between attempts."""
        row = max(self._sent_alone(), key=lambda each: each.created_at, default=None)
        if row is None:
            return
        self._forget_attempts(row)
        first = at = row.planned_at or row.created_at
        number = 0
        while at <= self.now:
            number += 1
            self._note(row, number, at, ok=False, detail=_FAILING)
            following = retry.next_attempt_at(first_at=first, attempts=number, now=at, rng=self.rng)
            if following is None:
                break
            at = following
        row.status, row.sent_at = _Status.PENDING, None
        row.attempt_count, row.next_attempt_at = number, max(at, self.now + _NOT_BEFORE)
        self.channel.failures = number

    def _forget_attempts(self, row: Delivery) -> None:
        self.attempts = [each for each in self.attempts if each[0] is not row]


def _write(posts: Sequence[_Post]) -> None:
    """Replace all rows, in the order of their times, in which pages show them."""
    there = [row for each in posts for row in each.rows]
    Delivery.objects.filter(pk__in=among(row.pk for row in there)).delete()
    digests = [pair for each in posts for pair in each.digests]
    rows = sorted([*there, *(digest for digest, _members in digests)], key=lambda row: row.created_at)
    for row in rows:
        row.pk = None
    Delivery.objects.bulk_create(rows)
    for digest, members in digests:
        Delivery.objects.filter(pk__in=among(row.pk for row in members)).update(digest=digest)
    attempts = [pair for each in posts for pair in each.attempts]
    attempts.sort(key=lambda pair: pair[1].started_at)
    for row, attempt in attempts:
        attempt.delivery_id = row.pk
    DeliveryAttempt.objects.bulk_create(attempt for _row, attempt in attempts)
    Channel.objects.bulk_update([each.channel for each in posts], ["failures"])


def _withdraw(row: Delivery, note: Delivery.Note) -> None:
    row.status, row.note, row.next_attempt_at = _Status.SKIPPED, note, None


def _incident(row: Delivery) -> Incident:
    assert row.incident is not None, "every replayed delivery has an incident"
    return row.incident


def _in_storms(due: list[tuple[datetime, Delivery]]) -> Iterable[tuple[datetime, list[Delivery]]]:
    """Yield rows with their time of sending: the first immediately, those within STORM of it at its end."""
    over: datetime | None = None
    waiting: list[Delivery] = []
    for at, row in sorted(due, key=lambda pair: (pair[0], pair[1].pk)):
        while over is not None and at >= over:
            if waiting:
                yield over, waiting
                over, waiting = over + STORM, []
            else:
                over = None
        if over is None:
            yield at, [row]
            over = at + STORM
        else:
            waiting.append(row)
    if waiting and over is not None:
        yield over, waiting
