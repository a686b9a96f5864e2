"""What the sample channels were sent about the sample incidents: alone, in a digest, skipped or failed.

When the incidents were replayed, the product only noted what is to be compared. What its turns had sent, had
they run at that time, is computed here, in memory: by the rules themselves (notifications/rules/compare.py),
with storms as in notifications/dispatch/turn.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import heappop, heappush
from random import Random

from core import sql
from core.sql import among
from monitors.models import Monitor
from notifications.dispatch import beliefs as belief_rows
from notifications.dispatch import facts
from notifications.dispatch.waiting import STORM
from notifications.messages.events import ENDS, Event
from notifications.models import Belief, Channel, Delivery, DeliveryAttempt
from notifications.rules.compare import Outcome, Rest, Send, Wait, compare
from notifications.transports import retry
from tianji.demo.channels import EMAIL, WEBHOOK
from tianji.demo.truths import History

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
_Status = Delivery.Status


def post(channels: Iterable[Channel], monitors: Sequence[Monitor], *, now: datetime, rng: Random) -> None:
    """Compute and write what `channels` were sent until `now`, and what they believe since."""
    history = History(monitors, now)
    posts = [_Post(channel, history, rng) for channel in channels]
    for each in posts:
        each.work_out()
    _write(posts)


@dataclass(slots=True)
class _Post:
    """What one channel was sent, computed in memory. `digests` are with their members."""

    channel: Channel
    history: History
    rng: Random
    beliefs: dict[int, Belief] = field(default_factory=dict)
    rows: list[Delivery] = field(default_factory=list)
    digests: list[tuple[Delivery, list[Delivery]]] = field(default_factory=list)
    attempts: list[tuple[Delivery, DeliveryAttempt]] = field(default_factory=list)
    # What was believed before each message that was sent alone.
    before: list[tuple[Delivery, Belief]] = field(default_factory=list)
    # When to look at which monitor again, and since when those wait that are due.
    agenda: list[tuple[datetime, int]] = field(default_factory=list)
    due: dict[int, datetime] = field(default_factory=dict)
    has_failed: bool = False

    def work_out(self) -> None:
        mine = Belief.objects.filter(channel=self.channel).select_related("channel")
        for belief in mine:
            belief.check_at = None
            self.beliefs[belief.monitor_id] = belief
            for outage in self.history.outages.get(belief.monitor_id, ()):
                self._look_again(outage.confirmed_at, belief.monitor_id)
                if outage.resolved_at is not None:
                    self._look_again(outage.resolved_at, belief.monitor_id)
        while self.agenda and self.agenda[0][0] <= self.history.now:
            at = self.agenda[0][0]
            while self.agenda and self.agenda[0][0] == at:
                _at, monitor = heappop(self.agenda)
                if monitor:
                    self.due.setdefault(monitor, at)
            self._take_turn(at)
        for at, monitor in [*self.agenda, *((at, monitor) for monitor, at in self.due.items())]:
            if monitor:
                known = self.beliefs[monitor].check_at
                self.beliefs[monitor].check_at = min(at, known or at)
        if self.channel.name == WEBHOOK:
            self._let_the_newest_be_retried()

    def _look_again(self, at: datetime, monitor: int) -> None:
        heappush(self.agenda, (at, monitor))

    def _take_turn(self, at: datetime) -> None:
        storm_ends_at = self.channel.digest_at
        if storm_ends_at is not None and at < storm_ends_at:
            return
        news = self._news(at)
        collected = storm_ends_at is not None and any(since <= storm_ends_at for _send, _b, since in news)
        self.channel.digest_at = None
        if collected:
            self._send(news, at)
            self._storm_until(at + STORM)
            return
        for each in news:
            if not self._has_room(at):
                self._storm_until(at + STORM)
                return
            self._send([each], at)

    def _storm_until(self, at: datetime) -> None:
        self.channel.digest_at = at
        self._look_again(at, 0)

    def _has_room(self, at: datetime) -> bool:
        alone = [row for row in self.rows if row.digest is None and row.attempt_count]
        lately = sum(row.created_at > at - STORM for row in alone)
        return lately < self.channel.burst

    def _news(self, at: datetime) -> list[tuple[Send, Belief, datetime]]:
        """Compare what is due; return what is to be sent, and since when, the oldest first."""
        news = []
        for monitor, since in sorted(self.due.items(), key=lambda pair: (pair[1], pair[0])):
            belief = self.beliefs[monitor]
            outcome: Outcome = compare(facts.believed(belief), self.history.truth(belief, at))
            if isinstance(outcome, Send):
                news.append((outcome, belief, since))
                continue
            del self.due[monitor]
            if isinstance(outcome, Wait):
                self._look_again(outcome.until, monitor)
            else:
                self._rest(belief, outcome, at)
        return news

    def _rest(self, belief: Belief, outcome: Rest, at: datetime) -> None:
        for incident, why in outcome.skipped:
            if why is not None:
                self.rows.append(belief_rows.skipped(belief, incident, why.value, at))
            belief.after_incident = max(belief.after_incident, incident)
        if outcome.close:
            belief.state, belief.outage, belief.incident_id = Belief.State.UP, None, None

    def _send(self, news: Sequence[tuple[Send, Belief, datetime]], at: datetime) -> None:
        """Send `news` at `at`, in a digest if there are several."""
        rows = [self._delivery(send, belief, since, at) for send, belief, since in news]
        if len(rows) == 1:
            message, belief = rows[0], news[0][1]
            self.before.append((message, copy(belief)))
            self._attempt(message, at)
        else:
            message = Delivery(channel=self.channel, event=Event.DIGEST, created_at=at, planned_at=at)
            self._attempt(message, at)
            self.digests.append((message, rows))
            for row in rows:
                row.status, row.sent_at, row.digest = message.status, message.sent_at, message
        for row, (_send, belief, _since) in zip(rows, news, strict=True):
            self.rows.append(row)
            del self.due[belief.monitor_id]
            _believe(belief, row)
            if row.status == _Status.SENT and row.sent_at is not None:
                # There may be more, or a reminder.
                self._look_again(row.sent_at, belief.monitor_id)

    def _delivery(self, send: Send, belief: Belief, since: datetime, at: datetime) -> Delivery:
        return Delivery(
            channel=self.channel,
            monitor_id=belief.monitor_id,
            incident_id=send.outage,
            event=send.event.value,
            reason=send.reason.value if send.reason else "",
            # The same seed gives the same keys.
            outage=belief.outage or uuid.UUID(int=self.rng.getrandbits(128), version=4),
            sequence=(belief.sequence if belief.outage else 0) + 1,
            reminder=belief.reminders + 1 if send.event is Event.REMINDER else 0,
            created_at=at,
            planned_at=since,
        )

    # --- Attempts ----------------------------------------------------------------------------------

    def _attempt(self, row: Delivery, at: datetime) -> None:
        """Mark a message as sent, sometimes at the second attempt; the first one by email fails for good."""
        if self.channel.name == EMAIL and row.event == Event.OPENED and not self.has_failed:
            self.has_failed = True
            self._note(row, 1, at, ok=False, detail=_REFUSED)
            row.status, row.attempt_count = _Status.FAILED, 1
            return
        number = 1
        if not self.rng.randrange(_HICCUP_ONE_IN):
            self._note(row, 1, at, ok=False, detail=_HICCUPS[self.channel.kind])
            at, number = at + retry.WAITS[0], 2
        done = self._note(row, number, at, ok=True, detail=_SENT[self.channel.kind])
        row.status, row.sent_at, row.attempt_count = _Status.SENT, done, number

    def _note(self, row: Delivery, number: int, at: datetime, *, ok: bool, detail: str) -> datetime:
        """Record an attempt; return when it ended."""
        done = at + timedelta(milliseconds=self.rng.randint(90, 700))
        attempt = DeliveryAttempt(number=number, started_at=at, finished_at=done, ok=ok, detail=detail)
        self.attempts.append((row, attempt))
        return done

    def _let_the_newest_be_retried(self) -> None:
        """Make the newest notification fail until now, with the usual waits between attempts."""
        last = {row.monitor_id: row for row in self.rows}
        found = [(row, belief) for row, belief in self.before if last[row.monitor_id] is row]
        if not found:
            return
        row, belief = max(found, key=lambda pair: pair[0].created_at)
        self.attempts = [each for each in self.attempts if each[0] is not row]
        first = at = row.created_at
        number = 0
        while at <= self.history.now:
            number += 1
            self._note(row, number, at, ok=False, detail=_FAILING)
            following = retry.next_attempt_at(first_at=first, attempts=number, now=at, rng=self.rng)
            if following is None:
                break
            at = following
        row.status, row.sent_at, row.attempt_count = _Status.PENDING, None, number
        row.next_attempt_at = max(at, self.history.now + _NOT_BEFORE)
        belief.outage, belief.sequence, belief.delivery, belief.check_at = row.outage, row.sequence, row, None
        self.beliefs[belief.monitor_id] = belief
        self.channel.failures = number


def _believe(belief: Belief, row: Delivery) -> None:
    """Write into `belief` what a message leaves behind."""
    belief.outage, belief.sequence = row.outage, row.sequence
    belief.after_incident = max(belief.after_incident, row.incident_id or 0)
    if row.sent_at is None:
        return
    belief.sent_at, event = row.sent_at, Event(row.event)
    if event in ENDS:
        belief.state, belief.outage, belief.incident_id, belief.reminders = Belief.State.UP, None, None, 0
    elif event is Event.REMINDER:
        belief.reminders = row.reminder
    else:
        belief.state = Belief.State.DOWN if event is Event.OPENED else Belief.State.FLAPPING
        belief.incident_id, belief.reminders = row.incident_id, 0


def _write(posts: Sequence[_Post]) -> None:
    """Write all rows in the order of their times, in which pages show them."""
    digests = [pair for each in posts for pair in each.digests]
    rows = [*(row for each in posts for row in each.rows), *(digest for digest, _members in digests)]
    for row in rows:
        row.digest = None
    rows.sort(key=lambda row: row.created_at)
    Delivery.objects.bulk_create(rows)
    for digest, members in digests:
        Delivery.objects.filter(pk__in=among(row.pk for row in members)).update(digest=digest)
    attempts = [pair for each in posts for pair in each.attempts]
    attempts.sort(key=lambda pair: pair[1].started_at)
    for row, attempt in attempts:
        attempt.delivery = row
    DeliveryAttempt.objects.bulk_create(attempt for _row, attempt in attempts)
    Channel.objects.bulk_update([each.channel for each in posts], ["failures", "digest_at"])
    found = [belief for each in posts for belief in each.beliefs.values()]
    for belief in found:
        belief.delivery_id = belief.delivery.pk if belief.delivery else None
    sql.update(found)
